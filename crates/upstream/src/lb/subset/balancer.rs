//! One worker's way from a request's criteria to a subset, or to a fallback.

use std::borrow::Cow;
use std::sync::Arc;

use nuncio_config::api::protobuf::{Value, value::Kind};

use super::criteria::push_criterion;
use super::index::{Members, Subsets};
use super::{Fallback, Selector, SelectorFallback, Subset};
use crate::host::Host;
use crate::host_set::{Derived, PrioritySet};
use crate::lb::children::Children;
use crate::lb::{LbContext, LbEnv, LbPolicy as _, LoadBalancer};
use crate::stats::ClusterStats as S;

/// The key under which criteria list what to try in turn.
const FALLBACK_LIST: &str = "fallback_list";

type Criterion<'c> = (&'c str, &'c Value);

pub(super) struct Balancer {
    policy: Arc<Subset>,
    /// What `children` belong to.
    derived: Option<Derived>,
    /// By number of the subset.
    children: Children,
    /// Reused for look-ups.
    key: Vec<u8>,
}

impl Balancer {
    pub(super) fn new(policy: Arc<Subset>) -> Self {
        Self {
            policy,
            derived: None,
            children: Children::default(),
            key: Vec::new(),
        }
    }
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let derived = hosts.derived_or(|| {
            let new = self.policy.derive(hosts, None, &env.group);
            new.unwrap_or_else(|| Arc::new(()))
        });
        if !self
            .derived
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, derived))
        {
            self.derived = Some(derived.clone());
            self.children.clear();
        }
        let subsets = derived.downcast_ref::<Subsets>()?;
        let policy = self.policy.clone();
        let mut pick = Pick {
            balancer: self,
            policy: &policy,
            subsets,
            cx,
            env,
        };
        let given = cx.metadata_match.map(Vec::as_slice).unwrap_or_default();
        let mut criteria: Vec<Criterion<'_>> = given.iter().map(|(k, v)| (&**k, v)).collect();
        let list = criteria
            .iter()
            .position(|(key, _)| *key == FALLBACK_LIST)
            .filter(|_| policy.fallback_list)
            .map(|at| criteria.remove(at).1);
        let chosen = match list.and_then(|list| list.kind.as_ref()) {
            Some(Kind::ListValue(list)) if !list.values.is_empty() => list
                .values
                .iter()
                .find_map(|over| pick.choose(&merged(&criteria, over))),
            _ => pick.choose(&criteria),
        };
        chosen.map(Cow::Owned)
    }
}

/// `criteria` with those of `over`, a struct, in place of or beside them; sorted.
fn merged<'c>(criteria: &[Criterion<'c>], over: &'c Value) -> Vec<Criterion<'c>> {
    let Some(Kind::StructValue(over)) = &over.kind else {
        return criteria.to_vec();
    };
    let mut merged: Vec<Criterion<'c>> = criteria
        .iter()
        .filter(|(key, _)| !over.fields.contains_key(*key))
        .copied()
        .chain(over.fields.iter().map(|(key, value)| (key.as_str(), value)))
        .collect();
    merged.sort_by_key(|(key, _)| *key);
    merged
}

/// One request's choice.
struct Pick<'p> {
    balancer: &'p mut Balancer,
    policy: &'p Subset,
    subsets: &'p Subsets,
    cx: &'p LbContext<'p>,
    env: &'p LbEnv,
}

impl Pick<'_> {
    /// Envoy's `chooseHostIteration`.
    fn choose(&mut self, criteria: &[Criterion<'_>]) -> Option<Arc<Host>> {
        let reduced = match self.policy.allow_redundant_keys {
            true => self.reduced(criteria),
            false => None,
        };
        let criteria = reduced.as_deref().unwrap_or(criteria);
        if !criteria.is_empty() {
            let key = &mut self.balancer.key;
            key.clear();
            for (name, value) in criteria {
                push_criterion(name, value, key);
            }
            if let Some(found) = self.subsets.find(key) {
                self.env.stats.inc(S::LB_SUBSETS_SELECTED);
                return self.choose_in(found);
            }
            let selector = self.selector_of(criteria);
            if let Some(fallback) = selector.and_then(|selector| selector.fallback.as_ref()) {
                return match fallback {
                    SelectorFallback::To(fallback) => self.choose_fallback(*fallback),
                    SelectorFallback::Keys(keys) => {
                        let is_kept =
                            |(key, _): &&Criterion<'_>| keys.iter().any(|kept| **kept == **key);
                        let kept: Vec<_> = criteria.iter().filter(is_kept).copied().collect();
                        self.choose(&kept)
                    }
                };
            }
        }
        if self.policy.fallback == Fallback::None {
            return None;
        }
        if let Some(host) = self.choose_fallback(self.policy.fallback) {
            self.env.stats.inc(S::LB_SUBSETS_FALLBACK);
            return Some(host);
        }
        if !self.policy.panic_mode_any {
            return None;
        }
        let host = self.choose_in(self.subsets.any?)?;
        self.env.stats.inc(S::LB_SUBSETS_FALLBACK_PANIC);
        Some(host)
    }

    /// Only the keys of the first selector of which all keys are there.
    fn reduced<'c>(&self, criteria: &[Criterion<'c>]) -> Option<Vec<Criterion<'c>>> {
        self.policy.selectors.iter().find_map(|selector| {
            let of_selector =
                |(key, _): &&Criterion<'c>| selector.keys.iter().any(|k| **k == **key);
            let kept: Vec<_> = criteria.iter().filter(of_selector).copied().collect();
            (kept.len() == selector.keys.len()).then_some(kept)
        })
    }

    /// The first selector with exactly the keys of `criteria`.
    fn selector_of(&self, criteria: &[Criterion<'_>]) -> Option<&Selector> {
        let has_keys = |selector: &&Selector| {
            let keys = selector.keys.iter().map(|key| &**key);
            keys.eq(criteria.iter().map(|(key, _)| *key))
        };
        self.policy.selectors.iter().find(has_keys)
    }

    fn choose_fallback(&mut self, fallback: Fallback) -> Option<Arc<Host>> {
        match fallback {
            Fallback::None => None,
            Fallback::Any => self.choose_in(self.subsets.any?),
            Fallback::Default => self.choose_in(self.subsets.default?),
        }
    }

    fn choose_in(&mut self, subset: usize) -> Option<Arc<Host>> {
        let hosts = match self.subsets.get(subset)? {
            Members::Single(host) => return Some(host.clone()),
            Members::Hosts(hosts) => hosts,
        };
        let children = &mut self.balancer.children;
        let child = children.of(subset, &self.policy.child, self.env);
        child.choose(hosts, self.cx, self.env).map(Cow::into_owned)
    }
}
