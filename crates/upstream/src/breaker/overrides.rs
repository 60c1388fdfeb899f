//! Limits that the runtime sets in place of the configured ones: `circuit_breakers.<cluster>.<priority>.*`.

use nuncio_sdk::runtime::Snapshot;

use super::{Priority, RetryBudget, Thresholds};

/// Beginning of all keys.
pub(crate) const PREFIX: &str = "circuit_breakers.";

/// The limits that are in force for a cluster of this name.
pub(crate) fn overridden(
    configured: &[Thresholds; 2],
    cluster: &str,
    snapshot: &Snapshot,
) -> [Thresholds; 2] {
    let mut thresholds = *configured;
    if !snapshot.has_prefix(PREFIX) {
        return thresholds;
    }
    for priority in Priority::ALL {
        let limits = &mut thresholds[priority.index()];
        let prefix = format!("{PREFIX}{cluster}.{}", priority.as_str());
        let number = |name: &str| {
            let number = snapshot.integer(&format!("{prefix}.{name}"))?;
            Some(u32::try_from(number).unwrap_or(u32::MAX))
        };
        for (name, limit) in [
            ("max_connections", &mut limits.max_connections),
            ("max_pending_requests", &mut limits.max_pending_requests),
            ("max_requests", &mut limits.max_requests),
            ("max_retries", &mut limits.max_retries),
            ("max_connection_pools", &mut limits.max_connection_pools),
        ] {
            if let Some(number) = number(name) {
                *limit = number;
            }
        }
        let percent = snapshot.get(&format!("{prefix}.retry_budget.budget_percent"));
        let least = snapshot.get(&format!("{prefix}.retry_budget.min_retry_concurrency"));
        // As in Envoy, one of the keys is enough to have a budget.
        if percent.is_some() || least.is_some() {
            let mut budget = limits.retry_budget.unwrap_or_default();
            if let Some(percent) = percent.and_then(|entry| entry.double) {
                let percent = percent.clamp(0.0, 100.0);
                budget.budget = (percent * f64::from(RetryBudget::PERCENT)).round() as u32;
            }
            if let Some(least) = number("retry_budget.min_retry_concurrency") {
                budget.min_concurrency = least;
            }
            limits.retry_budget = Some(budget);
        }
    }
    thresholds
}
