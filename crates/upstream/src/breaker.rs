//! Circuit breakers: how much of everything a cluster may use, over all workers together (Envoy's `ResourceManager`).
//!
//! Exact: a budget is taken with a compare-and-swap, so it is never exceeded, and what is free is never refused. The
//! one exception is Envoy's: a host without any connection on a worker may open one beyond `max_connections`
//! ([`Breakers::take_beyond`]), or its requests would wait for ever.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU16, AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed,
};

use nuncio_event::clock;
use nuncio_stats::Group;

use gauges::{open_gauge, remaining_gauge};
use thresholds::{pack, unpack};
use window::RequestWindow;

mod gauges;
mod overrides;
mod thresholds;
mod window;

pub use gauges::{BreakerGauges, WorkerGauges};
pub(crate) use overrides::overridden;
pub use thresholds::{RetryBudget, Thresholds};

/// `core.v3.RoutingPriority`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Everything that is not marked otherwise.
    #[default]
    Default,
    /// Routes with `priority: HIGH`.
    High,
}

impl Priority {
    /// Both, in Envoy's order.
    pub const ALL: [Self; 2] = [Self::Default, Self::High];

    /// 0 or 1.
    pub fn index(self) -> usize {
        self as usize
    }

    /// As stat names and `/clusters` call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::High => "high",
        }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Connections, open or being opened.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests that have a connection.
    Requests,
    /// Retries.
    Retries,
    /// Connection pools.
    Pools,
}

const RESOURCES: [Resource; 5] = [
    Resource::Connections,
    Resource::Pending,
    Resource::Requests,
    Resource::Retries,
    Resource::Pools,
];

#[derive(Debug)]
struct Budget {
    used: AtomicU32,
    max: AtomicU32,
}

/// The budgets of one cluster. They belong to the cluster's name and outlive changes of its configuration.
pub struct Breakers {
    budgets: [[Budget; 5]; 2],
    /// [`RetryBudget`]s, as [`pack`] makes them.
    retry_budgets: [AtomicU64; 2],
    /// What the `…_open` gauges show, a bit for each budget.
    open: AtomicU16,
    /// Requests that were refused, for load reports; begins anew after as many as it can hold.
    dropped: AtomicU32,
    rare: Option<Box<Rare>>,
}

/// What few clusters have, of each priority.
#[derive(Default)]
struct Rare {
    /// With a `budget_interval`.
    recent: [Option<RequestWindow>; 2],
    /// With `track_remaining`.
    remaining: [Option<Arc<Group>>; 2],
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers")
            .field("budgets", &self.budgets)
            .finish_non_exhaustive()
    }
}

impl Breakers {
    /// Budgets of which nothing is used. `remaining` makes the group for `remaining_*` of a priority that
    /// tracks it.
    pub fn new(
        thresholds: &[Thresholds; 2],
        gauges: &impl BreakerGauges,
        remaining: impl Fn(Priority) -> Arc<Group>,
    ) -> Self {
        let breakers = Self {
            budgets: thresholds.map(|limits| {
                RESOURCES.map(|resource| Budget {
                    used: AtomicU32::new(0),
                    max: AtomicU32::new(limits.of(resource)),
                })
            }),
            retry_budgets: thresholds.map(|limits| AtomicU64::new(pack(limits.retry_budget))),
            open: AtomicU16::new(0),
            rare: rare(thresholds, remaining),
            dropped: AtomicU32::new(0),
        };
        breakers.set_thresholds(thresholds, gauges);
        breakers
    }

    /// Whether budgets that exist can go on under `thresholds`: all but a change of `track_remaining` or `budget_interval`.
    pub fn can_take_over(&self, thresholds: &[Thresholds; 2]) -> bool {
        Priority::ALL.iter().all(|&priority| {
            let limits = &thresholds[priority.index()];
            let interval = self.recent(priority).map(RequestWindow::interval);
            limits.track_remaining == self.remaining(priority).is_some()
                && limits.budget_interval == interval.unwrap_or_default()
        })
    }

    /// Changes the limits. What is in use beyond a lowered limit stays in use.
    pub fn set_thresholds(&self, thresholds: &[Thresholds; 2], gauges: &impl BreakerGauges) {
        for priority in Priority::ALL {
            let limits = &thresholds[priority.index()];
            self.retry_budgets[priority.index()].store(pack(limits.retry_budget), Relaxed);
            for resource in RESOURCES {
                self.budget(priority, resource)
                    .max
                    .store(limits.of(resource), Relaxed);
                self.show(priority, resource, gauges);
                if let Some(group) = self.remaining(priority) {
                    group.gauge_set(remaining_gauge(resource), limits.shown(resource));
                }
            }
        }
    }

    /// Fills in the limits that are in force, but that of retries where it depends on what else there is to do.
    pub(crate) fn show_limits(&self, priority: Priority, limits: &mut Thresholds) {
        let max = |resource| self.budget(priority, resource).max.load(Relaxed);
        limits.max_connections = max(Resource::Connections);
        limits.max_pending_requests = max(Resource::Pending);
        limits.max_requests = max(Resource::Requests);
        limits.max_retries = max(Resource::Retries);
        limits.max_connection_pools = max(Resource::Pools);
    }

    fn budget(&self, priority: Priority, resource: Resource) -> &Budget {
        &self.budgets[priority.index()][resource as usize]
    }

    /// The limit, at this moment: that of retries may depend on what else is in use.
    #[inline]
    pub fn max(&self, priority: Priority, resource: Resource) -> u32 {
        if resource == Resource::Retries
            && let Some(budget) = self.retry_budget(priority)
        {
            let used = |resource| u64::from(self.used(priority, resource));
            return budget.limit(match self.recent(priority) {
                None => used(Resource::Requests) + used(Resource::Pending),
                Some(recent) => recent.count(clock::now()),
            });
        }
        self.budget(priority, resource).max.load(Relaxed)
    }

    fn recent(&self, priority: Priority) -> Option<&RequestWindow> {
        self.rare.as_ref()?.recent[priority.index()].as_ref()
    }

    fn remaining(&self, priority: Priority) -> Option<&Arc<Group>> {
        self.rare.as_ref()?.remaining[priority.index()].as_ref()
    }

    /// A request begins, or is tried again: counted where a `budget_interval` wants to know.
    #[inline]
    pub fn note_request(&self, priority: Priority) {
        if let Some(recent) = self.recent(priority) {
            recent.note(clock::now());
        }
    }

    /// A request is refused because a budget, or something else of the cluster, is used up.
    pub fn note_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Requests that were refused up to now; begins anew after as many as it can hold.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Relaxed)
    }

    fn retry_budget(&self, priority: Priority) -> Option<RetryBudget> {
        unpack(self.retry_budgets[priority.index()].load(Relaxed))
    }

    /// Changes what is shown as left. Of a [`RetryBudget`] that cannot be told, it stays 0 as in Envoy.
    fn add_remaining(
        &self,
        priority: Priority,
        resource: Resource,
        gauges: &impl BreakerGauges,
        amount: i64,
    ) {
        if resource != Resource::Retries || self.retry_budget(priority).is_none() {
            gauges.add_remaining(priority, remaining_gauge(resource), amount);
        }
    }

    /// What is in use.
    pub fn used(&self, priority: Priority, resource: Resource) -> u32 {
        self.budget(priority, resource).used.load(Relaxed)
    }

    /// Whether something is left (a moment's truth: use [`Self::try_take`] to take it).
    pub fn can_take(&self, priority: Priority, resource: Resource) -> bool {
        self.used(priority, resource) < self.max(priority, resource)
    }

    /// Takes one if one is left. Give it back with [`Self::give_back`], or use [`Taken`].
    #[inline]
    #[must_use]
    pub fn try_take(
        &self,
        priority: Priority,
        resource: Resource,
        gauges: &impl BreakerGauges,
    ) -> bool {
        let budget = self.budget(priority, resource);
        let max = self.max(priority, resource);
        let mut used = budget.used.load(Relaxed);
        loop {
            if used >= max {
                return false;
            }
            match budget
                .used
                .compare_exchange_weak(used, used + 1, AcqRel, Relaxed)
            {
                Ok(_) => break,
                Err(now) => used = now,
            }
        }
        let shown_max = budget.max.load(Relaxed);
        self.took(priority, resource, used + 1 >= shown_max, gauges);
        true
    }

    /// Takes one whether or not it is left.
    pub fn take_beyond(&self, priority: Priority, resource: Resource, gauges: &impl BreakerGauges) {
        let budget = self.budget(priority, resource);
        let used = budget.used.fetch_add(1, AcqRel) + 1;
        self.took(priority, resource, used >= budget.max.load(Relaxed), gauges);
    }

    /// Gives back one that was taken.
    #[inline]
    pub fn give_back(&self, priority: Priority, resource: Resource, gauges: &impl BreakerGauges) {
        let budget = self.budget(priority, resource);
        let used = budget.used.fetch_sub(1, AcqRel);
        debug_assert!(used > 0, "{resource:?} given back that were not taken");
        if used >= budget.max.load(Relaxed) {
            self.show(priority, resource, gauges);
        }
        self.add_remaining(priority, resource, gauges, 1);
    }

    #[inline]
    fn took(
        &self,
        priority: Priority,
        resource: Resource,
        full: bool,
        gauges: &impl BreakerGauges,
    ) {
        if full {
            self.show(priority, resource, gauges);
        }
        self.add_remaining(priority, resource, gauges, -1);
    }

    /// Makes the gauge show whether the budget is used up; with a [`RetryBudget`], as in Envoy, whether `max_retries` is, which
    /// then limits nothing. Threads may come here at the same time: each change of
    /// `open` is one addition or subtraction, and whoever changed it last has looked at the count after that.
    #[cold]
    fn show(&self, priority: Priority, resource: Resource, gauges: &impl BreakerGauges) {
        let budget = self.budget(priority, resource);
        let is_open = || budget.used.load(Acquire) >= budget.max.load(Relaxed);
        let bit = 1 << (priority.index() * RESOURCES.len() + resource as usize);
        loop {
            let open = is_open();
            let before = match open {
                true => self.open.fetch_or(bit, AcqRel),
                false => self.open.fetch_and(!bit, AcqRel),
            };
            if (before & bit != 0) != open {
                gauges.add(open_gauge(priority, resource), if open { 1 } else { -1 });
            }
            if is_open() == open {
                return;
            }
        }
    }
}

fn rare(
    thresholds: &[Thresholds; 2],
    remaining: impl Fn(Priority) -> Arc<Group>,
) -> Option<Box<Rare>> {
    let is_rare = |limits: &Thresholds| limits.track_remaining || !limits.budget_interval.is_zero();
    thresholds.iter().any(is_rare).then(|| {
        Box::new(Rare {
            recent: thresholds.map(|limits| {
                let interval = limits.budget_interval;
                (!interval.is_zero()).then(|| RequestWindow::new(interval, clock::now()))
            }),
            remaining: Priority::ALL.map(|priority| {
                let tracked = thresholds[priority.index()].track_remaining;
                tracked.then(|| remaining(priority))
            }),
        })
    })
}

/// One unit of a budget, given back when dropped. For holders that live on one thread and are not on the hot path.
#[derive(Debug)]
pub struct Taken {
    breakers: Arc<Breakers>,
    gauges: WorkerGauges,
    priority: Priority,
    resource: Resource,
}

impl Taken {
    /// Takes one if one is left.
    pub fn try_take(
        breakers: &Arc<Breakers>,
        gauges: &WorkerGauges,
        priority: Priority,
        resource: Resource,
    ) -> Option<Self> {
        breakers.try_take(priority, resource, gauges).then(|| Self {
            breakers: breakers.clone(),
            gauges: gauges.clone(),
            priority,
            resource,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.breakers
            .give_back(self.priority, self.resource, &self.gauges);
    }
}

#[cfg(test)]
mod tests;
