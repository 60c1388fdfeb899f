//! What the admin interface shows of listeners, readable from any thread.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use nuncio_config::api::listener as proto;
use nuncio_net::Address;
use nuncio_stats::Group;

use super::State;
use super::entry::Entry;
use super::update::Origin;
use crate::stats::ListenerStats;

/// The latest [`ListenersSnapshot`]. Cheap to clone; clones show the same.
#[derive(Clone, Default)]
pub struct ListenersView(Arc<Mutex<Arc<ListenersSnapshot>>>);

impl fmt::Debug for ListenersView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListenersView").finish_non_exhaustive()
    }
}

impl ListenersView {
    /// The state after the last change.
    pub fn snapshot(&self) -> Arc<ListenersSnapshot> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn show(&self, snapshot: ListenersSnapshot) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

/// All listeners at one time.
#[derive(Clone, Debug, Default)]
pub struct ListenersSnapshot {
    /// The active ones, in the order in which they were added (`/listeners`).
    pub listeners: Vec<ListenerStatus>,
    /// `ListenersConfigDump.static_listeners`
    pub static_listeners: Vec<StaticListener>,
    /// `ListenersConfigDump.dynamic_listeners`, by name.
    pub dynamic_listeners: Vec<DynamicListener>,
    /// `listener.<address>.` of all that may have connections.
    pub stats: Vec<Arc<Group>>,
}

/// `envoy.admin.v3.ListenerStatus`
#[derive(Clone, Debug)]
pub struct ListenerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// `local_address`, then `additional_local_addresses`, with real ports.
    pub addresses: Vec<Address>,
}

/// `ListenersConfigDump.StaticListener`
#[derive(Clone, Debug)]
pub struct StaticListener {
    /// The message.
    pub listener: Arc<proto::Listener>,
    /// When it was added.
    pub last_updated: SystemTime,
}

/// `ListenersConfigDump.DynamicListener`
#[derive(Clone, Debug, Default)]
pub struct DynamicListener {
    /// Its name.
    pub name: String,
    /// The version that takes connections.
    pub active: Option<ListenerState>,
    /// The version that will, when it is warm.
    pub warming: Option<ListenerState>,
    /// The version whose connections are leaving; the youngest of several.
    pub draining: Option<ListenerState>,
    /// The last update, if it was refused.
    pub error: Option<ErrorState>,
}

/// `ListenersConfigDump.DynamicListenerState`
#[derive(Clone, Debug)]
pub struct ListenerState {
    /// `version_info` of the update that brought it.
    pub version_info: String,
    /// The message.
    pub listener: Arc<proto::Listener>,
    /// When the update arrived.
    pub last_updated: SystemTime,
}

/// `UpdateFailureState`
#[derive(Clone, Debug)]
pub struct ErrorState {
    /// The message that was refused.
    pub listener: Arc<proto::Listener>,
    /// `version_info` of that update.
    pub version_info: String,
    /// When.
    pub last_update_attempt: SystemTime,
    /// Why.
    pub details: String,
}

impl ListenersSnapshot {
    /// Connections that are open now (not when the snapshot was taken).
    pub fn open_connections(&self) -> u64 {
        let of = |group: &Arc<Group>| group.gauge(ListenerStats::DOWNSTREAM_CX_ACTIVE);
        self.stats.iter().map(of).sum()
    }

    pub(super) fn of(state: &State) -> Self {
        let mut snapshot = Self::default();
        for entry in &state.active {
            snapshot.listeners.push(ListenerStatus {
                name: entry.spec().name.clone(),
                addresses: entry.addresses.clone(),
            });
        }
        for entry in state.active.iter().chain(&state.warming) {
            if entry.origin == Origin::Static {
                snapshot.static_listeners.push(StaticListener {
                    listener: Arc::clone(&entry.spec().proto),
                    last_updated: entry.last_updated,
                });
            }
        }
        for entry in &state.active {
            snapshot.with(entry, |dynamic, shown| dynamic.active = Some(shown));
        }
        for entry in &state.warming {
            snapshot.with(entry, |dynamic, shown| dynamic.warming = Some(shown));
        }
        for entry in &state.draining {
            snapshot.with(entry, |dynamic, shown| dynamic.draining = Some(shown));
        }
        let mut seen = HashSet::new();
        for entry in state.active.iter().chain(&state.draining) {
            // Versions of one listener share their stats.
            let stats = &entry.shared.stats;
            if seen.insert(Arc::as_ptr(stats)) {
                snapshot.stats.push(Arc::clone(stats));
            }
        }
        for (name, error) in &state.errors {
            snapshot.dynamic(name).error = Some(error.clone());
        }
        snapshot
            .dynamic_listeners
            .sort_by(|a, b| a.name.cmp(&b.name));
        snapshot
    }

    fn with(&mut self, entry: &Entry, set: impl FnOnce(&mut DynamicListener, ListenerState)) {
        if let Origin::Dynamic { version_info } = &entry.origin {
            let state = ListenerState {
                version_info: version_info.clone(),
                listener: Arc::clone(&entry.spec().proto),
                last_updated: entry.last_updated,
            };
            set(self.dynamic(entry.name()), state);
        }
    }

    fn dynamic(&mut self, name: &str) -> &mut DynamicListener {
        let all = &mut self.dynamic_listeners;
        let place = all.iter().position(|known| known.name == name);
        let place = place.unwrap_or_else(|| {
            all.push(DynamicListener {
                name: name.to_owned(),
                ..DynamicListener::default()
            });
            all.len() - 1
        });
        &mut all[place]
    }
}
