//! Settings that the runtime sets in place of the configured ones: `outlier_detection.*`, for all clusters.

use std::time::Duration;

use nuncio_sdk::runtime::Snapshot;

use super::Settings;

impl Settings {
    /// The settings that are in force.
    pub(super) fn overridden(&self, snapshot: &Snapshot) -> Self {
        let mut settings = self.clone();
        let number = |name: &str| snapshot.integer(&format!("outlier_detection.{name}"));
        let set = |name: &str, value: &mut u32| {
            if let Some(number) = number(name) {
                *value = u32::try_from(number).unwrap_or(u32::MAX);
            }
        };
        set("consecutive_5xx", &mut settings.consecutive_5xx);
        set(
            "consecutive_gateway_failure",
            &mut settings.consecutive_gateway_failure,
        );
        set(
            "consecutive_local_origin_failure",
            &mut settings.consecutive_local_origin_failure,
        );
        set("max_ejection_percent", &mut settings.max_ejection_percent);
        set(
            "success_rate_minimum_hosts",
            &mut settings.success_rate_minimum_hosts,
        );
        set(
            "success_rate_request_volume",
            &mut settings.success_rate_request_volume,
        );
        set(
            "success_rate_stdev_factor",
            &mut settings.success_rate_stdev_factor,
        );
        set(
            "failure_percentage_threshold",
            &mut settings.failure_percentage_threshold,
        );
        set(
            "failure_percentage_minimum_hosts",
            &mut settings.failure_percentage_minimum_hosts,
        );
        set(
            "failure_percentage_request_volume",
            &mut settings.failure_percentage_request_volume,
        );
        let enforcing = &mut settings.enforcing;
        set("enforcing_consecutive_5xx", &mut enforcing.consecutive_5xx);
        set(
            "enforcing_consecutive_gateway_failure",
            &mut enforcing.consecutive_gateway_failure,
        );
        set(
            "enforcing_consecutive_local_origin_failure",
            &mut enforcing.consecutive_local_origin_failure,
        );
        set("enforcing_success_rate", &mut enforcing.success_rate);
        set(
            "enforcing_local_origin_success_rate",
            &mut enforcing.local_origin_success_rate,
        );
        set(
            "enforcing_failure_percentage",
            &mut enforcing.failure_percentage,
        );
        set(
            "enforcing_failure_percentage_local_origin",
            &mut enforcing.failure_percentage_local_origin,
        );
        let time = |name: &str, value: &mut Duration| {
            if let Some(number) = number(name) {
                *value = Duration::from_millis(number.min(MAX_TIME));
            }
        };
        time("interval_ms", &mut settings.interval);
        // Never a busy loop.
        settings.interval = settings.interval.max(Duration::from_millis(1));
        time("base_ejection_time_ms", &mut settings.base_ejection_time);
        time("max_ejection_time_ms", &mut settings.max_ejection_time);
        time(
            "max_ejection_time_jitter_ms",
            &mut settings.max_ejection_time_jitter,
        );
        settings
    }
}

/// Milliseconds: ten years. Longer times could not be added up.
const MAX_TIME: u64 = 10 * 365 * 24 * 3600 * 1000;
