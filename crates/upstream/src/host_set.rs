//! Immutable snapshots of a cluster's hosts: what balancers choose from.

mod health;

use std::any::Any;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use nuncio_net::Address;

use crate::host::{Health, Host, Locality};
use crate::host_list::HostList;
use crate::lb::priority::PriorityLoads;

/// What a load-balancing policy has made of a set of hosts (a ring, a table, subsets); shared by all threads.
pub type Derived = Arc<dyn Any + Send + Sync>;

/// The hosts of one locality within one priority.
#[derive(Clone, Debug)]
pub struct LocalityHosts {
    /// Where they are.
    pub locality: Arc<Locality>,
    /// `LocalityLbEndpoints.load_balancing_weight`; `None` when not given.
    pub weight: Option<u32>,
    /// All of them.
    pub all: HostList,
    /// The healthy ones.
    pub healthy: HostList,
    /// The degraded ones.
    pub degraded: HostList,
    /// How many do not count when availability is computed.
    pub excluded: u32,
}

/// The hosts of one priority.
#[derive(Clone, Debug)]
pub struct HostSet {
    /// All hosts.
    pub all: HostList,
    /// The healthy ones.
    pub healthy: HostList,
    /// The degraded ones.
    pub degraded: HostList,
    /// How many do not count when panic is decided.
    pub excluded: u32,
    /// The same hosts by locality, each there once, in the order of configuration.
    pub localities: Arc<[LocalityHosts]>,
    /// How its health counts: those of the hosts' own cluster, also where an aggregate cluster shows them.
    pub options: PriorityOptions,
}

/// How priorities share the load; from `ClusterLoadAssignment.policy` and `common_lb_config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PriorityOptions {
    /// Percent; 140 unless told.
    pub overprovisioning_factor: u32,
    /// `weighted_priority_health`: health is the share of weights, not of hosts.
    pub weighted_priority_health: bool,
    /// `healthy_panic_threshold`, percent; 50 unless told, 0 switches panic off.
    pub panic_threshold: u32,
}

impl Default for PriorityOptions {
    fn default() -> Self {
        Self {
            overprovisioning_factor: 140,
            weighted_priority_health: false,
            panic_threshold: 50,
        }
    }
}

/// All hosts of a cluster at one moment, by priority. Shared by all threads.
#[derive(Clone, Debug)]
pub struct PrioritySet {
    sets: Box<[HostSet]>,
    loads: PriorityLoads,
    options: PriorityOptions,
    /// What the cluster's policy has made of these hosts; made when the first request needs it.
    derived: OnceLock<Derived>,
    /// Made when the first request asks for a host by its address.
    by_address: OnceLock<Box<HashMap<Address, Arc<Host>>>>,
}

/// Hosts of a locality as discovery gives them.
#[derive(Clone, Debug)]
pub struct LocalityGroup {
    /// Where they are.
    pub locality: Arc<Locality>,
    /// `load_balancing_weight` of the locality, 0 if it has none; `None` where nobody asks for weights (subsets, hosts that
    /// come with requests).
    pub weight: Option<u32>,
    /// 0 is the first choice.
    pub priority: u32,
    /// The hosts.
    pub hosts: Vec<Arc<Host>>,
}

impl PrioritySet {
    /// A cluster without hosts.
    pub fn empty() -> Self {
        Self::build(&[], PriorityOptions::default())
    }

    /// Sorts hosts by priority, locality and health.
    pub fn build(groups: &[LocalityGroup], options: PriorityOptions) -> Self {
        let priorities = groups
            .iter()
            .map(|group| group.priority + 1)
            .max()
            .unwrap_or(1);
        let sets = (0..priorities).map(|priority| {
            HostSet::build(groups.iter().filter(|g| g.priority == priority), options)
        });
        Self::of_sets(sets.collect(), options)
    }

    /// Priorities of several clusters, laid end to end; `None` without any. Who panics is decided by `panic_threshold`,
    /// percent, and otherwise each counts its health as in its own cluster.
    pub(crate) fn end_to_end(sets: Vec<HostSet>, panic_threshold: u32) -> Option<Self> {
        let options = PriorityOptions {
            panic_threshold,
            ..PriorityOptions::default()
        };
        (!sets.is_empty()).then(|| Self::of_sets(sets.into(), options))
    }

    fn of_sets(sets: Box<[HostSet]>, options: PriorityOptions) -> Self {
        let loads = PriorityLoads::compute(&sets, options.panic_threshold);
        Self {
            sets,
            loads,
            options,
            derived: OnceLock::new(),
            by_address: OnceLock::new(),
        }
    }

    /// How the priorities share the load without those that are excluded; `None` when nobody is left to take it.
    pub fn loads_without(&self, excluded: &[bool]) -> Option<PriorityLoads> {
        self.loads.without(&self.sets, excluded)
    }

    /// The same hosts, sorted anew after their health or their weights have changed.
    pub fn rebuilt(&self, options: PriorityOptions) -> Self {
        let new = Self::build(
            &self.groups(|_| true, |locality, _| locality.weight),
            options,
        );
        new.continue_from(self);
        new
    }

    /// Those hosts that `keep` wants, with all priorities and localities as they are here; `weight` is asked for the
    /// weight of a locality of which this many hosts are left.
    pub(crate) fn filtered(
        &self,
        keep: impl Fn(&Arc<Host>) -> bool,
        weight: impl Fn(&LocalityHosts, usize) -> Option<u32>,
    ) -> Self {
        Self::build(&self.groups(keep, weight), self.options)
    }

    fn groups(
        &self,
        keep: impl Fn(&Arc<Host>) -> bool,
        weight: impl Fn(&LocalityHosts, usize) -> Option<u32>,
    ) -> Vec<LocalityGroup> {
        let mut groups = Vec::new();
        for (priority, set) in self.sets.iter().enumerate() {
            for locality in &*set.localities {
                let hosts: Vec<_> = locality.all.iter().filter(|h| keep(h)).cloned().collect();
                groups.push(LocalityGroup {
                    locality: locality.locality.clone(),
                    weight: weight(locality, hosts.len()),
                    priority: priority as u32,
                    hosts,
                });
            }
        }
        groups
    }

    /// Lists of this new set go on where those of `before` stand.
    pub(crate) fn continue_from(&self, before: &Self) {
        for (set, old) in self.sets.iter().zip(&before.sets) {
            let pairs = [
                (&set.all, &old.all),
                (&set.healthy, &old.healthy),
                (&set.degraded, &old.degraded),
            ];
            for (list, old) in pairs {
                list.continue_from(old);
            }
            for (locality, old) in set.localities.iter().zip(&*old.localities) {
                locality.healthy.continue_from(&old.healthy);
                locality.degraded.continue_from(&old.degraded);
            }
        }
    }

    /// What the cluster's policy has made of these hosts, if it was needed yet.
    pub(crate) fn derived(&self) -> Option<&Derived> {
        self.derived.get()
    }

    /// The same, made now if need be.
    pub(crate) fn derived_or(&self, make: impl FnOnce() -> Derived) -> &Derived {
        self.derived.get_or_init(make)
    }

    /// The host at this address, of any priority; the first one when there are several.
    pub(crate) fn at_address(&self, address: &Address) -> Option<&Arc<Host>> {
        let by_address = self.by_address.get_or_init(|| {
            let mut map = HashMap::with_capacity(self.len());
            for host in self.hosts() {
                map.entry(host.address().clone())
                    .or_insert_with(|| host.clone());
            }
            Box::new(map)
        });
        by_address.get(address)
    }

    /// These hosts alone, of one locality, and all of them fit to be chosen: somebody has looked at their health already.
    pub(crate) fn of_chosen(locality: Arc<Locality>, list: HostList) -> Self {
        let locality = LocalityHosts {
            locality,
            weight: None,
            all: list.clone(),
            healthy: list.clone(),
            degraded: HostList::empty(),
            excluded: 0,
        };
        let options = PriorityOptions::default();
        let set = HostSet {
            all: list.clone(),
            healthy: list,
            degraded: HostList::empty(),
            excluded: 0,
            localities: [locality].into(),
            options,
        };
        Self::of_sets([set].into(), options)
    }

    /// The same hosts, of which another policy may make something.
    pub(crate) fn with_nothing_derived(&self) -> Self {
        Self {
            sets: self.sets.clone(),
            loads: self.loads.clone(),
            options: self.options,
            derived: OnceLock::new(),
            by_address: OnceLock::new(),
        }
    }

    /// How priorities share the load.
    pub fn options(&self) -> PriorityOptions {
        self.options
    }

    /// The host sets, by priority; never empty.
    pub fn sets(&self) -> &[HostSet] {
        &self.sets
    }

    /// How much of the load each priority gets.
    pub fn loads(&self) -> &PriorityLoads {
        &self.loads
    }

    /// Every host.
    pub fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.sets.iter().flat_map(|set| set.all.iter())
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.all.len()).sum()
    }

    /// Whether there is no host at all.
    pub fn is_empty(&self) -> bool {
        self.sets.iter().all(|set| set.all.is_empty())
    }
}

impl HostSet {
    fn build<'a>(
        groups: impl Iterator<Item = &'a LocalityGroup>,
        options: PriorityOptions,
    ) -> Self {
        let mut merged: Vec<(&LocalityGroup, Option<Vec<Arc<Host>>>)> = Vec::new();
        for group in groups {
            // A priority may name a locality several times; Envoy puts its hosts together.
            match merged
                .iter_mut()
                .find(|(g, _)| g.locality == group.locality)
            {
                None => merged.push((group, None)),
                Some((first, joined)) => joined
                    .get_or_insert_with(|| first.hosts.clone())
                    .extend(group.hosts.iter().cloned()),
            }
        }
        let localities: Vec<LocalityHosts> = merged
            .iter()
            .map(|(group, joined)| {
                LocalityHosts::build(group, joined.as_deref().unwrap_or(&group.hosts))
            })
            .collect();
        if let [only] = localities.as_slice() {
            return Self {
                all: only.all.clone(),
                healthy: only.healthy.clone(),
                degraded: only.degraded.clone(),
                excluded: only.excluded,
                localities: localities.into(),
                options,
            };
        }
        let join = |part: fn(&LocalityHosts) -> &HostList| -> HostList {
            localities
                .iter()
                .flat_map(|l| part(l).iter().cloned())
                .collect()
        };
        let all = join(|l| &l.all);
        let healthy = if localities.iter().all(|l| l.healthy.len() == l.all.len()) {
            all.clone()
        } else {
            join(|l| &l.healthy)
        };
        Self {
            excluded: localities.iter().map(|l| l.excluded).sum(),
            all,
            healthy,
            degraded: join(|l| &l.degraded),
            localities: localities.into(),
            options,
        }
    }
}

impl LocalityHosts {
    fn build(group: &LocalityGroup, hosts: &[Arc<Host>]) -> Self {
        let all = HostList::new(hosts.to_vec());
        let of = |health: Health| -> HostList {
            let count = all.iter().filter(|host| host.health() == health).count();
            if count == all.len() {
                return all.clone();
            }
            all.iter()
                .filter(|host| host.health() == health)
                .cloned()
                .collect()
        };
        let excluded = all.iter().filter(|host| host.health_flags().is_excluded());
        Self {
            locality: group.locality.clone(),
            weight: group.weight,
            excluded: excluded.count() as u32,
            healthy: of(Health::Healthy),
            degraded: of(Health::Degraded),
            all,
        }
    }
}
