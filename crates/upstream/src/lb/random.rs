//! `RANDOM`: any host. Weights of hosts do not count, as in Envoy; those of localities do.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use super::sources::{LocalityOptions, Sources};
use super::{LbContext, LbEnv, LbPolicy, LoadBalancer, choose_untried, is_equal};
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::random::Random as RandomNumbers;

/// The policy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Random {
    /// How localities share the load.
    pub localities: LocalityOptions,
}

impl LbPolicy for Random {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.random"
    }

    fn build(self: Arc<Self>, _: &RandomNumbers) -> Box<dyn LoadBalancer> {
        Box::new(Balancer {
            sources: Sources::new(self.localities),
            drawn: VecDeque::new(),
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }
}

struct Balancer {
    sources: Sources,
    /// Numbers of requests to come, drawn when somebody wanted to know.
    drawn: VecDeque<u64>,
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        choose_untried(cx, |_| {
            let list = self.sources.choose_by(hosts, cx.loads(hosts), env)?;
            let drawn = self.drawn.pop_front();
            let number = drawn.unwrap_or_else(|| env.random.next());
            list.get((number % list.len().max(1) as u64) as usize)
        })
    }

    fn peek<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = self.sources.choose(hosts, env)?;
        if ahead >= list.len() {
            return None;
        }
        while self.drawn.len() <= ahead {
            self.drawn.push_back(env.random.next());
        }
        list.get((self.drawn[ahead] % list.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HealthFlags;
    use crate::lb::testing::{env, one_priority, picks};
    use crate::testing::{host, port};

    #[test]
    fn every_host_is_chosen_about_as_often() {
        let env = env(5);
        let hosts = one_priority((0..4).map(|p| host(p, u32::from(p) + 1, HealthFlags::NONE)));
        let mut balancer = Arc::new(Random::default()).build(&env.random);
        let picked = picks(&mut *balancer, &hosts, &env, 4000);
        for port in 0..4 {
            let count = picked.iter().filter(|&&p| p == port).count();
            assert!((900..1100).contains(&count), "{port}: {count}");
        }
    }

    #[test]
    fn choices_can_be_told_ahead() {
        let env = env(5);
        let hosts = one_priority((0..4).map(|p| host(p, 1, HealthFlags::NONE)));
        let mut balancer = Arc::new(Random::default()).build(&env.random);
        let told = [2, 0, 1].map(|ahead| port(balancer.peek(&hosts, ahead, &env).unwrap()));
        assert!(balancer.peek(&hosts, 4, &env).is_none());
        let picked = picks(&mut *balancer, &hosts, &env, 3);
        assert_eq!([told[1], told[2], told[0]][..], picked);
    }

    #[test]
    fn no_hosts_no_choice() {
        let env = env(5);
        let mut balancer = Arc::new(Random::default()).build(&env.random);
        let nothing = one_priority([].into_iter());
        assert!(
            balancer
                .choose(&nothing, &LbContext::default(), &env)
                .is_none()
        );
    }
}
