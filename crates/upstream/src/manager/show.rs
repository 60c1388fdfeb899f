//! Telling the threads what has changed.

use nuncio_sdk::ClusterId;

use super::merge::Update;
use super::{ClusterManager, Snapshot, State, Version};

impl ClusterManager {
    /// Health flags of hosts of this cluster have changed ([`Host::set_health_flags`](crate::Host::set_health_flags)): builds its
    /// host sets anew and tells the workers. Work for this cluster only.
    pub fn health_changed(&self, name: &str) {
        if let Some(id) = self.server.cluster_names.lookup(name) {
            self.show_health(id);
        }
    }

    /// Sorts the hosts by health anew and tells the workers.
    pub(crate) fn show_health(&self, id: ClusterId) {
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
        if version.hosts.len() != before.len() {
            // Those that are gone are not asked any more.
            self.check_hosts(version, &before);
        }
        version.show_membership();
        let update = match version.hosts.len() == before.len() {
            true => Update::Health,
            false => Update::Discovery,
        };
        self.show_update(&mut state, id, update);
    }

    /// Shows the active version to all threads.
    pub(super) fn show(&self, state: &State, id: ClusterId) {
        let active = state
            .clusters
            .get(&id)
            .and_then(|entry| entry.active.as_ref());
        self.tell(id, active.map(Version::snapshot));
    }

    pub(super) fn tell(&self, id: ClusterId, snapshot: Option<Snapshot>) {
        if !self.shared.set(id, snapshot.clone()) {
            // No thread has looked at any cluster yet.
            return;
        }
        if let Some(here) = self.slot.try_get() {
            here.update(id, snapshot.as_ref());
        }
        let slot = self.slot.clone();
        let posted = self.workers.post_all(move |_| {
            if let Some(clusters) = slot.try_get() {
                clusters.update(id, snapshot.as_ref());
            }
        });
        if posted.is_err() {
            log::debug!("a worker has ended and is not told of cluster {}", id.0);
        }
    }
}
