//! Outlier detection.

use nuncio_config::api::cluster::OutlierDetection;
use nuncio_config::{ConfigError, Within, convert as value};

use super::Errors;
use crate::outlier::{Enforcing, MAX_EJECTION_TIME, Settings};

/// The settings; `None` on an error.
pub(super) fn settings(message: OutlierDetection, errors: &mut Errors) -> Option<Settings> {
    let OutlierDetection {
        consecutive_5xx,
        interval,
        base_ejection_time,
        max_ejection_percent,
        enforcing_consecutive_5xx,
        enforcing_success_rate,
        success_rate_minimum_hosts,
        success_rate_request_volume,
        success_rate_stdev_factor,
        consecutive_gateway_failure,
        enforcing_consecutive_gateway_failure,
        split_external_local_origin_errors,
        consecutive_local_origin_failure,
        enforcing_consecutive_local_origin_failure,
        enforcing_local_origin_success_rate,
        failure_percentage_threshold,
        enforcing_failure_percentage,
        enforcing_failure_percentage_local_origin,
        failure_percentage_minimum_hosts,
        failure_percentage_request_volume,
        max_ejection_time,
        max_ejection_time_jitter,
        successful_active_health_check_uneject_host,
        monitors,
        always_eject_one_host,
        detect_degraded_hosts,
    } = message;
    errors.refuse_if(!monitors.is_empty(), "monitors");
    let default = Settings::default();
    let mut time = |field: &str, message: Option<_>| {
        errors
            .take(value::opt_duration(message.as_ref()).within(field))
            .flatten()
    };
    let base_ejection_time =
        time("base_ejection_time", base_ejection_time).unwrap_or(default.base_ejection_time);
    let interval = time("interval", interval).unwrap_or(default.interval);
    let max_ejection_time = time("max_ejection_time", max_ejection_time)
        .unwrap_or(MAX_EJECTION_TIME.max(base_ejection_time));
    let max_ejection_time_jitter =
        time("max_ejection_time_jitter", max_ejection_time_jitter).unwrap_or_default();
    if max_ejection_time < base_ejection_time {
        errors.push(ConfigError::new(
            "max_ejection_time",
            "outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
        ));
        return None;
    }
    let number = |message: Option<_>, default| value::u32_or(message.as_ref(), default);
    Some(Settings {
        consecutive_5xx: number(consecutive_5xx, default.consecutive_5xx),
        consecutive_gateway_failure: number(
            consecutive_gateway_failure,
            default.consecutive_gateway_failure,
        ),
        consecutive_local_origin_failure: number(
            consecutive_local_origin_failure,
            default.consecutive_local_origin_failure,
        ),
        interval,
        base_ejection_time,
        max_ejection_time,
        max_ejection_time_jitter,
        max_ejection_percent: number(max_ejection_percent, default.max_ejection_percent),
        always_eject_one_host: value::bool_or(always_eject_one_host.as_ref(), false),
        success_rate_minimum_hosts: number(
            success_rate_minimum_hosts,
            default.success_rate_minimum_hosts,
        ),
        success_rate_request_volume: number(
            success_rate_request_volume,
            default.success_rate_request_volume,
        ),
        success_rate_stdev_factor: number(
            success_rate_stdev_factor,
            default.success_rate_stdev_factor,
        ),
        failure_percentage_threshold: number(
            failure_percentage_threshold,
            default.failure_percentage_threshold,
        ),
        failure_percentage_minimum_hosts: number(
            failure_percentage_minimum_hosts,
            default.failure_percentage_minimum_hosts,
        ),
        failure_percentage_request_volume: number(
            failure_percentage_request_volume,
            default.failure_percentage_request_volume,
        ),
        split_external_local_origin_errors,
        health_check_unejects: value::bool_or(
            successful_active_health_check_uneject_host.as_ref(),
            true,
        ),
        detect_degraded_hosts: value::bool_or(detect_degraded_hosts.as_ref(), false),
        enforcing: Enforcing {
            consecutive_5xx: number(enforcing_consecutive_5xx, default.enforcing.consecutive_5xx),
            consecutive_gateway_failure: number(
                enforcing_consecutive_gateway_failure,
                default.enforcing.consecutive_gateway_failure,
            ),
            consecutive_local_origin_failure: number(
                enforcing_consecutive_local_origin_failure,
                default.enforcing.consecutive_local_origin_failure,
            ),
            success_rate: number(enforcing_success_rate, default.enforcing.success_rate),
            local_origin_success_rate: number(
                enforcing_local_origin_success_rate,
                default.enforcing.local_origin_success_rate,
            ),
            failure_percentage: number(
                enforcing_failure_percentage,
                default.enforcing.failure_percentage,
            ),
            failure_percentage_local_origin: number(
                enforcing_failure_percentage_local_origin,
                default.enforcing.failure_percentage_local_origin,
            ),
        },
    })
}
