//! The balancers of a policy that splits its hosts and leaves the choice among the parts to another policy.

use std::sync::Arc;

use super::{LbEnv, LbPolicy, LoadBalancer};

/// By the number of the part; each is made when it is first needed.
#[derive(Default)]
pub(super) struct Children(Vec<Option<Box<dyn LoadBalancer>>>);

impl Children {
    /// The balancer of one part.
    pub(super) fn of(
        &mut self,
        part: usize,
        policy: &Arc<dyn LbPolicy>,
        env: &LbEnv,
    ) -> &mut dyn LoadBalancer {
        if self.0.len() <= part {
            self.0.resize_with(part + 1, || None);
        }
        &mut **self.0[part].get_or_insert_with(|| policy.clone().build(&env.random))
    }

    /// The parts are others now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
