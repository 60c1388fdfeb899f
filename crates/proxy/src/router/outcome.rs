//! What failures and successes of an upstream mean to the client and to the stats.

use std::borrow::Cow;
use std::time::Duration;

use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_sdk::{LocalReply, Protocol, ResponseFlags};
use nuncio_upstream::lb::Answered;
use nuncio_upstream::outlier::Outcome;
use nuncio_upstream::{
    ClosedBy, CodeContext, ConnectFailure, FailureKind, WorkerCluster, WorkerHost,
};
use tokio::time::Instant;

use super::Upstream;
use super::retry::Failure;
use crate::stream::Stream;

/// Why an exchange ended before its response did (Envoy's `StreamResetReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// The connection ended.
    ConnectionTermination,
    /// The upstream broke the protocol.
    ProtocolError,
    /// The upstream has reset the stream.
    Remote,
    /// The upstream has not processed the request.
    RemoteRefused,
    /// The upstream has lost the connection that CONNECT made.
    ConnectError,
}

impl Reset {
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Reset::ConnectionTermination => ("connection termination", "connection_termination"),
            Reset::ProtocolError => ("protocol error", "protocol_error"),
            Reset::Remote => ("remote reset", "remote_reset"),
            Reset::RemoteRefused => ("remote refused stream reset", "remote_refused_stream_reset"),
            Reset::ConnectError => (
                "remote error with CONNECT request",
                "remote_error_with_CONNECT_request",
            ),
        }
    }

    fn flag(self) -> ResponseFlags {
        match self {
            Reset::ConnectionTermination => ResponseFlags::UPSTREAM_CONNECTION_TERMINATION,
            Reset::ProtocolError => ResponseFlags::UPSTREAM_PROTOCOL_ERROR,
            Reset::Remote | Reset::RemoteRefused | Reset::ConnectError => {
                ResponseFlags::UPSTREAM_REMOTE_RESET
            }
        }
    }
}

/// The details of a reset after the response has started.
fn after_start(details: &str) -> Cow<'static, str> {
    format!("upstream_reset_after_response_started{{{details}}}").into()
}

/// What a client is told of an exchange that has ended before its response.
pub(super) fn reset_status(reset: Reset) -> u16 {
    match reset {
        Reset::ProtocolError => 502,
        _ => 503,
    }
}

/// What the head of an answer tells of its host, whether the client gets the answer, the request is tried again or a redirect is
/// followed.
pub(super) fn note_answer(
    cluster: &WorkerCluster,
    host: &WorkerHost,
    headers: &HeaderMap,
    is_grpc: bool,
) {
    // An answer without a body that has a `grpc-status` stands for that.
    let code = match is_grpc.then(|| grpc::status_in(headers)).flatten() {
        Some(Ok(code)) => code.to_http(),
        _ => headers.status().unwrap_or(0),
    };
    cluster.put_outlier_code(host, code);
    if headers.contains(Known::XEnvoyImmediateHealthCheckFail) {
        cluster.on_immediate_health_check_fail(host);
    }
}

fn reset_reply(
    status: u16,
    attempts: u32,
    reason: &str,
    details: &str,
    flag: ResponseFlags,
) -> LocalReply {
    let again = match attempts {
        0 | 1 => "reset reason",
        _ => "retried and the latest reset reason",
    };
    LocalReply::new(
        status,
        format!("upstream connect error or disconnect/reset before headers. {again}: {reason}"),
        format!("upstream_reset_before_response_started{{{details}}}"),
    )
    .flags(flag)
}

impl Stream {
    /// The chosen cluster has no host that may be used.
    pub(super) fn no_healthy_upstream(&mut self) -> LocalReply {
        // A filter that wants one host only may want another status, too.
        let wanted = self.info.upstream_override_host.as_deref();
        let status = wanted
            .filter(|host| host.strict)
            .and_then(|host| host.status);
        let status = status.unwrap_or(503);
        self.charge_code(status);
        LocalReply::new(status, "no healthy upstream", "no_healthy_upstream")
            .flags(ResponseFlags::NO_HEALTHY_UPSTREAM)
    }

    /// A circuit breaker is open.
    pub(super) fn overflow(&mut self) -> LocalReply {
        // What waits for a connection has no host yet.
        let has_host = self.info.upstream.host.is_some();
        let host = self.router.host_and_cluster().filter(|_| has_host);
        self.charge_abort(503, host);
        self.end_retries();
        self.note_dropped();
        reset_reply(
            503,
            self.info.upstream.attempt_count,
            "overflow",
            "overflow",
            ResponseFlags::UPSTREAM_OVERFLOW,
        )
    }

    /// No connection could be made.
    pub(super) fn on_connect_failure(&mut self, failure: ConnectFailure) {
        self.info.upstream.transport_failure_reason = failure.reason;
        self.note_tracked(None);
        let reply = match failure.kind {
            FailureKind::Overflow => self.overflow(),
            kind => {
                if let Some((host, cluster)) = self.router.host_and_cluster() {
                    cluster.on_host_error(host);
                    cluster.put_outlier_outcome(host, Outcome::ConnectFailed, None);
                    cluster.on_latency(host, Answered::No, self.now, || Duration::ZERO);
                }
                if self.retry_after(Failure::Connect) {
                    return;
                }
                self.charge_code(503);
                if self.awaits_more() {
                    self.router.upstream = Upstream::Waiting;
                    return;
                }
                let reason = &self.info.upstream.transport_failure_reason;
                let details = match reason.is_empty() {
                    true => kind.as_details().to_owned(),
                    false => format!("{}|{}", kind.as_details(), reason.replace(' ', "_")),
                };
                reset_reply(
                    503,
                    self.info.upstream.attempt_count,
                    kind.as_str(),
                    &details,
                    ResponseFlags::UPSTREAM_CONNECTION_FAILURE,
                )
            }
        };
        self.router_reply(reply);
    }

    /// The exchange failed on the upstream's side.
    pub(super) fn on_upstream_reset(&mut self, reset: Reset, by: ClosedBy) {
        let (started, owned) = match std::mem::replace(&mut self.router.upstream, Upstream::Done) {
            Upstream::Active(exchange) => {
                let facts = (exchange.has_started(), exchange.owns_connection());
                self.note_wire(&exchange);
                exchange.abandon(by);
                facts
            }
            _ => (false, false),
        };
        let attempts = self.info.upstream.attempt_count;
        let (reason, details) = reset.text();
        if started {
            self.note_cut_off();
        }
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            if !started {
                cluster.on_host_error(host);
            }
            cluster.put_outlier_outcome(host, Outcome::ConnectFailed, None);
            // A shared connection counts its own errors.
            if owned && reset == Reset::ProtocolError {
                cluster.on_protocol_error(host);
            }
        }
        if !started {
            self.tell_latency(Answered::No, self.now);
        }
        if !started && self.retry_after(Failure::Reset(reset)) {
            return;
        }
        if !started && self.awaits_more() {
            self.charge_code(reset_status(reset));
            self.router.upstream = Upstream::Waiting;
            return;
        }
        self.router.deadline = None;
        if started {
            // Seen by a client only if a filter has held the response back.
            let mut reply = reset_reply(502, attempts, reason, details, reset.flag());
            reply.details = after_start(details);
            return self.router_reply(reply);
        }
        if !self.router.informed {
            self.charge_code(reset_status(reset));
        }
        self.reply_after_reset(reset);
    }

    /// No answer will come any more.
    pub(super) fn reply_after_reset(&mut self, reset: Reset) {
        self.router.deadline = None;
        let attempts = self.info.upstream.attempt_count;
        let (reason, details) = reset.text();
        let status = reset_status(reset);
        let mut reply = reset_reply(status, attempts, reason, details, reset.flag());
        if self.router.informed {
            // A 1xx response was one.
            reply.details = after_start(details);
        }
        self.router_reply(reply);
    }

    /// The response's final headers have come.
    pub(super) fn on_upstream_headers(&mut self, end: bool, now: Instant) {
        let hcm = self.hcm.clone();
        let config = &hcm.chain(self.chain).router;
        self.info.timing.first_upstream_rx = Some(now);
        self.info.set_details_once("via_upstream");
        if let Some(complete) = self.router.complete_at
            && !config.suppress_envoy_headers
        {
            let took = now.saturating_duration_since(complete).as_millis() as u64;
            self.response
                .headers
                .set_number(Known::XEnvoyUpstreamServiceTime, took);
        }
        for cookie in self.router.set_cookies.drain(..) {
            self.response
                .headers
                .append(Known::SetCookie, cookie.as_bytes());
        }
        let status = self.response.headers.status().unwrap_or(0);
        self.charge_code(status);
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            note_answer(cluster, host, &self.response.headers, self.is_grpc);
            if self.response.headers.contains(Known::XEnvoyDegraded) {
                cluster.put_degraded(host);
            }
        }
        self.judge_headers(status, end);
        self.tell_answer(now);
        self.info.response_code = Some(status);
        self.finalize_response();
    }

    /// An upstream that answers a request for a WebSocket neither with 101 nor with an error has not understood it: the client
    /// gets status and headers, no more. Returns whether it is so.
    pub(super) fn refuse_handshake(&mut self) -> bool {
        // HTTP/2 has words of its own for that.
        if !self.asks_for_websocket() || self.info.upstream.protocol != Some(Protocol::Http11) {
            return false;
        }
        let status = self.response.headers.status().unwrap_or(0);
        if status == 101 || status >= 400 {
            return false;
        }
        let mut reply = LocalReply::new(status, "", "websocket_handshake_unsuccessful");
        for (name, value) in self.response.headers.iter() {
            if name[0] != b':' && name != b"transfer-encoding" {
                // A name is a token.
                let name = String::from_utf8_lossy(name).into_owned();
                reply = reply.raw_header(name, value.to_vec());
            }
        }
        self.send_local_reply(reply);
        true
    }

    /// A 1xx response has come. As in Envoy, only the first of them is counted and passed on, and the request is not tried
    /// again: the next upstream might answer otherwise. What is not known is dropped.
    pub(super) fn on_upstream_informational(&mut self) {
        let status = self.response.headers.status().unwrap_or(0);
        if self.router.informed || !matches!(status, 100 | 102..=104) {
            return;
        }
        self.router.informed = true;
        self.router.retry = None;
        self.charge_code(status);
        self.respond_informational();
    }

    /// An answer of the router: the route's header mutations apply to it.
    pub(super) fn router_reply(&mut self, reply: LocalReply) {
        self.router.answers = true;
        self.send_local_reply(reply);
        self.router.answers = false;
    }

    /// Applies what the route does to responses, those of the router itself included.
    pub(crate) fn finalize_response(&mut self) {
        let Some(route) = self.router.route.clone() else {
            return;
        };
        route.finalize_response_headers(
            &mut self.response.headers,
            &self.request.headers,
            &self.info,
        );
        let attempts = self.info.upstream.attempt_count;
        if attempts > 0 && route.include_attempt_count_in_response() {
            self.response
                .headers
                .set_number(Known::XEnvoyAttemptCount, u64::from(attempts));
        }
    }

    /// The response has come whole.
    pub(super) fn on_upstream_complete(&mut self, now: Instant) {
        let (Some(cluster), Some(complete)) = (&self.router.cluster, self.router.complete_at)
        else {
            return;
        };
        self.note_budget(cluster, now.saturating_duration_since(complete));
        if self.hcm.chain(self.chain).router.dynamic_stats && !self.info.health_check {
            let took = now.saturating_duration_since(complete);
            let host = self.router.host.as_deref();
            cluster.on_response_time(took, self.code_context(), host);
            if let Some(alt) = self.alt_stats() {
                alt.on_response_time(took, self.code_context(), host);
            }
            self.router.groups.record_time(took);
        }
    }

    /// The route timeout is over.
    pub(crate) fn on_router_deadline(&mut self, now: Instant) {
        self.on_standstill(now);
        self.on_stream_duration(now);
        self.on_retry_deadline(now);
        self.on_try_deadline(now);
        if self.router.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.router.deadline = None;
        self.time_out_hedged();
        let (in_flight, started) = match &self.router.upstream {
            Upstream::Connecting(_) => (true, false),
            Upstream::Active(exchange) => (true, exchange.has_started()),
            // Between two tries nothing is under way.
            Upstream::None | Upstream::Choosing(_) | Upstream::Waiting | Upstream::Done => {
                (false, false)
            }
        };
        // What waits for a connection has no host yet.
        let is_connected = matches!(self.router.upstream, Upstream::Active(_));
        if in_flight {
            if let Some(cluster) = &self.router.cluster {
                cluster.on_timeout(self.router.host.as_deref().filter(|_| is_connected));
            }
            self.router.groups.count_timeout();
        }
        if in_flight && !started {
            let host = self.router.host_and_cluster();
            self.charge_abort(self.timeout_status(), host.filter(|_| is_connected));
            if let Some((host, cluster)) = self.router.host_and_cluster() {
                cluster.put_outlier_outcome(host, Outcome::Timeout, None);
            }
            self.tell_latency(Answered::No, now);
        }
        self.router_reply(
            LocalReply::new(
                self.timeout_status(),
                self.timeout_text(),
                "response_timeout",
            )
            .flags(ResponseFlags::UPSTREAM_REQUEST_TIMEOUT),
        );
    }

    fn code_context(&self) -> CodeContext {
        CodeContext {
            internal: self.request.headers.get(Known::XEnvoyInternal) == Some(b"true"),
            canary: self.response.headers.get(Known::XEnvoyUpstreamCanary) == Some(b"true")
                || (self.router.host.as_ref()).is_some_and(|host| host.host().is_canary()),
        }
    }

    /// Counts an answer by its code, whoever gave it.
    pub(super) fn charge_code(&self, status: u16) {
        if let Some(cluster) = &self.router.cluster
            && self.counts_codes()
        {
            let host = self.router.host.as_deref();
            cluster.on_response_code(status, self.code_context(), host);
            if let Some(alt) = self.alt_stats() {
                alt.on_response_code(status, self.code_context(), host);
            }
            self.router.groups.count_code(status);
        }
    }
    /// Whether answers are counted by their codes: `dynamic_stats`, and not for health checks of others.
    pub(super) fn counts_codes(&self) -> bool {
        self.hcm.chain(self.chain).router.dynamic_stats && !self.info.health_check
    }
}
