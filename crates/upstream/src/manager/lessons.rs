//! Policies that learn from the answers of hosts: what workers have noted becomes weights here.

use nuncio_event::clock;
use nuncio_sdk::ClusterId;

use super::ClusterManager;
use super::outlier::Sweeps;
use crate::info::ClusterInfo;

impl ClusterManager {
    /// Begins to learn; nothing if the policy learns nothing on the main thread.
    pub(super) fn start_lessons(&self, info: &ClusterInfo, serial: u64) -> Option<Sweeps> {
        let period = info.lb.learner()?.period()?;
        let id = info.id;
        self.repeat(
            move || period,
            serial,
            move |manager| manager.learn(id, serial),
        )
    }

    fn learn(&self, id: ClusterId, serial: u64) {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id);
        let Some(version) = entry.and_then(|entry| entry.active.as_mut()) else {
            return;
        };
        // A version that still warms has no traffic.
        let is_it = |lessons: &Sweeps| lessons.serial == serial;
        if version.lessons.as_ref().is_some_and(is_it)
            && let Some(learner) = version.info.lb.clone().learner()
            && learner.on_tick(&version.hosts, clock::now())
        {
            version.sort_hosts_anew();
            self.show(&state, id);
        }
    }
}
