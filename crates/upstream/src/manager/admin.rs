//! What the admin interface shows of clusters (`/clusters`, `/config_dump`).

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use super::{ClusterManager, Entry, Version};
use crate::breaker::{Priority, Thresholds};
use crate::host::{HealthFlags, Host};
use crate::host_set::PrioritySet;
use crate::info::ClusterInfo;

/// One active cluster for `/clusters`.
#[derive(Clone, Debug)]
pub struct ClusterStatus {
    /// Its configuration.
    pub info: Arc<ClusterInfo>,
    /// Its hosts.
    pub hosts: Arc<PrioritySet>,
    /// By which name EDS asks for its endpoints, if they are discovered.
    service_name: Option<Arc<str>>,
}

impl ClusterStatus {
    /// `default_priority` and `high_priority` limits, as the runtime has them.
    pub fn thresholds(&self) -> [Thresholds; 2] {
        let mut shown = self.info.thresholds();
        for (priority, limits) in Priority::ALL.into_iter().zip(&mut shown) {
            self.info.breakers.show_limits(priority, limits);
        }
        shown
    }

    /// What the assignment of its endpoints is called.
    pub fn assignment_name(&self) -> &str {
        self.service_name.as_deref().unwrap_or(&self.info.name)
    }

    /// The hosts, in the order in which `/clusters` shows them.
    pub fn host_statuses(&self) -> impl Iterator<Item = HostStatus> {
        self.hosts.hosts().map(|host| HostStatus::of(host.clone()))
    }
}

/// What `/clusters` prints of a host, at one moment.
#[derive(Clone, Debug)]
pub struct HostStatus {
    /// Address, hostname, locality, canary, metadata.
    pub host: Arc<Host>,
    /// `cx_active`
    pub cx_active: u64,
    /// `cx_connect_fail`
    pub cx_connect_fail: u64,
    /// `cx_total`
    pub cx_total: u64,
    /// `rq_active`
    pub rq_active: u64,
    /// `rq_pending_active`
    pub rq_pending_active: u64,
    /// `rq_error`
    pub rq_error: u64,
    /// `rq_success`
    pub rq_success: u64,
    /// `rq_timeout`
    pub rq_timeout: u64,
    /// `rq_total`
    pub rq_total: u64,
    /// `health_flags`
    pub health_flags: HealthFlags,
    /// `weight`
    pub weight: u32,
    /// `priority`
    pub priority: u32,
}

impl HostStatus {
    fn of(host: Arc<Host>) -> Self {
        let stats = host.stats();
        Self {
            cx_active: u64::from(stats.cx_active.load(Relaxed)),
            cx_connect_fail: stats.cx_connect_fail.load(Relaxed),
            cx_total: stats.cx_total.load(Relaxed),
            rq_active: u64::from(stats.rq_active.load(Relaxed)),
            rq_pending_active: u64::from(stats.rq_pending_active.load(Relaxed)),
            rq_error: stats.rq_error.load(Relaxed),
            rq_success: stats.rq_success.load(Relaxed),
            rq_timeout: stats.rq_timeout.load(Relaxed),
            rq_total: stats.rq_total.load(Relaxed),
            health_flags: host.health_flags(),
            weight: host.weight(),
            priority: host.priority(),
            host,
        }
    }

    /// The counts in the order of the text form of `/clusters`.
    pub fn counts(&self) -> [(&'static str, u64); 9] {
        [
            ("cx_active", self.cx_active),
            ("cx_connect_fail", self.cx_connect_fail),
            ("cx_total", self.cx_total),
            ("rq_active", self.rq_active),
            ("rq_error", self.rq_error),
            ("rq_pending_active", self.rq_pending_active),
            ("rq_success", self.rq_success),
            ("rq_timeout", self.rq_timeout),
            ("rq_total", self.rq_total),
        ]
    }
}

/// One cluster for `/config_dump`.
#[derive(Clone, Debug)]
pub struct DumpedCluster {
    /// `version_info`; empty for static ones.
    pub version_info: Arc<str>,
    /// The `envoy.config.cluster.v3.Cluster` as it came, in wire format.
    pub config: Bytes,
    /// When it was added or changed.
    pub last_updated: SystemTime,
}

/// `envoy.admin.v3.ClustersConfigDump`
#[derive(Clone, Debug, Default)]
pub struct ConfigDump {
    /// `version_info` that CDS told last.
    pub version_info: Arc<str>,
    /// `static_clusters`
    pub static_clusters: Vec<DumpedCluster>,
    /// `dynamic_active_clusters`
    pub dynamic_active_clusters: Vec<DumpedCluster>,
    /// `dynamic_warming_clusters`
    pub dynamic_warming_clusters: Vec<DumpedCluster>,
}

impl ClusterManager {
    /// All active clusters. Holds the manager's lock only for copying pointers; formatting is the caller's.
    pub fn statuses(&self) -> Vec<ClusterStatus> {
        let state = self.state();
        let active = state
            .clusters
            .values()
            .filter_map(|entry| entry.active.as_ref());
        active
            .map(|version| ClusterStatus {
                info: version.info.clone(),
                hosts: version.hosts.clone(),
                service_name: version.eds.as_ref().map(|eds| eds.service_name().clone()),
            })
            .collect()
    }

    /// All clusters' configurations.
    pub fn config_dump(&self) -> ConfigDump {
        let state = self.state();
        let mut dump = ConfigDump {
            version_info: state.version_info.clone(),
            ..ConfigDump::default()
        };
        for entry in state.clusters.values() {
            let Entry {
                active, warming, ..
            } = &**entry;
            if let Some(version) = active {
                let list = if version.info.added_via_api {
                    &mut dump.dynamic_active_clusters
                } else {
                    &mut dump.static_clusters
                };
                list.push(DumpedCluster::of(version));
            }
            if let Some(version) = warming {
                dump.dynamic_warming_clusters
                    .push(DumpedCluster::of(version));
            }
        }
        dump
    }
}

impl DumpedCluster {
    fn of(version: &Version) -> Self {
        Self {
            version_info: version.version_info.clone(),
            config: version.config.clone(),
            last_updated: version.last_updated,
        }
    }
}
