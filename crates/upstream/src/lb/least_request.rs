//! `LEAST_REQUEST`: the host with the fewest requests in flight, of some or of all; by weight where weights differ
//! (Envoy's `LeastRequestLoadBalancer`). Requests in flight are counted over all workers.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::in_list::{self, InList};
use super::sources::LocalityOptions;
use super::weighted::{Growing, Newcomers, Schedules, SlowStart};
use super::{LbEnv, LbPolicy, LoadBalancer, is_equal};
use crate::host::Host;
use crate::host_list::HostList;
use crate::host_set::PrioritySet;
use crate::random::Random;

/// Among which hosts the least busy one is sought while all weigh the same (`selection_method`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selection {
    /// `N_CHOICES`: so many, drawn at random; 2 or more.
    Choices(u32),
    /// `FULL_SCAN`: all; among equals one at random.
    FullScan,
}

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastRequest {
    /// Among which hosts.
    pub selection: Selection,
    /// `active_request_bias`, 0 or more: how much requests in flight count where weights differ.
    pub active_request_bias: f64,
    /// How localities share the load.
    pub localities: LocalityOptions,
    /// New hosts get less at first.
    pub slow_start: Option<SlowStart>,
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self {
            selection: Selection::Choices(2),
            active_request_bias: 1.0,
            localities: LocalityOptions::default(),
            slow_start: None,
        }
    }
}

impl LbPolicy for LeastRequest {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.least_request"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        let choice = Choice {
            selection: self.selection,
            bias: self.active_request_bias,
            newcomers: Newcomers::new(self.slow_start),
            schedules: Schedules::default(),
        };
        in_list::balancer(self.localities, choice)
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }
}

struct Choice {
    selection: Selection,
    bias: f64,
    newcomers: Newcomers,
    schedules: Schedules,
}

impl InList for Choice {
    fn choose<'a>(
        &mut self,
        list: &'a HostList,
        hosts: &'a Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let growing = self.newcomers.now(hosts);
        if growing.is_none() && list.is_even() {
            return match self.selection {
                Selection::Choices(count) => of_some(list, count, env),
                Selection::FullScan => of_all(list, env),
            };
        }
        let weight = weight(self.bias, growing);
        self.schedules.pick(hosts, list, env, weight)
    }

    /// Known where turns are taken by weight; who is the least busy of some will be seen when it is asked, as in Envoy.
    fn peek<'a>(
        &mut self,
        list: impl FnOnce() -> Option<&'a HostList>,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = list()?;
        let growing = self.newcomers.now(hosts);
        if growing.is_none() && list.is_even() {
            return None;
        }
        let weight = weight(self.bias, growing);
        self.schedules.peek(hosts, list, ahead, env, weight)
    }
}

/// What a host weighs now.
fn weight(bias: f64, growing: Option<Growing>) -> impl Fn(&Host) -> f64 {
    move |host| {
        let busy = (f64::from(active(host)) + 1.0).powf(bias);
        let factor = growing.map_or(1.0, |growing| growing.factor(host));
        (f64::from(host.weight()) / busy * factor).max(f64::MIN_POSITIVE)
    }
}

fn active(host: &Host) -> u32 {
    host.stats().rq_active.load(Relaxed)
}

/// The least busy of `count` hosts drawn at random; the same one may be drawn again, as in Envoy.
fn of_some<'a>(list: &'a HostList, count: u32, env: &LbEnv) -> Option<&'a Arc<Host>> {
    let draw = || list.get((env.random.next() % list.len().max(1) as u64) as usize);
    let mut best = draw()?;
    for _ in 1..count {
        let other = draw()?;
        if active(other) < active(best) {
            best = other;
        }
    }
    Some(best)
}

/// The least busy of all; each of several has the same chance.
fn of_all<'a>(list: &'a HostList, env: &LbEnv) -> Option<&'a Arc<Host>> {
    let (first, others) = list.split_first()?;
    let (mut best, mut least, mut ties) = (first, active(first), 1);
    for host in others {
        let busy = active(host);
        if busy < least {
            (best, least, ties) = (host, busy, 1);
        } else if busy == least {
            ties += 1;
            if env.random.next().is_multiple_of(ties) {
                best = host;
            }
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests;
