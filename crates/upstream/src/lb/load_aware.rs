//! `envoy.load_balancing_policies.load_aware_locality`: localities get what they have room for, as their hosts' load reports
//! tell; within a locality another policy chooses. While this proxy's own locality is about as busy as the others, it keeps
//! everything but what the others need to be heard of.
//!
//! Weights of localities are atomics beside the localities' hosts: the main thread stores them, workers read them.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nuncio_event::clock;
use nuncio_route::HashPolicy;
use nuncio_stats::Group;
use tokio::time::Instant;

use super::children::Children;
use super::feedback::{Answered, Learner, Wanted};
use super::{LbContext, LbEnv, LbPolicy, LoadBalancer};
use crate::host::{Host, Locality};
use crate::host_set::{Derived, LocalityGroup, PrioritySet};
use crate::orca::{MetricNames, OrcaError, OrcaReport, OutOfBand};
use crate::random::Random;
use crate::stats::ClusterStats as S;

/// The policy.
#[derive(Debug)]
pub struct LoadAwareLocality {
    /// `endpoint_picking_policy`
    pub child: Arc<dyn LbPolicy>,
    /// What decides how localities share the load.
    pub options: LoadAwareOptions,
    /// Where this proxy is; an empty one is nowhere.
    pub own: Locality,
}

/// The fields of the policy.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadAwareOptions {
    /// `weight_update_period`
    pub update_period: Duration,
    /// `metric_names_for_computing_utilization`
    pub metrics: MetricNames,
    /// `utilization_variance_threshold`: so much busier than the others the own locality may be and keep everything.
    pub variance_threshold: f64,
    /// `smoothing_time_constant`, above 0.
    pub smoothing: Duration,
    /// `remote_probe_fraction`: what other localities get at least; below 1.
    pub probe_fraction: f64,
    /// `weight_expiration_period`: how old a report may be; zero is for ever.
    pub expiration: Duration,
    /// `enable_oob_load_report`
    pub out_of_band: Option<OutOfBand>,
}

/// The localities of a cluster, by priority.
struct Places {
    by_priority: Box<[Box<[Place]>]>,
    /// The own locality keeps everything of priority 0.
    all_local: AtomicBool,
}

/// One locality.
struct Place {
    locality: Arc<Locality>,
    is_own: bool,
    /// Its hosts, as the only ones.
    hosts: Arc<PrioritySet>,
    /// Bits of its share of the load, in a measure that its priority's localities have in common.
    weight: AtomicU64,
    /// Bits of the smoothed utilization; NaN while nothing is known.
    utilization: AtomicU64,
}

impl LbPolicy for LoadAwareLocality {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.load_aware_locality"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Balancer {
            policy: self,
            children: Vec::new(),
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        let other = (other as &dyn Any).downcast_ref::<Self>();
        other.is_some_and(|other| {
            self.options == other.options
                && self.own == other.own
                && self.child.same_as(&*other.child)
        })
    }

    fn derive(
        &self,
        hosts: &PrioritySet,
        before: Option<&Derived>,
        _: &Arc<Group>,
    ) -> Option<Derived> {
        let before = before.and_then(|derived| derived.downcast_ref::<Places>());
        Some(Arc::new(self.places(hosts, before)))
    }

    fn derives_at_once(&self) -> bool {
        true
    }

    fn needs_hash(&self) -> bool {
        self.child.needs_hash()
    }

    fn hash_policy(&self) -> Option<&HashPolicy> {
        self.child.hash_policy()
    }

    fn learner(&self) -> Option<&dyn Learner> {
        Some(self)
    }
}

impl Learner for LoadAwareLocality {
    fn wants(&self) -> Wanted {
        let child = self.child.learner().map(Learner::wants);
        Wanted {
            reports: true,
            ..child.unwrap_or_default()
        }
    }

    fn out_of_band(&self) -> Vec<OutOfBand> {
        let child = self.child.learner().map(Learner::out_of_band);
        let own = self.options.out_of_band.iter().cloned();
        own.chain(child.unwrap_or_default()).collect()
    }

    fn on_report(&self, host: &Host, report: &OrcaReport, now: Instant) -> Result<(), OrcaError> {
        let utilization = self.options.metrics.utilization(report);
        host.feedback().utilization.set(utilization, now);
        match self.child.learner() {
            Some(child) => child.on_report(host, report, now),
            None => Ok(()),
        }
    }

    fn on_latency(&self, host: &Host, took: Duration, answered: Answered, now: Instant) {
        if let Some(child) = self.child.learner() {
            child.on_latency(host, took, answered, now);
        }
    }

    fn period(&self) -> Option<Duration> {
        Some(self.options.update_period)
    }

    fn on_tick(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let places = hosts.derived().and_then(|d| d.downcast_ref::<Places>());
        if let Some(places) = places {
            self.weigh(places, now, true);
        }
        let child = self.child.learner();
        child.is_some_and(|child| child.on_tick(hosts, now))
    }

    fn on_hosts(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let child = self.child.learner();
        child.is_some_and(|child| child.on_hosts(hosts, now))
    }
}

impl LoadAwareLocality {
    fn places(&self, hosts: &PrioritySet, before: Option<&Places>) -> Places {
        let by_priority = hosts.sets().iter().enumerate().map(|(priority, set)| {
            let old = before.and_then(|before| before.by_priority.get(priority));
            let place = |locality: &crate::host_set::LocalityHosts| {
                let old = old
                    .and_then(|old| old.iter().find(|place| place.locality == locality.locality));
                let group = LocalityGroup {
                    locality: locality.locality.clone(),
                    weight: locality.weight,
                    priority: 0,
                    hosts: locality.all.to_vec(),
                };
                let hosts = PrioritySet::build(&[group], hosts.options());
                if let Some(old) = old {
                    hosts.continue_from(&old.hosts);
                }
                let known = old.map(|old| old.utilization.load(Relaxed));
                Place {
                    is_own: !self.own.is_empty() && *locality.locality == self.own,
                    locality: locality.locality.clone(),
                    hosts: Arc::new(hosts),
                    weight: AtomicU64::new(0),
                    utilization: AtomicU64::new(known.unwrap_or(f64::NAN.to_bits())),
                }
            };
            set.localities.iter().map(place).collect()
        });
        let places = Places {
            by_priority: by_priority.collect(),
            all_local: AtomicBool::new(false),
        };
        self.weigh(&places, clock::now(), false);
        places
    }

    /// Computes the weights anew; `tick`: time has passed, which smooths utilizations.
    fn weigh(&self, places: &Places, now: Instant, tick: bool) {
        for (priority, places_of) in places.by_priority.iter().enumerate() {
            for place in places_of {
                if tick || f64::from_bits(place.utilization.load(Relaxed)).is_nan() {
                    self.note(place, now);
                }
            }
            let (weights, all_local) = self.weights(places_of);
            for (place, weight) in places_of.iter().zip(weights) {
                place.weight.store(weight.to_bits(), Relaxed);
            }
            if priority == 0 {
                places.all_local.store(all_local, Relaxed);
            }
        }
    }

    /// Takes in what the hosts of `place` say now.
    fn note(&self, place: &Place, now: Instant) {
        let LoadAwareOptions {
            expiration,
            update_period,
            smoothing,
            ..
        } = self.options;
        let healthy = place.healthy().iter();
        let known =
            healthy.filter_map(|host| host.known_feedback()?.utilization.get(now, expiration));
        let (count, sum) = known.fold((0u32, 0.0), |(count, sum), one| (count + 1, sum + one));
        if count == 0 {
            // Nobody of it is heard of: nothing is known.
            return place.utilization.store(f64::NAN.to_bits(), Relaxed);
        }
        let average = sum / f64::from(count);
        let before = f64::from_bits(place.utilization.load(Relaxed));
        let alpha = 1.0 - (-update_period.as_secs_f64() / smoothing.as_secs_f64()).exp();
        let smoothed = match before.is_nan() {
            true => average,
            false => alpha * average + (1.0 - alpha) * before,
        };
        place.utilization.store(smoothed.to_bits(), Relaxed);
    }

    /// The weight of each place, and whether the own one keeps everything (Envoy's `computeLocalityRoutingWeights`).
    fn weights(&self, places: &[Place]) -> (Vec<f64>, bool) {
        let hosts = |place: &Place| place.healthy().len() as f64;
        let busy = |place: &Place| {
            let utilization = f64::from_bits(place.utilization.load(Relaxed));
            if utilization.is_nan() {
                0.0
            } else {
                utilization
            }
        };
        let room = |place: &Place| hosts(place) * (1.0 - busy(place)).max(0.0);
        let mut weights: Vec<f64> = places.iter().map(room).collect();
        let mut all_local = false;
        if let Some(own) = places.iter().position(|place| place.is_own) {
            let others = || places.iter().filter(|place| !place.is_own);
            let remote: f64 = others().map(hosts).sum();
            let load: f64 = others().map(|place| busy(place) * hosts(place)).sum();
            let average = if remote > 0.0 { load / remote } else { 0.0 };
            if weights[own] > 0.0 && busy(&places[own]) <= average + self.options.variance_threshold
            {
                all_local = true;
                weights.fill(0.0);
                weights[own] = 1.0;
            }
            let total: f64 = weights.iter().sum();
            let missing = total * self.options.probe_fraction - (total - weights[own]);
            if missing > 0.0 && remote > 0.0 {
                weights[own] = (weights[own] - missing).max(0.0);
                for (weight, place) in weights.iter_mut().zip(places) {
                    if !place.is_own {
                        *weight += missing * hosts(place) / remote;
                    }
                }
            }
        }
        if weights.iter().sum::<f64>() <= 0.0 {
            // No room anywhere: by number of hosts; in panic, of all hosts.
            weights = places.iter().map(hosts).collect();
            if weights.iter().sum::<f64>() <= 0.0 {
                weights = places
                    .iter()
                    .map(|place| place.hosts.len() as f64)
                    .collect();
            }
        }
        (weights, all_local)
    }
}

impl Place {
    fn healthy(&self) -> &[Arc<Host>] {
        &self.hosts.sets()[0].healthy
    }
}

/// One worker's balancers.
struct Balancer {
    policy: Arc<LoadAwareLocality>,
    /// By priority, then by place.
    children: Vec<Children>,
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let derived = hosts.derived_or(|| Arc::new(self.policy.places(hosts, None)));
        let places = derived.downcast_ref::<Places>()?;
        let (priority, _) = hosts.loads().choose(|| env.random.next());
        let of_priority = places.by_priority.get(priority)?;
        let at = draw(of_priority, env)?;
        if priority == 0 && of_priority.iter().any(|place| place.is_own) {
            env.stats.inc(match of_priority[at].is_own {
                true if places.all_local.load(Relaxed) => S::LB_ZONE_ROUTING_ALL_DIRECTLY,
                true => S::LB_ZONE_ROUTING_SAMPLED,
                false => S::LB_ZONE_ROUTING_CROSS_ZONE,
            });
        }
        if self.children.len() <= priority {
            self.children.resize_with(priority + 1, Children::default);
        }
        let child = self.children[priority].of(at, &self.policy.child, env);
        child.choose(&of_priority[at].hosts, cx, env)
    }
}

/// A place by weight.
fn draw(places: &[Place], env: &LbEnv) -> Option<usize> {
    let weight = |place: &Place| f64::from_bits(place.weight.load(Relaxed));
    if places.len() < 2 {
        return (!places.is_empty()).then_some(0);
    }
    let total: f64 = places.iter().map(weight).sum();
    let mut point = (env.random.next() >> 11) as f64 / (1u64 << 53) as f64 * total;
    let mut last = 0;
    for (at, place) in places.iter().enumerate() {
        let weight = weight(place);
        if weight > 0.0 {
            if point < weight {
                return Some(at);
            }
            last = at;
            point -= weight;
        }
    }
    // Rounding, or weights that have just changed.
    Some(last)
}

#[cfg(test)]
mod tests;
