//! The settings of outlier detection, checked (`config.cluster.v3.OutlierDetection`).

use std::time::Duration;

use super::Ejection;

/// With Envoy's defaults.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) consecutive_5xx: u32,
    pub(crate) consecutive_gateway_failure: u32,
    pub(crate) consecutive_local_origin_failure: u32,
    pub(crate) interval: Duration,
    pub(crate) base_ejection_time: Duration,
    pub(crate) max_ejection_time: Duration,
    pub(crate) max_ejection_time_jitter: Duration,
    /// Percent of the hosts.
    pub(crate) max_ejection_percent: u32,
    pub(crate) always_eject_one_host: bool,
    pub(crate) success_rate_minimum_hosts: u32,
    pub(crate) success_rate_request_volume: u32,
    /// In thousandths.
    pub(crate) success_rate_stdev_factor: u32,
    pub(crate) failure_percentage_threshold: u32,
    pub(crate) failure_percentage_minimum_hosts: u32,
    pub(crate) failure_percentage_request_volume: u32,
    pub(crate) split_external_local_origin_errors: bool,
    pub(crate) detect_degraded_hosts: bool,
    /// `successful_active_health_check_uneject_host`
    pub(crate) health_check_unejects: bool,
    pub(crate) enforcing: Enforcing,
}

/// How likely, in percent, a detected outlier is ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enforcing {
    pub(crate) consecutive_5xx: u32,
    pub(crate) consecutive_gateway_failure: u32,
    pub(crate) consecutive_local_origin_failure: u32,
    pub(crate) success_rate: u32,
    pub(crate) local_origin_success_rate: u32,
    pub(crate) failure_percentage: u32,
    pub(crate) failure_percentage_local_origin: u32,
}

/// The least default of `max_ejection_time`.
pub(crate) const MAX_EJECTION_TIME: Duration = Duration::from_secs(300);

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway_failure: 5,
            consecutive_local_origin_failure: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: MAX_EJECTION_TIME,
            max_ejection_time_jitter: Duration::ZERO,
            max_ejection_percent: 10,
            always_eject_one_host: false,
            success_rate_minimum_hosts: 5,
            success_rate_request_volume: 100,
            success_rate_stdev_factor: 1900,
            failure_percentage_threshold: 85,
            failure_percentage_minimum_hosts: 5,
            failure_percentage_request_volume: 50,
            split_external_local_origin_errors: false,
            detect_degraded_hosts: false,
            health_check_unejects: true,
            enforcing: Enforcing {
                consecutive_5xx: 100,
                consecutive_gateway_failure: 0,
                consecutive_local_origin_failure: 100,
                success_rate: 100,
                local_origin_success_rate: 100,
                failure_percentage: 0,
                failure_percentage_local_origin: 0,
            },
        }
    }
}

impl Enforcing {
    /// Percent.
    pub(crate) const fn of(&self, ejection: Ejection) -> u32 {
        match ejection {
            Ejection::Consecutive5xx => self.consecutive_5xx,
            Ejection::ConsecutiveGatewayFailure => self.consecutive_gateway_failure,
            Ejection::ConsecutiveLocalOriginFailure => self.consecutive_local_origin_failure,
            Ejection::SuccessRate => self.success_rate,
            Ejection::SuccessRateLocalOrigin => self.local_origin_success_rate,
            Ejection::FailurePercentage => self.failure_percentage,
            Ejection::FailurePercentageLocalOrigin => self.failure_percentage_local_origin,
            Ejection::Degraded => 100,
        }
    }
}
