//! All subsets of one set of hosts.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use nuncio_stats::Group;

use super::criteria::{matches, push_criterion, values_of};
use super::{Fallback, Selector, SelectorFallback, Subset};
use crate::host::Host;
use crate::host_set::{LocalityHosts, PrioritySet};
use crate::stats::{ClusterStats as S, SubsetStats};

/// The subsets; shared by all workers.
pub(super) struct Subsets {
    /// By the criteria's key.
    by_criteria: HashMap<Box<[u8]>, usize>,
    all: Vec<Members>,
    /// Index of all hosts, and of the default subset, where they are fallbacks.
    pub(super) any: Option<usize>,
    pub(super) default: Option<usize>,
    stats: Arc<Group>,
    /// Keeps the gauge of duplicates alive.
    _duplicates: Arc<Group>,
}

/// Who is in a subset.
pub(super) enum Members {
    /// A child policy chooses among these.
    Hosts(Arc<PrioritySet>),
    /// `single_host_per_subset`: this one, whatever its health.
    Single(Arc<Host>),
}

impl Subsets {
    pub(super) fn new(
        policy: &Subset,
        hosts: &PrioritySet,
        before: Option<&Self>,
        stats: &Arc<Group>,
    ) -> Self {
        let mut members: HashMap<Box<[u8]>, Gathered> = HashMap::new();
        let mut duplicates = 0;
        for host in hosts.hosts() {
            for selector in &policy.selectors {
                for key in keys_of(host, selector, policy.list_as_any) {
                    let gathered = members.entry(key).or_insert_with(|| Gathered {
                        single: selector.single_host,
                        hosts: Vec::new(),
                    });
                    duplicates += u64::from(gathered.add(host));
                }
            }
        }
        let duplicates_group = stats.beside(SubsetStats::SCHEMA);
        duplicates_group.gauge_set(
            SubsetStats::LB_SUBSETS_SINGLE_HOST_PER_SUBSET_DUPLICATE,
            duplicates,
        );
        let mut subsets = Self {
            by_criteria: HashMap::with_capacity(members.len()),
            all: Vec::with_capacity(members.len()),
            any: None,
            default: None,
            stats: stats.clone(),
            _duplicates: duplicates_group,
        };
        for (key, gathered) in members {
            let old = before.and_then(|before| before.members(&key));
            let made = match gathered {
                Gathered {
                    single: true,
                    hosts,
                } => Members::Single(hosts[0].clone()),
                Gathered { hosts: chosen, .. } => {
                    let chosen: HashSet<*const Host> = chosen.iter().map(Arc::as_ptr).collect();
                    let keep = |host: &Arc<Host>| chosen.contains(&Arc::as_ptr(host));
                    Members::Hosts(policy.part(hosts, keep, old, stats))
                }
            };
            subsets.by_criteria.insert(key, subsets.all.len());
            subsets.all.push(made);
        }
        subsets.count(before);
        subsets.add_fallbacks(policy, hosts, before, stats);
        subsets
    }

    fn add_fallbacks(
        &mut self,
        policy: &Subset,
        hosts: &PrioritySet,
        before: Option<&Self>,
        stats: &Arc<Group>,
    ) {
        let wanted = |fallback: Fallback| {
            policy.fallback == fallback
                || policy
                    .selectors
                    .iter()
                    .any(|selector| selector.fallback == Some(SelectorFallback::To(fallback)))
        };
        let old = |index: fn(&Self) -> Option<usize>| {
            before.and_then(|before| before.all.get(index(before)?))
        };
        if wanted(Fallback::Any) || policy.panic_mode_any {
            let part = policy.part(hosts, |_| true, old(|s| s.any), stats);
            self.any = Some(self.all.len());
            self.all.push(Members::Hosts(part));
        }
        if wanted(Fallback::Default) {
            let keep = |host: &Arc<Host>| matches(host, &policy.default_subset, policy.list_as_any);
            let part = policy.part(hosts, keep, old(|s| s.default), stats);
            self.default = Some(self.all.len());
            self.all.push(Members::Hosts(part));
        }
    }

    /// Counts what has come and gone; a subset without hosts is gone.
    fn count(&self, before: Option<&Self>) {
        let new = |key| before.is_none_or(|before| !before.by_criteria.contains_key(key));
        let created = self.by_criteria.keys().filter(|key| new(*key)).count() as u64;
        let kept = self.by_criteria.len() as u64 - created;
        let removed = before.map_or(0, |before| before.by_criteria.len() as u64 - kept);
        for (counter, amount) in [
            (S::LB_SUBSETS_CREATED, created),
            (S::LB_SUBSETS_REMOVED, removed),
        ] {
            if amount > 0 {
                self.stats.add(counter, amount);
            }
        }
        if created + removed > 0 {
            self.stats
                .gauge_set(S::LB_SUBSETS_ACTIVE, self.by_criteria.len() as u64);
        }
    }

    /// The number of the subset with exactly these criteria.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        self.by_criteria.get(key).copied()
    }

    /// The subset of this number.
    pub(super) fn get(&self, index: usize) -> Option<&Members> {
        self.all.get(index)
    }

    fn members(&self, key: &[u8]) -> Option<&Members> {
        self.get(self.find(key)?)
    }
}

impl Subset {
    /// The part of `hosts` that `keep` wants; what a child has made of it before goes on.
    fn part(
        &self,
        hosts: &PrioritySet,
        keep: impl Fn(&Arc<Host>) -> bool,
        before: Option<&Members>,
        stats: &Arc<Group>,
    ) -> Arc<PrioritySet> {
        let part = hosts.filtered(keep, |locality, left| self.weight(locality, left));
        if let Some(Members::Hosts(before)) = before {
            part.continue_from(before);
            if let Some(derived) = before.derived()
                && let Some(new) = self.child.derive(&part, Some(derived), stats)
            {
                part.derived_or(|| new);
            }
        }
        Arc::new(part)
    }

    /// The weight of a locality of which `left` hosts are in a subset.
    pub(super) fn weight(&self, locality: &LocalityHosts, left: usize) -> Option<u32> {
        let weight = locality.weight.filter(|_| self.locality_weight_aware)?;
        if !self.scale_locality_weight || locality.all.is_empty() {
            return Some(weight);
        }
        // In single precision, as Envoy.
        let scaled = (weight as usize * left) as f32 / locality.all.len() as f32;
        Some(scaled.round() as u32)
    }
}

/// Hosts of one subset while they are gathered.
struct Gathered {
    single: bool,
    hosts: Vec<Arc<Host>>,
}

impl Gathered {
    /// Whether the host was one too many.
    fn add(&mut self, host: &Arc<Host>) -> bool {
        let is_last = self
            .hosts
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, host));
        if self.single && !self.hosts.is_empty() {
            return true;
        }
        // Two selectors may have led to the same subset.
        if !is_last {
            self.hosts.push(host.clone());
        }
        false
    }
}

/// The criteria of all subsets of `selector` in which `host` is: none if it lacks one of the keys.
fn keys_of(host: &Host, selector: &Selector, list_as_any: bool) -> Vec<Box<[u8]>> {
    let mut keys = vec![Vec::new()];
    let metadata = host.metadata();
    for name in &selector.keys {
        let Some(values) = values_of(metadata.as_deref(), name, list_as_any) else {
            return Vec::new();
        };
        keys = keys
            .iter()
            .flat_map(|stem| {
                values.iter().map(|value| {
                    let mut key: Vec<u8> = stem.clone();
                    push_criterion(name, value, &mut key);
                    key
                })
            })
            .collect();
    }
    // A selector without keys selects nothing.
    keys.into_iter()
        .filter(|key| !key.is_empty())
        .map(Vec::into_boxed_slice)
        .collect()
}
