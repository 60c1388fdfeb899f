//! The same hosts, sorted anew after the health of some has changed: what has not changed stays the same object, and no list is
//! copied that is only looked at.

use std::sync::Arc;

use super::{HostSet, LocalityHosts, PriorityOptions, PrioritySet};
use crate::host::Health;
use crate::host_list::HostList;

impl PrioritySet {
    /// The same hosts after their health has changed, but not their weights.
    pub(crate) fn sorted_anew(&self, options: PriorityOptions) -> Self {
        let sets = self.sets.iter().map(|set| set.sorted_anew(options));
        let new = Self::of_sets(sets.collect(), options);
        new.continue_from(self);
        new
    }
}

impl HostSet {
    fn sorted_anew(&self, options: PriorityOptions) -> Self {
        let localities = self.localities.iter().map(LocalityHosts::sorted_anew);
        let localities: Arc<[LocalityHosts]> = localities.collect();
        let all = self.all.clone();
        if let [only] = &*localities {
            return Self {
                options,
                all,
                healthy: only.healthy.clone(),
                degraded: only.degraded.clone(),
                excluded: only.excluded,
                localities,
            };
        }
        let join = |part: fn(&LocalityHosts) -> &HostList, before: &HostList| -> HostList {
            let pairs = localities.iter().zip(&*self.localities);
            if pairs.clone().all(|(new, old)| part(new).is(part(old))) {
                return before.clone();
            }
            if localities.iter().all(|l| part(l).len() == l.all.len()) {
                return all.clone();
            }
            let hosts = localities.iter().flat_map(|l| part(l).iter().cloned());
            hosts.collect()
        };
        Self {
            options,
            healthy: join(|l| &l.healthy, &self.healthy),
            degraded: join(|l| &l.degraded, &self.degraded),
            excluded: localities.iter().map(|l| l.excluded).sum(),
            all,
            localities,
        }
    }
}

impl LocalityHosts {
    fn sorted_anew(&self) -> Self {
        let flags = self.all.iter().map(|host| host.health_flags());
        let mut excluded = 0;
        let health: Vec<Health> = flags
            .inspect(|flags| excluded += u32::from(flags.is_excluded()))
            .map(|flags| flags.health())
            .collect();
        let of = |wanted: Health, before: &HostList| -> HostList {
            let count = health.iter().filter(|health| **health == wanted).count();
            if count == self.all.len() {
                return self.all.clone();
            }
            let pairs = self.all.iter().zip(&health);
            let hosts = pairs.filter(|(_, health)| **health == wanted);
            let hosts = hosts.map(|(host, _)| host);
            if before.len() == count
                && hosts
                    .clone()
                    .zip(before.iter())
                    .all(|(a, b)| Arc::ptr_eq(a, b))
            {
                return before.clone();
            }
            let mut list = Vec::with_capacity(count);
            list.extend(hosts.cloned());
            HostList::new(list)
        };
        Self {
            locality: self.locality.clone(),
            weight: self.weight,
            healthy: of(Health::Healthy, &self.healthy),
            degraded: of(Health::Degraded, &self.degraded),
            all: self.all.clone(),
            excluded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{HealthFlags, Host, Locality};
    use crate::host_set::LocalityGroup;
    use crate::testing::host;

    fn group(zone: &str, priority: u32, ports: std::ops::Range<u16>) -> LocalityGroup {
        let locality = Locality {
            zone: zone.into(),
            ..Locality::default()
        };
        LocalityGroup {
            locality: Arc::new(locality),
            weight: None,
            priority,
            hosts: ports.map(|port| host(port, 1, HealthFlags::NONE)).collect(),
        }
    }

    fn shown(set: &PrioritySet) -> Vec<String> {
        let ports = |list: &HostList| {
            list.iter()
                .map(|h| crate::testing::port(h))
                .collect::<Vec<_>>()
        };
        let lists = |all: &HostList, healthy: &HostList, degraded: &HostList, excluded: u32| {
            let (all, healthy, degraded) = (ports(all), ports(healthy), ports(degraded));
            format!("{all:?} {healthy:?} {degraded:?} {excluded}")
        };
        let mut shown = Vec::new();
        for set in set.sets() {
            shown.push(lists(&set.all, &set.healthy, &set.degraded, set.excluded));
            let localities = set.localities.iter();
            shown.extend(localities.map(|l| lists(&l.all, &l.healthy, &l.degraded, l.excluded)));
        }
        shown
    }

    #[test]
    fn sorted_as_if_built_anew() {
        let groups = [
            group("a", 0, 0..5),
            group("b", 0, 5..8),
            group("a", 1, 8..12),
        ];
        let options = PriorityOptions::default();
        let mut set = PrioritySet::build(&groups, options);
        let hosts: Vec<Arc<Host>> = set.hosts().cloned().collect();
        let flags = [
            HealthFlags::FAILED_ACTIVE_HC,
            HealthFlags::DEGRADED_ACTIVE_HC,
            HealthFlags::PENDING_ACTIVE_HC,
        ];
        for round in 0..200_usize {
            let host = &hosts[round * 7 % hosts.len()];
            let flag = flags[round % 3];
            match host.health_flags().intersects(flag) {
                true => host.clear_health_flags(flag),
                false => host.set_health_flags(flag),
            }
            set = set.sorted_anew(options);
            assert_eq!(shown(&set), shown(&PrioritySet::build(&groups, options)));
        }
    }

    #[test]
    fn what_has_not_changed_is_the_same() {
        let groups = [group("a", 0, 0..5), group("b", 0, 5..8)];
        let options = PriorityOptions::default();
        let before = PrioritySet::build(&groups, options);
        groups[1].hosts[0].set_health_flags(HealthFlags::FAILED_ACTIVE_HC);
        let after = before.sorted_anew(options);
        let (old, new) = (&before.sets()[0], &after.sets()[0]);
        assert!(new.all.is(&old.all));
        assert!(new.localities[0].healthy.is(&old.localities[0].healthy));
        assert!(!new.healthy.is(&old.healthy));
        let again = after.sorted_anew(options);
        assert!(again.sets()[0].healthy.is(&new.healthy));
    }
}
