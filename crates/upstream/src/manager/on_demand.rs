//! Clusters whose hosts workers make (`ORIGINAL_DST`): takes notice of new hosts, and cleans up.

use std::sync::Arc;

use nuncio_sdk::ClusterId;
use tokio::task::AbortHandle;

use super::version::HostChange;
use super::{ClusterManager, Version};
use crate::host::Host;
use crate::host_set::{LocalityGroup, PrioritySet};
use crate::lb::original_dst::OriginalDst;

/// The hosts of one version, and the task that cleans up, which ends with this.
pub(super) struct OnDemand {
    serial: u64,
    policy: Arc<OriginalDst>,
    cleaning: Option<AbortHandle>,
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        if let Some(task) = &self.cleaning {
            task.abort();
        }
    }
}

impl ClusterManager {
    /// Begins to listen to what workers make. Without a runtime (validation) nothing is cleaned up.
    pub(super) fn start_on_demand(
        &self,
        id: ClusterId,
        serial: u64,
        policy: Arc<OriginalDst>,
    ) -> Box<OnDemand> {
        let (main, manager) = (self.main.clone(), self.this.clone());
        policy.hosts().on_new(move || {
            let manager = manager.clone();
            // The main thread is gone when the server ends.
            let _ = main.post(move || {
                if let Some(manager) = manager.upgrade() {
                    manager.change_on_demand(id, serial, |policy, known| {
                        known
                            .hosts()
                            .cloned()
                            .chain(policy.hosts().take_new())
                            .collect()
                    });
                }
            });
        });
        let (manager, interval) = (self.this.clone(), policy.cleanup_interval());
        let cleaning = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let task = runtime.spawn(async move {
                loop {
                    tokio::time::sleep(interval).await;
                    let Some(manager) = manager.upgrade() else {
                        return;
                    };
                    manager.change_on_demand(id, serial, |policy, known| {
                        policy.hosts().clean_up(known.hosts().cloned())
                    });
                }
            });
            task.abort_handle()
        });
        Box::new(OnDemand {
            serial,
            policy,
            cleaning,
        })
    }

    /// Shows the hosts that `change` makes of those that the version has; nothing if there are as many as before, since the
    /// same call never brings hosts and takes others away.
    fn change_on_demand(
        &self,
        id: ClusterId,
        serial: u64,
        change: impl FnOnce(&OriginalDst, &PrioritySet) -> Vec<Arc<Host>>,
    ) {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id);
        // A warming version is not seen by workers.
        let Some(version) = entry.and_then(|entry| entry.active.as_mut()) else {
            return;
        };
        let Some(on_demand) = &version.on_demand else {
            return;
        };
        if on_demand.serial != serial {
            return;
        }
        let hosts = change(&on_demand.policy, &version.hosts);
        if hosts.len() == version.hosts.len() {
            return;
        }
        self.replace_hosts(version, hosts);
        self.show(&state, id);
    }

    /// The version has these hosts from now on, of one priority and no locality.
    fn replace_hosts(&self, version: &mut Version, hosts: Vec<Arc<Host>>) {
        let before = version.hosts.clone();
        let group = LocalityGroup {
            locality: Arc::default(),
            weight: None,
            priority: 0,
            hosts,
        };
        version.set_hosts(HostChange {
            hosts: Arc::new(PrioritySet::build(&[group], version.info.priorities)),
            changed: true,
            membership: true,
        });
        self.check_hosts(version, &before);
        version.show_membership();
        self.stats.inc(crate::stats::ManagerStats::CLUSTER_UPDATED);
    }
}
