//! Clusters whose hosts come with requests: workers make those of `ORIGINAL_DST`, where they are also cleaned up; a DNS cache
//! has those of the dynamic forward proxy, unless each of them has a cluster of its own.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use nuncio_config::decode_cluster;
use nuncio_event::MainDispatcher;
use nuncio_sdk::ClusterId;
use tokio::task::AbortHandle;

use super::merge::Update;
use super::version::HostChange;
use super::{ClusterManager, Origin, Version};
use crate::forward_proxy::{DnsCache, New, SubClusters};
use crate::host::Host;
use crate::host_set::{LocalityGroup, PrioritySet};
use crate::lb::forward_proxy::ForwardProxy;
use crate::lb::original_dst::OriginalDst;

/// The hosts of one version, and the task that cleans up, which ends with this.
pub(super) struct OnDemand {
    serial: u64,
    cleaning: Option<AbortHandle>,
    /// Kept while the version is there.
    _cache: Option<Arc<DnsCache>>,
    /// The same.
    _sub_clusters: Option<OwnClusters>,
}

/// The sub clusters of one version, which go with it.
struct OwnClusters {
    policy: Arc<SubClusters>,
    main: MainDispatcher,
    manager: Weak<ClusterManager>,
}

impl Drop for OwnClusters {
    fn drop(&mut self) {
        let (policy, manager) = (self.policy.clone(), self.manager.clone());
        // Not now: the manager may be at work on the version.
        let _ = self.main.post(move || {
            if let Some(manager) = manager.upgrade() {
                manager.remove_sub_clusters(policy.take_idle(true));
            }
        });
    }
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
        let made = Arc::downgrade(&policy);
        policy
            .hosts()
            .on_new(self.telling(id, serial, move |known| {
                let new = made.upgrade().map(|policy| policy.hosts().take_new());
                known
                    .hosts()
                    .cloned()
                    .chain(new.into_iter().flatten())
                    .collect()
            }));
        let (manager, interval) = (self.this.clone(), policy.cleanup_interval());
        let cleaning = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let task = runtime.spawn(async move {
                loop {
                    tokio::time::sleep(interval).await;
                    let Some(manager) = manager.upgrade() else {
                        return;
                    };
                    manager.change_on_demand(id, serial, |known| {
                        policy.hosts().clean_up(known.hosts().cloned())
                    });
                }
            });
            task.abort_handle()
        });
        Box::new(OnDemand {
            serial,
            cleaning,
            _cache: None,
            _sub_clusters: None,
        })
    }

    /// Gets hosts from a DNS cache from now on; those that it has are there at once.
    pub(super) fn start_forward_proxy(
        &self,
        id: ClusterId,
        serial: u64,
        policy: &Arc<ForwardProxy>,
        cache: Arc<DnsCache>,
    ) -> Box<OnDemand> {
        cache.attach(policy);
        let of_cache = Arc::downgrade(policy);
        policy.on_change(self.telling(id, serial, move |_| {
            let policy = of_cache.upgrade();
            policy.map(|policy| policy.all()).unwrap_or_default()
        }));
        Box::new(OnDemand {
            serial,
            cleaning: None,
            _cache: Some(cache),
            _sub_clusters: None,
        })
    }

    /// Makes clusters for hosts from now on, by the message of the cluster to which they belong, and takes them away.
    pub(super) fn start_sub_clusters(
        &self,
        serial: u64,
        policy: Arc<SubClusters>,
        parent: Bytes,
    ) -> Box<OnDemand> {
        let (main, manager) = (self.main.clone(), self.this.clone());
        let of_message = Arc::downgrade(&policy);
        policy.on_new(move |new| {
            let (manager, policy, parent) = (manager.clone(), of_message.clone(), parent.clone());
            // The main thread is gone when the server ends.
            let _ = main.post(move || {
                if let (Some(manager), Some(policy)) = (manager.upgrade(), policy.upgrade()) {
                    manager.add_sub_cluster(&policy, &parent, &new);
                }
            });
        });
        let (manager, idle) = (self.this.clone(), policy.clone());
        let cleaning = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let task = runtime.spawn(async move {
                loop {
                    tokio::time::sleep(idle.ttl()).await;
                    let Some(manager) = manager.upgrade() else {
                        return;
                    };
                    manager.remove_sub_clusters(idle.take_idle(false));
                }
            });
            task.abort_handle()
        });
        Box::new(OnDemand {
            serial,
            cleaning,
            _cache: None,
            _sub_clusters: Some(OwnClusters {
                policy,
                main: self.main.clone(),
                manager: self.this.clone(),
            }),
        })
    }

    fn add_sub_cluster(&self, policy: &SubClusters, parent: &[u8], new: &New) {
        // It was encoded here.
        let parent = decode_cluster(parent).unwrap_or_default();
        let cluster = policy.message(parent, new);
        if let Err(errors) = self.add_or_update_cluster(cluster, Origin::SubCluster) {
            for error in errors {
                log::warn!("cluster {}: {error}", new.name);
            }
        }
    }

    fn remove_sub_clusters(&self, idle: Vec<(Box<str>, ClusterId)>) {
        for (name, id) in idle {
            self.remove_if(&name, |version| version.is_sub_cluster);
            // Discovery may have added another one of this name.
            if !self.has_cluster(&name) {
                self.server.cluster_names.release(id);
            }
        }
    }

    /// A call that makes the main thread show the hosts that `change` makes of those before.
    fn telling(
        &self,
        id: ClusterId,
        serial: u64,
        change: impl Fn(&PrioritySet) -> Vec<Arc<Host>> + Clone + Send + Sync + 'static,
    ) -> impl Fn() + Send + Sync + 'static {
        let (main, manager) = (self.main.clone(), self.this.clone());
        move || {
            let (manager, change) = (manager.clone(), change.clone());
            // The main thread is gone when the server ends.
            let _ = main.post(move || {
                if let Some(manager) = manager.upgrade() {
                    manager.change_on_demand(id, serial, change);
                }
            });
        }
    }

    /// Shows the hosts that `change` makes of those that the version has; nothing if they are the same.
    fn change_on_demand(
        &self,
        id: ClusterId,
        serial: u64,
        change: impl FnOnce(&PrioritySet) -> Vec<Arc<Host>>,
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
        let hosts = change(&version.hosts);
        let known: HashSet<*const Host> = version.hosts.hosts().map(Arc::as_ptr).collect();
        if hosts.len() == known.len() && hosts.iter().all(|host| known.contains(&Arc::as_ptr(host)))
        {
            return;
        }
        // An address that changes makes another host of one that stays. Envoy shows new ones one by one.
        let membership = match hosts.len() == known.len() {
            true => 0,
            false => hosts.len().saturating_sub(known.len()).max(1) as u64,
        };
        self.replace_hosts(version, hosts, membership);
        self.show_update(&mut state, id, Update::Discovery, None);
    }

    /// The version has these hosts from now on, of one priority and no locality.
    fn replace_hosts(&self, version: &mut Version, hosts: Vec<Arc<Host>>, membership: u64) {
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
            membership,
        });
        self.follow_hosts(version, &before);
        version.show_membership();
    }
}
