//! A host that a filter has asked for (stateful sessions): taken before any balancing, if its state allows.

use std::sync::Arc;

use nuncio_config::api::core::HealthStatus;
use nuncio_net::Address;

use crate::host::{HealthFlags, Host};
use crate::host_set::PrioritySet;

/// A host that a filter has asked for.
#[derive(Clone, Copy, Debug)]
pub struct OverrideHost<'a> {
    /// `ip:port`, as a host's address prints.
    pub address: &'a str,
    /// Take this host or none.
    pub strict: bool,
}

/// What came of an [`OverrideHost`].
pub(crate) enum Overridden<'a> {
    /// This host.
    Host(&'a Arc<Host>),
    /// No host at all.
    Nobody,
    /// The balancer's choice.
    Balance,
}

/// In which states a host may be asked for (`common_lb_config.override_host_status`): a bit for each [`HealthStatus`]. Of a
/// host that fails no check, and whose state discovery does not tell, the state is `UNKNOWN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverrideStatuses(u8);

impl Default for OverrideStatuses {
    fn default() -> Self {
        Self::of([
            HealthStatus::Unknown,
            HealthStatus::Healthy,
            HealthStatus::Degraded,
        ])
    }
}

impl OverrideStatuses {
    /// These states; none switches the overriding of hosts off.
    pub fn of(statuses: impl IntoIterator<Item = HealthStatus>) -> Self {
        Self(
            statuses
                .into_iter()
                .fold(0, |bits, status| bits | Self::bit(status)),
        )
    }

    fn bit(status: HealthStatus) -> u8 {
        1 << status as u8
    }

    /// Envoy's `HostImplBase::healthStatus`, looked up.
    fn allow(self, flags: HealthFlags) -> bool {
        use HealthFlags as F;
        let has = |flag| flags.intersects(flag);
        let status = if has(F::FAILED_ACTIVE_HC.with(F::FAILED_OUTLIER_CHECK)) {
            HealthStatus::Unhealthy
        } else if has(F::EDS_SAYS_TIMEOUT) {
            HealthStatus::Timeout
        } else if has(F::FAILED_EDS_HEALTH) {
            HealthStatus::Unhealthy
        } else if has(F::EDS_STATUS_DRAINING) {
            HealthStatus::Draining
        } else if has(F::DEGRADED_ACTIVE_HC.with(F::DEGRADED_EDS_HEALTH)) {
            HealthStatus::Degraded
        } else if has(F::EDS_SAYS_HEALTHY) {
            HealthStatus::Healthy
        } else {
            HealthStatus::Unknown
        };
        self.0 & Self::bit(status) != 0
    }

    /// What comes of asking for a host of `hosts`.
    pub(crate) fn choose<'a>(
        self,
        hosts: &'a PrioritySet,
        wanted: OverrideHost<'_>,
    ) -> Overridden<'a> {
        if self.0 == 0 {
            return Overridden::Balance;
        }
        let address = wanted.address.parse().ok().map(Address::Ip);
        let host = address.and_then(|address| hosts.at_address(&address));
        match host.filter(|host| self.allow(host.health_flags())) {
            Some(host) => Overridden::Host(host),
            None if wanted.strict => Overridden::Nobody,
            None => Overridden::Balance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lb::testing::one_priority;
    use crate::testing::{host, port};

    fn chosen(
        statuses: OverrideStatuses,
        flags: HealthFlags,
        address: &str,
        strict: bool,
    ) -> String {
        let hosts = one_priority([host(1, 1, HealthFlags::NONE), host(2, 1, flags)].into_iter());
        match statuses.choose(&hosts, OverrideHost { address, strict }) {
            Overridden::Host(host) => port(host).to_string(),
            Overridden::Nobody => "nobody".into(),
            Overridden::Balance => "any".into(),
        }
    }

    #[test]
    fn a_host_is_taken_whatever_the_policy_says() {
        let default = OverrideStatuses::default();
        let two = "127.0.0.1:2";
        assert_eq!(chosen(default, HealthFlags::NONE, two, false), "2");
        assert_eq!(
            chosen(default, HealthFlags::DEGRADED_EDS_HEALTH, two, false),
            "2"
        );
        assert_eq!(
            chosen(default, HealthFlags::FAILED_EDS_HEALTH, two, false),
            "any"
        );
        assert_eq!(
            chosen(default, HealthFlags::FAILED_EDS_HEALTH, two, true),
            "nobody"
        );
        assert_eq!(
            chosen(default, HealthFlags::NONE, "127.0.0.1:9", true),
            "nobody"
        );
        assert_eq!(chosen(default, HealthFlags::NONE, "nonsense", false), "any");
    }

    #[test]
    fn states_can_be_chosen() {
        let two = "127.0.0.1:2";
        let draining = OverrideStatuses::of([HealthStatus::Draining]);
        assert_eq!(
            chosen(draining, HealthFlags::EDS_STATUS_DRAINING, two, false),
            "2"
        );
        assert_eq!(chosen(draining, HealthFlags::NONE, two, false), "any");
        assert_eq!(
            chosen(OverrideStatuses::of([]), HealthFlags::NONE, two, true),
            "any"
        );
    }

    #[test]
    fn what_discovery_does_not_tell_is_unknown() {
        use HealthFlags as F;
        let two = "127.0.0.1:2";
        let taken = |status, flags| chosen(OverrideStatuses::of([status]), flags, two, false);
        let timeout = F::FAILED_EDS_HEALTH.with(F::EDS_SAYS_TIMEOUT);
        for (flags, status) in [
            (F::NONE, HealthStatus::Unknown),
            (F::EDS_SAYS_HEALTHY, HealthStatus::Healthy),
            (timeout, HealthStatus::Timeout),
            (F::FAILED_EDS_HEALTH, HealthStatus::Unhealthy),
            (
                F::EDS_SAYS_HEALTHY.with(F::FAILED_ACTIVE_HC),
                HealthStatus::Unhealthy,
            ),
            (F::DEGRADED_ACTIVE_HC, HealthStatus::Degraded),
        ] {
            for asked in [
                HealthStatus::Unknown,
                HealthStatus::Healthy,
                HealthStatus::Timeout,
                HealthStatus::Unhealthy,
                HealthStatus::Degraded,
            ] {
                let expected = if asked == status { "2" } else { "any" };
                assert_eq!(taken(asked, flags), expected, "{asked:?} {flags:?}");
            }
        }
    }
}
