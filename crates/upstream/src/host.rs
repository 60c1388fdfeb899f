//! [`Host`]: one upstream endpoint, with what all threads know of it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use nuncio_net::Address;
use nuncio_route::MetadataMatch;
use nuncio_sdk::metadata::DynamicMetadata;
use tokio::time::Instant;

pub use health_flags::{Health, HealthFlags};

use crate::lb::HostFeedback;
use crate::outlier::HostMonitor;

mod health_flags;

/// Where an endpoint is (`core.v3.Locality`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// `region`
    pub region: Box<str>,
    /// `zone`
    pub zone: Box<str>,
    /// `sub_zone`
    pub sub_zone: Box<str>,
}

impl Locality {
    /// Whether no part is given.
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.sub_zone.is_empty()
    }
}

/// What is counted per host (Envoy's `HostStats`), over all workers.
#[derive(Debug, Default)]
pub struct HostStats {
    /// Connections open or being opened.
    pub cx_active: AtomicU32,
    /// Requests in flight.
    pub rq_active: AtomicU32,
    /// Requests that wait for a connection.
    pub rq_pending_active: AtomicU32,
    /// Connections that could not be made.
    pub cx_connect_fail: AtomicU64,
    /// Connections begun.
    pub cx_total: AtomicU64,
    /// Requests with a 5xx answer, or reset.
    pub rq_error: AtomicU64,
    /// Requests with another answer.
    pub rq_success: AtomicU64,
    /// Requests that ran into a timeout.
    pub rq_timeout: AtomicU64,
    /// Requests sent.
    pub rq_total: AtomicU64,
}

/// What an endpoint is, as configuration or discovery says.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Where to connect to.
    pub address: Address,
    /// Tried after `address`: `Endpoint.additional_addresses`, or the name's other addresses in a `LOGICAL_DNS` cluster.
    pub additional: Option<Arc<[Address]>>,
    /// `Endpoint.hostname`, or the name that was resolved; empty when there is none.
    pub hostname: Arc<str>,
    /// Shared by the hosts of a locality.
    pub locality: Arc<Locality>,
    /// `filter_metadata` of the endpoint over that of its locality.
    pub metadata: Option<Arc<DynamicMetadata>>,
    /// `load_balancing_weight`, 1 or more.
    pub weight: u32,
    /// 0 is the first choice.
    pub priority: u32,
    /// What `health_status` says.
    pub health: HealthFlags,
    /// `Endpoint.health_check_config`
    pub health_check: Option<Arc<HealthCheckTarget>>,
}

impl HostConfig {
    /// A host that no configuration describes: a request has named it.
    pub(crate) fn unconfigured(address: Address, hostname: Arc<str>) -> Self {
        Self {
            address,
            additional: None,
            hostname,
            locality: Arc::default(),
            metadata: None,
            weight: 1,
            priority: 0,
            health: HealthFlags::NONE,
            health_check: None,
        }
    }
}

/// How health checks find an endpoint (`Endpoint.HealthCheckConfig`), where it differs from requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthCheckTarget {
    /// `address`, with its port
    pub address: Option<Address>,
    /// `port_value`; 0 is the endpoint's own.
    pub port: u16,
    /// `hostname`: what HTTP and gRPC checks call it.
    pub hostname: Arc<str>,
    /// `disable_active_health_check`
    pub disabled: bool,
}

impl HealthCheckTarget {
    /// The port that is asked, unless it is the endpoint's own.
    pub fn other_port(&self) -> Option<u16> {
        let of_address = self.address.as_ref().and_then(Address::port);
        of_address.or(Some(self.port)).filter(|port| *port != 0)
    }
}

/// One upstream endpoint. It stays the same object over updates of its cluster as long as its address, name, locality and
/// metadata stay, and with it its counts, its health and its pools.
#[derive(Debug)]
pub struct Host {
    address: Address,
    hostname: Arc<str>,
    locality: Arc<Locality>,
    /// Changed in place by EDS; locked only where [`Self::has_some_metadata`].
    metadata: RwLock<Option<Arc<DynamicMetadata>>>,
    has_some_metadata: AtomicBool,
    /// What the metadata say of it.
    canary: AtomicBool,
    health_check: Option<Arc<HealthCheckTarget>>,
    weight: AtomicU32,
    priority: AtomicU32,
    health: AtomicU32,
    /// A balancer has chosen it since its cluster was cleaned up last (`ORIGINAL_DST`).
    used: AtomicBool,
    /// Milliseconds after [`base_time`].
    healthy_since: AtomicU64,
    stats: HostStats,
    rare: OnceLock<Box<Rare>>,
}

/// What few hosts have: a host that does not pays one word for all of it.
#[derive(Debug, Default)]
struct Rare {
    /// All addresses, if there are several.
    list: Option<Box<[Address]>>,
    outlier: OnceLock<Box<HostMonitor>>,
    feedback: OnceLock<Box<HostFeedback>>,
    /// How many idle connections each worker would give away, about.
    idle: OnceLock<Box<[AtomicU32]>>,
}

/// What times of hosts are counted from.
fn base_time() -> Instant {
    static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);
    *BASE
}

/// A moment on the scale on which hosts keep theirs.
pub(crate) fn milliseconds(time: Instant) -> u64 {
    time.saturating_duration_since(base_time()).as_millis() as u64
}

impl Host {
    /// A host that nobody has seen yet.
    pub fn new(config: HostConfig) -> Self {
        let rare = match config.additional {
            None => OnceLock::new(),
            Some(additional) => {
                let all = std::iter::once(&config.address).chain(&*additional);
                OnceLock::from(Box::new(Rare {
                    list: Some(all.cloned().collect()),
                    ..Rare::default()
                }))
            }
        };
        Self {
            address: config.address,
            hostname: config.hostname,
            locality: config.locality,
            has_some_metadata: AtomicBool::new(config.metadata.is_some()),
            canary: AtomicBool::new(config.metadata.as_deref().is_some_and(says_canary)),
            metadata: RwLock::new(config.metadata),
            health_check: config.health_check,
            weight: AtomicU32::new(config.weight.max(1)),
            priority: AtomicU32::new(config.priority),
            health: AtomicU32::new(config.health.0),
            used: AtomicBool::new(false),
            healthy_since: AtomicU64::new(milliseconds(Instant::now())),
            stats: HostStats::default(),
            rare,
        }
    }

    /// The host has become healthy now, after a health check: slow start begins anew.
    pub fn set_healthy_since(&self, now: Instant) {
        self.healthy_since.store(milliseconds(now), Relaxed);
    }

    /// How long the host has been there, or healthy again.
    pub fn healthy_for(&self, now: Instant) -> Duration {
        let since = self.healthy_since.load(Relaxed);
        Duration::from_millis(milliseconds(now).saturating_sub(since))
    }

    /// Where to connect to, and what the host is known by.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    fn list(&self) -> Option<&[Address]> {
        self.rare.get()?.list.as_deref()
    }

    /// Where a connection may go: one address, or several of which the first that answers is taken; the first one is
    /// [`Self::address`] (Envoy's `Host::addressListOrNull`). `Endpoint.additional_addresses` follow, or the other addresses
    /// of a `LOGICAL_DNS` host.
    pub fn addresses(&self) -> &[Address] {
        match self.list() {
            None => std::slice::from_ref(&self.address),
            Some(list) => list,
        }
    }

    /// The endpoint's name; empty when it has none.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Where it is.
    pub fn locality(&self) -> &Arc<Locality> {
        &self.locality
    }

    /// The endpoint's metadata.
    pub fn metadata(&self) -> Option<Arc<DynamicMetadata>> {
        if !self.has_some_metadata.load(Relaxed) {
            return None;
        }
        let metadata = self.metadata.read().unwrap_or_else(PoisonError::into_inner);
        metadata.clone()
    }

    /// Whether the endpoint's metadata under `envoy.lb` have all of `criteria`; a list has each of its values.
    pub fn has_metadata(&self, criteria: &MetadataMatch) -> bool {
        crate::lb::has_metadata(self, criteria)
    }

    /// `envoy.lb` / `canary` is true.
    #[inline]
    pub fn is_canary(&self) -> bool {
        self.canary.load(Relaxed)
    }

    /// Weight within its locality, 1 or more.
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// Sets the weight, until discovery tells another; lists of the host must be built anew for balancers to see it. Whether
    /// it is another one.
    pub(crate) fn set_weight(&self, weight: u32) -> bool {
        let weight = weight.max(1);
        self.weight.swap(weight, Relaxed) != weight
    }

    /// Priority; 0 is the first choice.
    pub fn priority(&self) -> u32 {
        self.priority.load(Relaxed)
    }

    /// Why the host is not simply healthy.
    pub fn health_flags(&self) -> HealthFlags {
        HealthFlags(self.health.load(Relaxed))
    }

    /// What the flags mean to a balancer.
    pub fn health(&self) -> Health {
        self.health_flags().health()
    }

    /// Sets flags; the host sets of its cluster must be built anew for balancers to see it.
    pub fn set_health_flags(&self, flags: HealthFlags) {
        self.health.fetch_or(flags.0, Relaxed);
    }

    /// Clears flags; as [`Self::set_health_flags`].
    pub fn clear_health_flags(&self, flags: HealthFlags) {
        self.health.fetch_and(!flags.0, Relaxed);
    }

    /// A request goes to this host, which was made on demand.
    #[inline]
    pub(crate) fn set_used(&self) {
        // Mostly it is set: the line is not taken from other cores then.
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
    }

    /// Whether a request has gone to this host since this was asked last.
    pub(crate) fn take_used(&self) -> bool {
        self.used.swap(false, Relaxed)
    }

    /// Whether a connection to it is open, or a request waits for one.
    pub(crate) fn is_connected(&self) -> bool {
        let HostStats {
            cx_active,
            rq_pending_active,
            ..
        } = &self.stats;
        cx_active.load(Relaxed) > 0 || rq_pending_active.load(Relaxed) > 0
    }

    /// What is counted.
    pub fn stats(&self) -> &HostStats {
        &self.stats
    }

    /// How health checks find it, where that was said.
    pub fn health_check(&self) -> Option<&HealthCheckTarget> {
        self.health_check.as_deref()
    }

    /// No health check asks it.
    pub(crate) fn is_unchecked(&self) -> bool {
        self.health_check().is_some_and(|target| target.disabled)
    }

    /// How many idle connections each of `workers` would give away, about: a hint for the others.
    pub(crate) fn idle_of_workers(&self, workers: usize) -> &[AtomicU32] {
        self.rare()
            .idle
            .get_or_init(|| (0..workers).map(|_| AtomicU32::new(0)).collect())
    }

    /// What outlier detection knows, from now on at least.
    #[inline]
    pub(crate) fn outlier_monitor(&self) -> &HostMonitor {
        self.rare().outlier.get_or_init(Box::default)
    }

    /// What outlier detection knows; `None` while it knows nothing.
    pub fn known_outlier_monitor(&self) -> Option<&HostMonitor> {
        self.rare.get()?.outlier.get().map(|monitor| &**monitor)
    }

    /// What its answers tell, from now on at least.
    #[inline]
    pub(crate) fn feedback(&self) -> &HostFeedback {
        self.rare().feedback.get_or_init(Box::default)
    }

    /// What its answers have told; `None` while that is nothing.
    #[inline]
    pub(crate) fn known_feedback(&self) -> Option<&HostFeedback> {
        self.rare.get()?.feedback.get().map(|feedback| &**feedback)
    }

    /// Whether `config` describes this host: then [`Self::update`] is enough.
    pub(crate) fn is_same(&self, config: &HostConfig) -> bool {
        self.address == config.address
            && *self.hostname == *config.hostname
            && self.locality == config.locality
            && self.health_check == config.health_check
            && self.has_same_metadata(config)
            && self.has_same_list(config)
    }

    fn has_same_list(&self, config: &HostConfig) -> bool {
        match (self.list(), &config.additional) {
            (None, None) => true,
            (Some(list), Some(additional)) => list[1..] == **additional,
            _ => false,
        }
    }

    fn has_same_metadata(&self, config: &HostConfig) -> bool {
        match (self.metadata(), &config.metadata) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(&a, b) || *a == **b,
            _ => false,
        }
    }

    /// Whether what EDS says of this host's address can be taken over by [`Self::update_in_place`]. `checked`: health checks
    /// depend on how they are to find it.
    pub(crate) fn can_become(&self, config: &HostConfig, checked: bool) -> bool {
        self.locality == config.locality
            && self.hostname == config.hostname
            && (!checked || self.health_check == config.health_check)
    }

    /// [`Self::update`], and metadata as well.
    pub(crate) fn update_in_place(&self, config: &HostConfig) -> bool {
        let same = self.has_same_metadata(config);
        if !same {
            let mut metadata = (self.metadata.write()).unwrap_or_else(PoisonError::into_inner);
            metadata.clone_from(&config.metadata);
            self.has_some_metadata.store(metadata.is_some(), Relaxed);
            let canary = metadata.as_deref().is_some_and(says_canary);
            self.canary.store(canary, Relaxed);
        }
        self.update(config) || !same
    }

    /// Takes over weight, priority and configured health; returns whether something changed.
    pub(crate) fn update(&self, config: &HostConfig) -> bool {
        let weight = config.weight.max(1);
        let health = self.health.load(Relaxed) & !HealthFlags::FROM_CONFIG.0 | config.health.0;
        // No short circuit: all three are to be stored.
        (self.weight.swap(weight, Relaxed) != weight)
            | (self.priority.swap(config.priority, Relaxed) != config.priority)
            | (self.health.swap(health, Relaxed) != health)
    }
}

/// Whether metadata make their host a canary.
fn says_canary(metadata: &DynamicMetadata) -> bool {
    use nuncio_config::api::protobuf::{Value, value::Kind};
    let value = metadata.get("envoy.lb", ["canary"]);
    matches!(
        value,
        Some(Value {
            kind: Some(Kind::BoolValue(true))
        })
    )
}

#[cfg(test)]
mod tests {
    use nuncio_config::api::protobuf::{Value, value::Kind};

    use super::*;

    #[test]
    fn equal_metadata_change_nothing() {
        let metadata = |last: f64| {
            let mut metadata = DynamicMetadata::default();
            for key in ["a", "b", "c", "d", "e", "f"] {
                let number = if key == "f" { last } else { 1.0 };
                let kind = Some(Kind::NumberValue(number));
                metadata.set("envoy.lb", key, Value { kind });
            }
            Some(Arc::new(metadata))
        };
        let address = Address::Ip(([127, 0, 0, 1], 80).into());
        let config = |last| HostConfig {
            metadata: metadata(last),
            ..HostConfig::unconfigured(address.clone(), Arc::default())
        };
        let host = Host::new(config(1.0));
        for _ in 0..10 {
            assert!(!host.update_in_place(&config(1.0)));
        }
        assert!(host.update_in_place(&config(2.0)));
    }
}
