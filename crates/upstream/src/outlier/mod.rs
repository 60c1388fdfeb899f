//! Outlier detection: hosts that answer worse than the others are ejected for a while (Envoy's passive health checks). See
//! `LIFECYCLE.md`.
//!
//! Workers report every result to the host's [`HostMonitor`], a few atomic additions. A run of errors that is long enough is
//! reported to the main thread, which alone ejects; success rates are looked at there once per interval.

mod detector;
mod event_log;
mod monitor;
mod overrides;
mod settings;
#[cfg(test)]
mod simulation;
mod sweep;
#[cfg(test)]
mod tests;

pub use detector::{Detector, RateSummary};
pub use event_log::OutlierEventLog;
pub(crate) use event_log::timestamp;
pub use monitor::{HostMonitor, Outcome};
pub(crate) use settings::{Enforcing, MAX_EJECTION_TIME, Settings};

/// Why a host is ejected (`envoy.data.cluster.v3.OutlierEjectionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ejection {
    /// 5xx answers in a row.
    Consecutive5xx,
    /// 502, 503 or 504 in a row.
    ConsecutiveGatewayFailure,
    /// Connections that fail, or time out, in a row.
    ConsecutiveLocalOriginFailure,
    /// A success rate far below the others'.
    SuccessRate,
    /// The same, of connections.
    SuccessRateLocalOrigin,
    /// Too many failures, whatever the others do.
    FailurePercentage,
    /// The same, of connections.
    FailurePercentageLocalOrigin,
    /// Answers with `x-envoy-degraded`: not ejected, but used last.
    Degraded,
}

impl Ejection {
    /// The name in the event log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "CONSECUTIVE_5XX",
            Self::ConsecutiveGatewayFailure => "CONSECUTIVE_GATEWAY_FAILURE",
            Self::ConsecutiveLocalOriginFailure => "CONSECUTIVE_LOCAL_ORIGIN_FAILURE",
            Self::SuccessRate => "SUCCESS_RATE",
            Self::SuccessRateLocalOrigin => "SUCCESS_RATE_LOCAL_ORIGIN",
            Self::FailurePercentage => "FAILURE_PERCENTAGE",
            Self::FailurePercentageLocalOrigin => "FAILURE_PERCENTAGE_LOCAL_ORIGIN",
            Self::Degraded => "DEGRADED",
        }
    }
}

/// Whose fault a failure is: which of two separate success rates it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateOf {
    /// The upstream's answers; without `split_external_local_origin_errors` everything.
    ExternalOrigin,
    /// Connecting and waiting for an answer, only with `split_external_local_origin_errors`.
    LocalOrigin,
}

impl RateOf {
    const BOTH: [Self; 2] = [Self::ExternalOrigin, Self::LocalOrigin];

    const fn index(self) -> usize {
        match self {
            Self::ExternalOrigin => 0,
            Self::LocalOrigin => 1,
        }
    }
}
