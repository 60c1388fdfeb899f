//! What is to be reported of a cluster's load (LRS): what has happened since the last report.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker::Breakers;
use crate::host::{Host, Locality};
use crate::info::ClusterInfo;
use crate::manager::ClusterManager;

/// What was reported before, by cluster. One per receiver of reports.
#[derive(Debug)]
pub struct LoadStats {
    clusters: HashMap<Box<str>, Reported>,
    begun: Instant,
}

/// What was reported of one cluster.
#[derive(Debug)]
struct Reported {
    at: Instant,
    /// The version of which drops were counted, and how many.
    dropped: Option<(Arc<ClusterInfo>, u64)>,
    /// The same of all requests that were refused.
    refused: Option<(Arc<Breakers>, u32)>,
    /// By the host's place in memory, where it stays while it is here.
    hosts: HashMap<usize, (Arc<Host>, Counts)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    issued: u64,
    succeeded: u64,
    failed: u64,
}

/// `ClusterStats` of a load report.
#[derive(Clone, Debug)]
pub struct ClusterLoad {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// The name by which EDS asks for its endpoints, if they are discovered (`cluster_service_name`).
    pub service_name: Option<Arc<str>>,
    /// Since when.
    pub interval: Duration,
    /// Localities with any load.
    pub localities: Vec<LocalityLoad>,
    /// Requests that `drop_overloads` has refused: category and number; without categories that have none.
    pub dropped: Vec<(Box<str>, u64)>,
    /// Requests that were refused, also by circuit breakers (`total_dropped_requests`).
    pub total_dropped: u64,
}

/// `UpstreamLocalityStats` of a load report.
#[derive(Clone, Debug)]
pub struct LocalityLoad {
    /// Where.
    pub locality: Arc<Locality>,
    /// Its priority.
    pub priority: u32,
    /// Of all its hosts.
    pub total: Load,
    /// Hosts with any load (`upstream_endpoint_stats`, for who wants to know so much).
    pub endpoints: Vec<(Arc<Host>, Load)>,
}

/// What is reported of a host, or of several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Requests begun: `total_issued_requests`.
    pub issued: u64,
    /// Requests that were answered well: `total_successful_requests`. As in Envoy's router, 4xx is well, and an answer to a gRPC
    /// request is judged by its `grpc-status`.
    pub succeeded: u64,
    /// Requests that failed, or were answered badly: `total_error_requests`.
    pub failed: u64,
    /// Requests in flight now: `total_requests_in_progress`.
    pub active: u64,
    /// What was reported of `lrs_report_endpoint_metrics`: how often, and the sum.
    pub metrics: BTreeMap<Box<str>, (u64, f64)>,
}

impl Load {
    fn is_any(&self) -> bool {
        let Self {
            issued,
            succeeded,
            failed,
            active,
            metrics,
        } = self;
        issued + succeeded + failed + active > 0 || !metrics.is_empty()
    }

    fn add(&mut self, other: &Self) {
        self.issued += other.issued;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.active += other.active;
        for (name, (count, total)) in &other.metrics {
            let sum = self.metrics.entry(name.clone()).or_default();
            *sum = (sum.0 + count, sum.1 + total);
        }
    }
}

impl Default for LoadStats {
    fn default() -> Self {
        Self {
            clusters: HashMap::new(),
            begun: Instant::now(),
        }
    }
}

impl LoadStats {
    /// Reports on a cluster begin now: what was before is nobody's business.
    pub fn begin(&mut self, manager: &ClusterManager, name: &str) {
        self.take(manager, name);
    }

    /// No more reports on a cluster.
    pub fn end(&mut self, name: &str) {
        self.clusters.remove(name);
    }

    /// What has happened at the active version of a cluster since the last call, and forgets it; `None` without such a
    /// cluster. Metrics are told to one receiver only.
    pub fn take(&mut self, manager: &ClusterManager, name: &str) -> Option<ClusterLoad> {
        let (info, hosts) = (manager.active_info(name)?, manager.hosts(name)?);
        let now = Instant::now();
        let begun = self.begun;
        let reported = self
            .clusters
            .entry(name.into())
            .or_insert_with(|| Reported {
                at: begun,
                dropped: None,
                refused: None,
                hosts: HashMap::new(),
            });
        let mut by_place: BTreeMap<(u32, Arc<Locality>), LocalityLoad> = BTreeMap::new();
        let mut add = |host: &Arc<Host>, before: Counts| {
            let counts = Counts::of(host);
            let mut load = Load {
                issued: counts.issued - before.issued,
                succeeded: counts.succeeded - before.succeeded,
                failed: counts.failed - before.failed,
                active: u64::from(host.stats().rq_active.load(Relaxed)),
                metrics: BTreeMap::new(),
            };
            let sums = host.known_feedback().and_then(|known| known.metrics.get());
            if let (Some(metrics), Some(sums)) = (&info.reported_metrics, sums) {
                metrics.take(sums, |name, count, total| {
                    load.metrics.insert(name.into(), (count, total));
                });
            }
            if load.is_any() {
                let key = (host.priority(), host.locality().clone());
                let place = by_place.entry(key).or_insert_with(|| LocalityLoad {
                    locality: host.locality().clone(),
                    priority: host.priority(),
                    total: Load::default(),
                    endpoints: Vec::new(),
                });
                place.total.add(&load);
                place.endpoints.push((host.clone(), load));
            }
            counts
        };
        let mut before = std::mem::take(&mut reported.hosts);
        for host in hosts.hosts() {
            let key = Arc::as_ptr(host).addr();
            let known = before.remove(&key).map(|(_, counts)| counts);
            let counts = add(host, known.unwrap_or_default());
            reported.hosts.insert(key, (host.clone(), counts));
        }
        // Hosts that have gone are reported a last time.
        for (host, counts) in before.into_values() {
            add(&host, counts);
        }
        Some(ClusterLoad {
            cluster: info.name.clone(),
            service_name: manager.service_name(name),
            interval: now - std::mem::replace(&mut reported.at, now),
            localities: by_place.into_values().collect(),
            dropped: reported.take_dropped(&info),
            total_dropped: reported.take_refused(&info.breakers),
        })
    }
}

impl Reported {
    fn take_refused(&mut self, breakers: &Arc<Breakers>) -> u64 {
        let total = breakers.dropped();
        let new = |now: u32, reported: u32| u64::from(now.wrapping_sub(reported));
        match self.refused.replace((breakers.clone(), total)) {
            Some((old, reported)) if Arc::ptr_eq(&old, breakers) => new(total, reported),
            Some((old, reported)) => u64::from(total) + new(old.dropped(), reported),
            None => total.into(),
        }
    }

    fn take_dropped(&mut self, info: &Arc<ClusterInfo>) -> Vec<(Box<str>, u64)> {
        let dropped = |info: &ClusterInfo| {
            let overload = info.drop_overload.as_ref()?;
            Some((overload.category.clone(), overload.dropped.load(Relaxed)))
        };
        let before = self.dropped.take();
        let mut all: BTreeMap<Box<str>, u64> = BTreeMap::new();
        let mut count = |info: &ClusterInfo, reported: u64| {
            if let Some((category, total)) = dropped(info) {
                *all.entry(category).or_default() += total - reported;
            }
        };
        let known = match before {
            Some((old, reported)) if Arc::ptr_eq(&old, info) => reported,
            Some((old, reported)) => {
                count(&old, reported);
                0
            }
            None => 0,
        };
        count(info, known);
        let total = dropped(info).map_or(0, |(_, total)| total);
        self.dropped = Some((info.clone(), total));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

impl Counts {
    fn of(host: &Host) -> Self {
        let stats = host.stats();
        Self {
            issued: stats.rq_total.load(Relaxed),
            succeeded: stats.rq_success.load(Relaxed),
            failed: stats.rq_error.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
