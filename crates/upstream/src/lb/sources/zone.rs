//! Zone-aware routing: requests stay in this proxy's own locality as far as its share of the upstream's capacity
//! reaches, and the rest goes where capacity is left (Envoy's `regenerateLocalityRoutingStructures`). Priority 0 only.

use std::sync::Arc;

use super::ZoneAwareOptions;
use crate::host::Locality;
use crate::host_list::HostList;
use crate::host_set::{HostSet, PrioritySet};
use crate::lb::LbEnv;
use crate::stats::ClusterStats as S;

/// What was found out about one pair of upstream and local cluster.
pub(super) struct ZoneRouting {
    options: ZoneAwareOptions,
    upstream: Option<Arc<PrioritySet>>,
    local: Option<Arc<PrioritySet>>,
    /// Too few hosts of the local cluster are healthy.
    local_panic: bool,
    plan: Plan,
}

enum Plan {
    /// Localities do not matter.
    None,
    /// Everything goes to this locality, which is this proxy's own.
    Direct(usize),
    Residual(Residual),
}

/// The own locality cannot take everything.
struct Residual {
    own: Option<usize>,
    /// Ten-thousandths of the requests that stay in the own locality.
    stay: u64,
    /// What is left in each locality, added up.
    capacity: Vec<u64>,
}

pub(super) enum Choice {
    Anywhere,
    /// In this locality.
    In(usize),
    /// Nowhere: `fail_traffic_on_panic`.
    Fail,
}

/// All, in the unit of shares.
const WHOLE: u64 = 10_000;

impl ZoneRouting {
    pub(super) fn new(options: ZoneAwareOptions) -> Self {
        Self {
            options,
            upstream: None,
            local: None,
            local_panic: false,
            plan: Plan::None,
        }
    }

    #[inline]
    pub(super) fn choose(&mut self, hosts: &Arc<PrioritySet>, env: &LbEnv) -> Choice {
        match env.local.hosts() {
            None => Choice::Anywhere,
            Some(local) => self.choose_zone(hosts, local, env),
        }
    }

    fn choose_zone(
        &mut self,
        hosts: &Arc<PrioritySet>,
        local: Arc<PrioritySet>,
        env: &LbEnv,
    ) -> Choice {
        let is_same = |known: &Option<Arc<PrioritySet>>, now: &Arc<PrioritySet>| {
            known.as_ref().is_some_and(|known| Arc::ptr_eq(known, now))
        };
        if !is_same(&self.upstream, hosts) || !is_same(&self.local, &local) {
            self.local_panic = is_in_panic(&local.sets()[0], hosts.options().panic_threshold);
            self.plan = self.plan(&hosts.sets()[0], &local.sets()[0], env);
            self.upstream = Some(hosts.clone());
            self.local = Some(local);
        }
        if matches!(self.plan, Plan::None) {
            return Choice::Anywhere;
        }
        let enabled = env.local.zone_routing.enabled.overridden();
        let enabled = enabled.unwrap_or(u64::from(self.options.routing_enabled));
        if env.random.next() % 100 >= enabled {
            return Choice::Anywhere;
        }
        if self.local_panic {
            env.stats.inc(S::LB_LOCAL_CLUSTER_NOT_OK);
            return match self.options.fail_traffic_on_panic {
                true => Choice::Fail,
                false => Choice::Anywhere,
            };
        }
        match &self.plan {
            Plan::None => Choice::Anywhere,
            Plan::Direct(own) => {
                env.stats.inc(S::LB_ZONE_ROUTING_ALL_DIRECTLY);
                Choice::In(*own)
            }
            Plan::Residual(residual) => Choice::In(residual.choose(env)),
        }
    }

    fn plan(&self, upstream: &HostSet, local: &HostSet, env: &LbEnv) -> Plan {
        env.stats.inc(S::LB_RECALCULATE_ZONE_STRUCTURES);
        let force = self.options.force_local_zone;
        let inhabited = |set: &HostSet| set.localities.iter().filter(|l| !l.all.is_empty()).count();
        if inhabited(upstream) < 2 || (inhabited(local) < 2 && force.is_none()) {
            return Plan::None;
        }
        let place = &env.local.locality;
        let ours = |set: &HostSet| set.localities.iter().position(|l| *l.locality == *place);
        if ours(local).is_none_or(|at| local.localities[at].all.is_empty()) {
            env.stats.inc(S::LB_LOCAL_CLUSTER_NOT_OK);
            return Plan::None;
        }
        let least = env.local.zone_routing.min_cluster_size.overridden();
        let least = least.unwrap_or(self.options.min_cluster_size);
        if (upstream.healthy.len() as u64) < least {
            env.stats.inc(S::LB_ZONE_CLUSTER_TOO_SMALL);
            return Plan::None;
        }
        // Envoy's local locality exists only while it has hosts.
        let own = ours(upstream).filter(|&at| !upstream.localities[at].all.is_empty());
        let shares = self.shares(upstream, local);
        if let Some(own) = own {
            let (here, there) = shares[own];
            let healthy = upstream.localities[own].healthy.len() as u64;
            let is_forced = force.is_some_and(|least| healthy >= u64::from(least));
            if (there > 0 && there >= here) || is_forced {
                return Plan::Direct(own);
            }
        }
        let stay = match own.map(|own| shares[own]) {
            Some((here, there)) if here > 0 => there * WHOLE / here,
            _ => 0,
        };
        let mut left = 0;
        let capacity = shares.iter().enumerate().map(|(at, (here, there))| {
            if own != Some(at) {
                left += there.saturating_sub(*here);
            }
            left
        });
        Plan::Residual(Residual {
            own,
            stay,
            capacity: capacity.collect(),
        })
    }

    /// Per upstream locality: the share of proxies that are there, and the share of the upstream's capacity.
    fn shares(&self, upstream: &HostSet, local: &HostSet) -> Vec<(u64, u64)> {
        let size = |list: &HostList| -> u64 {
            match self.options.by_weight {
                true => list.iter().map(|host| u64::from(host.weight())).sum(),
                false => list.len() as u64,
            }
        };
        let total =
            |set: &HostSet| -> u64 { set.localities.iter().map(|l| size(&l.healthy)).sum() };
        let (locals, upstreams) = (total(local), total(upstream));
        let share = |part: u64, total: u64| (WHOLE * part).checked_div(total).unwrap_or(0);
        let locals_at = |place: &Locality| {
            let found = local.localities.iter().find(|l| *l.locality == *place);
            found.map_or(0, |l| size(&l.healthy))
        };
        upstream
            .localities
            .iter()
            .map(|l| match l.healthy.is_empty() {
                true => (0, 0),
                false => (
                    share(locals_at(&l.locality), locals),
                    share(size(&l.healthy), upstreams),
                ),
            })
            .collect()
    }
}

impl Residual {
    fn choose(&self, env: &LbEnv) -> usize {
        if let Some(own) = self.own
            && env.random.next() % WHOLE < self.stay
        {
            env.stats.inc(S::LB_ZONE_ROUTING_SAMPLED);
            return own;
        }
        env.stats.inc(S::LB_ZONE_ROUTING_CROSS_ZONE);
        let total = self.capacity.last().copied().unwrap_or(0);
        if total == 0 {
            // Rounding has left nothing.
            env.stats.inc(S::LB_ZONE_NO_CAPACITY_LEFT);
            return (env.random.next() % self.capacity.len() as u64) as usize;
        }
        let point = env.random.next() % total;
        self.capacity.partition_point(|&end| end <= point)
    }
}

/// Envoy's `isHostSetInPanic`.
fn is_in_panic(set: &HostSet, threshold: u32) -> bool {
    let countable = set.all.len() as u64 - u64::from(set.excluded);
    let available = (set.healthy.len() + set.degraded.len()) as u64;
    100 * available < u64::from(threshold.min(100)) * countable.max(1)
}
