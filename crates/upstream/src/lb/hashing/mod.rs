//! Policies that send a hash to the same host again and again (Envoy's `ThreadAwareLoadBalancerBase`): ring hash and
//! Maglev. Their tables are made once per set of hosts and shared by all workers; a priority whose hosts have not
//! changed keeps its table.

mod bounded;
pub mod maglev;
pub mod ring;
mod tied;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use nuncio_config::api::protobuf::value::Kind;
use nuncio_route::HashPolicy;
use nuncio_stats::Group;

use super::priority::Source;
use super::{LbContext, LbEnv, LbPolicy, LoadBalancer, choose_untried, is_equal};
use crate::host::Host;
use crate::host_list::HostList;
use crate::host_set::{Derived, HostSet, LocalityHosts, PrioritySet};
use crate::random::Random;
use crate::stats::ClusterStats as S;

/// What ring hash and Maglev have in common (`ConsistentHashingLbConfig`, `locality_weighted_lb_config`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HashingOptions {
    /// A host's key is its name, not its address.
    pub use_hostname: bool,
    /// `hash_balance_factor`, percent of the average load that a host may have; 100 or more. `None` is no bound.
    pub balance_factor: Option<u32>,
    /// A host's weight is a share of its locality's.
    pub locality_weighted: bool,
}

/// `ConsistentHashingLbConfig.hash_policy`, compiled.
#[derive(Debug)]
pub struct OwnHashPolicy {
    policy: HashPolicy,
    /// What it was compiled from, in wire format.
    config: Vec<u8>,
}

impl OwnHashPolicy {
    /// A policy, and the messages that it was compiled from.
    pub fn new(policy: HashPolicy, config: Vec<u8>) -> Self {
        Self { policy, config }
    }
}

impl PartialEq for OwnHashPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
    }
}

/// Maps hashes to hosts.
trait HashTable: Send + Sync {
    /// The index of the host for `hash`; a later `attempt` is likely to give another one.
    fn find(&self, hash: u64, attempt: u32) -> usize;
}

/// Hosts with their shares of the load, which add up to 1.
struct Shares {
    hosts: Vec<Arc<Host>>,
    shares: Vec<f64>,
}

impl Shares {
    fn of(set: &HostSet, in_panic: bool, by_locality: bool) -> Self {
        let mut all = Self {
            hosts: Vec::new(),
            shares: Vec::new(),
        };
        // Subsets that take no notice of weights have none; elsewhere all weights may be zero, and nobody is chosen.
        let has_weights = set.localities.iter().any(|l| l.weight.is_some());
        if !by_locality || !has_weights {
            all.add(if in_panic { &set.all } else { &set.healthy }, 1.0);
            return all;
        }
        // Envoy's order, which decides where fractions of a ring go.
        let mut localities: Vec<&LocalityHosts> = set.localities.iter().collect();
        localities.sort_by_key(|l| &l.locality);
        let weight = |l: &LocalityHosts| f64::from(l.weight.unwrap_or(0));
        let total: f64 = localities.iter().map(|l| weight(l)).sum();
        for locality in localities {
            if weight(locality) > 0.0 {
                let list = match in_panic {
                    true => &locality.all,
                    false => &locality.healthy,
                };
                all.add(list, weight(locality) / total);
            }
        }
        all
    }

    fn add(&mut self, list: &HostList, share: f64) {
        let total: u64 = list.iter().map(|host| u64::from(host.weight())).sum();
        for host in list.iter() {
            self.hosts.push(host.clone());
            self.shares
                .push(f64::from(host.weight()) * share / total as f64);
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.shares == other.shares
            && self
                .hosts
                .iter()
                .zip(&other.hosts)
                .all(|(a, b)| Arc::ptr_eq(a, b))
    }
}

/// The key of `host`: its metadata `envoy.lb` / `hash_key`, else its name or address.
fn key_of(host: &Host, use_hostname: bool) -> Cow<'_, str> {
    let metadata = host.metadata();
    let given = metadata
        .as_ref()
        .and_then(|m| m.get("envoy.lb", ["hash_key"]));
    if let Some(Kind::StringValue(key)) = given.and_then(|value| value.kind.as_ref())
        && !key.is_empty()
    {
        return Cow::Owned(key.clone());
    }
    match use_hostname {
        true => Cow::Borrowed(host.hostname()),
        false => Cow::Owned(host.address().to_string()),
    }
}

/// The tables for one set of hosts.
struct Tables {
    by_priority: Box<[Arc<PriorityTable>]>,
    /// Keeps the policy's stats alive.
    group: Arc<Group>,
}

/// What one priority's hashes lead to.
struct PriorityTable {
    shares: Shares,
    /// None without hosts.
    table: Option<Box<dyn HashTable>>,
}

/// A policy that makes tables.
trait MakeTable: fmt::Debug + PartialEq + Send + Sync + 'static {
    /// What the policy is called as an extension.
    const NAME: &str;

    /// `hash_policy`, which comes before the route's.
    fn own_hash_policy(&self) -> Option<&OwnHashPolicy>;

    fn options(&self) -> HashingOptions;

    /// The group of the policy's own stats.
    fn stats(&self, cluster: &Group) -> Arc<Group>;

    /// A table for these hosts, of which there is one at least.
    fn make(&self, shares: &Shares, stats: &Group) -> Box<dyn HashTable>;
}

impl<P: MakeTable> LbPolicy for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn build(self: Arc<Self>, _: &Random) -> Box<dyn LoadBalancer> {
        Box::new(Balancer(self))
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        is_equal(self, other)
    }

    fn derive(
        &self,
        hosts: &PrioritySet,
        before: Option<&Derived>,
        stats: &Arc<Group>,
    ) -> Option<Derived> {
        Some(derive(self, hosts, before, stats))
    }

    fn needs_hash(&self) -> bool {
        true
    }

    fn hash_policy(&self) -> Option<&HashPolicy> {
        self.own_hash_policy().map(|own| &own.policy)
    }
}

/// [`LbPolicy::derive`] of all of them.
fn derive(
    policy: &impl MakeTable,
    hosts: &PrioritySet,
    before: Option<&Derived>,
    stats: &Arc<Group>,
) -> Derived {
    let before = before.and_then(|derived| derived.downcast_ref::<Tables>());
    let group = before.map_or_else(|| policy.stats(stats), |before| before.group.clone());
    let by_locality = policy.options().locality_weighted;
    let by_priority = hosts.sets().iter().enumerate().map(|(priority, set)| {
        let in_panic = hosts.loads().share(priority).panic;
        let shares = Shares::of(set, in_panic, by_locality);
        let old = before.and_then(|before| before.by_priority.get(priority));
        if let Some(old) = old.filter(|old| old.shares.is_same(&shares)) {
            return old.clone();
        }
        let table = (!shares.hosts.is_empty()).then(|| policy.make(&shares, &group));
        Arc::new(PriorityTable { shares, table })
    });
    Arc::new(Tables {
        by_priority: by_priority.collect(),
        group,
    })
}

/// One worker's use of the tables; it has nothing of its own.
struct Balancer<P>(Arc<P>);

impl<P: MakeTable> LoadBalancer for Balancer<P> {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let derived = hosts.derived_or(|| derive(&*self.0, hosts, None, &env.group));
        let tables = derived.downcast_ref::<Tables>()?;
        // Without a hash this is a random balancer.
        let hash = cx.hash.unwrap_or_else(|| env.random.next());
        let (priority, source) = hosts.loads().choose(|| hash);
        if source == Source::All {
            env.stats.inc(S::LB_HEALTHY_PANIC);
        }
        let PriorityTable { shares, table } = &**tables.by_priority.get(priority)?;
        let table = table.as_deref()?;
        let factor = self.0.options().balance_factor;
        choose_untried(cx, |attempt| {
            let found = table.find(hash, attempt);
            let index = match factor {
                None => found,
                Some(factor) => bounded::choose(found, hash, shares, factor, env),
            };
            shares.hosts.get(index)
        })
    }
}

#[cfg(test)]
mod tests;
