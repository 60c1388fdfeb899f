//! Circuit breakers.

use std::time::Duration;

use nuncio_config::api::cluster::circuit_breakers::thresholds::RetryBudget as BudgetMessage;
use nuncio_config::api::cluster::{CircuitBreakers, circuit_breakers::Thresholds as Message};
use nuncio_config::convert::{opt_duration, u32_or};
use nuncio_config::{ConfigError, Within, convert as value};

use super::Errors;
use crate::breaker::{RetryBudget, Thresholds};

/// Thresholds of both priorities; the first entry of a priority counts, as in Envoy.
pub(super) fn thresholds(message: Option<CircuitBreakers>, errors: &mut Errors) -> [Thresholds; 2] {
    let mut found: [Option<Thresholds>; 2] = [None, None];
    let Some(CircuitBreakers {
        thresholds,
        per_host_thresholds,
    }) = message
    else {
        return Default::default();
    };
    errors.nested("circuit_breakers", |errors| {
        for (index, message) in thresholds.into_iter().enumerate() {
            let field = format!("thresholds[{index}]");
            let (priority, limits) = errors.nested(&field, |errors| one(&message, errors));
            match usize::try_from(priority)
                .ok()
                .and_then(|priority| found.get_mut(priority))
            {
                Some(place) => _ = place.get_or_insert(limits),
                None => errors.push(
                    ConfigError::new("priority", format!("unknown enum value {priority}"))
                        .within(field),
                ),
            }
        }
    });
    let mut limits = found.map(Option::unwrap_or_default);
    let mut per_host: [Option<u32>; 2] = [None, None];
    for (index, message) in per_host_thresholds.iter().enumerate() {
        let read = errors.nested(
            format_args!("circuit_breakers.per_host_thresholds[{index}]"),
            |errors| of_host(message, errors),
        );
        if let Some((priority, max)) = read
            && let Some(place) = per_host.get_mut(priority)
        {
            place.get_or_insert(max);
        }
    }
    for (limits, max) in limits.iter_mut().zip(per_host) {
        limits.max_connections_per_host = max.unwrap_or(u32::MAX);
    }
    limits
}

/// Priority, and connections to one host: nothing else is limited by host.
fn of_host(message: &Message, errors: &mut Errors) -> Option<(usize, u32)> {
    let Message {
        priority,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        // As in Envoy, without effect here.
        track_remaining: _,
        max_connection_pools,
    } = message;
    let others = [
        max_pending_requests,
        max_requests,
        max_retries,
        max_connection_pools,
    ];
    if retry_budget.is_some() || others.iter().any(|field| field.is_some()) {
        errors.push(ConfigError::new(
            "",
            "Unsupported field in per_host_thresholds",
        ));
        return None;
    }
    let max = u32_or(max_connections.as_ref(), u32::MAX);
    Some((usize::try_from(*priority).ok()?, max))
}

fn one(message: &Message, errors: &mut Errors) -> (i32, Thresholds) {
    let Message {
        priority,
        max_connections,
        max_pending_requests,
        max_requests,
        max_retries,
        retry_budget,
        track_remaining,
        max_connection_pools,
    } = message;
    let default = Thresholds::default();
    let retry_budget = retry_budget
        .as_ref()
        .map(|message| errors.nested("retry_budget", |errors| budget(message, errors)));
    let limits = Thresholds {
        max_connections: u32_or(max_connections.as_ref(), default.max_connections),
        max_pending_requests: u32_or(max_pending_requests.as_ref(), default.max_pending_requests),
        max_requests: u32_or(max_requests.as_ref(), default.max_requests),
        max_retries: u32_or(max_retries.as_ref(), default.max_retries),
        retry_budget: retry_budget.map(|(budget, _)| budget),
        budget_interval: retry_budget.map_or(default.budget_interval, |(_, interval)| interval),
        max_connection_pools: value::u32_or(
            max_connection_pools.as_ref(),
            default.max_connection_pools,
        ),
        track_remaining: *track_remaining,
        max_connections_per_host: default.max_connections_per_host,
    };
    (*priority, limits)
}

/// A budget, and over which time requests count for it.
fn budget(message: &BudgetMessage, errors: &mut Errors) -> (RetryBudget, Duration) {
    let BudgetMessage {
        budget_percent,
        min_retry_concurrency,
        budget_interval,
    } = message;
    let interval = errors.take(opt_duration(budget_interval.as_ref()).within("budget_interval"));
    let default = RetryBudget::default();
    let percent = budget_percent.as_ref().map(value::percent).transpose();
    let percent = percent.map_err(|error| errors.push(error.within("budget_percent")));
    let budget = RetryBudget {
        budget: percent.ok().flatten().map_or(default.budget, |percent| {
            (percent * f64::from(RetryBudget::PERCENT)).round() as u32
        }),
        min_concurrency: u32_or(min_retry_concurrency.as_ref(), default.min_concurrency),
    };
    (budget, interval.flatten().unwrap_or_default())
}
