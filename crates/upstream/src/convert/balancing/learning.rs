//! Policies that learn from the answers of hosts.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::api::client_side_weighted_round_robin::ClientSideWeightedRoundRobin as ClientSideMessage;
use nuncio_config::api::cluster::LoadBalancingPolicy;
use nuncio_config::api::contrib::PeakEwma as PeakEwmaMessage;
use nuncio_config::api::lb_common::OrcaOobReportingConfig;
use nuncio_config::api::load_aware_locality::LoadAwareLocality as LoadAwareMessage;
use nuncio_config::api::protobuf;
use nuncio_config::api::wrr_locality::WrrLocality;
use nuncio_config::{ConfigError, Within, convert as value};

use super::super::Errors;
use super::super::SharedParts;
use super::common::slow_start;
use super::extension::{Made, first_of};
use crate::lb::LocalityOptions;
use crate::lb::client_side::ClientSideWeightedRoundRobin;
use crate::lb::load_aware::{LoadAwareLocality, LoadAwareOptions};
use crate::lb::peak_ewma::PeakEwma;
use crate::lb::round_robin::RoundRobin;
use crate::orca::{MetricNames, OutOfBand};

/// Envoy's shortest period between two updates of weights.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

fn duration(
    message: Option<&protobuf::Duration>,
    field: &str,
    default: Duration,
    errors: &mut Errors,
) -> Duration {
    let given = errors.take(value::opt_duration(message).within(field));
    given.flatten().unwrap_or(default)
}

/// `enable_oob_load_report` and what goes with it.
fn out_of_band(
    enabled: bool,
    period: Option<&protobuf::Duration>,
    config: Option<OrcaOobReportingConfig>,
    errors: &mut Errors,
) -> Option<OutOfBand> {
    let OrcaOobReportingConfig {
        port_value,
        authority,
        transport_socket_match_criteria,
    } = config.unwrap_or_default();
    let default = OutOfBand::DEFAULT_PERIOD;
    let period = duration(period, "oob_reporting_period", default, errors);
    errors.nested("oob_reporting_config", |errors| {
        errors.refuse_if(
            transport_socket_match_criteria.is_some(),
            "transport_socket_match_criteria",
        );
        let port = u16::try_from(port_value);
        if port.is_err() {
            errors.push(ConfigError::new(
                "port_value",
                "value must be less than or equal to 65535: it is the port of the reporting service",
            ));
        }
        let period = Duration::from_millis(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
        enabled.then(|| OutOfBand {
            // As in Envoy, what is no period is the default one.
            period: match period.is_zero() {
                true => default,
                false => period,
            },
            port: port.ok().filter(|&port| port != 0),
            authority: (!authority.is_empty()).then(|| authority.into()),
        })
    })
}

/// `client_side_weighted_round_robin`
pub(super) fn client_side(
    message: ClientSideMessage,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Made {
    let ClientSideMessage {
        enable_oob_load_report,
        oob_reporting_period,
        blackout_period,
        weight_expiration_period,
        weight_update_period,
        error_utilization_penalty,
        metric_names_for_computing_utilization,
        slow_start_config,
        oob_reporting_config,
    } = message;
    let out_of_band = out_of_band(
        enable_oob_load_report.is_some_and(|on| on.value),
        oob_reporting_period.as_ref(),
        oob_reporting_config,
        errors,
    );
    let seconds = Duration::from_secs;
    let update_period = duration(
        weight_update_period.as_ref(),
        "weight_update_period",
        seconds(1),
        errors,
    );
    let penalty = error_utilization_penalty.map_or(0.0, |penalty| penalty.value);
    if penalty < 0.0 || penalty.is_nan() {
        errors.push(ConfigError::new(
            "error_utilization_penalty",
            "value must be greater than or equal to 0",
        ));
    }
    Some(Arc::new(ClientSideWeightedRoundRobin {
        blackout: duration(
            blackout_period.as_ref(),
            "blackout_period",
            seconds(10),
            errors,
        ),
        expiration: duration(
            weight_expiration_period.as_ref(),
            "weight_expiration_period",
            seconds(180),
            errors,
        ),
        update_period: update_period.max(SHORTEST_PERIOD),
        error_penalty: f64::from(penalty),
        metrics: MetricNames::new(metric_names_for_computing_utilization),
        out_of_band,
        turns: RoundRobin {
            localities: LocalityOptions::default(),
            slow_start: slow_start(slow_start_config, &parts.runtime, errors),
        },
    }))
}

/// `wrr_locality`: the same, with weights of localities.
pub(super) fn wrr_locality(message: WrrLocality, parts: &SharedParts, errors: &mut Errors) -> Made {
    let WrrLocality {
        endpoint_picking_policy,
    } = message;
    let child = picking_policy(endpoint_picking_policy, parts, errors)?;
    let child = (&*child as &dyn Any).downcast_ref::<ClientSideWeightedRoundRobin>();
    let Some(child) = child.cloned() else {
        errors.push(ConfigError::new(
            "endpoint_picking_policy",
            "Currently WrrLocalityLoadBalancer only supports ClientSideWeightedRoundRobinLoadBalancer as its endpoint picking policy.",
        ));
        return None;
    };
    Some(Arc::new(ClientSideWeightedRoundRobin {
        turns: RoundRobin {
            localities: LocalityOptions::Weighted,
            ..child.turns
        },
        ..child
    }))
}

/// `load_aware_locality`
pub(super) fn load_aware(
    message: LoadAwareMessage,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Made {
    let LoadAwareMessage {
        endpoint_picking_policy,
        weight_update_period,
        metric_names_for_computing_utilization,
        utilization_variance_threshold,
        smoothing_time_constant,
        remote_probe_fraction,
        weight_expiration_period,
        enable_oob_load_report,
        oob_reporting_period,
    } = message;
    let out_of_band = out_of_band(
        enable_oob_load_report.is_some_and(|on| on.value),
        oob_reporting_period.as_ref(),
        None,
        errors,
    );
    let seconds = Duration::from_secs;
    let update_period = duration(
        weight_update_period.as_ref(),
        "weight_update_period",
        seconds(1),
        errors,
    );
    if update_period < SHORTEST_PERIOD {
        errors.push(ConfigError::new(
            "weight_update_period",
            "weight_update_period must be at least 100ms",
        ));
    }
    let smoothing = duration(
        smoothing_time_constant.as_ref(),
        "smoothing_time_constant",
        seconds(5),
        errors,
    );
    if smoothing.as_millis() == 0 {
        errors.push(ConfigError::new(
            "smoothing_time_constant",
            "smoothing_time_constant must be at least 1ms",
        ));
    }
    let variance_threshold = utilization_variance_threshold.map_or(0.1, |it| it.value);
    if !(0.0..=1.0).contains(&variance_threshold) {
        errors.push(ConfigError::new(
            "utilization_variance_threshold",
            "value must be inside range [0, 1]",
        ));
    }
    let probe_fraction = remote_probe_fraction.map_or(0.03, |it| it.value);
    if !(0.0..1.0).contains(&probe_fraction) {
        errors.push(ConfigError::new(
            "remote_probe_fraction",
            "value must be inside range [0, 1)",
        ));
    }
    let options = LoadAwareOptions {
        update_period,
        metrics: MetricNames::new(metric_names_for_computing_utilization),
        variance_threshold,
        smoothing,
        probe_fraction,
        expiration: duration(
            weight_expiration_period.as_ref(),
            "weight_expiration_period",
            seconds(180),
            errors,
        ),
        out_of_band,
    };
    let child = picking_policy(endpoint_picking_policy, parts, errors)?;
    if (&*child as &dyn Any).is::<LoadAwareLocality>() {
        errors.push(ConfigError::new(
            "endpoint_picking_policy",
            "load_aware_locality cannot be its own endpoint_picking_policy",
        ));
        return None;
    }
    Some(Arc::new(LoadAwareLocality {
        child,
        options,
        own: parts.own.clone(),
    }))
}

/// The policy that chooses within a locality, which must be there.
fn picking_policy(
    list: Option<LoadBalancingPolicy>,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Made {
    let Some(list) = list else {
        errors.push(ConfigError::new(
            "endpoint_picking_policy",
            "value is required",
        ));
        return None;
    };
    errors.nested("endpoint_picking_policy", |errors| {
        first_of(list, parts, None, errors)
    })
}

/// `peak_ewma`
pub(super) fn peak_ewma(message: PeakEwmaMessage, errors: &mut Errors) -> Made {
    let PeakEwmaMessage {
        decay_time,
        aggregation_interval,
        max_samples_per_host,
        default_rtt,
        penalty_value,
    } = message;
    // Harmless: all workers measure together, at once.
    let _ = (aggregation_interval, max_samples_per_host);
    let defaults = PeakEwma::default();
    let decay = duration(decay_time.as_ref(), "decay_time", defaults.decay, errors);
    if decay < Duration::from_millis(1) {
        errors.push(ConfigError::new(
            "decay_time",
            "value must be at least 1ms: averages would be forgotten at once",
        ));
    }
    Some(Arc::new(PeakEwma {
        decay,
        default_latency: duration(
            default_rtt.as_ref(),
            "default_rtt",
            defaults.default_latency,
            errors,
        ),
        penalty: penalty_value.map_or(defaults.penalty, |penalty| penalty.value),
    }))
}

#[cfg(test)]
mod tests;
