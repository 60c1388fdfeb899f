//! Clusters without hosts of their own, which pass requests on to other clusters: `envoy.clusters.aggregate` and
//! `envoy.clusters.composite`. The policy says to which ones and by what rule; a worker does it (`worker/delegate.rs`), since
//! only it knows the other clusters.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::{LbContext, LbEnv, LbPolicy, LoadBalancer, PreviousPriorities, is_equal};
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::random::Random;

/// The clusters that take a cluster's requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Members {
    /// Their names, in the order of configuration. A name may be that of no cluster.
    pub names: Box<[Box<str>]>,
    /// Which of them a request goes to.
    pub rule: Rule,
}

/// How one of several clusters is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Aggregate: their priorities, laid end to end, share the load as those of one cluster do.
    ByPriority,
    /// Composite: each try of a request goes to the next one. One that has no host for it is passed over.
    ByAttempt,
}

/// What a cluster that passes requests on is told of a request beside [`LbContext`].
#[derive(Clone, Copy)]
pub struct PassOn<'a> {
    /// Which try of the request it is; the first is 1.
    pub attempt: u32,
    /// The request's hash for a cluster with this policy, which is asked only if the request comes to such a cluster.
    pub hash: &'a dyn Fn(&dyn LbPolicy) -> Option<u64>,
    /// `retry_priority`, where each member is asked on its own: a composite cluster's tries know of each other what number
    /// the priorities had in which they looked, whosever they were.
    pub priorities: Option<&'a RefCell<PreviousPriorities>>,
}

impl LbPolicy for Members {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.cluster_provided"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Nobody)
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }

    fn members(&self) -> Option<&Members> {
        Some(self)
    }
}

/// Of a cluster without hosts of its own: there are none to choose from.
pub(crate) struct Nobody;

impl LoadBalancer for Nobody {
    fn choose<'a>(
        &mut self,
        _: &'a Arc<PrioritySet>,
        _: &LbContext<'_>,
        _: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        None
    }
}
