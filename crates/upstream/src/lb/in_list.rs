//! What most policies have in common: a request finds the list of hosts in which to look, and the policy chooses there.

use std::borrow::Cow;
use std::sync::Arc;

use super::sources::{LocalityOptions, Sources};
use super::{LbContext, LbEnv, LoadBalancer, choose_untried};
use crate::host::Host;
use crate::host_list::HostList;
use crate::host_set::PrioritySet;

/// How a policy chooses in a list.
pub(super) trait InList: 'static {
    /// A host of `list`, which is one of the lists of `hosts` and may be empty.
    fn choose<'a>(
        &mut self,
        list: &'a HostList,
        hosts: &'a Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>>;

    /// [`LoadBalancer::peek`]; `list` is found when it is asked for.
    fn peek<'a>(
        &mut self,
        list: impl FnOnce() -> Option<&'a HostList>,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let _ = (list, hosts, ahead, env);
        None
    }
}

/// A balancer of such a policy.
pub(super) fn balancer(localities: LocalityOptions, policy: impl InList) -> Box<dyn LoadBalancer> {
    Box::new(Balancer {
        sources: Sources::new(localities),
        policy,
    })
}

struct Balancer<P> {
    sources: Sources,
    policy: P,
}

impl<P: InList> LoadBalancer for Balancer<P> {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        choose_untried(cx, |_| {
            let list = self.sources.choose_by(hosts, cx.loads(hosts), env)?;
            self.policy.choose(list, hosts, env)
        })
    }

    fn peek<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let list = || self.sources.choose(hosts, env);
        self.policy.peek(list, hosts, ahead, env)
    }
}
