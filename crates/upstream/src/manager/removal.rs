//! Hosts that discovery (DNS, EDS) no longer names: they go at once, or when their health checks fail.

use std::collections::HashSet;
use std::sync::Arc;

use nuncio_net::Address;

use crate::host::{HealthFlags, Host};
use crate::host_set::LocalityGroup;

/// What becomes of a host that is not named any more (Envoy's `BaseDynamicClusterImpl::updateDynamicHostList`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It goes at once.
    AtOnce,
    /// It stays, flagged `PENDING_DYNAMIC_REMOVAL`, until an update finds that it fails; or, in EDS clusters, until it fails.
    WhenFailing,
}

impl Removal {
    /// The rule for a cluster: discovery is often wrong where health checks are right, unless `ignore_health_on_host_removal`.
    pub(crate) fn rule(has_health_checks: bool, ignore_health: bool) -> Self {
        if has_health_checks && !ignore_health {
            Self::WhenFailing
        } else {
            Self::AtOnce
        }
    }
}

/// Whether a host that is not named any more has to go: its active health check or its configuration says that it fails.
/// What outlier detection thinks does not matter.
pub(crate) fn has_failed(host: &Host) -> bool {
    let failed = HealthFlags::FAILED_ACTIVE_HC.with(HealthFlags::FAILED_EDS_HEALTH);
    host.health_flags().intersects(failed)
}

/// Adds to `groups`, which hold all hosts that are named, those of `gone` that do not fail; each goes to its priority and
/// locality. Returns how many were kept. A host whose address is named otherwise (elsewhere, or as another object) goes.
pub(super) fn keep_passing<'a>(
    groups: &mut Vec<LocalityGroup>,
    gone: impl Iterator<Item = &'a Arc<Host>>,
) -> usize {
    let mut gone: Vec<_> = gone.filter(|host| !has_failed(host)).collect();
    if gone.is_empty() {
        return 0;
    }
    let named: HashSet<&Address> = groups
        .iter()
        .flat_map(|group| group.hosts.iter().map(|host| host.address()))
        .collect();
    gone.retain(|host| !named.contains(host.address()));
    // They come out of a hash map.
    gone.sort_unstable_by_key(|host| host.address());
    for host in &gone {
        host.set_health_flags(HealthFlags::PENDING_DYNAMIC_REMOVAL);
        let is_its = |group: &&mut LocalityGroup| {
            group.priority == host.priority() && group.locality == *host.locality()
        };
        match groups.iter_mut().find(is_its) {
            Some(group) => group.hosts.push((*host).clone()),
            None => groups.push(LocalityGroup {
                locality: host.locality().clone(),
                weight: Some(0),
                priority: host.priority(),
                hosts: vec![(*host).clone()],
            }),
        }
    }
    gone.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Locality;
    use crate::testing::host;

    fn group(zone: &str, priority: u32, hosts: Vec<Arc<Host>>) -> LocalityGroup {
        let locality = Locality {
            zone: zone.into(),
            ..Locality::default()
        };
        LocalityGroup {
            locality: Arc::new(locality),
            weight: Some(2),
            priority,
            hosts,
        }
    }

    #[test]
    fn the_rule_needs_health_checks_and_no_word_against_it() {
        assert_eq!(Removal::rule(false, false), Removal::AtOnce);
        assert_eq!(Removal::rule(true, true), Removal::AtOnce);
        assert_eq!(Removal::rule(true, false), Removal::WhenFailing);
    }

    #[test]
    fn who_passes_stays_where_it_was() {
        let none = HealthFlags::NONE;
        let mut groups = vec![
            group("elsewhere", 0, vec![host(1, 1, none)]),
            group("", 0, vec![host(2, 1, none)]),
        ];
        let gone = [
            host(4, 1, none),
            host(3, 1, HealthFlags::FAILED_OUTLIER_CHECK),
            host(5, 1, HealthFlags::FAILED_ACTIVE_HC),
            host(6, 1, HealthFlags::FAILED_EDS_HEALTH),
            // Named, as another object.
            host(1, 1, none),
        ];
        assert_eq!(keep_passing(&mut groups, gone.iter()), 2);
        let ports = |at: usize| -> Vec<_> {
            let hosts = groups[at].hosts.iter();
            hosts.map(|host| crate::testing::port(host)).collect()
        };
        assert_eq!((ports(0), ports(1)), (vec![1], vec![2, 3, 4]));
        let flags: Vec<_> = gone.iter().map(|host| host.health_flags()).collect();
        assert_eq!(flags[0].to_string(), "/pending_dynamic_removal");
        assert_eq!(
            flags[1].to_string(),
            "/failed_outlier_check/pending_dynamic_removal"
        );
        assert!(!flags[2].intersects(HealthFlags::PENDING_DYNAMIC_REMOVAL));
        assert!(!flags[4].intersects(HealthFlags::PENDING_DYNAMIC_REMOVAL));

        let mut empty = Vec::new();
        assert_eq!(keep_passing(&mut empty, [&gone[0]].into_iter()), 1);
        assert_eq!((empty.len(), empty[0].weight), (1, Some(0)));
    }
}
