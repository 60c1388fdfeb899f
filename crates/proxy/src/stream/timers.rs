//! The deadlines of a stream, route timeout excepted (that is the router's).

use std::time::Duration;

use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_route::{MaxStreamDuration, RouteEntry};
use nuncio_sdk::{LocalReply, ResponseFlags};
use tokio::time::Instant;

use super::{ResponseState, Stream};
use crate::hcm::config::Timeouts;
use crate::hcm::stats::HttpStats;

/// Deadlines of one stream; an absent one never expires.
#[derive(Default)]
pub(super) struct StreamTimers {
    idle_timeout: Option<Duration>,
    activity: Option<Instant>,
    request_headers: Option<Instant>,
    request: Option<Instant>,
    max_duration: Option<Instant>,
    log: Option<Instant>,
    start: Option<Instant>,
}

impl StreamTimers {
    pub(super) fn begin(&mut self, timeouts: &Timeouts, now: Instant) {
        let at = |timeout: Option<Duration>| timeout.map(|timeout| now + timeout);
        *self = StreamTimers {
            idle_timeout: timeouts.stream_idle,
            activity: Some(now),
            request_headers: at(timeouts.request_headers),
            request: at(timeouts.request),
            max_duration: at(timeouts.max_stream_duration),
            log: None,
            start: Some(now),
        };
    }

    pub(super) fn headers_arrived(&mut self) {
        self.request_headers = None;
    }

    pub(super) fn request_arrived(&mut self) {
        self.request = None;
    }

    /// A route may have an idle timeout and a maximum duration of its own.
    pub(super) fn on_route(
        &mut self,
        route: Option<&RouteEntry>,
        headers: &mut HeaderMap,
        timeouts: &Timeouts,
        now: Instant,
    ) {
        let Some(forward) = route.and_then(RouteEntry::forward) else {
            return;
        };
        if let Some(idle) = forward.idle_timeout {
            self.idle_timeout = (!idle.is_zero()).then_some(idle);
        }
        if let Some(durations) = &forward.max_stream_duration {
            let limit = match of_grpc_timeout(durations, headers) {
                Some(asked) => Some(asked),
                None => durations
                    .max
                    .or(timeouts.max_stream_duration)
                    .filter(|max| !max.is_zero()),
            };
            tell_upstream(limit, self.max_duration.is_some(), headers);
            self.max_duration = limit.map(|limit| self.start.unwrap_or(now) + limit);
        }
    }

    pub(super) fn every(&mut self, interval: Option<Duration>, now: Instant) {
        self.log = interval.map(|interval| now + interval);
    }

    pub(super) fn touch(&mut self, now: Instant) {
        self.activity = Some(now);
    }

    fn idle(&self) -> Option<Instant> {
        Some(self.activity? + self.idle_timeout?)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let others = [
            self.request_headers,
            self.request,
            self.max_duration,
            self.log,
        ];
        others.into_iter().fold(self.idle(), earliest)
    }
}

/// The earlier one of two deadlines.
#[inline]
pub(crate) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (None, only) | (only, None) => only,
    }
}

/// What `grpc-timeout` asks for, capped and shortened as configured; `None` when it is not heeded.
fn of_grpc_timeout(durations: &MaxStreamDuration, headers: &HeaderMap) -> Option<Duration> {
    let max = durations.grpc_timeout_header_max?;
    let asked = grpc::parse_timeout(headers.get(Known::GrpcTimeout)?)?;
    let capped = match max.is_zero() {
        true => asked,
        false => asked.min(max),
    };
    let offset = durations.grpc_timeout_header_offset.unwrap_or_default();
    Some(capped.saturating_sub(offset))
}

/// A gRPC request goes on with the stream's limit as its `grpc-timeout`; as in Envoy, the absence of a limit is told only
/// if the connection manager has one.
fn tell_upstream(limit: Option<Duration>, had_limit: bool, headers: &mut HeaderMap) {
    if !grpc::is_grpc_request(headers) {
        return;
    }
    if let Some(limit) = limit {
        let value = grpc::format_timeout(limit);
        headers.set(Known::GrpcTimeout, value.as_bytes());
    } else if had_limit {
        headers.remove(Known::GrpcTimeout);
    }
}

impl Stream {
    /// Acts on the deadlines that have passed.
    pub(crate) fn on_deadline(&mut self, now: Instant) {
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(self.timers.log) {
            self.log_periodic();
            self.timers.every(self.hcm.config.log_interval, now);
        }
        if passed(self.timers.request_headers) {
            self.timers.request_headers = None;
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_HEADER_TIMEOUT);
            self.send_local_reply(LocalReply::new(
                408,
                "request header timeout",
                "request_header_timeout",
            ));
        } else if passed(self.timers.request) {
            self.timers.request = None;
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_TIMEOUT);
            self.send_local_reply(LocalReply::new(
                408,
                "request timeout",
                "request_overall_timeout",
            ));
        } else if passed(self.timers.max_duration) {
            self.timers.max_duration = None;
            self.hcm
                .stats
                .inc(HttpStats::DOWNSTREAM_RQ_MAX_DURATION_REACHED);
            let status = if self.request_end { 504 } else { 408 };
            self.send_local_reply(
                LocalReply::new(
                    status,
                    "downstream duration timeout",
                    "max_duration_timeout",
                )
                .grpc_status(4),
            );
        } else if passed(self.timers.idle()) {
            self.timers.idle_timeout = None;
            self.on_idle();
        }
        self.on_router_deadline(now);
    }

    /// How long the response may wait for the client to read it. A route's idle timeout is its flush timeout too, unless
    /// it has one of its own.
    pub(crate) fn flush_timeout(&self) -> Option<Duration> {
        let forward = self.router.route.as_deref().and_then(RouteEntry::forward);
        match forward.and_then(|forward| forward.flush_timeout.or(forward.idle_timeout)) {
            Some(of_route) => (!of_route.is_zero()).then_some(of_route),
            None => self.hcm.config.timeouts.stream_flush,
        }
    }

    /// How long nothing may move.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.timers.idle_timeout
    }

    fn on_idle(&mut self) {
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_IDLE_TIMEOUT);
        let reply = LocalReply::new(
            if self.request_end { 504 } else { 408 },
            "stream timeout",
            "stream_idle_timeout",
        )
        .flags(ResponseFlags::STREAM_IDLE_TIMEOUT);
        if self.response_state == ResponseState::Emitted {
            self.info.set_flag(ResponseFlags::STREAM_IDLE_TIMEOUT);
            self.info.response_code_details = Some("stream_idle_timeout".into());
            self.cut();
        } else {
            self.send_local_reply(reply);
        }
    }
}
