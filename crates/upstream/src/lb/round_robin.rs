//! `ROUND_ROBIN`: each host in turn, by weight where weights differ (Envoy's `RoundRobinLoadBalancer`). Unlike in Envoy
//! all workers take turns together.

use std::sync::Arc;

use super::in_list::{self, InList};
use super::sources::LocalityOptions;
use super::weighted::{Newcomers, Schedules, SlowStart};
use super::{LbEnv, LbPolicy, LoadBalancer, is_equal};
use crate::host::Host;
use crate::host_list::{HostList, Turn};
use crate::host_set::PrioritySet;
use crate::random::Random;

/// The policy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundRobin {
    /// How localities share the load.
    pub localities: LocalityOptions,
    /// New hosts get less at first.
    pub slow_start: Option<SlowStart>,
}

impl LbPolicy for RoundRobin {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.round_robin"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        let turns = Turns {
            newcomers: Newcomers::new(self.slow_start),
            schedules: Schedules::default(),
        };
        in_list::balancer(self.localities, turns)
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }
}

struct Turns {
    newcomers: Newcomers,
    schedules: Schedules,
}

impl InList for Turns {
    #[inline]
    fn choose<'a>(
        &mut self,
        list: &'a HostList,
        hosts: &'a Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        if let Some(growing) = self.newcomers.now(hosts) {
            let weight = |host: &Host| f64::from(host.weight()) * growing.factor(host);
            return self.schedules.pick(hosts, list, env, weight);
        }
        match list.next(|| env.random.next()) {
            Turn::Host(index) => Some(&list[index]),
            Turn::Nobody => None,
            Turn::Uneven => {
                let weight = |host: &Host| f64::from(host.weight());
                self.schedules.pick(hosts, list, env, weight)
            }
        }
    }

    /// Turns are taken on the list itself, or by a schedule of this worker.
    fn peek<'a>(
        &mut self,
        list: impl FnOnce() -> Option<&'a HostList>,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = list()?;
        if let Some(growing) = self.newcomers.now(hosts) {
            let weight = |host: &Host| f64::from(host.weight()) * growing.factor(host);
            return self.schedules.peek(hosts, list, ahead, env, weight);
        }
        if list.is_uneven() {
            let weight = |host: &Host| f64::from(host.weight());
            return self.schedules.peek(hosts, list, ahead, env, weight);
        }
        list.peek(ahead)
    }
}

#[cfg(test)]
mod tests;
