//! Dynamic forward proxy clusters with a cluster of its own for each host that requests name (`sub_clusters_config`).
//!
//! A worker asks here, under a lock, for a host that it has not seen; from then on it has the number of the host's cluster
//! (`worker/by_authority.rs`). The cluster manager makes the clusters, and takes away those that were idle for long.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use nuncio_config::any::pack;
use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::cluster::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType,
};
use nuncio_config::api::core::address::Address as AddressKind;
use nuncio_config::api::core::socket_address::PortSpecifier;
use nuncio_config::api::core::{Address, SocketAddress};
use nuncio_config::api::dns_cluster::DnsCluster;
use nuncio_config::api::endpoint::lb_endpoint::HostIdentifier;
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use nuncio_sdk::{ClusterId, ClusterNames};

use super::authority::Authority;
use crate::lb::members::Nobody;
use crate::lb::{LbPolicy, LoadBalancer};
use crate::random::Random;

/// `SubClustersConfig`
#[derive(Debug)]
pub(crate) struct SubClusterSettings {
    /// `lb_policy`, as the message has it.
    pub(crate) lb_policy: i32,
    /// `max_sub_clusters`
    pub(crate) max: usize,
    /// `sub_cluster_ttl`: a cluster that was not used for so long goes.
    pub(crate) ttl: Duration,
    /// `dns_cluster_config`: how names are resolved; without it, as the fields of the cluster say.
    pub(crate) dns: Option<DnsCluster>,
}

/// A host's cluster to come, and by what it is reached.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) name: Box<str>,
    host: Box<str>,
    port: u16,
}

/// A host's cluster, from the request that asked for it first until it was idle for long.
#[derive(Debug)]
pub(crate) struct SubCluster {
    pub(crate) id: ClusterId,
    used: AtomicBool,
    gone: AtomicBool,
}

impl SubCluster {
    /// A request goes there; `false` when it has been taken away.
    pub(crate) fn touch(&self) -> bool {
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
        !self.is_gone()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}

/// The sub clusters of one version of a cluster.
pub struct SubClusters {
    settings: SubClusterSettings,
    /// By name.
    known: Mutex<HashMap<Box<str>, Arc<SubCluster>>>,
    /// Has a cluster made.
    make: OnceLock<Box<dyn Fn(New) + Send + Sync>>,
}

impl SubClusters {
    pub(crate) fn new(settings: SubClusterSettings) -> Self {
        Self {
            settings,
            known: Mutex::default(),
            make: OnceLock::new(),
        }
    }

    pub(crate) fn ttl(&self) -> Duration {
        self.settings.ttl
    }

    /// What is called for each new host.
    pub(crate) fn on_new(&self, make: impl Fn(New) + Send + Sync + 'static) {
        // Set once, when the version is made.
        let _ = self.make.set(Box::new(make));
    }

    /// The cluster of the host `key` (name and port), which is being made if it is new; `None`: there are too many.
    pub(crate) fn ask(&self, key: &str, names: &ClusterNames) -> Option<Arc<SubCluster>> {
        let Authority { host, port } = Authority::parse(key);
        let port = port.unwrap_or_default();
        let name = name_of(host, port);
        let mut known = self.known();
        if let Some(there) = known.get(&*name) {
            there.touch();
            return Some(there.clone());
        }
        if known.len() >= self.settings.max {
            return None;
        }
        let id = names.intern_temporary(&name);
        let new = Arc::new(SubCluster {
            id,
            used: AtomicBool::new(true),
            gone: AtomicBool::new(false),
        });
        known.insert(name.clone().into(), new.clone());
        drop(known);
        if let Some(make) = self.make.get() {
            make(New {
                name: name.into(),
                host: host.into(),
                port,
            });
        }
        Some(new)
    }

    /// Takes away those that no request has used since the last call; all, if `all`.
    pub(crate) fn take_idle(&self, all: bool) -> Vec<(Box<str>, ClusterId)> {
        let idle = |there: &SubCluster| {
            let goes = all || !there.used.swap(false, Relaxed);
            there.gone.store(goes, Relaxed);
            goes
        };
        let mut known = self.known();
        let taken = known.extract_if(|_, there| idle(there));
        let plain = taken.map(|(name, there)| (name, there.id));
        plain.collect()
    }

    /// The cluster of a host, made of the one to which it belongs: all its fields but the type, the policy and the endpoints.
    pub(crate) fn message(&self, parent: Cluster, new: &New) -> Cluster {
        let address = Address {
            address: Some(AddressKind::SocketAddress(SocketAddress {
                address: new.host.to_string(),
                port_specifier: Some(PortSpecifier::PortValue(new.port.into())),
                ..SocketAddress::default()
            })),
        };
        let endpoint = LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(address),
                ..Endpoint::default()
            })),
            ..LbEndpoint::default()
        };
        let kind = match &self.settings.dns {
            None => ClusterDiscoveryType::Type(DiscoveryType::StrictDns.into()),
            Some(dns) => ClusterDiscoveryType::ClusterType(CustomClusterType {
                name: "envoy.cluster.dns".into(),
                typed_config: Some(pack(dns)),
            }),
        };
        Cluster {
            name: new.name.to_string(),
            cluster_discovery_type: Some(kind),
            lb_policy: self.settings.lb_policy,
            load_assignment: Some(ClusterLoadAssignment {
                cluster_name: new.name.to_string(),
                endpoints: vec![LocalityLbEndpoints {
                    lb_endpoints: vec![endpoint],
                    ..LocalityLbEndpoints::default()
                }],
                ..parent.load_assignment.unwrap_or_default()
            }),
            ..parent
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<SubCluster>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of a host's cluster, as Envoy has it.
fn name_of(host: &str, port: u16) -> String {
    format!("DFPCluster:{host}:{port}")
}

/// The name of the cluster of the host `key` (name and port).
pub(crate) fn cluster_name(key: &str) -> String {
    let Authority { host, port } = Authority::parse(key);
    name_of(host, port.unwrap_or_default())
}

impl fmt::Debug for SubClusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubClusters")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl LbPolicy for SubClusters {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.cluster_provided"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Nobody)
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        // Each version has clusters of its own.
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| std::ptr::eq(self, other))
    }

    fn sub_clusters(self: Arc<Self>) -> Option<Arc<SubClusters>> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_made_once_and_go_when_nobody_uses_them() {
        let names = ClusterNames::default();
        let subs = SubClusters::new(SubClusterSettings {
            lb_policy: 0,
            max: 2,
            ttl: Duration::from_secs(1),
            dns: None,
        });
        let made = Arc::<Mutex<Vec<Cluster>>>::default();
        let (log, template) = (made.clone(), Cluster::default());
        let subs = Arc::new(subs);
        let weak = Arc::downgrade(&subs);
        subs.on_new(move |new| {
            let message = weak.upgrade().unwrap().message(template.clone(), &new);
            log.lock().unwrap().push(message);
        });
        let a = subs.ask("a.test:80", &names).unwrap();
        assert!(Arc::ptr_eq(&a, &subs.ask("a.test:80", &names).unwrap()));
        let v6 = subs.ask("[::1]:8080", &names).unwrap();
        assert!(subs.ask("c.test:80", &names).is_none(), "two are enough");
        let made = made.lock().unwrap();
        let all: Vec<_> = made.iter().map(|cluster| cluster.name.as_str()).collect();
        assert_eq!(all, ["DFPCluster:a.test:80", "DFPCluster:::1:8080"]);
        assert_eq!(cluster_name("[::1]:8080"), all[1]);
        let of_a = made[0].load_assignment.as_ref().unwrap();
        assert_eq!(of_a.endpoints[0].lb_endpoints.len(), 1);
        // Both were used; then only one.
        assert!(subs.take_idle(false).is_empty());
        assert!(v6.touch());
        let idle = subs.take_idle(false);
        assert_eq!(idle, [("DFPCluster:a.test:80".into(), a.id)]);
        assert!(!a.touch(), "gone");
        assert_eq!(subs.take_idle(true).len(), 1);
    }
}
