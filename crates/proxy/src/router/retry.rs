//! Trying a request again (Envoy's `RetryStateImpl`, and the router's part of it).

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nuncio_buffer::Buffer;
use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_route::{Forward, RetryOn, RetryPolicy};
use nuncio_sdk::ResponseFlags;
use nuncio_upstream::lb::PreviousPriorities;
use nuncio_upstream::{Chosen, ClosedBy, Host, Priority, Taken, WorkerCluster};
use tokio::time::Instant;

use super::RouterConfig;
use super::balancing::Avoid;
use super::outcome::{Reset, note_answer};
use super::{Upstream, number, priority};
use crate::stream::Stream;

/// What is kept of a request that may be tried again.
pub(super) struct Retry {
    policy: Arc<RetryPolicy>,
    on: RetryOn,
    /// Of `x-envoy-retriable-status-codes`.
    more_codes: Vec<u16>,
    /// Of `x-envoy-retriable-header-names`, in lower case.
    more_headers: Vec<String>,
    /// Tries that are left after this one.
    left: u32,
    priority: Priority,
    /// The request's body so far, for the next try.
    body: Buffer,
    /// The body is kept: it was never larger than `limit`.
    keeps_body: bool,
    limit: usize,
    /// A connection was found: some of the request may have been sent.
    pub(super) begun: bool,
    /// The next try is made because the one before has taken too long.
    pub(super) after_timeout: bool,
    /// Hosts of all tries, each once.
    tried: Vec<Arc<Host>>,
    /// Priorities that were tried (`retry_priority`).
    priorities: Option<PreviousPriorities>,
    /// The right to this try, unless it is the first one.
    taken: Option<Taken>,
    /// Bound of the next random wait.
    next_wait: Duration,
    /// It doubles up to this.
    max_wait: Duration,
    /// When the next try begins.
    next_try: Option<Instant>,
}

/// Why the request may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no connection.
    Connect,
    /// The exchange ended before its response.
    Reset(Reset),
    /// A try has taken too long.
    Timeout,
}

/// What becomes of a try that may not be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Nothing asks for another try.
    Final,
    /// The request will be tried again.
    Again,
    /// It would be, if there was a try left.
    Exhausted,
    /// It would be, if the cluster's budget of retries was not used up.
    Overflow,
}

impl Retry {
    /// For a request on this route; `None` when nothing asks for retries.
    fn new(
        forward: &Forward,
        headers: &HeaderMap,
        limit: usize,
        config: &RouterConfig,
    ) -> Option<Box<Retry>> {
        let text = |name| headers.get(name).and_then(|v| std::str::from_utf8(v).ok());
        let asked = |name, grpc| {
            let reasons = text(name).map(RetryOn::parse).unwrap_or_default();
            reasons.only(grpc)
        };
        let on_by_request =
            asked(Known::XEnvoyRetryOn, false).or(asked(Known::XEnvoyRetryGrpcOn, true));
        let on = match &forward.retry {
            Some(policy) => policy.on.or(on_by_request),
            None => on_by_request,
        };
        if on.is_empty() {
            return None;
        }
        let policy = forward.retry.clone().unwrap_or_default();
        let waits = match policy.back_off_is_default {
            true => {
                let base = Duration::from_millis(config.retry_base_ms.get().clamp(1, 1_000_000));
                (base, base * 10)
            }
            false => (policy.base_interval, policy.max_interval),
        };
        if !policy.request_headers.is_empty()
            && !policy.request_headers.iter().any(|it| it.matches(headers))
        {
            return None;
        }
        let left = headers.get(Known::XEnvoyMaxRetries).and_then(number);
        let left = left.map_or(policy.retries, |left| {
            u32::try_from(left).unwrap_or(u32::MAX)
        });
        let list = |name| text(name).unwrap_or_default().split(',').map(str::trim);
        let codes = list(Known::XEnvoyRetriableStatusCodes).filter_map(|code| code.parse().ok());
        let names = list(Known::XEnvoyRetriableHeaderNames).filter(|name| !name.is_empty());
        Some(Box::new(Retry {
            on,
            more_codes: codes.collect(),
            more_headers: names.map(str::to_ascii_lowercase).collect(),
            left,
            priority: priority(forward),
            body: Buffer::new(),
            keeps_body: true,
            limit,
            begun: false,
            after_timeout: false,
            tried: Vec::new(),
            priorities: policy
                .priority_update_frequency
                .map(PreviousPriorities::new),
            taken: None,
            next_wait: waits.0,
            max_wait: waits.1,
            next_try: None,
            policy,
        }))
    }

    /// When the next try begins.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next_try
    }

    /// The body, to be sent once more.
    pub(super) fn body(&self) -> Option<Buffer> {
        self.keeps_body.then(|| self.body.clone())
    }

    /// Keeps a piece of the body. Returns whether it need not be kept elsewhere until there is a connection; when the body is
    /// too large, `waiting` gets what was kept so far.
    pub(super) fn keep(
        &mut self,
        data: &Buffer,
        waiting: Option<&mut Buffer>,
        cluster: Option<&Rc<WorkerCluster>>,
    ) -> bool {
        if !self.keeps_body {
            return false;
        }
        if self.body.len() + data.len() <= self.limit {
            self.body.append_slice(data);
            return true;
        }
        self.keeps_body = false;
        if let Some(cluster) = cluster {
            cluster.on_retry_abandoned();
        }
        if let Some(waiting) = waiting {
            waiting.append(&mut self.body);
        }
        self.body = Buffer::new();
        false
    }

    fn wants_after(&self, failure: Failure) -> bool {
        let no_answer = RetryOn::RESET
            .or(RetryOn::FIVE_XX)
            .or(RetryOn::GATEWAY_ERROR);
        self.on.has(no_answer)
            || match failure {
                Failure::Connect => self
                    .on
                    .has(RetryOn::CONNECT_FAILURE.or(RetryOn::RESET_BEFORE_REQUEST)),
                Failure::Reset(Reset::RemoteRefused) => self.on.has(RetryOn::REFUSED_STREAM),
                Failure::Reset(_) | Failure::Timeout => false,
            }
    }

    pub(super) fn wants_after_answer(&self, status: u16, headers: &HeaderMap) -> bool {
        if headers.contains(Known::XEnvoyRatelimited) {
            return self.on.has(RetryOn::ENVOY_RATELIMITED);
        }
        let policy = &self.policy;
        let by_status = match status {
            502..=504 => self.on.has(RetryOn::FIVE_XX.or(RetryOn::GATEWAY_ERROR)),
            500.. => self.on.has(RetryOn::FIVE_XX),
            409 => self.on.has(RetryOn::RETRIABLE_4XX),
            _ => false,
        };
        by_status
            || self.on.has(RetryOn::RETRIABLE_STATUS_CODES)
                && (policy.status_codes.contains(&status) || self.more_codes.contains(&status))
            || self.on.has(RetryOn::RETRIABLE_HEADERS)
                && (policy.response_headers.iter().any(|it| it.matches(headers))
                    || (self.more_headers.iter()).any(|name| headers.contains(name.as_str())))
            || self.wants_after_grpc(headers)
    }

    fn wants_after_grpc(&self, headers: &HeaderMap) -> bool {
        let Some(Ok(code)) = grpc::status_in(headers) else {
            return false;
        };
        let reason = match code {
            grpc::Code::CANCELLED => RetryOn::GRPC_CANCELLED,
            grpc::Code::DEADLINE_EXCEEDED => RetryOn::GRPC_DEADLINE_EXCEEDED,
            grpc::Code::RESOURCE_EXHAUSTED => RetryOn::GRPC_RESOURCE_EXHAUSTED,
            grpc::Code::INTERNAL => RetryOn::GRPC_INTERNAL,
            grpc::Code::UNAVAILABLE => RetryOn::GRPC_UNAVAILABLE,
            _ => return false,
        };
        self.on.has(reason)
    }

    /// When the answer says that it is worth coming back (`rate_limited_retry_back_off`).
    fn reset_wait(&self, headers: &HeaderMap) -> Option<Duration> {
        self.policy.reset_headers.iter().find_map(|header| {
            let value = number(headers.get_str(&header.name)?)?;
            let value = Duration::from_secs(value);
            let wait = match header.is_time {
                false => value,
                true => {
                    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                    value.checked_sub(now.ok()?)?
                }
            };
            (wait <= self.policy.max_reset).then_some(wait)
        })
    }

    /// A random wait, whose bound doubles each time.
    fn backoff(&mut self) -> Duration {
        let bound = self.next_wait;
        self.next_wait = (bound * 2).min(self.max_wait);
        bound.mul_f64(rand::random())
    }

    /// Whether no try but the first one should meet this host, whatever was tried.
    fn avoids(&self, host: &Host) -> bool {
        let policy = &self.policy;
        policy.avoid_canaries && host.is_canary()
            || (policy.avoid_metadata.iter()).any(|wanted| host.has_metadata(wanted))
    }
}

impl Stream {
    /// Whether, and how, the request may be tried again.
    pub(super) fn prepare_retries(&mut self, forward: &Forward) {
        // What goes through a tunnel cannot be sent again.
        if self.is_upgrade || self.is_connect {
            return;
        }
        let limit = self.request_limit as usize;
        self.router.retry = Retry::new(
            forward,
            &self.request.headers,
            limit,
            &self.hcm.chain(self.chain).router,
        );
    }

    /// A host for this try: one that the policy does not avoid, if that is found in time.
    pub(super) fn choose_host_for_try(
        &mut self,
        cluster: &WorkerCluster,
        route: &nuncio_route::RouteEntry,
    ) -> Option<Chosen> {
        let Some(mut retry) = self.router.retry.take() else {
            return self.choose_host(cluster, route, Avoid::default());
        };
        let chosen = self.choose_host_for_retry(cluster, route, &mut retry);
        let host = chosen.as_ref().map(|chosen| chosen.host.host());
        if let (Some(host), Some(priorities)) = (host, &mut retry.priorities) {
            priorities.on_host_attempted(host);
        }
        if let Some(host) = host
            && !retry.tried.iter().any(|it| Arc::ptr_eq(it, host))
        {
            retry.tried.push(host.clone());
        }
        self.router.retry = Some(retry);
        chosen
    }

    fn choose_host_for_retry(
        &mut self,
        cluster: &WorkerCluster,
        route: &nuncio_route::RouteEntry,
        retry: &mut Retry,
    ) -> Option<Chosen> {
        let loads = match &mut retry.priorities {
            Some(priorities) => priorities.loads(&cluster.host_sets()).cloned(),
            None => None,
        };
        let attempts = retry.policy.host_attempts;
        let again = match retry.policy.avoid_previous_hosts {
            true => attempts,
            false => 0,
        };
        let avoid = Avoid {
            attempted: &retry.tried,
            max_reselections: again,
            loads: loads.as_ref(),
        };
        let mut chosen = self.choose_host(cluster, route, avoid)?;
        // As in Envoy, the first try goes anywhere.
        if retry.tried.is_empty() || !retry.avoids(chosen.host.host()) {
            return Some(chosen);
        }
        let mut avoided = match retry.policy.avoid_previous_hosts {
            true => retry.tried.clone(),
            false => Vec::new(),
        };
        for _ in 0..attempts {
            avoided.push(chosen.host.host().clone());
            let avoid = Avoid {
                attempted: &avoided,
                max_reselections: attempts,
                loads: loads.as_ref(),
            };
            chosen = self.choose_host(cluster, route, avoid)?;
            if !retry.avoids(chosen.host.host()) {
                break;
            }
        }
        Some(chosen)
    }

    /// The try has failed without an answer. Returns whether the request will be tried again.
    pub(super) fn retry_after(&mut self, failure: Failure) -> bool {
        if let Some(time) = &mut self.router.try_time {
            time.disarm();
        }
        let Some(retry) = &self.router.retry else {
            return false;
        };
        let wants = retry.wants_after(failure);
        self.retry_if(wants, None, None)
    }

    /// An answer has come. Returns whether it is dropped, and the request tried again.
    pub(super) fn retry_after_answer(&mut self, end: bool, now: Instant) -> bool {
        let status = self.response.headers.status().unwrap_or(0);
        let Some(retry) = &self.router.retry else {
            return false;
        };
        let wants = retry.wants_after_answer(status, &self.response.headers);
        let wait = wants.then(|| retry.reset_wait(&self.response.headers));
        if !self.retry_if(wants, Some(status), wait.flatten()) {
            return false;
        }
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            cluster.on_host_response(host, status);
            note_answer(cluster, host, &self.response.headers, self.is_grpc);
        }
        self.tell_answer(now);
        if let Some(time) = &mut self.router.try_time {
            time.disarm();
        }
        if let Upstream::Active(exchange) =
            std::mem::replace(&mut self.router.upstream, Upstream::Waiting)
        {
            self.note_wire(&exchange);
            match end {
                true => exchange.finish(now),
                false => exchange.abandon(ClosedBy::Local),
            }
        }
        self.response.clear();
        true
    }

    fn retry_if(&mut self, wants: bool, code: Option<u16>, reset: Option<Duration>) -> bool {
        match self.decide(wants) {
            Decision::Final => {
                if let (Some(retry), Some(cluster)) = (&self.router.retry, &self.router.cluster)
                    && retry.taken.is_some()
                    && code.is_some()
                {
                    cluster.on_retry_success();
                    self.router.groups.count_retry_success();
                }
                // The body is not needed any more.
                self.router.retry = None;
                false
            }
            Decision::Exhausted => {
                self.info
                    .set_flag(ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
                self.forget_retry();
                false
            }
            Decision::Overflow => {
                self.info.set_flag(ResponseFlags::UPSTREAM_OVERFLOW);
                self.forget_retry();
                false
            }
            Decision::Again => {
                self.plan_try(code, reset);
                if code.is_none() {
                    self.router.upstream = Upstream::Waiting;
                }
                true
            }
        }
    }

    /// There is no try left. Tries that are under way are still judged by the policy.
    fn forget_retry(&mut self) {
        if !self.hedges() {
            self.router.retry = None;
        }
    }

    fn plan_try(&mut self, code: Option<u16>, reset: Option<Duration>) {
        let now = self.now;
        if let Some(retry) = &mut self.router.retry {
            let wait = reset.unwrap_or_else(|| retry.backoff());
            retry.next_try = Some(now + wait);
        }
        if let Some(cluster) = &self.router.cluster {
            cluster.on_retry(code, reset.is_some());
        }
        self.router.groups.count_retry();
    }

    /// The present try has taken too long, and another one is made beside it, whatever the policy says of failures. Returns
    /// whether there will be one.
    pub(super) fn retry_beside(&mut self) -> bool {
        match self.decide(true) {
            Decision::Final => false,
            Decision::Exhausted => {
                self.info
                    .set_flag(ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
                false
            }
            Decision::Overflow => {
                self.info.set_flag(ResponseFlags::UPSTREAM_OVERFLOW);
                false
            }
            Decision::Again => {
                self.plan_try(None, None);
                self.note_timeout_retry();
                true
            }
        }
    }

    fn decide(&mut self, wants: bool) -> Decision {
        let whole = self.router.end;
        let (Some(retry), Some(cluster)) = (&mut self.router.retry, &self.router.cluster) else {
            return Decision::Final;
        };
        // What was never sent can be sent later, however large it is and even before it has come whole.
        if !wants || retry.begun && !(whole && retry.keeps_body) {
            return Decision::Final;
        }
        if retry.left == 0 {
            cluster.on_retry_limit();
            self.router.groups.count_retry_limit();
            return Decision::Exhausted;
        }
        retry.left -= 1;
        // The right to the try that has failed goes back first.
        retry.taken = None;
        match cluster.take_retry(retry.priority) {
            Some(taken) => {
                let share = self.hcm.chain(self.chain).router.use_retry.get();
                if share < 100 && self.hcm.clusters.random().next() % 100 >= share {
                    return Decision::Final;
                }
                retry.taken = Some(taken);
                Decision::Again
            }
            None => {
                self.router.groups.count_retry_overflow();
                Decision::Overflow
            }
        }
    }

    /// The next try may have to begin.
    pub(super) fn on_retry_deadline(&mut self, now: Instant) {
        self.now = now;
        let retry = self.router.retry.as_mut();
        let begins = retry.and_then(|retry| retry.next_try.take_if(|at| *at <= now));
        if begins.is_some() {
            self.try_again();
        }
    }

    fn try_again(&mut self) {
        let Some(route) = self.router.route.clone() else {
            return;
        };
        let Some(forward) = route.forward() else {
            return;
        };
        if route.include_is_timeout_retry_header()
            && let Some(retry) = &mut self.router.retry
        {
            let why: &[u8] = match std::mem::take(&mut retry.after_timeout) {
                true => b"true",
                false => b"false",
            };
            let header = Known::XEnvoyIsTimeoutRetry;
            self.request.headers.set(header, why);
        }
        let elapsed = self.router.complete_at.map(|at| self.now - at);
        self.tell_timeout(forward, elapsed.unwrap_or_default());
        if let Err(reply) = self.try_upstream(&route, forward) {
            self.router_reply(reply);
        }
    }
}
