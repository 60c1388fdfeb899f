//! In which list of hosts a request looks for its host: priority, health, panic, then locality (Envoy's
//! `ZoneAwareLoadBalancerBase::hostSourceToUse`).

mod weighted;
mod zone;

use std::sync::Arc;

use super::LbEnv;
use super::priority::{PriorityLoads, Source};
use crate::host_list::HostList;
use crate::host_set::PrioritySet;
use crate::stats::ClusterStats as S;

use weighted::WeightedLocalities;
use zone::ZoneRouting;

/// How localities share the load of a priority (`LocalityLbConfig`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LocalityOptions {
    /// `zone_aware_lb_config`, and what holds without any: the own zone first, where there is a local cluster.
    ZoneAware(ZoneAwareOptions),
    /// `locality_weighted_lb_config`: by weight and availability.
    Weighted,
}

/// `LocalityLbConfig.ZoneAwareLbConfig`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZoneAwareOptions {
    /// `routing_enabled`, percent of requests that are routed by zone; 100 unless told.
    pub routing_enabled: u32,
    /// `min_cluster_size`: with fewer healthy hosts zones do not matter; 6 unless told.
    pub min_cluster_size: u64,
    /// `fail_traffic_on_panic`: no host rather than an unhealthy one.
    pub fail_traffic_on_panic: bool,
    /// `force_local_zone.min_size`: with so many healthy hosts in the own zone everything goes there.
    pub force_local_zone: Option<u32>,
    /// `locality_basis: HEALTHY_HOSTS_WEIGHT`: a zone's capacity is the weight of its hosts, not their number.
    pub by_weight: bool,
}

impl Default for ZoneAwareOptions {
    fn default() -> Self {
        Self {
            routing_enabled: 100,
            min_cluster_size: 6,
            fail_traffic_on_panic: false,
            force_local_zone: None,
            by_weight: false,
        }
    }
}

impl Default for LocalityOptions {
    fn default() -> Self {
        Self::ZoneAware(ZoneAwareOptions::default())
    }
}

/// Finds the list for each request.
pub(super) struct Sources {
    localities: Localities,
    fail_on_panic: bool,
}

enum Localities {
    Weighted(WeightedLocalities),
    Zones(Box<ZoneRouting>),
}

impl Sources {
    pub(super) fn new(options: LocalityOptions) -> Self {
        match options {
            LocalityOptions::Weighted => Self {
                localities: Localities::Weighted(WeightedLocalities::default()),
                fail_on_panic: false,
            },
            LocalityOptions::ZoneAware(zones) => Self {
                localities: Localities::Zones(Box::new(ZoneRouting::new(zones))),
                fail_on_panic: zones.fail_traffic_on_panic,
            },
        }
    }

    /// The list to choose from; it may be empty.
    #[inline]
    pub(super) fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Option<&'a HostList> {
        self.choose_by(hosts, hosts.loads(), env)
    }

    /// The same, where priorities share the load otherwise than the cluster's do.
    #[inline]
    pub(super) fn choose_by<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        loads: &PriorityLoads,
        env: &LbEnv,
    ) -> Option<&'a HostList> {
        let (priority, source) = loads.choose_among(hosts.loads(), || env.random.next());
        let set = hosts.sets().get(priority)?;
        if source == Source::All {
            env.stats.inc(S::LB_HEALTHY_PANIC);
            return (!self.fail_on_panic).then_some(&set.all);
        }
        let locality = match &mut self.localities {
            Localities::Weighted(weighted) => weighted.choose(hosts, priority, source, env),
            Localities::Zones(zones) if priority == 0 => match zones.choose(hosts, env) {
                zone::Choice::Anywhere => None,
                zone::Choice::In(locality) => Some(locality),
                zone::Choice::Fail => return None,
            },
            Localities::Zones(_) => None,
        };
        let Some(locality) = locality else {
            return Some(source.of(set));
        };
        let locality = set.localities.get(locality)?;
        Some(match source {
            Source::Degraded => &locality.degraded,
            _ => &locality.healthy,
        })
    }
}

#[cfg(test)]
mod tests;
