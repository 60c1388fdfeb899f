//! `RANDOM`: any host. Weights of hosts do not count, as in Envoy; those of localities do.

use std::collections::VecDeque;
use std::sync::Arc;

use super::in_list::{self, InList};
use super::sources::LocalityOptions;
use super::{LbEnv, LbPolicy, LoadBalancer, is_equal};
use crate::host::Host;
use crate::host_list::HostList;
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
        in_list::balancer(self.localities, Draws::default())
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }
}

/// Numbers of requests to come, drawn when somebody wanted to know.
#[derive(Default)]
struct Draws(VecDeque<u64>);

impl InList for Draws {
    fn choose<'a>(
        &mut self,
        list: &'a HostList,
        _: &'a Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let drawn = self.0.pop_front();
        let number = drawn.unwrap_or_else(|| env.random.next());
        list.get((number % list.len().max(1) as u64) as usize)
    }

    fn peek<'a>(
        &mut self,
        list: impl FnOnce() -> Option<&'a HostList>,
        _: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = list()?;
        if ahead >= list.len() {
            return None;
        }
        while self.0.len() <= ahead {
            self.0.push_back(env.random.next());
        }
        list.get((self.0[ahead] % list.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HealthFlags;
    use crate::lb::LbContext;
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
