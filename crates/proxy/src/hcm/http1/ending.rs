//! How a downstream HTTP/1 connection ends: deadlines, drains, the delayed close.

use std::task::{Context, Poll};
use std::time::Duration;

use nuncio_event::clock;
use nuncio_sdk::ResponseFlags;
use tokio::time::Instant;

use super::{FIRST_READ, Phase, ServerConnection};
use crate::hcm::accepted::Ended;
use crate::hcm::stats::HttpStats;
use crate::stream::earliest;

/// Details of a stream whose client takes nothing.
const IDLE: &str = "stream_idle_timeout";

/// Whether the connection is being drained: then responses tell the peer to close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// The peer may close until then (Envoy's drain sequence).
    Until(Instant),
    /// That time is over: the connection closes with the response in progress.
    Over,
    /// `http1_safe_max_connection_duration`: it closes with the next response, however late that comes.
    AtNextResponse,
}

impl Drain {
    /// When the time of the peer is over.
    fn end(self) -> Option<Instant> {
        match self {
            Drain::Until(end) => Some(end),
            Drain::No | Drain::Over | Drain::AtNextResponse => None,
        }
    }

    /// Whether a response that begins now is the last one.
    pub(super) fn closes(self) -> bool {
        matches!(self, Drain::Over | Drain::AtNextResponse)
    }
}

impl ServerConnection {
    /// Flushes, then waits for the peer to close, so that it reads the last response before a reset can eat it.
    pub(super) fn start_closing(&mut self) {
        self.phase = Phase::Closing;
        self.down.read.clear();
    }

    pub(super) fn linger(&mut self, cx: &mut Context<'_>) -> bool {
        let now = clock::now();
        let delay = self.hcm.config.timeouts.delayed_close;
        if !self.is_flushed() {
            let moved = self.flush(cx, now);
            if moved || self.close_at.is_none() {
                self.close_at = delay.map(|delay| now + delay);
            }
            return moved;
        }
        let Some(delay) = delay.filter(|_| !self.close_at_once) else {
            self.phase = Phase::Closed;
            return true;
        };
        self.close_at.get_or_insert(now + delay);
        match self.down.io.poll_read(cx, &mut self.down.read, FIRST_READ) {
            Poll::Ready(Ok(1..)) => self.down.read.clear(),
            Poll::Ready(Ok(0) | Err(_)) => {
                self.counted.ended = Ended::ByPeer;
                self.phase = Phase::Closed;
            }
            Poll::Pending => return false,
        }
        true
    }

    /// Ends the connection without further ado.
    pub(super) fn close_now(&mut self, ended: Ended, details: &'static str) {
        if let Some(stream) = &mut self.stream {
            let stats = &self.hcm.stats;
            stats.inc(HttpStats::DOWNSTREAM_CX_DESTROY_ACTIVE_RQ);
            stats.inc(match ended {
                Ended::Locally => HttpStats::DOWNSTREAM_CX_DESTROY_LOCAL_ACTIVE_RQ,
                Ended::ByPeer => HttpStats::DOWNSTREAM_CX_DESTROY_REMOTE_ACTIVE_RQ,
            });
            let flag = match details {
                IDLE => ResponseFlags::STREAM_IDLE_TIMEOUT,
                _ => ResponseFlags::DOWNSTREAM_CONNECTION_TERMINATION,
            };
            stream.on_downstream_gone(flag, details);
            self.finish_stream(clock::now());
        }
        self.counted.ended = ended;
        self.phase = Phase::Closed;
    }

    /// Until when the client must have taken something of what waits for it: while there is more of the response to come,
    /// within the stream's idle timeout.
    fn flush_deadline(&self) -> Option<Instant> {
        let limit = match &self.stream {
            Some(stream) => stream.idle_timeout(),
            None => self.flush_timeout,
        };
        Some(self.flush_since? + limit?)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeouts = &self.hcm.config.timeouts;
        let of_phase = match (&self.stream, self.phase) {
            (_, Phase::Closing | Phase::Closed) => self.close_at,
            (Some(stream), Phase::Open) => stream.deadline(),
            (None, Phase::Open) => self.idle_deadline(timeouts.idle),
        };
        let others = [
            self.flush_deadline(),
            self.drain.end(),
            self.max_duration_at,
        ];
        others.into_iter().fold(of_phase, earliest)
    }

    pub(super) fn idle_deadline(&self, limit: Option<Duration>) -> Option<Instant> {
        if self.drain != Drain::No {
            None
        } else {
            Some(self.idle_since + limit?)
        }
    }

    pub(super) fn on_deadline(&mut self, now: Instant) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let stats = self.hcm.stats.clone();
        let config = self.hcm.config.clone();
        let timeouts = &config.timeouts;
        if self.phase == Phase::Closing && passed(self.close_at) {
            stats.inc(HttpStats::DOWNSTREAM_CX_DELAYED_CLOSE_TIMEOUT);
            self.phase = Phase::Closed;
            return;
        }
        if passed(self.flush_deadline()) {
            // The client does not read: nothing can be told to it any more.
            if self.stream.is_some() {
                stats.inc(HttpStats::DOWNSTREAM_RQ_IDLE_TIMEOUT);
            }
            return self.close_now(Ended::Locally, IDLE);
        }
        if passed(self.drain.end()) {
            // A request in progress is answered first.
            self.drain = Drain::Over;
            if self.stream.is_none() {
                return self.start_closing();
            }
        }
        if passed(self.max_duration_at) {
            self.max_duration_at = None;
            stats.inc(HttpStats::DOWNSTREAM_CX_MAX_DURATION_REACHED);
            if config.safe_max_connection_duration && self.drain == Drain::No {
                self.drain = Drain::AtNextResponse;
                stats.gauge_add(HttpStats::DOWNSTREAM_CX_HTTP1_SOFT_DRAIN, 1);
            }
            self.start_draining(now);
        }
        let idle_deadline = self.idle_deadline(timeouts.idle);
        match &mut self.stream {
            Some(stream) => stream.on_deadline(now),
            None if passed(idle_deadline) => {
                stats.inc(HttpStats::DOWNSTREAM_CX_IDLE_TIMEOUT);
                self.start_draining(now);
            }
            None => {}
        }
    }

    pub(super) fn start_draining(&mut self, now: Instant) {
        if self.drain == Drain::No {
            self.drain = Drain::Until(now + self.hcm.drain_time());
        }
    }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        if self.phase != Phase::Closed {
            self.close_now(Ended::Locally, "local_connection_close");
        }
        if self.drain == Drain::AtNextResponse {
            let stats = &self.hcm.stats;
            stats.gauge_sub(HttpStats::DOWNSTREAM_CX_HTTP1_SOFT_DRAIN, 1);
        }
    }
}
