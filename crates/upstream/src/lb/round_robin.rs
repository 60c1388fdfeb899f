//! `ROUND_ROBIN`: each host in turn, by weight where weights differ (Envoy's `RoundRobinLoadBalancer`).

use std::borrow::Cow;
use std::sync::Arc;

use super::edf::EdfSchedule;
use super::priority::Source;
use super::{LbContext, LbEnv, LbPolicy, LoadBalancer};
use crate::host::Host;
use crate::host_set::{HostList, PrioritySet};
use crate::random::Random;
use crate::stats::ClusterStats;

/// The policy; it has no options yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin;

impl LbPolicy for RoundRobin {
    fn name(&self) -> &'static str {
        "envoy.load_balancing_policies.round_robin"
    }

    fn build(&self, random: &Random) -> Box<dyn LoadBalancer> {
        Box::new(RoundRobinBalancer {
            seed: random.next(),
            cursors: Vec::new(),
        })
    }

    fn same_as(&self, other: &dyn LbPolicy) -> bool {
        other.name() == self.name()
    }
}

struct RoundRobinBalancer {
    /// Where every list begins, so that workers and proxies do not walk in step.
    seed: u64,
    /// One per list that was used; few.
    cursors: Vec<Cursor>,
}

/// The place in one list of hosts.
struct Cursor {
    priority: usize,
    source: Source,
    /// Kept over changes of the list.
    position: u64,
    /// The list that `schedule` was made for.
    list: HostList,
    /// Where weights differ.
    schedule: Option<EdfSchedule>,
}

impl LoadBalancer for RoundRobinBalancer {
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>> {
        let mut host = self.choose_once(hosts, env)?;
        for _ in 0..cx.max_reselections {
            if !cx.attempted.iter().any(|tried| Arc::ptr_eq(tried, host)) {
                break;
            }
            host = self.choose_once(hosts, env)?;
        }
        Some(Cow::Borrowed(host))
    }
}

impl RoundRobinBalancer {
    fn choose_once<'a>(&mut self, hosts: &'a PrioritySet, env: &LbEnv) -> Option<&'a Arc<Host>> {
        let (priority, source) = hosts.loads().choose(|| env.random.next());
        if source == Source::All {
            env.stats.inc(ClusterStats::LB_HEALTHY_PANIC);
        }
        let list = source.of(hosts.sets().get(priority)?);
        let seed = self.seed as u32;
        let cursor = self.cursor(priority, source, list);
        if !Arc::ptr_eq(&cursor.list, list) {
            cursor.refresh(list, seed);
        }
        cursor.next(list)
    }

    fn cursor(&mut self, priority: usize, source: Source, list: &HostList) -> &mut Cursor {
        let is_it = |cursor: &Cursor| cursor.priority == priority && cursor.source == source;
        let at = self.cursors.iter().position(is_it).unwrap_or_else(|| {
            self.cursors.push(Cursor {
                priority,
                source,
                position: self.seed,
                list: list.clone(),
                schedule: schedule(list, self.seed as u32),
            });
            self.cursors.len() - 1
        });
        &mut self.cursors[at]
    }
}

impl Cursor {
    fn refresh(&mut self, list: &HostList, seed: u32) {
        self.list = list.clone();
        self.schedule = schedule(list, seed);
    }

    #[inline]
    fn next<'a>(&mut self, list: &'a HostList) -> Option<&'a Arc<Host>> {
        if let Some(schedule) = &mut self.schedule {
            let index = schedule.pick(|index| list[index].weight())?;
            return Some(&list[index]);
        }
        if list.is_empty() {
            return None;
        }
        let index = self.position % list.len() as u64;
        self.position = self.position.wrapping_add(1);
        Some(&list[index as usize])
    }
}

/// A schedule for hosts of different weights; none for equal ones, which take turns.
fn schedule(list: &HostList, seed: u32) -> Option<EdfSchedule> {
    let first = list.first()?.weight();
    if list.iter().all(|host| host.weight() == first) {
        return None;
    }
    Some(EdfSchedule::with_picks(
        list.iter().map(|host| host.weight()),
        seed,
    ))
}

#[cfg(test)]
mod tests;
