//! [`HealthFlags`]: why a host is not simply healthy, and what that means to a balancer.

use std::fmt;

/// Health as balancers tell hosts apart (Envoy's `Host::Health`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Serves.
    Healthy,
    /// Serves only when healthy hosts are too few.
    Degraded,
    /// Serves only in panic.
    Unhealthy,
}

/// Why a host is not simply healthy: a set of Envoy's `Host::HealthFlag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthFlags(pub(super) u32);

macro_rules! health_flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl HealthFlags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }
        /// In the order in which Envoy prints them.
        const FLAG_NAMES: &[(HealthFlags, &str)] = &[$((HealthFlags::$name, $text),)*];
    };
}

health_flags! {
    /// The active health check fails.
    FAILED_ACTIVE_HC = 0, "/failed_active_hc";
    /// Ejected by outlier detection.
    FAILED_OUTLIER_CHECK = 1, "/failed_outlier_check";
    /// `LbEndpoint.health_status` says so.
    FAILED_EDS_HEALTH = 2, "/failed_eds_health";
    /// The active health check answers "degraded".
    DEGRADED_ACTIVE_HC = 3, "/degraded_active_hc";
    /// `LbEndpoint.health_status` is `DEGRADED`.
    DEGRADED_EDS_HEALTH = 4, "/degraded_eds_health";
    /// Removed from discovery, kept because it still passes health checks.
    PENDING_DYNAMIC_REMOVAL = 5, "/pending_dynamic_removal";
    /// Not checked yet.
    PENDING_ACTIVE_HC = 6, "/pending_active_hc";
    /// Answered `x-envoy-immediate-health-check-fail`.
    EXCLUDED_VIA_IMMEDIATE_HC_FAIL = 7, "/excluded_via_immediate_hc_fail";
    /// The active health check times out.
    ACTIVE_HC_TIMEOUT = 8, "/active_hc_timeout";
    /// `LbEndpoint.health_status` is `DRAINING`.
    EDS_STATUS_DRAINING = 9, "/eds_status_draining";
    /// Has answered `x-envoy-degraded`, as outlier detection has seen.
    DEGRADED_OUTLIER_DETECTION = 10, "/degraded_outlier_detection";
}

impl HealthFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `LbEndpoint.health_status` is `HEALTHY`, which is more than nothing only to [`OverrideStatuses`]; not shown.
    ///
    /// [`OverrideStatuses`]: crate::lb::OverrideStatuses
    pub(crate) const EDS_SAYS_HEALTHY: Self = Self(1 << 30);
    /// `LbEndpoint.health_status` is `TIMEOUT`: beside [`Self::FAILED_EDS_HEALTH`], and not shown.
    pub(crate) const EDS_SAYS_TIMEOUT: Self = Self(1 << 31);

    const UNHEALTHY: Self = Self(
        Self::FAILED_ACTIVE_HC.0
            | Self::FAILED_OUTLIER_CHECK.0
            | Self::FAILED_EDS_HEALTH.0
            | Self::EDS_STATUS_DRAINING.0,
    );
    const DEGRADED: Self = Self(
        Self::DEGRADED_ACTIVE_HC.0
            | Self::DEGRADED_EDS_HEALTH.0
            | Self::DEGRADED_OUTLIER_DETECTION.0,
    );
    /// Flags of active health checks.
    pub(crate) const ACTIVE_HC: Self = Self(
        Self::FAILED_ACTIVE_HC.0
            | Self::DEGRADED_ACTIVE_HC.0
            | Self::PENDING_ACTIVE_HC.0
            | Self::EXCLUDED_VIA_IMMEDIATE_HC_FAIL.0
            | Self::ACTIVE_HC_TIMEOUT.0,
    );
    /// Flags of outlier detection.
    pub(crate) const OUTLIER: Self =
        Self(Self::FAILED_OUTLIER_CHECK.0 | Self::DEGRADED_OUTLIER_DETECTION.0);
    const EXCLUDED: Self = Self(
        Self::PENDING_ACTIVE_HC.0
            | Self::EXCLUDED_VIA_IMMEDIATE_HC_FAIL.0
            | Self::EDS_STATUS_DRAINING.0,
    );
    /// Flags that come with the endpoint's configuration.
    pub(super) const FROM_CONFIG: Self = Self(
        Self::FAILED_EDS_HEALTH.0
            | Self::DEGRADED_EDS_HEALTH.0
            | Self::EDS_STATUS_DRAINING.0
            | Self::EDS_SAYS_HEALTHY.0
            | Self::EDS_SAYS_TIMEOUT.0,
    );

    /// Whether one of `flags` is set.
    pub fn intersects(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// This set with `flags` added.
    #[must_use]
    pub fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// What the flags mean to a balancer.
    pub fn health(self) -> Health {
        if self.intersects(Self::UNHEALTHY) {
            Health::Unhealthy
        } else if self.intersects(Self::DEGRADED) {
            Health::Degraded
        } else {
            Health::Healthy
        }
    }

    /// Whether the host does not count when panic is decided.
    pub fn is_excluded(self) -> bool {
        self.intersects(Self::EXCLUDED)
    }
}

impl fmt::Display for HealthFlags {
    /// As `/clusters` prints them: `healthy`, or `/failed_active_hc/failed_eds_health`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = FLAG_NAMES
            .iter()
            .filter(|(flag, _)| self.intersects(*flag))
            .peekable();
        if shown.peek().is_none() {
            return f.write_str("healthy");
        }
        shown.try_for_each(|(_, text)| f.write_str(text))
    }
}
