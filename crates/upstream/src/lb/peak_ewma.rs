//! `envoy.load_balancing_policies.peak_ewma`: of two hosts drawn at random, the one that would cost less: its latency, as a
//! moving average that follows peaks at once, times the requests that it has and this one (Finagle's "peak EWMA", with the
//! configuration of Envoy's contrib extension). All workers measure together.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::feedback::{Answered, Learner, Wanted};
use super::in_list::{self, InList};
use super::sources::LocalityOptions;
use super::{LbEnv, LbPolicy, LoadBalancer, is_equal};
use crate::host::{Host, milliseconds};
use crate::host_list::HostList;
use crate::host_set::PrioritySet;
use crate::random::Random;

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeakEwma {
    /// `decay_time`: how quickly what was measured loses its say; above 0.
    pub decay: Duration,
    /// `default_rtt`: what a host without a request and without a measurement is held to take.
    pub default_latency: Duration,
    /// `penalty_value`: what a host costs, in milliseconds, that has requests but has not answered any yet.
    pub penalty: f64,
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            default_latency: Duration::from_millis(10),
            penalty: 1_000_000.0,
        }
    }
}

impl LbPolicy for PeakEwma {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.peak_ewma"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        in_list::balancer(LocalityOptions::default(), *self)
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }

    fn learner(&self) -> Option<&dyn Learner> {
        Some(self)
    }
}

impl Learner for PeakEwma {
    fn wants(&self) -> Wanted {
        Wanted {
            reports: false,
            latency: true,
        }
    }

    fn on_latency(&self, host: &Host, took: Duration, answered: Answered, now: Instant) {
        let latency = &host.feedback().latency;
        latency.note(took, answered, self.decay, now);
    }
}

impl PeakEwma {
    /// What one more request at `host` would cost, by its weight.
    #[inline]
    fn cost(&self, host: &Host, at: u32) -> f64 {
        let active = f64::from(host.stats().rq_active.load(Relaxed));
        let known = host.known_feedback();
        let cost = match known.and_then(|known| known.latency.get(self.decay, at)) {
            Some(latency) => latency * (active + 1.0),
            None if active > 0.0 => self.penalty + active,
            None => self.default_latency.as_micros() as f64 / 1000.0,
        };
        cost / f64::from(host.weight())
    }
}

impl InList for PeakEwma {
    fn choose<'a>(
        &mut self,
        list: &'a HostList,
        _: &'a Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        if list.len() < 2 {
            return list.first();
        }
        // Two different ones, of one random number.
        let number = env.random.next();
        let draw = |half: u64, among: usize| ((half * among as u64) >> 32) as usize;
        let one = draw(number & 0xFFFF_FFFF, list.len());
        let other = draw(number >> 32, list.len() - 1);
        let other = &list[other + usize::from(other >= one)];
        let one = &list[one];
        let at = milliseconds(Instant::now()) as u32;
        match self.cost(other, at) < self.cost(one, at) {
            true => Some(other),
            false => Some(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::HealthFlags;
    use crate::lb::LbContext;
    use crate::lb::testing::{env, one_priority, picks};
    use crate::testing::{host, run_paused};

    fn hosts(count: u16) -> Arc<PrioritySet> {
        one_priority((0..count).map(|p| host(p, 1, HealthFlags::NONE)))
    }

    fn note(host: &Host, ms: u64) {
        let took = Duration::from_millis(ms);
        PeakEwma::default().on_latency(host, took, Answered::Yes, Instant::now());
    }

    fn share(hosts: &Arc<PrioritySet>, port: u16) -> usize {
        let env = env(7);
        let mut balancer = Arc::new(PeakEwma::default()).build(&env.random);
        let picked = picks(&mut *balancer, hosts, &env, 3000);
        picked.iter().filter(|&&p| p == port).count()
    }

    #[test]
    fn without_measurements_all_are_alike() {
        run_paused(async {
            let hosts = hosts(3);
            for port in 0..3 {
                let share = share(&hosts, port);
                assert!((900..1100).contains(&share), "{port}: {share}");
            }
        });
    }

    #[test]
    fn a_slow_host_is_avoided_until_its_peak_has_faded() {
        run_paused(async {
            let hosts = hosts(3);
            let all: Vec<_> = hosts.hosts().cloned().collect();
            note(&all[0], 2000);
            note(&all[1], 10);
            note(&all[2], 10);
            assert_eq!(share(&hosts, 0), 0, "always the worse of two");
            tokio::time::advance(Duration::from_secs(60)).await;
            note(&all[1], 10);
            note(&all[2], 10);
            assert!(share(&hosts, 0) > 1500);
        });
    }

    #[test]
    fn busy_hosts_cost_more_by_their_requests() {
        run_paused(async {
            let hosts = hosts(2);
            let all: Vec<_> = hosts.hosts().cloned().collect();
            note(&all[0], 10);
            note(&all[1], 25);
            assert_eq!(share(&hosts, 0), 3000);
            all[0].stats().rq_active.store(2, Relaxed);
            assert_eq!(share(&hosts, 0), 0, "30 > 25");
        });
    }

    #[test]
    fn a_host_that_has_not_answered_yet_gets_no_second_request() {
        run_paused(async {
            let hosts = hosts(2);
            let all: Vec<_> = hosts.hosts().cloned().collect();
            note(&all[0], 5000);
            assert_eq!(share(&hosts, 1), 3000, "new ones are tried");
            all[1].stats().rq_active.store(1, Relaxed);
            assert_eq!(share(&hosts, 1), 0);
        });
    }

    #[test]
    fn one_host_and_none() {
        let env = env(1);
        let mut balancer = Arc::new(PeakEwma::default()).build(&env.random);
        assert_eq!(picks(&mut *balancer, &hosts(1), &env, 3), [0, 0, 0]);
        let nobody = hosts(0);
        let cx = LbContext::default();
        assert!(balancer.choose(&nobody, &cx, &env).is_none());
    }

    proptest! {
        /// Of any two, the cheaper is taken: the dearest host gets nothing, whoever joins or leaves.
        #[test]
        fn the_dearest_gets_nothing(latencies in prop::collection::hash_set(1u64..1000, 2..10), seed in any::<u64>()) {
            run_paused(async move {
                let hosts = hosts(latencies.len() as u16);
                hosts.hosts().zip(&latencies).for_each(|(host, latency)| note(host, *latency));
                let dearest = latencies.iter().enumerate().max_by_key(|(_, latency)| **latency);
                let dearest = dearest.unwrap().0;
                let env = env(seed);
                let mut balancer = Arc::new(PeakEwma::default()).build(&env.random);
                let picked = picks(&mut *balancer, &hosts, &env, 100);
                assert!(picked.iter().all(|port| usize::from(*port) != dearest));
            });
        }
    }
}
