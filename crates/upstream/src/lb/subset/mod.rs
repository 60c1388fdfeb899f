//! Subsets: hosts by their metadata under `envoy.lb`, of which a route picks one by its `metadata_match` (Envoy's
//! `SubsetLoadBalancer`). Each subset is a set of hosts of its own, with priorities, localities and panic, in which
//! another policy chooses.

mod balancer;
mod criteria;
mod index;

use std::any::Any;
use std::sync::Arc;

use nuncio_route::{HashPolicy, MetadataMatch};
use nuncio_stats::Group;

use super::{LbPolicy, Learner, LoadBalancer};
use crate::host::Host;
use crate::host_set::{Derived, PrioritySet};
use crate::random::Random;

use balancer::Balancer;
use index::Subsets;

/// The policy.
#[derive(Debug)]
pub struct Subset {
    /// `fallback_policy`: where requests go that no subset is for.
    pub fallback: Fallback,
    /// `default_subset`, sorted by key.
    pub default_subset: MetadataMatch,
    /// `subset_selectors`
    pub selectors: Box<[Selector]>,
    /// `locality_weight_aware`: localities keep their weights in subsets.
    pub locality_weight_aware: bool,
    /// `scale_locality_weight`: weights shrink with the share of a locality's hosts that are in the subset.
    pub scale_locality_weight: bool,
    /// `panic_mode_any`: any host rather than none.
    pub panic_mode_any: bool,
    /// `list_as_any`: a host whose value is a list is in a subset for each element.
    pub list_as_any: bool,
    /// `metadata_fallback_policy: FALLBACK_LIST`
    pub fallback_list: bool,
    /// `allow_redundant_keys`: criteria with more keys than a selector has match it too.
    pub allow_redundant_keys: bool,
    /// Chooses in a subset.
    pub child: Arc<dyn LbPolicy>,
}

/// `LbSubsetFallbackPolicy`
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fallback {
    /// `NO_FALLBACK`: nowhere.
    None,
    /// `ANY_ENDPOINT`
    Any,
    /// `DEFAULT_SUBSET`
    Default,
}

/// `LbSubsetSelector`
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// `keys`, sorted, each once.
    pub keys: Box<[Box<str>]>,
    /// `single_host_per_subset`
    pub single_host: bool,
    /// `fallback_policy`; `None` is `NOT_DEFINED`.
    pub fallback: Option<SelectorFallback>,
}

/// `LbSubsetSelectorFallbackPolicy`
#[derive(Clone, Debug, PartialEq)]
pub enum SelectorFallback {
    /// As the policy's own.
    To(Fallback),
    /// `KEYS_SUBSET`: try again with these keys only.
    Keys(Box<[Box<str>]>),
}

/// Whether `host` has all of `criteria`; a list has each of its values.
pub(crate) fn has_metadata(host: &Host, criteria: &MetadataMatch) -> bool {
    criteria::matches(host, criteria, true)
}

impl LbPolicy for Subset {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.subset"
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Balancer::new(self))
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        let Some(other) = (other as &dyn Any).downcast_ref::<Self>() else {
            return false;
        };
        let Self {
            fallback,
            default_subset,
            selectors,
            locality_weight_aware,
            scale_locality_weight,
            panic_mode_any,
            list_as_any,
            fallback_list,
            allow_redundant_keys,
            child,
        } = self;
        *fallback == other.fallback
            && *default_subset == other.default_subset
            && *selectors == other.selectors
            && *locality_weight_aware == other.locality_weight_aware
            && *scale_locality_weight == other.scale_locality_weight
            && *panic_mode_any == other.panic_mode_any
            && *list_as_any == other.list_as_any
            && *fallback_list == other.fallback_list
            && *allow_redundant_keys == other.allow_redundant_keys
            && child.same_as(&*other.child)
    }

    fn derive(
        &self,
        hosts: &PrioritySet,
        before: Option<&Derived>,
        stats: &Arc<Group>,
    ) -> Option<Derived> {
        let before = before.and_then(|derived| derived.downcast_ref::<Subsets>());
        Some(Arc::new(Subsets::new(self, hosts, before, stats)))
    }

    fn derives_at_once(&self) -> bool {
        true
    }

    fn needs_hash(&self) -> bool {
        self.child.needs_hash()
    }

    fn hash_policy(&self) -> Option<&HashPolicy> {
        self.child.hash_policy()
    }

    fn learner(&self) -> Option<&dyn Learner> {
        self.child.learner()
    }
}

#[cfg(test)]
mod tests;
