//! What the router tells of answers, for policies that learn from them.

use std::time::Duration;

use nuncio_http::HeaderMap;
use tokio::time::Instant;

use super::{WorkerCluster, WorkerHost};
use crate::lb::Answered;
use crate::orca;

impl WorkerCluster {
    /// Whether load reports of hosts are wanted ([`Self::on_load_report`]).
    #[inline]
    pub fn wants_load_reports(&self) -> bool {
        self.info().wanted.reports
    }

    /// Headers or trailers of an answer of `host`. Returns whether there was a load report, after which the request's other
    /// ones do not count.
    #[cold]
    pub fn on_load_report(&self, host: &WorkerHost, headers: &HeaderMap, now: Instant) -> bool {
        let info = self.info();
        let report = match orca::parse(headers) {
            None => return false,
            Some(Ok(report)) => report,
            Some(Err(error)) => {
                log::debug!(
                    "cluster {}: load report of {} is not used: {error}",
                    info.name,
                    host.host().address()
                );
                return false;
            }
        };
        if let Some(metrics) = &info.reported_metrics {
            let sums = &host.host().feedback().metrics;
            metrics.add(&report, sums.get_or_init(Default::default));
        }
        if let Some(learner) = info.lb.learner()
            && let Err(error) = learner.on_report(host.host(), &report, now)
        {
            log::debug!(
                "cluster {}: nothing follows from the load report of {}: {error}",
                info.name,
                host.host().address()
            );
        }
        true
    }

    /// A try with `host` has taken this long, up to its answer's headers, or until it failed.
    #[inline]
    pub fn on_latency(
        &self,
        host: &WorkerHost,
        answered: Answered,
        now: Instant,
        took: impl FnOnce() -> Duration,
    ) {
        let info = self.info();
        if info.wanted.latency
            && let Some(learner) = info.lb.learner()
        {
            learner.on_latency(host.host(), took(), answered, now);
        }
    }
}
