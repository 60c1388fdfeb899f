//! Localities by weight and availability (`locality_weighted_lb_config`).

use std::sync::Arc;

use crate::host_set::{HostSet, LocalityHosts, PriorityOptions, PrioritySet};
use crate::lb::LbEnv;
use crate::lb::edf::EdfSchedule;
use crate::lb::priority::Source;

/// A schedule of the localities of each priority.
#[derive(Default)]
pub(super) struct WeightedLocalities {
    hosts: Option<Arc<PrioritySet>>,
    /// Per priority: of healthy hosts, of degraded ones; made when first needed.
    schedules: Vec<[Option<Schedule>; 2]>,
}

struct Schedule {
    /// Index and effective weight of localities that get something.
    entries: Vec<(usize, f64)>,
    order: EdfSchedule,
}

impl WeightedLocalities {
    /// The next locality; `None` when none has a weight: then localities do not matter.
    pub(super) fn choose(
        &mut self,
        hosts: &Arc<PrioritySet>,
        priority: usize,
        source: Source,
        env: &LbEnv,
    ) -> Option<usize> {
        if !self
            .hosts
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, hosts))
        {
            self.hosts = Some(hosts.clone());
            self.schedules
                .resize_with(hosts.sets().len(), Default::default);
            // Hosts change more often than weights of localities, whose turns then go on.
            for (schedules, set) in self.schedules.iter_mut().zip(hosts.sets()) {
                for (schedule, is_degraded) in schedules.iter_mut().zip([false, true]) {
                    schedule
                        .take_if(|old| old.entries != entries(set, is_degraded, hosts.options()));
                }
            }
        }
        let is_degraded = source == Source::Degraded;
        let set = &hosts.sets()[priority];
        let schedule = self.schedules[priority][usize::from(is_degraded)]
            .get_or_insert_with(|| Schedule::new(set, is_degraded, hosts.options(), env));
        let Schedule { entries, order } = schedule;
        let at = order.pick(|at| entries[at].1)?;
        Some(entries[at].0)
    }
}

impl Schedule {
    fn new(set: &HostSet, is_degraded: bool, options: PriorityOptions, env: &LbEnv) -> Self {
        let entries = entries(set, is_degraded, options);
        let seed = env.random.next() as u32;
        Self {
            order: EdfSchedule::with_picks(entries.len(), |at| entries[at].1, seed),
            entries,
        }
    }
}

fn entries(set: &HostSet, is_degraded: bool, options: PriorityOptions) -> Vec<(usize, f64)> {
    let localities = set.localities.iter();
    localities
        .map(|locality| effective_weight(locality, is_degraded, options))
        .enumerate()
        .filter(|(_, weight)| *weight > 0.0)
        .collect()
}

/// Weight, less what the locality's failed hosts cannot take (Envoy's `effectiveLocalityWeight`).
fn effective_weight(locality: &LocalityHosts, is_degraded: bool, options: PriorityOptions) -> f64 {
    let eligible = match is_degraded {
        true => locality.degraded.len(),
        false => locality.healthy.len(),
    };
    let countable = locality.all.len() - locality.excluded as usize;
    if countable == 0 {
        return 0.0;
    }
    let availability = eligible as f64 / countable as f64;
    let scaled = f64::from(options.overprovisioning_factor) / 100.0 * availability;
    f64::from(locality.weight.unwrap_or(0)) * scaled.min(1.0)
}
