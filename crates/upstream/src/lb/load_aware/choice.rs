//! One worker's choice: priority and health as everywhere, then a locality by weight, then its policy (Envoy's `WorkerLocalLb`).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_event::clock;

use super::LoadAwareLocality;
use super::places::{Places, PriorityPlaces};
use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::lb::children::Children;
use crate::lb::priority::{PriorityLoads, Source};
use crate::lb::{LbContext, LbEnv, LoadBalancer, LocalCluster};
use crate::random::Random;
use crate::stats::ClusterStats as S;

/// One worker's balancers.
pub(super) struct Balancer {
    policy: Arc<LoadAwareLocality>,
    /// By priority, then by locality and source.
    children: Vec<Children>,
    /// Numbers of requests to come, drawn when somebody wanted to know.
    drawn: VecDeque<u64>,
    /// What children have at hand: for them there are no zones.
    env: Option<LbEnv>,
}

/// Where a request goes.
struct Way<'p> {
    priority: usize,
    source: Source,
    places: &'p PriorityPlaces,
    at: usize,
}

impl Balancer {
    pub(super) fn new(policy: Arc<LoadAwareLocality>) -> Self {
        Self {
            policy,
            children: Vec::new(),
            drawn: VecDeque::new(),
            env: None,
        }
    }

    fn places<'a>(&self, hosts: &'a PrioritySet, env: &LbEnv) -> Option<&'a Places> {
        let make = || Places::of(&self.policy, hosts, None, &env.group, clock::now());
        let derived = hosts.derived_or(|| Arc::new(make()));
        derived.downcast_ref()
    }

    /// The balancer of a part, and what it has at hand.
    fn child(&mut self, way: &Way<'_>, env: &LbEnv) -> (&mut dyn LoadBalancer, &LbEnv) {
        if self.children.len() <= way.priority {
            (self.children).resize_with(way.priority + 1, Children::default);
        }
        let env = self.env.get_or_insert_with(|| LbEnv {
            random: env.random.clone(),
            stats: env.stats.clone(),
            group: env.group.clone(),
            local: Rc::new(LocalCluster::default()),
        });
        let number = way.at * 3 + way.source as usize;
        let child = self.children[way.priority].of(number, &self.policy.child, env);
        (child, env)
    }
}

impl LoadBalancer for Balancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let drawn = self.drawn.pop_front();
        let number = drawn.unwrap_or_else(|| env.random.next());
        let places = self.places(hosts, env)?;
        let (priority, source) = (cx.loads(hosts)).choose_among(hosts.loads(), || number);
        if source == Source::All {
            env.stats.inc(S::LB_HEALTHY_PANIC);
        }
        let way = way(places, (priority, source), number)?;
        way.count(env);
        // How priorities share the load is settled.
        let cx = LbContext { loads: None, ..*cx };
        let (child, env) = self.child(&way, env);
        let hosts = match &places.whole {
            Some(whole) => whole,
            None => &way.places.places[way.at].part(source).hosts,
        };
        child.choose(hosts, &cx, env)
    }

    fn peek<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let healthy: usize = hosts.sets().iter().map(|set| set.healthy.len()).sum();
        if ahead >= healthy {
            return None;
        }
        while self.drawn.len() <= ahead {
            self.drawn.push_back(env.random.next());
        }
        let places = self.places(hosts, env)?;
        let of = |loads: &PriorityLoads, number| way(places, loads.choose(|| number), number);
        let way = of(hosts.loads(), self.drawn[ahead])?;
        // So many of the requests before it go the same way.
        let before = (self.drawn.iter().take(ahead))
            .filter(|number| of(hosts.loads(), **number).is_some_and(|other| other.is(&way)))
            .count();
        let (child, env) = self.child(&way, env);
        let part = way.places.places[way.at].part(way.source);
        child.peek(&part.hosts, before, env)
    }
}

impl Way<'_> {
    fn is(&self, other: &Self) -> bool {
        let of = |way: &Self| (way.priority, way.source, way.at);
        of(self) == of(other)
    }

    fn count(&self, env: &LbEnv) {
        if self.source == Source::All || !self.places.has_own() {
            return;
        }
        env.stats.inc(match self.at {
            0 if self.places.is_all_local(self.source) => S::LB_ZONE_ROUTING_ALL_DIRECTLY,
            0 => S::LB_ZONE_ROUTING_SAMPLED,
            _ => S::LB_ZONE_ROUTING_CROSS_ZONE,
        });
    }
}

/// The locality of such hosts of this priority for a request that has drawn `number`; `None` where there are none.
fn way(places: &Places, (priority, source): (usize, Source), number: u64) -> Option<Way<'_>> {
    let places = places.of_priority(priority)?;
    let weight = |at: usize| places.places[at].part(source).weight();
    let has_hosts = |at: &usize| !places.places[*at].part(source).hosts.is_empty();
    let all = 0..places.places.len();
    let total: f64 = all.clone().map(weight).sum();
    // The number has decided on the priority already.
    let mut point = (Random::seeded(number).next() >> 11) as f64 / (1u64 << 53) as f64 * total;
    let drawn = all.clone().find(|at| {
        point -= weight(*at);
        point < 0.0
    });
    // Nobody is drawn where rounding makes a difference, or weights have just changed.
    let at = drawn
        .filter(has_hosts)
        .or_else(|| all.rev().find(has_hosts))?;
    Some(Way {
        priority,
        source,
        places,
        at,
    })
}
