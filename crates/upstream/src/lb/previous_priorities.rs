//! Retries look in priorities that were not tried yet (Envoy's `PreviousPrioritiesRetryPriority`).

use std::sync::Arc;

use super::priority::PriorityLoads;
use crate::host::Host;
use crate::host_set::PrioritySet;

/// What is remembered of the tries of one request.
#[derive(Debug)]
pub struct PreviousPriorities {
    /// `update_frequency`: priorities are excluded anew after so many tries.
    frequency: usize,
    attempted: Vec<Arc<Host>>,
    excluded: Vec<bool>,
    /// Of the last time when priorities were excluded, and among how many.
    loads: Option<PriorityLoads>,
    count: usize,
}

/// Which priority of a cluster a host belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// The one in which it stands, the last one where an aggregate cluster names its own twice (as in Envoy); none, if it is
    /// no host of the cluster.
    ByPlace,
    /// The one with the number of its own, even if it is another cluster's host. Envoy's where a composite cluster asks its
    /// members.
    ByNumber,
}

impl PreviousPriorities {
    /// For a request that was not tried yet; `frequency` is above 0.
    #[must_use]
    pub fn new(frequency: u32) -> PreviousPriorities {
        PreviousPriorities {
            frequency: frequency.max(1) as usize,
            attempted: Vec::new(),
            excluded: Vec::new(),
            loads: None,
            count: 0,
        }
    }

    /// A try has chosen this host.
    pub fn on_host_attempted(&mut self, host: &Arc<Host>) {
        self.attempted.push(host.clone());
    }

    /// How priorities share the load for the next try; `None`: as for any request.
    pub fn loads(&mut self, hosts: &PrioritySet, numbering: Numbering) -> Option<&PriorityLoads> {
        let tries = self.attempted.len();
        if tries < self.frequency {
            return None;
        }
        if tries.is_multiple_of(self.frequency) {
            self.exclude(hosts, numbering);
            self.loads = self.without_excluded(hosts);
            self.count = hosts.sets().len();
        }
        // Those of another cluster with more priorities are of no use.
        let fits = self.count == hosts.sets().len();
        self.loads.as_ref().filter(|_| fits)
    }

    fn exclude(&mut self, hosts: &PrioritySet, numbering: Numbering) {
        let sets = hosts.sets();
        if self.excluded.len() < sets.len() {
            self.excluded.resize(sets.len(), false);
        }
        for host in &self.attempted {
            let has = |list: &[Arc<Host>]| list.iter().any(|it| Arc::ptr_eq(it, host));
            let priority = match numbering {
                Numbering::ByPlace => sets.iter().rposition(|set| has(&set.all)),
                Numbering::ByNumber => Some(host.priority() as usize),
            };
            let excluded = priority.and_then(|priority| self.excluded.get_mut(priority));
            if let Some(excluded) = excluded {
                *excluded = true;
            }
        }
    }

    /// When nothing is left, all priorities may be tried again.
    fn without_excluded(&mut self, hosts: &PrioritySet) -> Option<PriorityLoads> {
        hosts.loads_without(&self.excluded).or_else(|| {
            self.excluded.fill(false);
            self.attempted.clear();
            hosts.loads_without(&self.excluded)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HealthFlags;
    use crate::host::HostConfig;
    use crate::host_set::{LocalityGroup, PriorityOptions};
    use crate::testing::host;
    use nuncio_net::Address;

    fn priorities(count: u32) -> PrioritySet {
        let group = |priority: u32| LocalityGroup {
            locality: Arc::default(),
            weight: None,
            priority,
            hosts: vec![Arc::new(Host::new(HostConfig {
                priority,
                ..HostConfig::unconfigured(Address::parse_ip("127.0.0.1", 1).unwrap(), "a".into())
            }))],
        };
        let groups: Vec<_> = (0..count).map(group).collect();
        PrioritySet::build(&groups, PriorityOptions::default())
    }

    fn first(hosts: &PrioritySet, previous: &mut PreviousPriorities) -> usize {
        let loads = previous
            .loads(hosts, Numbering::ByPlace)
            .unwrap_or_else(|| hosts.loads());
        loads.choose(|| 0).0
    }

    #[test]
    fn each_try_goes_to_the_next_priority_and_then_begins_again() {
        let hosts = priorities(3);
        let mut previous = PreviousPriorities::new(1);
        let mut seen = Vec::new();
        for _ in 0..5 {
            let priority = first(&hosts, &mut previous);
            seen.push(priority);
            previous.on_host_attempted(&hosts.sets()[priority].all[0]);
        }
        assert_eq!(seen, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn tries_in_other_clusters_count_by_the_number_of_their_priority() {
        let (three, two, one) = (priorities(3), priorities(2), priorities(1));
        let mut previous = PreviousPriorities::new(1);
        let mut seen = Vec::new();
        for hosts in [&two, &three, &one, &two, &three] {
            let loads = previous.loads(hosts, Numbering::ByNumber);
            let priority = loads.unwrap_or_else(|| hosts.loads()).choose(|| 0).0;
            seen.push(priority);
            previous.on_host_attempted(&hosts.sets()[priority].all[0]);
        }
        // The third has nothing left, so that it begins anew.
        assert_eq!(seen, [0, 1, 0, 1, 2]);
        let mut previous = PreviousPriorities::new(2);
        (0..2).for_each(|_| previous.on_host_attempted(&three.sets()[0].all[0]));
        assert!(previous.loads(&three, Numbering::ByNumber).is_some());
        previous.on_host_attempted(&three.sets()[2].all[0]);
        assert!(
            previous.loads(&two, Numbering::ByNumber).is_none(),
            "of three priorities"
        );
    }

    #[test]
    fn a_host_that_stands_twice_counts_where_it_stands_last() {
        let (one, other) = (priorities(2), priorities(1));
        let sets = [one.sets(), other.sets(), one.sets()].concat();
        let hosts = PrioritySet::end_to_end(sets, 50).unwrap();
        let mut previous = PreviousPriorities::new(1);
        let mut seen = Vec::new();
        for _ in 0..5 {
            let priority = first(&hosts, &mut previous);
            seen.push(priority);
            previous.on_host_attempted(&hosts.sets()[priority].all[0]);
        }
        assert_eq!(seen, [0, 0, 0, 0, 0], "the fourth is another one");
    }

    #[test]
    fn a_frequency_of_two_changes_every_other_time() {
        let hosts = priorities(3);
        let mut previous = PreviousPriorities::new(2);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let priority = first(&hosts, &mut previous);
            seen.push(priority);
            previous.on_host_attempted(&hosts.sets()[priority].all[0]);
        }
        assert_eq!(seen, [0, 0, 1, 1, 2, 2]);
    }

    /// Envoy's `PreviousPrioritiesRetryPriority` in other words: which priorities were tried, and what is left.
    #[derive(Default)]
    struct Model {
        tried: Vec<usize>,
        excluded: std::collections::BTreeSet<usize>,
        /// The priorities that may be chosen next, after a time when some were excluded.
        left: Option<Vec<bool>>,
    }

    impl Model {
        /// Which priorities may get the next try; `None`: as any request. `health`: percent of each priority that is available.
        fn next(&mut self, frequency: usize, health: &[usize]) -> Option<Vec<bool>> {
            if self.tried.len() < frequency {
                return None;
            }
            if self.tried.len().is_multiple_of(frequency) {
                self.excluded.extend(&self.tried);
                let left = |excluded: &std::collections::BTreeSet<usize>| -> Vec<usize> {
                    let each = health.iter().enumerate();
                    each.map(|(at, health)| match excluded.contains(&at) {
                        true => 0,
                        false => *health,
                    })
                    .collect()
                };
                let mut health = left(&self.excluded);
                if health.iter().sum::<usize>() == 0 {
                    self.excluded.clear();
                    self.tried.clear();
                    health = left(&self.excluded);
                }
                let total = health.iter().sum::<usize>().min(100);
                // The first ones take what they can, the next what is left over.
                let mut room = 100;
                let takes = health.into_iter().map(|health| {
                    let load = (health * 100).checked_div(total).unwrap_or(0).min(room);
                    room -= load;
                    load > 0
                });
                self.left = (total > 0).then(|| takes.collect());
            }
            self.left.clone()
        }
    }

    /// Requests that are tried again and again while hosts fall ill and recover. `NUNCIO_SEED` chooses one run, which a failure
    /// names.
    #[test]
    fn priorities_are_tried_by_envoys_rules() {
        crate::testing::seeded(300, |random, seed| {
            let below = |limit| crate::testing::below(&random, limit);
            let priorities = 1 + below(4) as usize;
            let frequency = 1 + below(3) as usize;
            let group = |priority: usize| LocalityGroup {
                locality: Arc::default(),
                weight: None,
                priority: priority as u32,
                hosts: (0..1 + below(4))
                    .map(|number| {
                        let port = priority as u16 * 100 + number as u16;
                        host(port, 1, HealthFlags::NONE)
                    })
                    .collect(),
            };
            let groups: Vec<_> = (0..priorities).map(group).collect();
            let mut previous = PreviousPriorities::new(frequency as u32);
            let mut model = Model::default();
            for attempt in 0..12 {
                for it in groups.iter().flat_map(|group| &group.hosts) {
                    match below(4) {
                        0 => it.set_health_flags(HealthFlags::FAILED_ACTIVE_HC),
                        1 => {}
                        _ => it.clear_health_flags(HealthFlags::FAILED_ACTIVE_HC),
                    }
                }
                // Without panic, so that what is told apart is priorities only.
                let options = PriorityOptions {
                    panic_threshold: 0,
                    ..PriorityOptions::default()
                };
                let hosts = PrioritySet::build(&groups, options);
                let health: Vec<usize> = groups
                    .iter()
                    .map(|group| {
                        let all = group.hosts.len();
                        let well = group.hosts.iter();
                        let well = well.filter(|it| it.health_flags() == HealthFlags::NONE);
                        (140 * well.count() / all).min(100)
                    })
                    .collect();
                let what = format!("seed {seed}, attempt {attempt}: {health:?}");
                let wanted = model.next(frequency, &health);
                let found = previous.loads(&hosts, Numbering::ByPlace).cloned();
                let shown = found.as_ref().map(|loads| -> Vec<bool> {
                    let shares = (0..priorities).map(|at| loads.share(at).healthy > 0);
                    shares.collect()
                });
                assert_eq!(shown, wanted, "{what}");
                let loads = found.as_ref().unwrap_or_else(|| hosts.loads());
                let (priority, _) = loads.choose(|| below(1000));
                let of_priority = &groups[priority].hosts;
                let chosen = &of_priority[below(of_priority.len() as u64) as usize];
                previous.on_host_attempted(chosen);
                model.tried.push(priority);
            }
        });
    }
}
