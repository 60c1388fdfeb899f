//! One version of a cluster on the main thread.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use nuncio_event::clock;
use nuncio_net::Address;

use crate::convert::{EndpointAddress, EndpointSpec, LocalitySpec};
use crate::dns::DnsHosts;
use crate::health::Checkers;
use crate::host::{HealthFlags, Host, HostConfig};
use crate::host_set::{HostSet, LocalityGroup, LocalityHosts, PriorityOptions, PrioritySet};
use crate::info::{ClusterInfo, ClusterKind};
use crate::orca::out_of_band::Sessions;
use crate::stats::ClusterStats as S;

use super::eds::Eds;
use super::merge::MergeWindow;
use super::on_demand::OnDemand;
use super::outlier::Sweeps;
use super::removal::{self, Removal};
use super::shared::Snapshot;

/// So many flips are told to workers one by one.
const MOST_FLIPS: usize = 256;
const MANY_HOSTS: usize = 1000;
const PATIENCE_PER_HOST: Duration = Duration::from_micros(3);
const MOST_PATIENCE: Duration = Duration::from_millis(100);

/// A version: active, or warming.
pub(super) struct Version {
    pub(super) info: Arc<ClusterInfo>,
    pub(super) hosts: Arc<PrioritySet>,
    /// The message as it came, in wire format; a part of the bootstrap, for static ones.
    pub(super) config: Bytes,
    pub(super) version_info: Arc<str>,
    /// Made by a dynamic forward proxy for one host.
    pub(super) is_sub_cluster: bool,
    pub(super) last_updated: SystemTime,
    /// Names that are resolved again and again; dropping it ends that.
    pub(super) dns: Option<Box<DnsHosts>>,
    /// Hosts that workers make.
    pub(super) on_demand: Option<Box<OnDemand>>,
    /// Where its endpoints are discovered; dropping it ends that.
    pub(super) eds: Option<Box<Eds>>,
    /// Active health checks; dropping them ends them.
    pub(super) checkers: Option<Box<Checkers>>,
    /// `ignore_new_hosts_until_first_hc`
    pub(super) ignore_new_hosts: bool,
    /// Sweeps for outliers again and again; dropping it ends that.
    pub(super) sweeps: Option<Sweeps>,
    /// Learns from what workers have noted again and again; dropping it ends that.
    pub(super) lessons: Option<Sweeps>,
    /// Load reports out of band; dropping them ends them.
    pub(super) reports: Option<Box<Sessions>>,
    /// Health flags have changed since the host sets were built, and that is about to be shown.
    pub(super) health_is_stale: bool,
    /// Only if one is configured.
    pub(super) merge_window: Option<Box<MergeWindow>>,
    /// Hosts whose health flags have changed since that was shown; `None` when it may be any of them.
    pub(super) flipped: Option<Vec<Arc<Host>>>,
    /// Start-up does not wait for it.
    pub(super) wait_for_warm: bool,
}

impl Version {
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            info: self.info.clone(),
            hosts: self.hosts.clone(),
        }
    }

    /// Whether CDS has told of it.
    pub(super) fn is_discovered(&self) -> bool {
        self.info.added_via_api && !self.is_sub_cluster
    }

    /// Whether it can serve.
    pub(super) fn is_ready(&self) -> bool {
        self.dns.as_ref().is_none_or(|dns| dns.is_resolved())
            && self.eds.as_ref().is_none_or(|eds| eds.is_answered())
            && (self.checkers.as_ref()).is_none_or(|checkers| checkers.is_ready())
    }

    /// Takes over a new set of hosts and counts what has changed; whether anything has. Gauges are the caller's, since a
    /// warming version does not show its own.
    pub(super) fn set_hosts(&mut self, change: HostChange) -> bool {
        if !change.changed {
            return false;
        }
        let mut change = change;
        // New hosts may have to be told their weights.
        if let Some(learner) = self.info.lb.learner()
            && learner.on_hosts(&change.hosts, clock::now())
        {
            change.hosts = Arc::new(change.hosts.rebuilt(self.info.priorities));
        }
        // What workers have come to need of the old hosts is made here for the new ones, so that none of them has to.
        if let Some(derived) = self.hosts.derived()
            && let Some(new) = self
                .info
                .lb
                .derive(&change.hosts, Some(derived), &self.info.stats)
        {
            change.hosts.derived_or(|| new);
        }
        self.hosts = change.hosts;
        if change.membership > 0 {
            self.info.stats.add(S::MEMBERSHIP_CHANGE, change.membership);
        }
        true
    }

    /// Health flags of `host`, or of nobody knows whom, have changed.
    pub(super) fn note_flip(&mut self, host: Option<&Arc<Host>>) {
        match (&mut self.flipped, host) {
            (Some(flipped), Some(host)) if flipped.len() < MOST_FLIPS => flipped.push(host.clone()),
            _ => self.flipped = None,
        }
    }

    /// How long a change of health may wait for others, where it costs much to show it: some ten times what it takes to make a
    /// table of all hosts.
    pub(super) fn patience(&self) -> Option<Duration> {
        let hosts = self.hosts.len();
        let costs = self.hosts.derived().is_some() && hosts >= MANY_HOSTS;
        costs.then(|| (PATIENCE_PER_HOST * hosts as u32).min(MOST_PATIENCE))
    }

    /// Sorts the hosts by health anew, which has changed.
    pub(super) fn sort_hosts_anew(&mut self) {
        self.health_is_stale = false;
        // EDS clusters give up at once a host that is not named any more and fails now.
        let is_over = |host: &Host| {
            host.health_flags()
                .intersects(HealthFlags::PENDING_DYNAMIC_REMOVAL)
                && removal::has_failed(host)
        };
        let some_go =
            self.info.kind == ClusterKind::Eds && self.hosts.hosts().any(|host| is_over(host));
        let hosts = match some_go {
            // Who learns may have changed weights.
            false if self.info.lb.learner().is_some() => self.hosts.rebuilt(self.info.priorities),
            false => self.hosts.sorted_anew(self.info.priorities),
            true => {
                let weight = |locality: &LocalityHosts, _| locality.weight;
                let left = self.hosts.filtered(|host| !is_over(host), weight);
                left.continue_from(&self.hosts);
                left
            }
        };
        let membership = match some_go {
            true => priorities_that_moved(&self.hosts, &hosts),
            false => 0,
        };
        self.set_hosts(HostChange {
            hosts: Arc::new(hosts),
            changed: true,
            membership,
        });
    }

    /// Sets the gauges that tell of hosts.
    pub(super) fn show_membership(&self) {
        if self.info.kind.passes_on() {
            // In Envoy, too, these gauges are not there: no hosts were ever told of.
            return;
        }
        self.show_health();
        // Envoy sets this one in STRICT_DNS and EDS clusters only, when it has heard of hosts.
        let stats = &self.info.stats;
        let is_known = match self.info.kind {
            ClusterKind::StrictDns => stats.counter(S::UPDATE_SUCCESS) > 0,
            kind => kind == ClusterKind::Eds,
        };
        if is_known {
            let heaviest = match &self.eds {
                Some(eds) => {
                    let last = self.hosts.sets().get(eds.last_priority as usize);
                    last.and_then(|set| set.all.iter().map(|host| host.weight()).max())
                }
                None => self.hosts.hosts().map(|host| host.weight()).max(),
            };
            stats.gauge_set(S::MAX_HOST_WEIGHT, u64::from(heaviest.unwrap_or(1)));
        }
    }

    /// Sets the `membership_*` gauges.
    pub(super) fn show_health(&self) {
        let stats = &self.info.stats;
        let sum =
            |part: fn(&HostSet) -> usize| self.hosts.sets().iter().map(part).sum::<usize>() as u64;
        let (degraded, excluded) = (
            sum(|set| set.degraded.len()),
            sum(|set| set.excluded as usize),
        );
        let total = self.hosts.len() as u64;
        if total > 0 || stats.gauge(S::MEMBERSHIP_TOTAL) > 0 {
            stats.gauge_set(S::MEMBERSHIP_TOTAL, total);
            stats.gauge_set(S::MEMBERSHIP_HEALTHY, sum(|set| set.healthy.len()));
        }
        // Zero is what a gauge that was never set shows: most clusters need not remember these.
        for (gauge, value) in [
            (S::MEMBERSHIP_DEGRADED, degraded),
            (S::MEMBERSHIP_EXCLUDED, excluded),
        ] {
            if value > 0 || stats.gauge(gauge) > 0 {
                stats.gauge_set(gauge, value);
            }
        }
        if let Some(detector) = &self.info.outlier {
            detector.on_hosts(&self.hosts);
        }
    }
}

/// A set of hosts, beside the one before it.
pub(crate) struct HostChange {
    pub(super) hosts: Arc<PrioritySet>,
    /// Something is different.
    pub(super) changed: bool,
    /// In how many priorities hosts came or went.
    pub(super) membership: u64,
}

/// In how many priorities hosts came or went, be it to another priority.
fn priorities_that_moved(before: &PrioritySet, after: &PrioritySet) -> u64 {
    fn hosts(set: &PrioritySet, priority: usize) -> impl Iterator<Item = *const Host> + Clone {
        let hosts = set.sets().get(priority).map(|set| set.all.iter());
        hosts.into_iter().flatten().map(Arc::as_ptr)
    }
    let priorities = 0..before.sets().len().max(after.sets().len());
    let moved = priorities.filter(|&priority| {
        let (before, after) = (hosts(before, priority), hosts(after, priority));
        // Mostly there was nobody before (at start-up), or all stand as they stood: then no sets need be made.
        match (before.clone().next(), after.clone().next()) {
            (None, first) | (first, None) => first.is_some(),
            _ if before.clone().eq(after.clone()) => false,
            _ => before.collect::<HashSet<_>>() != after.collect::<HashSet<_>>(),
        }
    });
    moved.count() as u64
}

impl HostChange {
    /// The last priority, with hosts or without.
    pub(super) fn last_priority(&self) -> u32 {
        self.hosts.sets().len() as u32 - 1
    }

    /// How many hosts there are.
    pub(super) fn count(&self) -> usize {
        self.hosts.len()
    }
}

/// Where a host of an endpoint is.
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) additional: Option<Arc<[Address]>>,
    pub(crate) hostname: Arc<str>,
}

impl Place {
    /// Where an endpoint is that needs no name resolved.
    pub(super) fn literal(address: &Address, endpoint: &EndpointSpec) -> Self {
        Self {
            address: address.clone(),
            additional: endpoint.additional.clone(),
            hostname: endpoint.hostname.clone(),
        }
    }

    /// The host of an endpoint of `locality` here.
    pub(super) fn host(self, locality: &LocalitySpec, endpoint: &EndpointSpec) -> HostConfig {
        HostConfig {
            address: self.address,
            additional: self.additional,
            hostname: self.hostname,
            locality: locality.locality.clone(),
            metadata: endpoint.metadata.clone(),
            weight: endpoint.weight,
            priority: locality.priority,
            health: endpoint.health,
            health_check: endpoint.health_check.clone(),
        }
    }
}

/// Makes hosts of endpoints, of which `places` tells where they are (by number of locality and endpoint). Hosts of `before` that are
/// still the same stay the same objects; what becomes of the others `removal` says.
pub(crate) fn build_hosts(
    localities: &[LocalitySpec],
    options: PriorityOptions,
    before: &PrioritySet,
    places: impl Fn(usize, usize, &EndpointSpec) -> Vec<Place>,
    unique: bool,
    removal: Removal,
) -> HostChange {
    let mut known: HashMap<&Address, Vec<&Arc<Host>>> = HashMap::new();
    for host in before.hosts() {
        known.entry(host.address()).or_default().push(host);
    }
    let total_before = before.len();
    let (mut kept, mut added, mut updated) = (0, 0, false);
    let mut seen: HashSet<(u32, Address)> = HashSet::new();
    let mut groups = Vec::with_capacity(localities.len());
    for (l, spec) in localities.iter().enumerate() {
        let mut hosts = Vec::with_capacity(spec.endpoints.len());
        for (e, endpoint) in spec.endpoints.iter().enumerate() {
            for place in places(l, e, endpoint) {
                // Several names may lead to one address; it gets one host, as in Envoy.
                if unique && !seen.insert((spec.priority, place.address.clone())) {
                    continue;
                }
                let config = place.host(spec, endpoint);
                let same = known.get_mut(&config.address).and_then(|hosts| {
                    let at = hosts.iter().position(|host| host.is_same(&config))?;
                    Some(hosts.swap_remove(at))
                });
                hosts.push(match same {
                    Some(host) => {
                        kept += 1;
                        updated |= host.update(&config);
                        host.clear_health_flags(HealthFlags::PENDING_DYNAMIC_REMOVAL);
                        host.clone()
                    }
                    None => {
                        added += 1;
                        Arc::new(Host::new(config))
                    }
                });
            }
        }
        groups.push(LocalityGroup {
            locality: spec.locality.clone(),
            // Not told is none, which matters where localities share by weight.
            weight: Some(spec.weight.unwrap_or(0)),
            priority: spec.priority,
            hosts,
        });
    }
    if removal == Removal::WhenFailing && kept < total_before {
        kept += removal::keep_passing(&mut groups, known.into_values().flatten());
    }
    let hosts = PrioritySet::build(&groups, options);
    hosts.continue_from(before);
    let membership = match added > 0 || kept < total_before {
        true => priorities_that_moved(before, &hosts),
        false => 0,
    };
    HostChange {
        changed: membership > 0 || updated,
        membership,
        hosts: Arc::new(hosts),
    }
}

/// The address of a STATIC endpoint.
pub(super) fn literal(_: usize, _: usize, endpoint: &EndpointSpec) -> Vec<Place> {
    match &endpoint.address {
        EndpointAddress::Literal(address) => vec![Place::literal(address, endpoint)],
        // Refused by the conversion for STATIC clusters.
        EndpointAddress::Name(..) => Vec::new(),
    }
}
