//! `ROUND_ROBIN`: each host in turn, by weight where weights differ (Envoy's `RoundRobinLoadBalancer`). Unlike in Envoy
//! all workers take turns together.

use std::borrow::Cow;
use std::sync::Arc;

use super::sources::{LocalityOptions, Sources};
use super::weighted::{Newcomers, Schedules, SlowStart};
use super::{LbContext, LbEnv, LbPolicy, LoadBalancer, choose_untried, is_equal};
use crate::host::Host;
use crate::host_list::Turn;
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
        Box::new(Balancer {
            sources: Sources::new(self.localities),
            newcomers: Newcomers::new(self.slow_start),
            schedules: Schedules::default(),
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }
}

struct Balancer {
    sources: Sources,
    newcomers: Newcomers,
    schedules: Schedules,
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        choose_untried(cx, |_| self.choose_once(hosts, cx, env))
    }

    /// Turns are taken on the list itself, or by a schedule of this worker.
    fn peek<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = self.sources.choose(hosts, env)?;
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

impl Balancer {
    #[inline]
    fn choose_once<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = self.sources.choose_by(hosts, cx.loads(hosts), env)?;
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
}

#[cfg(test)]
mod tests;
