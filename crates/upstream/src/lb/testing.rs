//! What the tests of balancers share.

use std::rc::Rc;
use std::sync::Arc;

use nuncio_stats::Store;

use super::{LbContext, LbEnv, LoadBalancer};
use crate::host::{Host, Locality};
use crate::host_set::{LocalityGroup, PriorityOptions, PrioritySet};
use crate::random::Random;
use crate::stats::ClusterStats;
use crate::testing::port;

/// A worker with these random numbers.
pub(crate) fn env(seed: u64) -> LbEnv {
    // Lives as long as the test: groups do not keep their store.
    let store: &'static Store = Box::leak(Box::new(Store::new(1)));
    let group = store.group("cluster.x", ClusterStats::SCHEMA);
    LbEnv {
        random: Rc::new(Random::seeded(seed)),
        stats: group.local(),
        group,
        local: Rc::default(),
    }
}

/// Hosts of one priority and no locality.
pub(crate) fn one_priority(hosts: impl Iterator<Item = Arc<Host>>) -> Arc<PrioritySet> {
    of_groups(&[group("", 0, None, hosts)])
}

/// Hosts in groups.
pub(crate) fn of_groups(groups: &[LocalityGroup]) -> Arc<PrioritySet> {
    Arc::new(PrioritySet::build(groups, PriorityOptions::default()))
}

/// Hosts of a zone.
pub(crate) fn group(
    zone: &str,
    priority: u32,
    weight: Option<u32>,
    hosts: impl Iterator<Item = Arc<Host>>,
) -> LocalityGroup {
    LocalityGroup {
        locality: Arc::new(in_zone(zone)),
        weight,
        priority,
        hosts: hosts.collect(),
    }
}

/// A zone.
pub(crate) fn in_zone(zone: &str) -> Locality {
    Locality {
        zone: zone.into(),
        ..Locality::default()
    }
}

/// The ports of `count` picks.
pub(crate) fn picks(
    balancer: &mut dyn LoadBalancer,
    hosts: &Arc<PrioritySet>,
    env: &LbEnv,
    count: usize,
) -> Vec<u16> {
    let cx = LbContext::default();
    let pick = |_| port(&balancer.choose(hosts, &cx, env).expect("a host"));
    (0..count).map(pick).collect()
}
