//! Immutable snapshots of a cluster's hosts: what balancers choose from.

use std::sync::Arc;

use crate::host::{Health, Host, Locality};
use crate::lb::priority::PriorityLoads;

/// A list of hosts, shared between the lists that happen to be equal (all and healthy, mostly).
pub type HostList = Arc<[Arc<Host>]>;

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
    /// The same hosts by locality, in the order of configuration.
    pub localities: Arc<[LocalityHosts]>,
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
}

/// Hosts of a locality as discovery gives them.
#[derive(Clone, Debug)]
pub struct LocalityGroup {
    /// Where they are.
    pub locality: Arc<Locality>,
    /// `load_balancing_weight` of the locality.
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
        let sets: Box<[HostSet]> = (0..priorities)
            .map(|priority| HostSet::build(groups.iter().filter(|g| g.priority == priority)))
            .collect();
        let loads = PriorityLoads::compute(&sets, options);
        Self { sets, loads }
    }

    /// The same hosts, sorted anew after their health has changed.
    pub fn rebuilt(&self, options: PriorityOptions) -> Self {
        let mut groups = Vec::new();
        for (priority, set) in self.sets.iter().enumerate() {
            for locality in &*set.localities {
                groups.push(LocalityGroup {
                    locality: locality.locality.clone(),
                    weight: locality.weight,
                    priority: priority as u32,
                    hosts: locality.all.to_vec(),
                });
            }
        }
        Self::build(&groups, options)
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
    fn build<'a>(groups: impl Iterator<Item = &'a LocalityGroup>) -> Self {
        let localities: Vec<LocalityHosts> = groups.map(LocalityHosts::build).collect();
        let excluded = |list: &HostList| {
            list.iter()
                .filter(|host| host.health_flags().is_excluded())
                .count() as u32
        };
        if let [only] = localities.as_slice() {
            return Self {
                all: only.all.clone(),
                healthy: only.healthy.clone(),
                degraded: only.degraded.clone(),
                excluded: excluded(&only.all),
                localities: localities.into(),
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
            excluded: excluded(&all),
            all,
            healthy,
            degraded: join(|l| &l.degraded),
            localities: localities.into(),
        }
    }
}

impl LocalityHosts {
    fn build(group: &LocalityGroup) -> Self {
        let all: HostList = group.hosts.as_slice().into();
        let of = |health: Health| -> HostList {
            let count = all.iter().filter(|host| host.health() == health).count();
            if count == all.len() {
                return all.clone();
            }
            if count == 0 {
                return no_hosts();
            }
            all.iter()
                .filter(|host| host.health() == health)
                .cloned()
                .collect()
        };
        Self {
            locality: group.locality.clone(),
            weight: group.weight,
            healthy: of(Health::Healthy),
            degraded: of(Health::Degraded),
            all,
        }
    }
}

/// The one empty list, so that emptiness costs no memory per cluster.
pub(crate) fn no_hosts() -> HostList {
    use std::sync::LazyLock;
    static NONE: LazyLock<HostList> = LazyLock::new(|| Arc::new([]));
    NONE.clone()
}
