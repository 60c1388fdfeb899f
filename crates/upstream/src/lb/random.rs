//! `RANDOM`: any host. Weights of hosts do not count, as in Envoy; those of localities do.

use std::borrow::Cow;
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
        Box::new(Balancer(Sources::new(self.localities)))
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }
}

struct Balancer(Sources);

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        choose_untried(cx, |_| {
            let list = self.0.choose(hosts, env)?;
            list.get((env.random.next() % list.len().max(1) as u64) as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HealthFlags;
    use crate::lb::testing::{env, one_priority, picks};
    use crate::testing::host;

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
