//! Limits as configuration gives them.

use std::time::Duration;

use super::Resource;

/// Limits of one priority (`CircuitBreakers.Thresholds`), with Envoy's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thresholds {
    /// `max_connections`, 1024
    pub max_connections: u32,
    /// `max_pending_requests`, 1024
    pub max_pending_requests: u32,
    /// `max_requests`, 1024
    pub max_requests: u32,
    /// `max_retries`, 3
    pub max_retries: u32,
    /// `retry_budget`: takes the place of `max_retries`.
    pub retry_budget: Option<RetryBudget>,
    /// `retry_budget.budget_interval`: the budget is a share of the requests (tries included) that have begun so
    /// lately, whether or not they are over. Zero, the default: of those that have a connection or wait for one.
    pub budget_interval: Duration,
    /// `max_connection_pools`, unlimited
    pub max_connection_pools: u32,
    /// `track_remaining`: what is left is shown as gauges.
    pub track_remaining: bool,
    /// `per_host_thresholds.max_connections`, unlimited: connections to one host, over all workers.
    pub max_connections_per_host: u32,
}

/// `CircuitBreakers.Thresholds.RetryBudget`: how many retries there may be, by how much else there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryBudget {
    /// `budget_percent` in millionths of a percent: of the requests that have a connection or wait for one.
    pub budget: u32,
    /// `min_retry_concurrency`: so many are always allowed.
    pub min_concurrency: u32,
}

impl RetryBudget {
    /// [`Self::budget`] that is one percent.
    pub const PERCENT: u32 = 1_000_000;

    /// How many retries there may be beside so many requests.
    pub(super) fn limit(self, requests: u64) -> u32 {
        let share =
            u128::from(requests) * u128::from(self.budget) / u128::from(100 * Self::PERCENT);
        u32::try_from(share)
            .unwrap_or(u32::MAX)
            .max(self.min_concurrency)
    }
}

impl Default for RetryBudget {
    /// 20 %, and never less than 3.
    fn default() -> Self {
        Self {
            budget: 20 * Self::PERCENT,
            min_concurrency: 3,
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_requests: 1024,
            max_retries: 3,
            retry_budget: None,
            budget_interval: Duration::ZERO,
            max_connection_pools: u32::MAX,
            track_remaining: false,
            max_connections_per_host: u32::MAX,
        }
    }
}

impl Thresholds {
    /// What `remaining_*` counts down from. Envoy's default for pools is the greatest `uint64_t`.
    pub(super) fn shown(&self, resource: Resource) -> u64 {
        match (resource, self.of(resource)) {
            (Resource::Pools, u32::MAX) => u64::MAX,
            // A budget has no fixed end.
            (Resource::Retries, _) if self.retry_budget.is_some() => 0,
            (_, max) => u64::from(max),
        }
    }

    /// The limit of a resource; that of retries without a budget.
    pub(super) fn of(&self, resource: Resource) -> u32 {
        match resource {
            Resource::Connections => self.max_connections,
            Resource::Pending => self.max_pending_requests,
            Resource::Requests => self.max_requests,
            Resource::Retries => self.max_retries,
            Resource::Pools => self.max_connection_pools,
        }
    }
}

/// No [`RetryBudget`]. None looks like this: 100 % is far less.
const NO_RETRY_BUDGET: u64 = u64::MAX;

/// In one number, so that threads never see halves of two.
pub(super) fn pack(budget: Option<RetryBudget>) -> u64 {
    budget.map_or(NO_RETRY_BUDGET, |budget| {
        u64::from(budget.budget) << 32 | u64::from(budget.min_concurrency)
    })
}

pub(super) fn unpack(packed: u64) -> Option<RetryBudget> {
    (packed != NO_RETRY_BUDGET).then_some(RetryBudget {
        budget: (packed >> 32) as u32,
        min_concurrency: packed as u32,
    })
}
