//! What gauges show of breakers, and how each thread changes them.

use nuncio_stats::{GaugeSlot, Group, LocalGroup};

use super::{Breakers, Priority, Resource};
use crate::stats::{ClusterStats, RemainingStats};

/// Where a thread shows the state of breakers.
pub trait BreakerGauges {
    /// Adds to a gauge of the cluster's group; subtracts when `amount` is negative.
    fn add(&self, gauge: GaugeSlot, amount: i64);
    /// Adds to a `remaining_*` gauge of a priority, if it is tracked.
    fn add_remaining(&self, priority: Priority, gauge: GaugeSlot, amount: i64);
}

/// The main thread's way: it takes nothing, it only changes limits.
impl BreakerGauges for Group {
    fn add(&self, gauge: GaugeSlot, amount: i64) {
        if amount >= 0 {
            self.gauge_add(gauge, amount.unsigned_abs());
        } else {
            self.gauge_sub(gauge, amount.unsigned_abs());
        }
    }

    fn add_remaining(&self, _priority: Priority, _gauge: GaugeSlot, _amount: i64) {}
}

/// A worker's way.
#[derive(Clone, Debug)]
pub struct WorkerGauges {
    cluster: LocalGroup,
    remaining: [Option<LocalGroup>; 2],
}

impl WorkerGauges {
    /// The calling thread's gauges of a cluster.
    pub fn new(cluster: LocalGroup, breakers: &Breakers) -> Self {
        let local = |priority| breakers.remaining(priority).map(|group| group.local());
        Self {
            cluster,
            remaining: Priority::ALL.map(local),
        }
    }
}

impl BreakerGauges for WorkerGauges {
    fn add(&self, gauge: GaugeSlot, amount: i64) {
        add_local(&self.cluster, gauge, amount);
    }

    #[inline]
    fn add_remaining(&self, priority: Priority, gauge: GaugeSlot, amount: i64) {
        if let Some(group) = &self.remaining[priority.index()] {
            add_local(group, gauge, amount);
        }
    }
}

fn add_local(group: &LocalGroup, gauge: GaugeSlot, amount: i64) {
    if amount >= 0 {
        group.gauge_add(gauge, amount.unsigned_abs());
    } else {
        group.gauge_sub(gauge, amount.unsigned_abs());
    }
}

/// Shows whether a budget is used up.
pub(super) fn open_gauge(priority: Priority, resource: Resource) -> GaugeSlot {
    match (priority, resource) {
        (Priority::Default, Resource::Connections) => ClusterStats::DEFAULT_CX_OPEN,
        (Priority::Default, Resource::Pending) => ClusterStats::DEFAULT_RQ_PENDING_OPEN,
        (Priority::Default, Resource::Requests) => ClusterStats::DEFAULT_RQ_OPEN,
        (Priority::Default, Resource::Retries) => ClusterStats::DEFAULT_RQ_RETRY_OPEN,
        (Priority::Default, Resource::Pools) => ClusterStats::DEFAULT_CX_POOL_OPEN,
        (Priority::High, Resource::Connections) => ClusterStats::HIGH_CX_OPEN,
        (Priority::High, Resource::Pending) => ClusterStats::HIGH_RQ_PENDING_OPEN,
        (Priority::High, Resource::Requests) => ClusterStats::HIGH_RQ_OPEN,
        (Priority::High, Resource::Retries) => ClusterStats::HIGH_RQ_RETRY_OPEN,
        (Priority::High, Resource::Pools) => ClusterStats::HIGH_CX_POOL_OPEN,
    }
}

/// Shows what is left of a budget.
pub(super) fn remaining_gauge(resource: Resource) -> GaugeSlot {
    match resource {
        Resource::Connections => RemainingStats::REMAINING_CX,
        Resource::Pending => RemainingStats::REMAINING_PENDING,
        Resource::Requests => RemainingStats::REMAINING_RQ,
        Resource::Retries => RemainingStats::REMAINING_RETRIES,
        Resource::Pools => RemainingStats::REMAINING_CX_POOLS,
    }
}
