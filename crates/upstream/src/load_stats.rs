//! What is to be reported of a cluster's load (LRS): what has happened since the last report.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

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
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterLoad {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Since when.
    pub interval: Duration,
    /// Localities with any load.
    pub localities: Vec<LocalityLoad>,
    /// Requests that `drop_overloads` has refused: category and number; without categories that have none.
    pub dropped: Vec<(Box<str>, u64)>,
}

/// `UpstreamLocalityStats` of a load report.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalityLoad {
    /// Where.
    pub locality: Arc<Locality>,
    /// Its priority.
    pub priority: u32,
    /// Requests begun.
    pub issued: u64,
    /// Requests that got an answer other than 5xx.
    pub succeeded: u64,
    /// Requests that failed, or got 5xx.
    pub failed: u64,
    /// Requests in flight now.
    pub active: u64,
    /// What hosts have reported of `lrs_report_endpoint_metrics`: how often, and the sum.
    pub metrics: BTreeMap<Box<str>, (u64, f64)>,
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
                hosts: HashMap::new(),
            });
        let mut by_place: BTreeMap<(u32, Arc<Locality>), LocalityLoad> = BTreeMap::new();
        let mut add = |host: &Arc<Host>, before: Counts| {
            let counts = Counts::of(host);
            let key = (host.priority(), host.locality().clone());
            let load = by_place.entry(key).or_insert_with(|| LocalityLoad {
                locality: host.locality().clone(),
                priority: host.priority(),
                issued: 0,
                succeeded: 0,
                failed: 0,
                active: 0,
                metrics: BTreeMap::new(),
            });
            load.issued += counts.issued - before.issued;
            load.succeeded += counts.succeeded - before.succeeded;
            load.failed += counts.failed - before.failed;
            load.active += u64::from(host.stats().rq_active.load(Relaxed));
            let sums = host.known_feedback().and_then(|known| known.metrics.get());
            if let (Some(metrics), Some(sums)) = (&info.reported_metrics, sums) {
                metrics.take(sums, |name, count, total| {
                    let sum = load.metrics.entry(name.into()).or_default();
                    *sum = (sum.0 + count, sum.1 + total);
                });
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
            interval: now - std::mem::replace(&mut reported.at, now),
            localities: by_place
                .into_values()
                .filter(LocalityLoad::is_any)
                .collect(),
            dropped: reported.take_dropped(&info),
        })
    }
}

impl Reported {
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

impl LocalityLoad {
    fn is_any(&self) -> bool {
        let Self {
            issued,
            succeeded,
            failed,
            active,
            ..
        } = self;
        issued + succeeded + failed + active > 0 || !self.metrics.is_empty()
    }
}

#[cfg(test)]
mod tests;
