//! `envoy.load_balancing_policies.load_aware_locality`: localities get what they have room for, as their hosts' load reports
//! tell; within a locality another policy chooses. While this proxy's own locality is about as busy as the others, it keeps
//! everything but what the others need to be heard of.
//!
//! * `places`: the localities, and what each shall get;
//! * `choice`: which of them gets a request, and who chooses there.

mod choice;
mod places;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use nuncio_event::clock;
use nuncio_route::HashPolicy;
use nuncio_stats::Group;
use tokio::time::Instant;

use super::feedback::{Answered, Learner, Wanted};
use super::{LbPolicy, LoadBalancer};
use crate::host::{Host, Locality};
use crate::host_set::{Derived, PrioritySet};
use crate::orca::{MetricNames, OrcaError, OrcaReport, OutOfBand};
use crate::random::Random;

use places::Places;

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

impl LbPolicy for LoadAwareLocality {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.load_aware_locality"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(choice::Balancer::new(self))
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
        stats: &Arc<Group>,
    ) -> Option<Derived> {
        let before = before.and_then(|derived| derived.downcast_ref::<Places>());
        let places = Places::of(self, hosts, before, stats, clock::now());
        Some(Arc::new(places))
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
        // A report that says nothing does not make the last one younger.
        if utilization.is_finite() && utilization > 0.0 {
            let known = &host.feedback().utilization;
            known.set(utilization.min(1.0), now);
        }
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
            places.on_tick(&self.options, now);
        }
        let child = self.child.learner();
        child.is_some_and(|child| child.on_tick(hosts, now))
    }

    fn on_hosts(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let child = self.child.learner();
        child.is_some_and(|child| child.on_hosts(hosts, now))
    }
}

#[cfg(test)]
mod tests;
