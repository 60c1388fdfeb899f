//! `update_merge_window`: changes of hosts' health within some time of the last update are shown to the workers together.
//!
//! Envoy does so by default, for a second; Nuncio only where a window is configured, for an update costs it little, and a host
//! that fails should not be chosen for up to a second more. As in Envoy, changes that discovery tells are never held back.

use std::time::Duration;

use nuncio_event::clock;
use nuncio_sdk::ClusterId;
use nuncio_stats::Group;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Change, ClusterManager, State, Version};
use crate::stats::ManagerStats as S;

/// What an update of the hosts of an active cluster is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// The health of hosts, by health checks or outlier detection.
    Health,
    /// What discovery tells: which hosts there are, their weights, their metadata.
    Discovery,
}

/// The window of one version.
#[derive(Debug)]
pub(super) struct MergeWindow {
    length: Duration,
    /// When the workers were told last.
    last: Option<Instant>,
    /// Tells them at the end of the window; how many updates Envoy would count then.
    pending: Option<(AbortHandle, u64)>,
}

impl Drop for MergeWindow {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl MergeWindow {
    /// `None` unless the configuration has a window, and it is longer than nothing.
    pub(super) fn new(configured: Option<Duration>) -> Option<Box<Self>> {
        let length = configured.filter(|length| !length.is_zero())?;
        Some(Box::new(Self {
            length,
            last: None,
            pending: None,
        }))
    }

    fn cancel(&mut self) -> Option<u64> {
        let (timer, updates) = self.pending.take()?;
        timer.abort();
        Some(updates)
    }

    /// Whether the workers are to be told now; otherwise `later` makes a timer that does it. `priorities`: of the cluster, which
    /// Envoy counts one by one.
    fn on_update(
        &mut self,
        update: Update,
        priorities: u64,
        now: Instant,
        stats: &Group,
        later: impl FnOnce(Duration) -> AbortHandle,
    ) -> bool {
        let is_within = |last| now.duration_since(last) <= self.length;
        if update == Update::Health {
            if self.last.is_some_and(is_within) {
                if self.pending.is_none() {
                    self.pending = Some((later(self.length), priorities));
                }
                return false;
            }
            stats.add(S::UPDATE_OUT_OF_MERGE_WINDOW, priorities);
        }
        if let Some(cancelled) = self.cancel() {
            stats.add(S::UPDATE_MERGE_CANCELLED, cancelled);
        }
        self.last = Some(now);
        true
    }
}

impl ClusterManager {
    /// The hosts of the active version have changed, by `change` since they were shown last if that is known: shows them to the
    /// threads, at once or at the end of the window.
    pub(super) fn show_update(
        &self,
        state: &mut State,
        id: ClusterId,
        update: Update,
        change: Option<Change>,
    ) {
        let active = state.clusters.get_mut(&id);
        let Some(version) = active.and_then(|entry| entry.active.as_mut()) else {
            return;
        };
        let priorities = version.hosts.sets().len() as u64;
        if let Some(window) = &mut version.merge_window {
            let later = |wait| self.show_merged_after(wait, id);
            if !window.on_update(update, priorities, clock::now(), &self.stats, later) {
                // Whatever is shown next holds this, too.
                version.flipped = None;
                return;
            }
        }
        let count = match update {
            Update::Health => priorities,
            Update::Discovery => 1,
        };
        self.stats.add(S::CLUSTER_UPDATED, count);
        self.show_change(state, id, change);
    }

    fn show_merged_after(&self, wait: Duration, id: ClusterId) -> AbortHandle {
        let manager = self.this.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(manager) = manager.upgrade() {
                manager.show_merged(id);
            }
        });
        task.abort_handle()
    }

    fn show_merged(&self, id: ClusterId) {
        let mut state = self.state();
        let active = state.clusters.get_mut(&id);
        let window = active
            .and_then(|entry| entry.active.as_mut())
            .and_then(|version: &mut Version| version.merge_window.as_mut());
        // The timer ends with its window: this is it.
        if let Some(window) = window
            && let Some((_, updates)) = window.pending.take()
        {
            window.last = Some(clock::now());
            self.stats.add(S::CLUSTER_UPDATED_VIA_MERGE, updates);
            self.show(&state, id);
        }
    }
}
