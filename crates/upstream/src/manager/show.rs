//! Telling the threads what has changed.

use std::sync::Arc;

use nuncio_sdk::ClusterId;

use super::merge::Update;
use super::retired::Retired;
use super::{Change, ClusterManager, Snapshot, State, Version};

impl ClusterManager {
    /// Health flags of hosts of this cluster have changed ([`Host::set_health_flags`](crate::Host::set_health_flags)): builds its
    /// host sets anew and tells the workers. Work for this cluster only.
    pub fn health_changed(&self, name: &str) {
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return;
        };
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id);
        if let Some(version) = entry.and_then(|entry| entry.active.as_mut()) {
            // Nobody has said which hosts.
            version.flipped = None;
        }
        drop(state);
        self.show_health(id);
    }

    /// Sorts the hosts by health anew and tells the workers.
    pub(super) fn show_health(&self, id: ClusterId) {
        let mut state = self.state();
        let Some(version) = state
            .clusters
            .get_mut(&id)
            .and_then(|entry| entry.active.as_mut())
        else {
            return;
        };
        let before = version.hosts.clone();
        version.sort_hosts_anew();
        let flipped = version.flipped.replace(Vec::new());
        let mut change = flipped.map(|flipped| Change {
            flipped,
            ..Change::default()
        });
        if version.hosts.len() != before.len() {
            // Those that are gone are not asked any more.
            self.follow_hosts(version, &before);
            change = None;
        }
        version.show_health();
        let update = match version.hosts.len() == before.len() {
            true => Update::Health,
            false => Update::Discovery,
        };
        self.show_update(&mut state, id, update, change);
    }

    /// Shows the active version to all threads.
    pub(super) fn show(&self, state: &State, id: ClusterId) {
        self.show_change(state, id, None);
    }

    /// The same where it is known how its hosts differ from those that were shown before.
    pub(super) fn show_change(&self, state: &State, id: ClusterId, change: Option<Change>) {
        let active = state
            .clusters
            .get(&id)
            .and_then(|entry| entry.active.as_ref());
        self.tell(id, active.map(Version::snapshot), change);
    }

    pub(super) fn tell(
        &self,
        id: ClusterId,
        snapshot: Option<Snapshot>,
        mut change: Option<Change>,
    ) {
        let before = self.shared.set(id, snapshot.clone());
        if !self.shared.is_watched() {
            // No thread has looked at any cluster yet.
            return;
        }
        if let (Some(change), Some(before)) = (&mut change, &before) {
            change.before = Arc::downgrade(&before.hosts);
        }
        if let Some(here) = self.slot.try_get() {
            here.update(id, snapshot.as_ref(), change.as_ref());
        }
        let slot = self.slot.clone();
        let retired = before.map(|before| Retired::new(before.hosts, &self.main));
        let posted = self.workers.post_all(move |_| {
            if let Some(clusters) = slot.try_get() {
                clusters.update(id, snapshot.as_ref(), change.as_ref());
            }
            // Known to each worker's call, so that it ends with the last.
            let _ = &retired;
        });
        if posted.is_err() {
            log::debug!("a worker has ended and is not told of cluster {}", id.0);
        }
    }
}
