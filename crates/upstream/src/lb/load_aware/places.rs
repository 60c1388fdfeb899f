//! Localities as the policy sees them: their healthy hosts, their degraded ones and all of them are three parts, since a request
//! is for one of them (Envoy's `RoutingWeightsSnapshot`). Health is judged over the whole priority, so within a part it does
//! not count any more.
//!
//! Weights are atomics beside the hosts: the main thread stores them, workers read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use nuncio_stats::Group;
use tokio::time::Instant;

use super::{LoadAwareLocality, LoadAwareOptions};
use crate::host::Locality;
use crate::host_list::HostList;
use crate::host_set::{LocalityHosts, PrioritySet};
use crate::lb::priority::Source;
use crate::stats::LoadAwareStats as S;

/// The localities of a cluster.
pub(super) struct Places {
    by_priority: Box<[PriorityPlaces]>,
    /// All hosts of the cluster, for a policy whose tables are made of them all: as in Envoy, localities mean nothing to it.
    pub(super) whole: Option<Arc<PrioritySet>>,
    stats: Arc<Group>,
}

/// Those of one priority, its own one first, if it has hosts there.
pub(super) struct PriorityPlaces {
    pub(super) places: Box<[Place]>,
    /// By [`Source`].
    all_local: [AtomicBool; 3],
}

/// One locality.
pub(super) struct Place {
    locality: Arc<Locality>,
    is_own: bool,
    /// By [`Source`].
    parts: [Part; 3],
}

/// The hosts of one locality that are meant when a request looks for such hosts.
pub(super) struct Part {
    /// They alone, and all of them fit to be chosen.
    pub(super) hosts: Arc<PrioritySet>,
    /// Bits of its share of the load, in a measure that it has in common with the same parts of the other localities.
    weight: AtomicU64,
    /// Bits of the smoothed utilization; NaN while nothing is known.
    utilization: AtomicU64,
}

/// What has happened when weights were computed.
#[derive(Default)]
struct Seen {
    all_overloaded: bool,
    local_preferred: bool,
    probe_active: bool,
    spill_active: bool,
    stale: u64,
}

const SOURCES: [Source; 3] = [Source::All, Source::Healthy, Source::Degraded];

impl Places {
    /// The localities of `hosts`; what was known of them `before` is known of them now.
    pub(super) fn of(
        policy: &LoadAwareLocality,
        hosts: &PrioritySet,
        before: Option<&Self>,
        stats: &Arc<Group>,
        now: Instant,
    ) -> Self {
        let by_priority = hosts.sets().iter().enumerate().map(|(priority, set)| {
            let old = before.and_then(|before| before.by_priority.get(priority));
            let mut places: Vec<_> = (set.localities.iter())
                .map(|locality| Place::of(policy, locality, old))
                .collect();
            places.sort_by_key(|place| !place.is_own);
            PriorityPlaces {
                places: places.into(),
                all_local: Default::default(),
            }
        });
        let whole = policy.child.needs_hash().then(|| {
            let whole = hosts.with_nothing_derived();
            let old = before.and_then(|before| before.whole.as_ref()?.derived());
            if let Some(derived) = policy.child.derive(&whole, old, stats) {
                whole.derived_or(|| derived);
            }
            Arc::new(whole)
        });
        let places = Self {
            by_priority: by_priority.collect(),
            whole,
            stats: match before {
                Some(before) => before.stats.clone(),
                None => stats.subgroup("load_aware_locality", S::SCHEMA),
            },
        };
        match before {
            Some(_) => _ = places.weigh(&policy.options, now, false),
            None => places.on_tick(&policy.options, now),
        }
        places
    }

    /// Those of one priority.
    pub(super) fn of_priority(&self, priority: usize) -> Option<&PriorityPlaces> {
        self.by_priority.get(priority)
    }

    /// Time has passed: takes in what hosts have said, and counts what follows.
    pub(super) fn on_tick(&self, options: &LoadAwareOptions, now: Instant) {
        let seen = self.weigh(options, now, true);
        let happened = [
            (seen.all_overloaded, S::ALL_OVERLOADED_TOTAL),
            (seen.local_preferred, S::LOCAL_PREFERRED_TOTAL),
            (seen.probe_active, S::PROBE_ACTIVE_TOTAL),
            (seen.spill_active, S::SPILL_ACTIVE_TOTAL),
            (true, S::RECOMPUTE_TOTAL),
        ];
        for (_, counter) in happened.into_iter().filter(|(happened, _)| *happened) {
            self.stats.inc(counter);
        }
        if seen.stale > 0 {
            self.stats.add(S::STALE_LOCALITY_TOTAL, seen.stale);
        }
    }

    /// Computes the weights anew; `tick`: time has passed, which smooths utilizations.
    fn weigh(&self, options: &LoadAwareOptions, now: Instant, tick: bool) -> Seen {
        let mut seen = Seen::default();
        for of_priority in &self.by_priority {
            for source in SOURCES {
                let stale = of_priority.weigh(source, options, now, tick, &mut seen);
                if source == Source::All {
                    seen.stale += stale;
                }
            }
        }
        seen
    }
}

impl PriorityPlaces {
    /// Whether the first place is this proxy's own.
    pub(super) fn has_own(&self) -> bool {
        self.places.first().is_some_and(|place| place.is_own)
    }

    /// Whether the own locality keeps everything of this source.
    pub(super) fn is_all_local(&self, source: Source) -> bool {
        self.all_local[source as usize].load(Relaxed)
    }

    /// Envoy's `computeSourceWeights`; how many localities are known only from what their hosts said long ago.
    fn weigh(
        &self,
        source: Source,
        options: &LoadAwareOptions,
        now: Instant,
        tick: bool,
        seen: &mut Seen,
    ) -> u64 {
        let parts = || self.places.iter().map(|place| place.part(source));
        let hosts: Vec<f64> = parts().map(|part| part.hosts.len() as f64).collect();
        let (mut busy, mut weights) = (Vec::new(), Vec::new());
        let mut stale = 0;
        for part in parts() {
            let is_stale = part.note(options, now, tick);
            let utilization = f64::from_bits(part.utilization.load(Relaxed));
            let utilization = if utilization.is_nan() {
                0.0
            } else {
                utilization
            };
            let room = if is_stale {
                1.0
            } else {
                (1.0 - utilization).max(0.0)
            };
            stale += u64::from(is_stale);
            weights.push(part.hosts.len() as f64 * room);
            busy.push(utilization);
        }
        let mut all_local = false;
        if weights.iter().sum::<f64>() <= 0.0 {
            // No room anywhere: by number of hosts.
            seen.all_overloaded |= hosts.iter().any(|count| *count > 0.0);
            weights.clone_from(&hosts);
        } else if self.has_own() {
            let remote: f64 = hosts[1..].iter().sum();
            if hosts[0] > 0.0 && remote > 0.0 {
                let load = busy.iter().zip(&hosts).skip(1);
                let average = load.map(|(busy, hosts)| busy * hosts).sum::<f64>() / remote;
                if busy[0] <= average + options.variance_threshold {
                    all_local = true;
                    weights.fill(0.0);
                    weights[0] = 1.0;
                    seen.local_preferred = true;
                } else {
                    seen.spill_active = true;
                }
            }
            let total: f64 = weights.iter().sum();
            let missing = total * options.probe_fraction - (total - weights[0]);
            if missing > 0.0 && remote > 0.0 {
                let given = missing.min(weights[0]);
                weights[0] -= given;
                for (weight, hosts) in weights.iter_mut().zip(&hosts).skip(1) {
                    *weight += given * hosts / remote;
                }
                seen.probe_active = true;
                all_local = false;
            }
        }
        for (part, weight) in parts().zip(weights) {
            part.weight.store(weight.to_bits(), Relaxed);
        }
        self.all_local[source as usize].store(all_local, Relaxed);
        stale
    }
}

impl Place {
    fn of(
        policy: &LoadAwareLocality,
        hosts: &LocalityHosts,
        before: Option<&PriorityPlaces>,
    ) -> Self {
        let old = before.and_then(|before| {
            (before.places.iter()).find(|place| place.locality == hosts.locality)
        });
        let part = |source: Source| {
            let list = match source {
                Source::All => &hosts.all,
                Source::Healthy => &hosts.healthy,
                Source::Degraded => &hosts.degraded,
            };
            Part::of(&hosts.locality, list, old.map(|old| old.part(source)))
        };
        Self {
            // Envoy knows an own locality by the hosts in it.
            is_own: !policy.own.is_empty()
                && *hosts.locality == policy.own
                && !hosts.all.is_empty(),
            locality: hosts.locality.clone(),
            parts: SOURCES.map(part),
        }
    }

    /// The hosts for requests that look for such.
    pub(super) fn part(&self, source: Source) -> &Part {
        &self.parts[source as usize]
    }
}

impl Part {
    fn of(locality: &Arc<Locality>, list: &HostList, before: Option<&Self>) -> Self {
        let known = before.map_or(f64::NAN.to_bits(), |old| old.utilization.load(Relaxed));
        let same = before.filter(|old| old.hosts.sets()[0].all.is(list));
        Self {
            hosts: match same {
                Some(old) => old.hosts.clone(),
                None => Arc::new(PrioritySet::of_chosen(locality.clone(), list.clone())),
            },
            weight: AtomicU64::new(0),
            utilization: AtomicU64::new(known),
        }
    }

    /// Its share of the load.
    pub(super) fn weight(&self) -> f64 {
        f64::from_bits(self.weight.load(Relaxed))
    }

    /// Takes in what the hosts say now; whether they only said something long ago.
    fn note(&self, options: &LoadAwareOptions, now: Instant, tick: bool) -> bool {
        let known = (self.hosts.hosts()).filter_map(|host| {
            host.known_feedback()?
                .utilization
                .get(now, options.expiration)
        });
        let (count, sum) = known.fold((0u32, 0.0), |(count, sum), one| (count + 1, sum + one));
        let before = f64::from_bits(self.utilization.load(Relaxed));
        if count == 0 {
            return !before.is_nan();
        }
        let average = sum / f64::from(count);
        let passed = options.update_period.as_secs_f64() / options.smoothing.as_secs_f64();
        let alpha = 1.0 - (-passed).exp();
        let smoothed = match (before.is_nan(), tick) {
            (true, _) => average,
            (false, true) => alpha * average + (1.0 - alpha) * before,
            (false, false) => before,
        };
        self.utilization.store(smoothed.to_bits(), Relaxed);
        false
    }
}
