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
    /// The one in which it stands; none, if it is no host of the cluster.
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
                Numbering::ByPlace => sets.iter().position(|set| has(&set.all)),
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
    use crate::host::HostConfig;
    use crate::host_set::{LocalityGroup, PriorityOptions};
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
}
