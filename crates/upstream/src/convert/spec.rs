//! [`ClusterSpec`]: a cluster's configuration, and [`SharedParts`], what clusters have alike.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nuncio_access_log::AccessLogManager;
use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_net::ConnectOptions;
use nuncio_sdk::Runtime;
use nuncio_sdk::metadata::DynamicMetadata;

use super::{BootstrapBind, DnsSpec, EdsSource, LocalitySpec};
use crate::breaker::Thresholds;
use crate::health;
use crate::host::Locality;
use crate::host_set::PriorityOptions;
use crate::info::{ClusterKind, DropOverload, FamilyOrder, HttpOptions, PoolOptions, Tracks};
use crate::lb::forward_proxy::ForwardProxy;
use crate::lb::original_dst::OriginalDst;
use crate::lb::round_robin::RoundRobin;
use crate::lb::{LbPolicy, OverrideStatuses};
use crate::manager::Discovery;
use crate::orca::MetricNames;
use crate::outlier::Settings;

/// A cluster's configuration, checked. What several clusters have alike is shared through [`SharedParts`].
#[derive(Debug)]
pub(crate) struct ClusterSpec {
    pub(crate) name: String,
    pub(crate) alt_stat_name: Option<String>,
    pub(crate) kind: ClusterKind,
    pub(crate) localities: Vec<LocalitySpec>,
    pub(crate) dns: Option<DnsSpec>,
    /// The same object as `lb`.
    pub(crate) original_dst: Option<Arc<OriginalDst>>,
    pub(crate) eds: Option<EdsSource>,
    /// The same object as `lb`, and its DNS cache.
    pub(crate) forward_proxy: Option<(Arc<ForwardProxy>, DnsCacheConfig)>,
    pub(crate) wait_for_warm: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) per_connection_buffer_limit: u32,
    pub(crate) http: Arc<HttpOptions>,
    pub(crate) connect: Arc<ConnectOptions>,
    pub(crate) families: FamilyOrder,
    pub(crate) pools: PoolOptions,
    pub(crate) lb: Arc<dyn LbPolicy>,
    pub(crate) override_statuses: OverrideStatuses,
    pub(crate) drop_overload: Option<DropOverload>,
    pub(crate) priorities: PriorityOptions,
    pub(crate) thresholds: [Thresholds; 2],
    pub(crate) outlier: Option<Settings>,
    pub(crate) health_checks: Vec<health::Settings>,
    /// `ignore_new_hosts_until_first_hc`
    pub(crate) ignore_new_hosts: bool,
    /// `update_merge_window`, if there is one.
    pub(crate) merge_window: Option<Duration>,
    /// `ignore_health_on_host_removal`
    pub(crate) ignore_health_on_removal: bool,
    pub(crate) metadata: Option<Arc<DynamicMetadata>>,
    /// `track_cluster_stats`
    pub(crate) tracks: Tracks,
    /// `lrs_report_endpoint_metrics`
    pub(crate) reported_metrics: MetricNames,
}

/// Objects that all clusters with default options share.
#[derive(Debug, Default)]
pub(crate) struct SharedParts {
    pub(crate) http: Arc<HttpOptions>,
    /// Of clusters without any, unless the bootstrap says something.
    pub(crate) connect: Arc<ConnectOptions>,
    /// `cluster_manager.upstream_bind_config`, for clusters that have none.
    pub(crate) bind: OnceLock<BootstrapBind>,
    pub(crate) round_robin: Arc<RoundRobin>,
    /// Where this proxy is.
    pub(crate) own: Locality,
    /// For logs of health check events; without it (tests) none is written.
    pub(crate) logs: Option<Arc<AccessLogManager>>,
    pub(crate) runtime: Arc<Runtime>,
    /// Whoever knows endpoints that do not stand in files.
    pub(crate) discovery: OnceLock<Arc<dyn Discovery>>,
}
