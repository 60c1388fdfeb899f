//! What is watched while an exchange runs: how long it lasts, and which side is slow.

use std::rc::Rc;
use std::time::Duration;

use nuncio_http::Known;
use nuncio_sdk::{LocalReply, ResponseFlags};
use nuncio_upstream::WorkerCluster;
use tokio::time::Instant;

use super::Upstream;
use super::judge::count_error;
use super::retry::Failure;
use crate::stream::Stream;

/// What is remembered of one exchange.
#[derive(Default)]
pub(super) struct Watch {
    /// How long the request may take upstream, as it says itself; zero: as long as it likes.
    asked: Option<Duration>,
    /// Until when it may take.
    pub(super) until: Option<Instant>,
    /// The client is slow: the upstream is not read.
    paused: bool,
    /// The upstream is slow: the request waits here.
    backed_up: bool,
}

impl Watch {
    /// Counts what has changed.
    #[inline]
    pub(super) fn note(
        &mut self,
        cluster: Option<&Rc<WorkerCluster>>,
        paused: bool,
        backed_up: bool,
    ) {
        if self.paused != paused || self.backed_up != backed_up {
            self.count(cluster, paused, backed_up);
        }
    }

    #[cold]
    fn count(&mut self, cluster: Option<&Rc<WorkerCluster>>, paused: bool, backed_up: bool) {
        let paused_before = std::mem::replace(&mut self.paused, paused);
        let backed_up_before = std::mem::replace(&mut self.backed_up, backed_up);
        if let Some(cluster) = cluster {
            if paused != paused_before {
                cluster.on_reading_paused(paused);
            }
            if backed_up != backed_up_before {
                cluster.on_backed_up(backed_up);
            }
        }
    }
}

impl Stream {
    /// `x-envoy-upstream-stream-duration-ms`, which only requests from inside still have.
    pub(super) fn note_stream_duration(&mut self) {
        let header = Known::XEnvoyUpstreamStreamDurationMs;
        let asked = self.request.headers.get(header);
        self.router.watch.asked = asked
            .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok())
            .map(Duration::from_millis);
    }

    /// The request has got its connection: from now on its time runs (`max_stream_duration` of the cluster).
    pub(super) fn arm_stream_duration(&mut self) {
        let of_cluster = || {
            let (_, cluster) = self.router.host_and_cluster()?;
            cluster.info().http.max_stream_duration
        };
        let limit = self.router.watch.asked.or_else(of_cluster);
        let limit = limit.filter(|limit| !limit.is_zero());
        self.router.watch.until = limit.and_then(|limit| self.now.checked_add(limit));
    }

    /// The time of the exchange may be over.
    pub(super) fn on_stream_duration(&mut self, now: Instant) {
        let watch = &mut self.router.watch;
        if watch.until.is_none_or(|until| until > now) {
            return;
        }
        watch.until = None;
        let Upstream::Active(exchange) = &self.router.upstream else {
            return;
        };
        let started = exchange.has_started();
        if let Some((_, cluster)) = self.router.host_and_cluster() {
            cluster.on_max_stream_duration();
        }
        self.abandon_try();
        let failed = self.failing_host();
        if !started && self.retry_after(Failure::Timeout) {
            count_error(failed);
            return;
        }
        let status = if self.request_end { 504 } else { 408 };
        self.router_reply(
            LocalReply::new(
                status,
                "upstream max stream duration reached",
                "upstream_max_stream_duration_reached",
            )
            .flags(ResponseFlags::UPSTREAM_MAX_STREAM_DURATION_REACHED),
        );
    }
}
