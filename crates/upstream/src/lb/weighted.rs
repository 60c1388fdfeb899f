//! Taking turns by weights that move: slow start, active requests (Envoy's `EdfLoadBalancerBase`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LbEnv;
use super::edf::EdfSchedule;
use crate::host::{Health, Host};
use crate::host_list::HostList;
use crate::host_set::PrioritySet;

/// One worker's schedules, one per list that was used since hosts last changed; few.
#[derive(Default)]
pub(super) struct Schedules {
    hosts: Option<Arc<PrioritySet>>,
    schedules: Vec<(HostList, EdfSchedule)>,
}

impl Schedules {
    /// The next host of `list`, which is one of `hosts`; `weight` is what a host weighs now, above 0.
    pub(super) fn pick<'a>(
        &mut self,
        hosts: &Arc<PrioritySet>,
        list: &'a HostList,
        env: &LbEnv,
        weight: impl Fn(&Host) -> f64,
    ) -> Option<&'a Arc<Host>> {
        let weight = |index: usize| weight(&list[index]);
        let schedule = self.schedule(hosts, list, env, &weight);
        Some(&list[schedule.pick(weight)?])
    }

    /// The host of `list` that will be picked after `ahead` others.
    pub(super) fn peek<'a>(
        &mut self,
        hosts: &Arc<PrioritySet>,
        list: &'a HostList,
        ahead: usize,
        env: &LbEnv,
        weight: impl Fn(&Host) -> f64,
    ) -> Option<&'a Arc<Host>> {
        if ahead >= list.len() {
            return None;
        }
        let weight = |index: usize| weight(&list[index]);
        let schedule = self.schedule(hosts, list, env, &weight);
        Some(&list[schedule.peek(ahead, weight)?])
    }

    fn schedule(
        &mut self,
        hosts: &Arc<PrioritySet>,
        list: &HostList,
        env: &LbEnv,
        weight: &impl Fn(usize) -> f64,
    ) -> &mut EdfSchedule {
        if !self
            .hosts
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, hosts))
        {
            self.hosts = Some(hosts.clone());
            self.schedules.clear();
        }
        let at = self.schedules.iter().position(|(known, _)| known.is(list));
        let at = at.unwrap_or_else(|| {
            let seed = env.random.next() as u32;
            let schedule = EdfSchedule::with_picks(list.len(), weight, seed);
            self.schedules.push((list.clone(), schedule));
            self.schedules.len() - 1
        });
        &mut self.schedules[at].1
    }
}

/// `SlowStartConfig`: a new host's weight grows over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// `slow_start_window`, above 0.
    pub window: Duration,
    /// `aggression`: 1 is a straight line, more is faster at first.
    pub aggression: f64,
    /// `min_weight_percent` as a fraction; 0.1 unless told.
    pub min_weight: f64,
}

impl SlowStart {
    /// What is left of the weight of `host`: above 0, at most 1 (Envoy's `applySlowStartFactor`).
    fn factor(&self, host: &Host, now: Instant) -> f64 {
        let age = host.healthy_for(now);
        if age >= self.window || host.health() != Health::Healthy {
            return 1.0;
        }
        let elapsed = age.as_millis().max(1) as f64;
        let grown = (elapsed / self.window.as_millis().max(1) as f64).min(1.0);
        let grown = match self.aggression {
            1.0 => grown,
            aggression => grown.powf(1.0 / aggression),
        };
        // Never 0, which would be no place in a schedule.
        grown.max(self.min_weight).max(f64::MIN_POSITIVE)
    }
}

/// Which hosts are new, as one worker sees it.
pub(super) struct Newcomers {
    slow_start: Option<SlowStart>,
    hosts: Option<Arc<PrioritySet>>,
    /// When the last host's slow start is over.
    until: Option<Instant>,
}

/// Slow start as it is at the moment of one pick.
#[derive(Clone, Copy)]
pub(super) struct Growing {
    slow_start: SlowStart,
    now: Instant,
}

impl Growing {
    /// What is left of the weight of `host`.
    pub(super) fn factor(self, host: &Host) -> f64 {
        self.slow_start.factor(host, self.now)
    }
}

impl Newcomers {
    pub(super) fn new(slow_start: Option<SlowStart>) -> Self {
        Self {
            slow_start,
            hosts: None,
            until: None,
        }
    }

    /// How weights are scaled now; `None` while no host is new.
    #[inline]
    pub(super) fn now(&mut self, hosts: &Arc<PrioritySet>) -> Option<Growing> {
        let slow_start = self.slow_start?;
        let now = Instant::now();
        if !self
            .hosts
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, hosts))
        {
            self.hosts = Some(hosts.clone());
            let left = |host: &Arc<Host>| slow_start.window.checked_sub(host.healthy_for(now));
            self.until = hosts.hosts().filter_map(left).max().map(|left| now + left);
        }
        let growing = self.until.is_some_and(|until| now < until);
        growing.then_some(Growing { slow_start, now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HealthFlags;
    use crate::testing::{host, run_paused};

    #[test]
    fn weight_grows_with_age() {
        run_paused(async {
            let host = host(1, 1, HealthFlags::NONE);
            let slow = SlowStart {
                window: Duration::from_secs(10),
                aggression: 1.0,
                min_weight: 0.1,
            };
            let at = |seconds, slow: SlowStart| {
                slow.factor(&host, Instant::now() + Duration::from_secs(seconds))
            };
            assert_eq!(at(0, slow), 0.1);
            assert_eq!(at(5, slow), 0.5);
            assert_eq!(at(10, slow), 1.0);
            let eager = SlowStart {
                aggression: 2.0,
                ..slow
            };
            assert!((at(5, eager) - 0.5f64.sqrt()).abs() < 1e-9);
        });
    }

    #[test]
    fn a_host_that_was_ill_starts_slowly_again() {
        run_paused(async {
            let host = host(1, 1, HealthFlags::NONE);
            tokio::time::advance(Duration::from_secs(60)).await;
            assert_eq!(host.healthy_for(Instant::now()), Duration::from_secs(60));
            host.set_healthy_since(Instant::now());
            assert_eq!(host.healthy_for(Instant::now()), Duration::ZERO);
        });
    }

    /// Hosts that come, fall ill and recover at random times: their shares at each moment are what Envoy's formula says, and
    /// never less than the least. `NUNCIO_SEED` chooses one run, which a failure names.
    #[test]
    fn shares_follow_the_ramp() {
        run_paused(async {
            // Time passes in each run, whose seed comes from the one before only by its number.
            for seed in crate::testing::seeds(30) {
                let random = crate::random::Random::seeded(seed);
                let below = |limit| crate::testing::below(&random, limit);
                let slow = SlowStart {
                    window: Duration::from_secs(1 + below(100)),
                    aggression: [0.5, 1.0, 2.0][below(3) as usize],
                    min_weight: below(50) as f64 / 100.0,
                };
                let mut since = Vec::new();
                let mut hosts: Vec<Arc<Host>> = Vec::new();
                let env = crate::lb::testing::env(seed);
                let mut newcomers = Newcomers::new(Some(slow));
                let mut schedules = Schedules::default();
                for step in 0..12 {
                    match below(3) {
                        0 if hosts.len() > 1 => {
                            let again = below(hosts.len() as u64) as usize;
                            hosts[again].set_healthy_since(Instant::now());
                            since[again] = Instant::now();
                        }
                        _ => {
                            let weight = 1 + below(5) as u32;
                            hosts.push(host(hosts.len() as u16, weight, HealthFlags::NONE));
                            since.push(Instant::now());
                        }
                    }
                    let wait = below(slow.window.as_millis() as u64 / 2);
                    tokio::time::advance(Duration::from_millis(wait)).await;
                    let set = crate::lb::testing::one_priority(hosts.iter().cloned());
                    let list = &set.sets()[0].all;
                    let growing = newcomers.now(&set);
                    let factor = |host: &Host| growing.map_or(1.0, |growing| growing.factor(host));
                    let wanted: Vec<f64> = hosts
                        .iter()
                        .zip(&since)
                        .map(|(host, since)| {
                            let passed = since.elapsed().as_millis().max(1) as f64;
                            let part = passed / slow.window.as_millis() as f64;
                            let grown = match part < 1.0 {
                                true => part.powf(1.0 / slow.aggression).max(slow.min_weight),
                                false => 1.0,
                            };
                            f64::from(host.weight()) * grown
                        })
                        .collect();
                    let what = format!("seed {seed}, step {step}: {slow:?}");
                    let total: f64 = wanted.iter().sum();
                    let picks = 2000;
                    let mut counts = vec![0.0; hosts.len()];
                    for _ in 0..picks {
                        let weight = |host: &Host| f64::from(host.weight()) * factor(host);
                        let host = schedules.pick(&set, list, &env, weight).unwrap();
                        counts[usize::from(crate::testing::port(host))] += 1.0;
                    }
                    for (count, wanted) in counts.iter().zip(&wanted) {
                        let wanted = wanted / total * f64::from(picks);
                        assert!(
                            (count - wanted).abs() <= 2.0 + wanted / 100.0,
                            "{what}: {count} of {wanted}"
                        );
                    }
                }
            }
        });
    }
}
