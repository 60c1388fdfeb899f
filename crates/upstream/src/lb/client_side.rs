//! `envoy.load_balancing_policies.client_side_weighted_round_robin`: round robin by weights that follow from the load reports
//! of hosts. Workers note reports at the hosts, the main thread makes weights of them from time to time (Envoy's
//! `OrcaWeightManager`). With locality weights it is `envoy.load_balancing_policies.wrr_locality`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::feedback::{Learner, Wanted};
use super::round_robin::RoundRobin;
use super::{LbPolicy, LoadBalancer, LocalityOptions, is_equal};
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::orca::{MetricNames, OrcaError, OrcaReport, OutOfBand};
use crate::random::Random;

/// The policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSideWeightedRoundRobin {
    /// `blackout_period`: how long a host must have reported before its weight is used.
    pub blackout: Duration,
    /// `weight_expiration_period`: how old a host's last report may be.
    pub expiration: Duration,
    /// `weight_update_period`
    pub update_period: Duration,
    /// `error_utilization_penalty`: errors per request, times this, add to the utilization.
    pub error_penalty: f64,
    /// `metric_names_for_computing_utilization`
    pub metrics: MetricNames,
    /// `enable_oob_load_report`
    pub out_of_band: Option<OutOfBand>,
    /// How turns are taken by these weights.
    pub turns: RoundRobin,
}

impl LbPolicy for ClientSideWeightedRoundRobin {
    fn name(&self) -> &'static str {
        match self.turns.localities {
            LocalityOptions::Weighted => "envoy.load_balancing_policies.wrr_locality",
            LocalityOptions::ZoneAware(_) => {
                "envoy.load_balancing_policies.client_side_weighted_round_robin"
            }
        }
    }

    fn build(self: Arc<Self>, random: &Random) -> Box<dyn LoadBalancer> {
        Arc::new(self.turns).build(random)
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }

    fn learner(&self) -> Option<&dyn Learner> {
        Some(self)
    }
}

impl Learner for ClientSideWeightedRoundRobin {
    fn wants(&self) -> Wanted {
        Wanted {
            reports: true,
            latency: false,
        }
    }

    fn out_of_band(&self) -> Vec<OutOfBand> {
        self.out_of_band.iter().cloned().collect()
    }

    fn on_report(&self, host: &Host, report: &OrcaReport, now: Instant) -> Result<(), OrcaError> {
        let weight = self.weight(report)?;
        host.feedback().weight.set(weight, now);
        Ok(())
    }

    fn period(&self) -> Option<Duration> {
        Some(self.update_period)
    }

    fn on_tick(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let mut changed = false;
        for set in hosts.sets() {
            changed |= self.update(&set.all, now);
        }
        changed
    }

    fn on_hosts(&self, hosts: &PrioritySet, now: Instant) -> bool {
        self.on_tick(hosts, now)
    }
}

impl ClientSideWeightedRoundRobin {
    /// Requests per second by utilization.
    fn weight(&self, report: &OrcaReport) -> Result<u32, OrcaError> {
        let rate = report.rps_fractional;
        if rate <= 0.0 {
            return Err(OrcaError::Rate);
        }
        let utilization = self.metrics.utilization(report) + self.error_penalty * report.eps / rate;
        if utilization <= 0.0 {
            return Err(OrcaError::Utilization);
        }
        // Saturates, as Envoy's does.
        Ok((rate / utilization) as u32)
    }

    /// Gives each host its weight, those without one the median; whether one has changed.
    fn update(&self, hosts: &[Arc<Host>], now: Instant) -> bool {
        let known = |host: &Arc<Host>| {
            let weight = &host.known_feedback()?.weight;
            weight.get(now, self.blackout, self.expiration)
        };
        let weights: Vec<Option<u32>> = hosts.iter().map(known).collect();
        let median = median(weights.iter().copied().flatten().collect());
        let mut changed = false;
        for (host, weight) in hosts.iter().zip(weights) {
            changed |= host.set_weight(weight.unwrap_or(median));
        }
        changed
    }
}

/// 1 of none; of an even number, the middle between both in the middle.
fn median(mut weights: Vec<u32>) -> u32 {
    if weights.is_empty() {
        return 1;
    }
    let is_even = weights.len().is_multiple_of(2);
    let middle = weights.len() / 2;
    let (below, upper, _) = weights.select_nth_unstable(middle);
    match below.iter().max() {
        Some(lower) if is_even => lower.midpoint(*upper),
        _ => *upper,
    }
}

#[cfg(test)]
mod tests;
