//! What is watched while an exchange runs: how long it lasts, and which side is slow.

use std::rc::Rc;
use std::time::Duration;

use nuncio_event::clock;
use nuncio_http::Known;
use nuncio_sdk::{LocalReply, ResponseFlags};
use nuncio_upstream::WorkerCluster;
use tokio::time::Instant;

use super::Upstream;
use super::judge::count_error;
use super::retry::Failure;
use crate::stream::{Stream, earliest};

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
    /// How much of the request may wait for an upstream that goes on, in bytes.
    usual: usize,
    /// When an upstream that has taken nothing so far counts as stalled.
    stalls_at: Option<Instant>,
    /// The upstream takes nothing, and so much may wait for it.
    stalled: Option<usize>,
}

/// An upstream that takes nothing for so long stands still. Until then little is read ahead of it, which costs the least. From
/// then on the request may fill what the configuration allows: only a request that is there as a whole has a route timeout.
const STANDSTILL: Duration = Duration::from_millis(100);

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

    /// The exchange is over: nothing waits for its upstream any more.
    #[inline]
    pub(super) fn on_end(&mut self, cluster: Option<&Rc<WorkerCluster>>) {
        if self.backed_up {
            self.count(cluster, self.paused, false);
        }
    }

    /// The request has got a connection; the limits of both connections are given, in bytes.
    pub(super) fn on_connection(&mut self, downstream: u32, upstream: u32) {
        self.usual = crate::SEND_AHEAD.min(downstream.min(upstream) as usize);
    }

    /// Whether the upstream is slower than the client.
    #[inline]
    pub(super) fn is_behind(&self, unsent: usize) -> bool {
        unsent > self.usual
    }

    /// Whether so much waits for the upstream that no more should be read.
    #[inline]
    pub(super) fn is_full(&self, unsent: usize) -> bool {
        unsent > self.stalled.unwrap_or(self.usual)
    }

    /// The upstream goes on.
    #[inline]
    pub(super) fn on_moved(&mut self, now: Instant) {
        if self.stalls_at.is_some() {
            self.stalls_at = Some(now + STANDSTILL);
        }
    }

    /// The next moment at which something may be over.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.until, self.stalls_at)
    }

    #[cold]
    fn count(&mut self, cluster: Option<&Rc<WorkerCluster>>, paused: bool, backed_up: bool) {
        let paused_before = std::mem::replace(&mut self.paused, paused);
        let backed_up_before = std::mem::replace(&mut self.backed_up, backed_up);
        if backed_up != backed_up_before {
            self.stalls_at = backed_up.then(|| clock::now() + STANDSTILL);
            self.stalled = None;
        }
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

    /// The upstream may have stood still for too long.
    pub(super) fn on_standstill(&mut self, now: Instant) {
        let watch = &mut self.router.watch;
        if watch.stalls_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let (Upstream::Active(exchange), Some((_, cluster))) =
            (&self.router.upstream, self.router.host_and_cluster())
        else {
            return;
        };
        let info = cluster.info();
        // As in Envoy: what waits for a window is the stream's, what waits for the socket the connection's.
        let limit = match exchange.awaits_window() {
            true => info.http.h2.initial_stream_window_size,
            false => info.per_connection_buffer_limit,
        };
        self.router.watch.stalled = Some(limit as usize);
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
