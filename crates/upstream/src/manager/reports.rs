//! Load reports out of band: which hosts are asked for them.

use nuncio_event::clock;
use tokio::task::spawn_local;

use super::{ClusterManager, Version};
use crate::health::HttpCounters;
use crate::info::ClusterInfo;
use crate::orca::out_of_band::{Session, Sessions, Target};
use crate::stats::OutOfBandStats;

impl ClusterManager {
    /// `None` where no policy asks for them, or without a runtime (validation).
    pub(super) fn make_sessions(&self, info: &ClusterInfo) -> Option<Box<Sessions>> {
        let settings = info.lb.learner()?.out_of_band();
        if tokio::runtime::Handle::try_current().is_err() {
            return None;
        }
        let stats = || {
            let prefix = format!("cluster.{}.lb_orca_oob", info.observability_name);
            self.server.stats.group(prefix, OutOfBandStats::SCHEMA)
        };
        let counters = || HttpCounters::new(info.stats.clone());
        Sessions::new(settings, stats, counters).map(Box::new)
    }

    /// Begins to ask the hosts of a version that are new, and ends to ask those that are gone; not while it warms, as in Envoy.
    pub(super) fn ask_for_reports(&self, version: &mut Version) {
        if version.reports.is_none() || !version.is_ready() {
            return;
        }
        let Version {
            reports,
            hosts,
            info,
            ..
        } = version;
        let Some(reports) = reports else {
            return;
        };
        let counters = reports.counters().clone();
        reports.set_hosts(hosts, |host, settings, active| {
            let session = Session {
                target: Target::new(host, settings, &info.name, info.connect.clone()),
                period: settings.period,
                turns: self.turns.clone(),
                active,
                counters: counters.clone(),
            };
            let (info, host) = (info.clone(), host.clone());
            let task = session.run(move |report| match info.lb.learner() {
                Some(learner) => learner.on_report(&host, report, clock::now()),
                None => Ok(()),
            });
            spawn_local(task).abort_handle()
        });
    }
}
