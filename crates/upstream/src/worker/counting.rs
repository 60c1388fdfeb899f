//! What the router counts for a cluster, as Envoy's router and `CodeStats` do.
//!
//! The pool has already counted connections, and requests that got one (`upstream_rq_total`, `upstream_rq_active`).

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nuncio_sdk::UpstreamHost as _;
use nuncio_stats::LocalGroup;

use super::{WorkerCluster, WorkerHost};
use crate::answers::AltStats;
use crate::outlier::Outcome;
use crate::stats::{AnswerStats, ClusterStats as S, RetryStats};

/// What decides under which prefixes an answer is counted beside the plain one.
#[derive(Clone, Copy, Debug, Default)]
pub struct CodeContext {
    /// The request came from inside (`x-envoy-internal: true`): `internal.`, otherwise `external.`.
    pub internal: bool,
    /// The answer, or its host, is a canary (`x-envoy-upstream-canary: true`): `canary.` as well.
    pub canary: bool,
}

/// What a request waits for before it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackOff {
    /// Nothing.
    None,
    /// A random time, whose bound doubles with each try.
    Exponential,
    /// What the answer has asked for (`rate_limited_retry_back_off`).
    RateLimited,
}

impl WorkerCluster {
    /// An answer's status: from the upstream, or given locally in its place (then without a host, as Envoy's
    /// `chargeUpstreamCode`). Counts `[external.|internal.|canary.|zone.<own>.<host's>.]upstream_rq_<code>`.
    pub fn on_response_code(&self, code: u16, cx: CodeContext, host: Option<&WorkerHost>) {
        self.stats().charge_code(S::UPSTREAM_RQ, code);
        self.each_answer_group(cx, host, |stats| {
            stats.charge_code(AnswerStats::UPSTREAM_RQ, code);
        });
    }

    /// The time from the request's end downstream to the response's end, of a request that `host` answered completely.
    pub fn on_response_time(&self, took: Duration, cx: CodeContext, host: Option<&WorkerHost>) {
        let took = took.as_millis() as u64;
        self.stats().record(S::UPSTREAM_RQ_TIME, took);
        self.each_answer_group(cx, host, |stats| {
            stats.record(AnswerStats::UPSTREAM_RQ_TIME, took);
        });
    }

    /// The groups beside the cluster's own in which an answer is counted.
    #[inline]
    fn each_answer_group(
        &self,
        cx: CodeContext,
        host: Option<&WorkerHost>,
        count: impl Fn(&LocalGroup),
    ) {
        let counters = self.counters();
        counters.answers.each(&counters.group, cx, host, count);
    }

    /// Where answers to a request count as well that gives a name for it (`x-envoy-upstream-alt-stat-name`).
    pub fn alt_stats(&self, name: &str) -> Option<Rc<AltStats>> {
        let counters = self.counters();
        let zone = counters.answers.zone();
        counters.alt.of(&counters.group, zone, name)
    }

    /// Response headers of status `code` from `host`, for calls that are judged by nothing else: its `rq_success` or (5xx)
    /// `rq_error`.
    pub fn on_host_response(&self, host: &WorkerHost, code: u16) {
        match code >= 500 {
            true => self.on_host_error(host),
            false => self.on_host_success(host),
        }
    }

    /// `host` has answered well: its `rq_success`.
    #[inline]
    pub fn on_host_success(&self, host: &WorkerHost) {
        host.host().stats().rq_success.fetch_add(1, Relaxed);
    }

    /// A status for outlier detection: that of an answer (for gRPC, the one that its `grpc-status` stands for).
    #[inline]
    pub fn put_outlier_code(&self, host: &WorkerHost, code: u16) {
        if let Some(detector) = &self.info().outlier {
            detector.put_code(host.host(), code);
        }
    }

    /// What else has happened, for outlier detection. `code`: what the client is told, where that is not 503 for a failed
    /// connection, and 504 for a timeout.
    #[inline]
    pub fn put_outlier_outcome(&self, host: &WorkerHost, outcome: Outcome, code: Option<u16>) {
        if let Some(detector) = &self.info().outlier {
            detector.put_outcome(host.host(), outcome, code);
        }
    }

    /// The answer says `x-envoy-immediate-health-check-fail`: with active health checks the host fails from now on.
    pub fn on_immediate_health_check_fail(&self, host: &WorkerHost) {
        if let Some(failures) = &self.info().immediate_failures {
            failures.tell(host.host());
        }
    }

    /// The answer says `x-envoy-degraded`, for outlier detection.
    pub fn put_degraded(&self, host: &WorkerHost) {
        if let Some(detector) = &self.info().outlier {
            detector.put_degraded(host.host());
        }
    }

    /// A request is tried again, after it has waited: `upstream_rq_retry` and `upstream_rq_retry_backoff_*`.
    pub fn on_retry(&self, back_off: BackOff) {
        let stats = self.stats();
        stats.inc(S::UPSTREAM_RQ_RETRY);
        match back_off {
            BackOff::None => {}
            BackOff::Exponential => stats.inc(S::UPSTREAM_RQ_RETRY_BACKOFF_EXPONENTIAL),
            BackOff::RateLimited => stats.inc(S::UPSTREAM_RQ_RETRY_BACKOFF_RATELIMITED),
        }
    }

    /// An answer is dropped, for the request will be tried again: `retry.upstream_rq_<code>`.
    pub fn on_retried_answer(&self, code: u16) {
        let counters = self.counters();
        let retry = counters.retry.of(&counters.group);
        retry.charge_code(RetryStats::UPSTREAM_RQ, code);
    }

    /// A request that was tried again needs no further try: `upstream_rq_retry_success`. As in Envoy, also after a failure that
    /// the policy does not cover.
    pub fn on_retry_success(&self) {
        self.stats().inc(S::UPSTREAM_RQ_RETRY_SUCCESS);
    }

    /// No try is left: `upstream_rq_retry_limit_exceeded`.
    pub fn on_retry_limit(&self) {
        self.stats().inc(S::UPSTREAM_RQ_RETRY_LIMIT_EXCEEDED);
    }

    /// The request's body is too large to be kept for further tries: `retry_or_shadow_abandoned`.
    pub fn on_retry_abandoned(&self) {
        self.stats().inc(S::RETRY_OR_SHADOW_ABANDONED);
    }

    /// The request was refused, by a circuit breaker or by `drop_overloads`: one of `total_dropped_requests` of load reports.
    pub fn on_dropped(&self) {
        self.info().breakers.note_dropped();
    }

    /// A try's idle timeout is over: `upstream_rq_per_try_idle_timeout`, and the host's `rq_timeout`.
    pub fn on_per_try_idle_timeout(&self, host: Option<&WorkerHost>) {
        self.stats().inc(S::UPSTREAM_RQ_PER_TRY_IDLE_TIMEOUT);
        count_host_timeout(host);
    }

    /// The exchange with `host` failed before it gave an answer, or the answer is bad: its `rq_error`.
    pub fn on_host_error(&self, host: &WorkerHost) {
        host.host().stats().rq_error.fetch_add(1, Relaxed);
    }

    /// The route's timeout is over: `upstream_rq_timeout`, and the host's `rq_timeout`.
    pub fn on_timeout(&self, host: Option<&WorkerHost>) {
        self.stats().inc(S::UPSTREAM_RQ_TIMEOUT);
        count_host_timeout(host);
    }

    /// The router has followed a redirect itself, or could not: `upstream_internal_redirect_succeeded_total`, `…_failed_total`.
    pub fn on_internal_redirect(&self, followed: bool) {
        self.stats().inc(match followed {
            true => S::UPSTREAM_INTERNAL_REDIRECT_SUCCEEDED_TOTAL,
            false => S::UPSTREAM_INTERNAL_REDIRECT_FAILED_TOTAL,
        });
    }

    /// A try's timeout is over: `upstream_rq_per_try_timeout`, and the host's `rq_timeout`.
    pub fn on_per_try_timeout(&self, host: Option<&WorkerHost>) {
        self.stats().inc(S::UPSTREAM_RQ_PER_TRY_TIMEOUT);
        count_host_timeout(host);
    }

    /// The response broke the protocol: `upstream_cx_protocol_error`. The connection is then closed.
    pub fn on_protocol_error(&self, host: &WorkerHost) {
        log::debug!(
            "cluster {}: protocol error from {}",
            self.info().name,
            host.address()
        );
        self.stats().inc(S::UPSTREAM_CX_PROTOCOL_ERROR);
    }

    /// `max_stream_duration` is over: `upstream_rq_max_duration_reached`.
    pub fn on_max_stream_duration(&self) {
        self.stats().inc(S::UPSTREAM_RQ_MAX_DURATION_REACHED);
    }

    /// Reading from the upstream stops (`true`) because the downstream is slow, or goes on.
    pub fn on_reading_paused(&self, paused: bool) {
        self.stats().inc(if paused {
            S::UPSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL
        } else {
            S::UPSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL
        });
    }

    /// The upstream is slow to take the request: its write buffer is over (`true`) or again below the limit.
    pub fn on_backed_up(&self, backed_up: bool) {
        self.stats().inc(if backed_up {
            S::UPSTREAM_FLOW_CONTROL_BACKED_UP_TOTAL
        } else {
            S::UPSTREAM_FLOW_CONTROL_DRAINED_TOTAL
        });
    }

    /// The group's owner, for code that counts something of its own.
    pub fn stats_group(&self) -> &nuncio_stats::Group {
        &self.counters().group
    }
}

fn count_host_timeout(host: Option<&WorkerHost>) {
    if let Some(host) = host {
        host.host().stats().rq_timeout.fetch_add(1, Relaxed);
    }
}
