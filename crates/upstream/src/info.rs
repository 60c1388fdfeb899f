//! [`ClusterInfo`]: a cluster's configuration, checked and compiled; immutable and shared by all threads.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nuncio_config::convert::Fraction;
use nuncio_event::Instant;
use nuncio_http::h1::H1Settings;
use nuncio_http::h2::H2Settings;
use nuncio_net::ConnectOptions;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::runtime::{Runtime, RuntimeInteger};
use nuncio_sdk::{ClusterId, Keepalive, Protocol};
use nuncio_stats::Group;

use crate::breaker::{Breakers, Thresholds};
use crate::health::ImmediateFailures;
use crate::host_set::PriorityOptions;
use crate::lb::{LbPolicy, OverrideStatuses, Wanted};
use crate::manager::Removal;
use crate::orca::ReportedMetrics;
use crate::outlier::Detector;
use crate::random::Random;
use crate::stats::{SizeStats, TimeoutBudgetStats};

/// How a cluster finds its hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterKind {
    /// `STATIC`
    Static,
    /// `STRICT_DNS`, or `envoy.cluster.dns`
    StrictDns,
    /// `LOGICAL_DNS`, or `envoy.cluster.dns` with `all_addresses_in_single_endpoint`
    LogicalDns,
    /// `ORIGINAL_DST`
    OriginalDst,
    /// `EDS`
    Eds,
    /// `envoy.clusters.dynamic_forward_proxy`
    ForwardProxy,
    /// `envoy.clusters.aggregate`: the priorities of other clusters, end to end.
    Aggregate,
    /// `envoy.clusters.composite`: another cluster for each try of a request.
    Composite,
}

impl ClusterKind {
    /// Whether requests are passed on to other clusters, so that there are no hosts.
    pub fn passes_on(self) -> bool {
        matches!(self, Self::Aggregate | Self::Composite)
    }
}

/// One version of a cluster's configuration.
#[derive(Clone, Debug)]
pub struct ClusterInfo {
    /// The name's number.
    pub id: ClusterId,
    /// `name`
    pub name: Arc<str>,
    /// `alt_stat_name`, else the name: what stats, access logs and headers call the cluster.
    pub observability_name: Arc<str>,
    /// How hosts are found.
    pub kind: ClusterKind,
    /// `connect_timeout`, 5 s unless told.
    pub connect_timeout: Duration,
    /// `per_connection_buffer_limit_bytes`, 1 MiB unless told: soft limit of what is buffered per direction, in bytes;
    /// the greatest number for none (a configured zero).
    pub per_connection_buffer_limit: u32,
    /// HTTP options; clusters without any share one object.
    pub http: Arc<HttpOptions>,
    /// Source address, keep-alive and socket options of connections; clusters without any share one object.
    pub connect: Arc<ConnectOptions>,
    /// In which order the addresses of a host are tried.
    pub families: FamilyOrder,
    /// How connections are kept.
    pub pools: PoolOptions,
    /// How hosts are chosen.
    pub lb: Arc<dyn LbPolicy>,
    /// What the router tells of answers.
    pub wanted: Wanted,
    /// `lrs_report_endpoint_metrics`: what is summed up of hosts' load reports.
    pub(crate) reported_metrics: Option<Arc<ReportedMetrics>>,
    /// In which states a host may be asked for by its address.
    pub override_statuses: OverrideStatuses,
    /// `drop_overloads`: the share of requests that are refused.
    pub drop_overload: Option<Arc<DropOverload>>,
    /// `upstream.maintenance_mode.<name>` of the runtime: percent of the requests that are refused.
    pub maintenance_percent: Percent,
    /// How priorities share the load.
    pub priorities: PriorityOptions,
    /// Limits, for the default and the high priority.
    pub thresholds: Option<Box<[Thresholds; 2]>>,
    /// The budgets with these limits, over all workers.
    pub breakers: Arc<Breakers>,
    /// Where workers tell that a host says it fails; `None` without active health checks.
    pub(crate) immediate_failures: Option<ImmediateFailures>,
    /// `outlier_detection`
    pub outlier: Option<Arc<Detector>>,
    /// `cluster.<observability_name>.*`
    pub stats: Arc<Group>,
    /// `track_cluster_stats`
    pub tracked: Option<Box<TrackedStats>>,
    /// `metadata`
    pub metadata: Option<Arc<DynamicMetadata>>,
    /// The cluster came from discovery, not from the bootstrap.
    pub added_via_api: bool,
    /// What becomes of hosts that discovery no longer names.
    pub(crate) removal: Removal,
    /// Equal for versions between which open connections can stay in use.
    pub connection_hash: u64,
}

/// `ClusterLoadAssignment.Policy.DropOverload`
#[derive(Debug)]
pub struct DropOverload {
    /// The share of requests that are refused.
    pub share: Fraction,
    /// `category`
    pub category: Box<str>,
    /// How many were refused, over all workers.
    pub dropped: AtomicU64,
}

impl DropOverload {
    /// What is left of it by `load_balancing_policy.drop_overload_limit` of the runtime, the most percent that may be refused. As
    /// in Envoy, it is read when the endpoints are told.
    pub(crate) fn limited(mut self, runtime: &Runtime) -> Option<Self> {
        let most = runtime.pinned_integer("load_balancing_policy.drop_overload_limit", 100);
        let most = Fraction {
            numerator: most.min(100) as u32,
            denominator: 100,
        };
        let part = |it: Fraction| f64::from(it.numerator) / f64::from(it.denominator);
        if part(most) < part(self.share) {
            self.share = most;
        }
        (self.share.numerator > 0).then_some(self)
    }

    /// Whether both refuse the same, whatever they have refused so far.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.share == other.share && self.category == other.category
    }
}

/// What `track_cluster_stats` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tracks {
    /// `timeout_budgets`
    pub(crate) budgets: bool,
    /// `request_response_sizes`
    pub(crate) sizes: bool,
    /// `per_endpoint_stats`
    pub(crate) endpoints: bool,
}

/// Stats that few clusters have (`track_cluster_stats`).
#[derive(Clone, Debug)]
pub struct TrackedStats {
    /// `timeout_budgets`: [`TimeoutBudgetStats`](crate::stats::TimeoutBudgetStats).
    pub budgets: Option<Arc<Group>>,
    /// `request_response_sizes`: [`SizeStats`](crate::stats::SizeStats).
    pub sizes: Option<Arc<Group>>,
    /// `per_endpoint_stats`
    pub(crate) endpoints: bool,
}

impl TrackedStats {
    /// `None` when nothing is asked for.
    pub(crate) fn new(tracks: Tracks, stats: &Group) -> Option<Box<Self>> {
        let Tracks {
            budgets,
            sizes,
            endpoints,
        } = tracks;
        (budgets || sizes || endpoints).then(|| {
            Box::new(Self {
                budgets: budgets.then(|| stats.beside(TimeoutBudgetStats::SCHEMA)),
                sizes: sizes.then(|| stats.beside(SizeStats::SCHEMA)),
                endpoints,
            })
        })
    }
}

/// Percent that the runtime sets while requests read it; a clone goes on with the value of the moment.
#[derive(Debug, Default)]
pub struct Percent(AtomicU8);

impl Clone for Percent {
    fn clone(&self) -> Self {
        Self(AtomicU8::new(self.load(Relaxed)))
    }
}

impl Deref for Percent {
    type Target = AtomicU8;

    fn deref(&self) -> &AtomicU8 {
        &self.0
    }
}

impl ClusterInfo {
    /// Limits of both priorities.
    pub fn thresholds(&self) -> [Thresholds; 2] {
        self.thresholds.as_deref().copied().unwrap_or_default()
    }
}

/// How pools keep connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolOptions {
    /// `preconnect_policy.per_upstream_preconnect_ratio`: streams that a pool is provisioned for, per stream that there is; 1
    /// to 3.
    pub preconnect: f32,
    /// `preconnect_policy.predictive_preconnect_ratio`: the same for all pools of the cluster together, of which those of the
    /// hosts next in turn connect; 1 to 3.
    pub predictive_preconnect: f32,
    /// `connection_pool_per_downstream_connection`
    pub per_downstream: bool,
    /// `close_connections_on_host_health_failure`: ends tunnels to a host that fails. All other connections to such a host are
    /// drained in any case.
    pub close_on_health_failure: bool,
    /// `common_lb_config.close_connections_on_host_set_change`: all connections are drained.
    pub drain_on_host_change: bool,
    /// Nuncio's own: a worker without an idle HTTP/1.1 connection takes over one of another worker (`metadata`, namespace
    /// `nuncio`, `take_over_idle_connections`).
    pub take_over: bool,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            preconnect: 1.0,
            predictive_preconnect: 1.0,
            per_downstream: false,
            close_on_health_failure: false,
            drain_on_host_change: false,
            take_over: false,
        }
    }
}

/// `upstream_connection_options.happy_eyeballs_config`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyOrder {
    /// `first_address_family_version`; `None`: the family of the first address.
    pub first_is_v6: Option<bool>,
    /// `first_address_family_count`: so many of the first family come before one of the other; 1 unless told.
    pub first_count: u32,
}

impl Default for FamilyOrder {
    fn default() -> Self {
        Self {
            first_is_v6: None,
            first_count: 1,
        }
    }
}

/// What a connection to an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
    /// Whatever the client says that CONNECT has brought here.
    Tcp,
}

impl UpstreamProtocol {
    /// How many there are.
    pub(crate) const COUNT: usize = 3;

    /// Below [`Self::COUNT`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// `HttpProtocolOptions` of a cluster.
#[derive(Debug)]
pub struct HttpOptions {
    /// What upstreams speak; `None`: what the downstream connection speaks (`use_downstream_protocol_config`).
    pub protocol: Option<UpstreamProtocol>,
    /// There are options of HTTP/2: what gRPC health checks ask for.
    pub has_http2: bool,
    /// What the codec accepts and sends.
    pub h1: Arc<H1Settings>,
    /// The same for HTTP/2.
    pub h2: Arc<H2Settings>,
    /// `http2_protocol_options.connection_keepalive`
    pub keepalive: Option<Keepalive>,
    /// `upstream.use_http2` of the runtime: percent of the pools that may speak HTTP/2 where [`Self::protocol`] says so; the
    /// others speak HTTP/1.1.
    pub use_http2: RuntimeInteger,
    /// `common_http_protocol_options.idle_timeout`, 1 h unless told; `None` is for ever.
    pub idle_timeout: Option<Duration>,
    /// `common_http_protocol_options.max_requests_per_connection`; `None` is without limit.
    pub max_requests_per_connection: Option<u32>,
    /// `common_http_protocol_options.max_connection_duration`
    pub max_connection_duration: Option<Duration>,
    /// `common_http_protocol_options.max_connection_duration_jitter`: up to so much is added, as a share of the duration.
    pub max_connection_duration_jitter: f64,
    /// `common_http_protocol_options.max_stream_duration`: the router's to enforce.
    pub max_stream_duration: Option<Duration>,
}

/// Envoy's default of `common_http_protocol_options.idle_timeout`.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

impl HttpOptions {
    /// What an upstream speaks for a request that came by `downstream`.
    pub fn protocol_for(&self, downstream: Option<Protocol>) -> UpstreamProtocol {
        self.protocol.unwrap_or(match downstream {
            Some(Protocol::Http2 | Protocol::Http3) => UpstreamProtocol::Http2,
            Some(Protocol::Http10 | Protocol::Http11) | None => UpstreamProtocol::Http1,
        })
    }

    /// When a connection that is made `now` is too old.
    pub(crate) fn expiry(&self, now: Instant) -> Option<Instant> {
        let duration = self.max_connection_duration?;
        let jitter = match self.max_connection_duration_jitter {
            0.0 => Duration::ZERO,
            share => {
                let random = Random::from_system().next() as f64 / u64::MAX as f64;
                duration.mul_f64(share * random)
            }
        };
        now.checked_add(duration)?.checked_add(jitter)
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            protocol: Some(UpstreamProtocol::Http1),
            has_http2: false,
            use_http2: RuntimeInteger::fixed(100),
            h1: Arc::new(H1Settings::upstream()),
            h2: Arc::new(H2Settings::upstream()),
            keepalive: None,
            idle_timeout: Some(DEFAULT_IDLE_TIMEOUT),
            max_requests_per_connection: None,
            max_connection_duration: None,
            max_connection_duration_jitter: 0.0,
            max_stream_duration: None,
        }
    }
}
