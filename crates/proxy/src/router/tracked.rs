//! What a cluster with `track_cluster_stats` wants to know of each try: how large request and answer are, and how much of its
//! time it has taken.

use std::time::Duration;

use nuncio_http::{Event, Message};
use nuncio_upstream::WorkerCluster;
use nuncio_upstream::stats::{SizeStats, TimeoutBudgetStats};
use tokio::time::Instant;

use super::exchange::Step;
use crate::stream::Stream;

/// What is known of one try.
pub(super) struct Tracked {
    began: Instant,
    /// Bytes of the request's body.
    pub(super) sent: u64,
    /// Bytes of the answer's body.
    received: u64,
    /// Bytes in names and values of the answer's headers, and how many there are.
    head: Option<(u64, u64)>,
}

impl Tracked {
    /// A try that has begun then.
    pub(super) fn since(began: Instant) -> Box<Self> {
        Box::new(Self {
            began,
            sent: 0,
            received: 0,
            head: None,
        })
    }

    /// Something has come.
    pub(super) fn note(&mut self, step: &Step, response: &Message) {
        match step {
            Step::Event(Event::Headers { .. }) => {
                let headers = &response.headers;
                self.head = Some((headers.byte_size() as u64, headers.len() as u64));
            }
            Step::Event(Event::Data { .. }) => self.received += response.data.len() as u64,
            Step::Spliced(pipe, _) => self.received += pipe.len() as u64,
            _ => {}
        }
    }
}

/// The share of `timeout` that is used up, in percent; nothing of a time without end (Envoy's `percentageOfTimeout`).
fn percentage(took: Duration, timeout: Option<Duration>) -> u64 {
    let timeout = timeout.map_or(0, |timeout| timeout.as_millis() as u64);
    match timeout {
        0 => 0,
        timeout => took.as_millis() as u64 * 100 / timeout,
    }
}

impl Stream {
    /// The present try is over, or another one; `None` when it never had a connection.
    #[cold]
    pub(super) fn note_tracked(&mut self, tracked: Option<&Tracked>) {
        let Some(cluster) = &self.router.cluster else {
            return;
        };
        let Some(stats) = cluster.info().tracked.as_deref() else {
            return;
        };
        let began = self.router.try_began.take();
        if let Some(budgets) = &stats.budgets {
            let began = tracked.map_or(began, |tracked| Some(tracked.began));
            let took = began.map_or(Duration::ZERO, |began| began.elapsed());
            let whole = self.router.try_time.as_ref().and_then(|time| time.whole());
            let slot = TimeoutBudgetStats::UPSTREAM_RQ_TIMEOUT_BUDGET_PER_TRY_PERCENT_USED;
            budgets.record(slot, percentage(took, whole));
        }
        let Some(sizes) = &stats.sizes else {
            return;
        };
        let headers = &self.request.headers;
        sizes.record(
            SizeStats::UPSTREAM_RQ_HEADERS_SIZE,
            headers.byte_size() as u64,
        );
        sizes.record(SizeStats::UPSTREAM_RQ_HEADERS_COUNT, headers.len() as u64);
        let sent = tracked.map_or(0, |tracked| tracked.sent);
        sizes.record(SizeStats::UPSTREAM_RQ_BODY_SIZE, sent);
        if let Some(&Tracked {
            received,
            head: Some((size, count)),
            ..
        }) = tracked
        {
            sizes.record(SizeStats::UPSTREAM_RS_HEADERS_SIZE, size);
            sizes.record(SizeStats::UPSTREAM_RS_HEADERS_COUNT, count);
            sizes.record(SizeStats::UPSTREAM_RS_BODY_SIZE, received);
        }
    }

    /// The answer is complete, so long after the request was.
    pub(super) fn note_budget(&self, cluster: &WorkerCluster, took: Duration) {
        let tracked = cluster.info().tracked.as_deref();
        if let Some(budgets) = tracked.and_then(|tracked| tracked.budgets.as_ref()) {
            let slot = TimeoutBudgetStats::UPSTREAM_RQ_TIMEOUT_BUDGET_PERCENT_USED;
            budgets.record(slot, percentage(took, self.router.timeout));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_time_without_end_is_used_up() {
        let ms = Duration::from_millis;
        assert_eq!(percentage(ms(300), Some(ms(2000))), 15);
        assert_eq!(percentage(ms(300), Some(ms(100))), 300);
        assert_eq!(percentage(ms(300), None), 0);
    }
}
