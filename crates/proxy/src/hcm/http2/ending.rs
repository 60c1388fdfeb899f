//! How streams and the connection end: deadlines, drains, the delayed close.

use std::task::{Context, Poll};
use std::time::Duration;

use nuncio_http::h2::{ErrorCode, GoAway, StreamKey};
use nuncio_sdk::http2::KeepaliveDue;
use nuncio_sdk::{Http2Stats, ResponseFlags};
use tokio::time::Instant;

use super::respond::early_code;
use super::{FIRST_READ, Phase, ServerConnection};
use crate::hcm::accepted::Ended;
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

/// How far the connection is on its way to a graceful end (Envoy's drain sequence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// The client was asked to open no more streams; those that it opens until then are served.
    Notified(Instant),
    /// No more streams are taken: the connection closes with the last one.
    Final,
}

impl Drain {
    pub(super) fn is_none(self) -> bool {
        self == Drain::No
    }

    fn end(self) -> Option<Instant> {
        match self {
            Drain::Notified(end) => Some(end),
            Drain::No | Drain::Final => None,
        }
    }
}

/// Streams that the client gave up before they were answered: a client that does little else is an attacker
/// (CVE-2023-44487). The numbers are Envoy's defaults of `overload.premature_reset_total_stream_count` and
/// `overload.premature_reset_min_stream_lifetime_seconds`.
#[derive(Default)]
pub(super) struct PrematureResets {
    closed: u64,
    premature: u64,
}

impl PrematureResets {
    const STREAMS: u64 = 500;
    const LIFETIME: Duration = Duration::from_secs(1);

    fn count(&mut self, stream: &Stream, now: Instant) {
        self.closed += 1;
        // As Envoy, in whole seconds.
        let lived = stream.info.duration(now).as_secs();
        let is_answered = stream.info.response_code.is_some_and(|code| code >= 200);
        if lived <= Self::LIFETIME.as_secs() && !is_answered {
            self.premature += 1;
        }
    }

    /// Half of the streams, or as many as half of a full count would be.
    fn are_too_many(&self) -> bool {
        self.premature * 2 >= self.closed.max(Self::STREAMS)
    }
}

impl ServerConnection {
    /// The stream is over: settles its stats and logs it.
    fn conclude(&mut self, key: StreamKey, now: Instant) {
        let Some(stream) = &mut self.slots[key.index()].stream else {
            return;
        };
        if !stream.request_end && !stream.reset_counted {
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_RX_RESET);
        }
        stream.conclude(now);
        self.resets.count(stream, now);
    }

    /// The stream is over and its response sent, or not to be sent: its slot is free.
    pub(super) fn finish_stream(&mut self, key: StreamKey, now: Instant) {
        let slot = &mut self.slots[key.index()];
        let flushed = std::mem::take(&mut slot.flushing);
        if !flushed && let Some(stream) = &mut slot.stream {
            stream.info.bytes_sent += stream.out.data.len() as u64;
        }
        self.conclude(key, now);
        let slot = &mut self.slots[key.index()];
        slot.flush_by = None;
        slot.owed = 0;
        let Some(mut stream) = slot.stream.take() else {
            return;
        };
        self.note_pending(key);
        self.drop_bulk(key);
        if stream.out.sent_end && !stream.request_end {
            let code = early_code(&stream);
            if code != ErrorCode::NO_ERROR {
                self.codec.reset(key, code, &mut self.write);
            }
        }
        stream.rest();
        self.worker.recycle(stream);
        self.codec.release(key, &mut self.write);
        self.open -= 1;
        self.hcm
            .http2_stats
            .gauge_sub(Http2Stats::STREAMS_ACTIVE, 1);
        if self.open == 0 {
            self.idle_since = now;
            self.read_size = FIRST_READ;
        }
        if self.phase != Phase::Open {
            return;
        }
        if self.resets.are_too_many() {
            let stats = &self.hcm.stats;
            stats.inc(HttpStats::DOWNSTREAM_RQ_TOO_MANY_PREMATURE_RESETS);
            self.close_now(Ended::Locally, "too_many_premature_resets", now);
        } else if self.drain == Drain::Final && self.open == 0 {
            self.start_closing(now);
        }
    }

    /// Ends all streams with the connection.
    pub(super) fn end_all_streams(
        &mut self,
        flag: ResponseFlags,
        details: &'static str,
        now: Instant,
    ) {
        for index in 0..self.slots.len() {
            if self.open == 0 {
                return;
            }
            let slot = &mut self.slots[index];
            let Some(mut stream) = slot.stream.take() else {
                continue;
            };
            self.open -= 1;
            self.hcm
                .http2_stats
                .gauge_sub(Http2Stats::STREAMS_ACTIVE, 1);
            if !std::mem::take(&mut slot.flushing) {
                stream.info.bytes_sent += stream.out.data.len() as u64;
            }
            stream.on_downstream_gone(flag, details);
            stream.finish(now);
            self.worker.recycle(stream);
            self.drop_bulk(StreamKey(index as u32));
            self.note_pending(StreamKey(index as u32));
        }
    }

    /// Flushes, then waits for the peer to close, so that it reads the last frames before a reset can eat them.
    pub(super) fn start_closing(&mut self, now: Instant) {
        self.phase = Phase::Closing;
        self.settle_counts();
        self.down.read.clear();
        self.close_at = self.hcm.config.timeouts.delayed_close.map(|d| now + d);
    }

    pub(super) fn linger(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let delay = self.hcm.config.timeouts.delayed_close;
        if !self.write.is_empty() || self.bulk.is_some() {
            let moved = self.flush(cx, now);
            if moved {
                self.close_at = delay.map(|delay| now + delay);
            }
            if moved || !self.write.is_empty() || self.bulk.is_some() {
                return moved;
            }
        }
        if delay.is_none() {
            self.phase = Phase::Closed;
            return true;
        }
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
    pub(super) fn close_now(&mut self, ended: Ended, details: &'static str, now: Instant) {
        if self.open > 0 {
            let stats = &self.hcm.stats;
            stats.inc(HttpStats::DOWNSTREAM_CX_DESTROY_ACTIVE_RQ);
            stats.inc(match ended {
                Ended::Locally => HttpStats::DOWNSTREAM_CX_DESTROY_LOCAL_ACTIVE_RQ,
                Ended::ByPeer => HttpStats::DOWNSTREAM_CX_DESTROY_REMOTE_ACTIVE_RQ,
            });
        }
        let flag = ResponseFlags::DOWNSTREAM_CONNECTION_TERMINATION;
        self.end_all_streams(flag, details, now);
        self.settle_counts();
        self.counted.ended = ended;
        self.phase = Phase::Closed;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.phase != Phase::Open {
            return self.close_at;
        }
        let keepalive = self.keepalive.as_ref().and_then(|k| k.deadline());
        [
            self.deadlines.next(),
            self.idle_deadline(),
            self.drain.end(),
            self.max_duration_at,
            keepalive,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let idle = self.hcm.config.timeouts.idle?;
        (self.open == 0 && self.drain.is_none()).then(|| self.idle_since + idle)
    }

    pub(super) fn on_deadline(&mut self, now: Instant) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if self.phase == Phase::Closing {
            if passed(self.close_at) {
                let stats = &self.hcm.stats;
                stats.inc(HttpStats::DOWNSTREAM_CX_DELAYED_CLOSE_TIMEOUT);
                self.phase = Phase::Closed;
            }
            return;
        }
        if passed(self.idle_deadline()) {
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_CX_IDLE_TIMEOUT);
            self.start_draining(now);
        }
        if passed(self.max_duration_at) {
            self.max_duration_at = None;
            let stats = &self.hcm.stats;
            stats.inc(HttpStats::DOWNSTREAM_CX_MAX_DURATION_REACHED);
            self.start_draining(now);
        }
        if passed(self.drain.end()) {
            self.codec.go_away(GoAway::Final, &mut self.write);
            self.drain = Drain::Final;
            if self.open == 0 {
                return self.start_closing(now);
            }
        }
        while let Some(index) = self.deadlines.pop(now) {
            self.on_slot_deadline(index, now);
            if self.phase != Phase::Open {
                return;
            }
        }
        match self.keepalive.as_mut().and_then(|k| k.due(now)) {
            Some(KeepaliveDue::Ping) => {
                let opaque = self.hcm.random();
                self.codec.ping(opaque, &mut self.write);
            }
            Some(KeepaliveDue::Timeout) => {
                self.hcm.http2_stats.inc(Http2Stats::KEEPALIVE_TIMEOUT);
                let details = "downstream_local_disconnect(http2_ping_timeout)";
                self.close_now(Ended::Locally, details, now);
            }
            None => {}
        }
    }

    fn on_slot_deadline(&mut self, index: u32, now: Instant) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let key = StreamKey(index);
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        if slot.flushing {
            if passed(slot.flush_by) {
                self.hcm.http2_stats.inc(Http2Stats::TX_FLUSH_TIMEOUT);
                let code = ErrorCode::INTERNAL_ERROR;
                self.codec.reset(key, code, &mut self.write);
                self.finish_stream(key, now);
            } else {
                self.deadlines.note(index, slot.flush_by);
            }
        } else if passed(stream.deadline()) {
            stream.on_deadline(now);
            self.make_due(index);
        } else {
            self.deadlines.note(index, stream.deadline());
        }
    }

    /// First step of a graceful end; the second one follows `drain_timeout` later.
    pub(super) fn start_draining(&mut self, now: Instant) {
        if self.drain.is_none() {
            self.codec.go_away(GoAway::ShutdownNotice, &mut self.write);
            self.drain = Drain::Notified(now + self.hcm.drain_time());
        }
    }
}
