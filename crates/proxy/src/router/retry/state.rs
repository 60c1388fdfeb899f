//! What a request needs in order to be tried again, and whether it is to be (Envoy's `RetryStateImpl`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nuncio_buffer::Buffer;
use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_route::{Forward, RetryOn, RetryPolicy};
use nuncio_upstream::lb::PreviousPriorities;
use nuncio_upstream::{BackOff, Host, Priority, Taken, WorkerCluster};
use tokio::time::Instant;

use crate::router::outcome::Reset;
use crate::router::{RouterConfig, number, priority};

/// What is kept of a request that may be tried again.
pub(in crate::router) struct Retry {
    pub(super) policy: Arc<RetryPolicy>,
    on: RetryOn,
    /// Of `x-envoy-retriable-status-codes`.
    more_codes: Vec<u16>,
    /// Of `x-envoy-retriable-header-names`, in lower case.
    more_headers: Vec<String>,
    /// Tries that are left after this one.
    left: u32,
    pub(super) priority: Priority,
    /// The request's body so far, for the next try.
    body: Buffer,
    /// The client has said that its request may come too early (RFC 8470): it judges a 425 itself.
    early: bool,
    /// The body is kept: it was never larger than `limit`.
    keeps_body: bool,
    limit: usize,
    /// A connection was found: some of the request may have been sent.
    pub(in crate::router) begun: bool,
    /// The next try is made because the one before has taken too long.
    pub(in crate::router) after_timeout: bool,
    /// Hosts of all tries, each once.
    pub(super) tried: Vec<Arc<Host>>,
    /// Priorities that were tried (`retry_priority`).
    pub(super) priorities: Option<RefCell<PreviousPriorities>>,
    /// The right to this try, unless it is the first one.
    pub(super) taken: Option<Taken>,
    /// Bound of the next random wait.
    next_wait: Duration,
    /// It doubles up to this.
    max_wait: Duration,
    /// When the next try begins.
    pub(super) next_try: Option<Instant>,
    /// What it waits for.
    pub(super) waits: BackOff,
}

/// Why the request may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Failure {
    /// There is no connection.
    Connect,
    /// The exchange ended before its response.
    Reset(Reset),
    /// A try has taken too long.
    Timeout,
}

/// What becomes of a try that may not be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::router) enum Decision {
    /// Nothing asks for another try.
    Final,
    /// The request will be tried again.
    Again,
    /// It would be, if there was a try left.
    Exhausted,
    /// It would be, if the cluster's budget of retries was not used up.
    Overflow,
}

/// How long the next try waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It does not (425).
    Not,
    /// A random time.
    BackOff,
    /// At least so long, as the answer has asked.
    Asked(Duration),
}

const TOO_EARLY: u16 = 425;

impl Retry {
    /// For a request on this route; `None` when nothing asks for retries.
    pub(super) fn new(
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
            early: headers.contains("early-data"),
            keeps_body: true,
            limit,
            begun: false,
            after_timeout: false,
            tried: Vec::new(),
            priorities: policy
                .priority_update_frequency
                .map(|frequency| RefCell::new(PreviousPriorities::new(frequency))),
            taken: None,
            next_wait: waits.0,
            max_wait: waits.1,
            next_try: None,
            waits: BackOff::None,
            policy,
        }))
    }

    /// When the next try begins.
    pub(in crate::router) fn deadline(&self) -> Option<Instant> {
        self.next_try
    }

    /// The body, to be sent once more.
    pub(in crate::router) fn body(&self) -> Option<Buffer> {
        self.keeps_body.then(|| self.body.clone())
    }

    /// Keeps a piece of the body. Returns whether it need not be kept elsewhere until there is a connection; when the body is
    /// too large, `waiting` gets what was kept so far.
    pub(in crate::router) fn keep(
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
        match waiting {
            Some(waiting) => waiting.append(&mut self.body),
            // This try is the last one: nobody will say that it went well.
            None => self.taken = None,
        }
        self.body = Buffer::new();
        false
    }

    pub(super) fn wants_after(&self, failure: Failure) -> bool {
        let no_answer = RetryOn::RESET
            .or(RetryOn::FIVE_XX)
            .or(RetryOn::GATEWAY_ERROR);
        self.on.has(no_answer)
            || match failure {
                Failure::Connect => {
                    self.on.has(RetryOn::CONNECT_FAILURE)
                        || self.on.has(RetryOn::RESET_BEFORE_REQUEST) && !self.begun
                }
                Failure::Reset(Reset::RemoteRefused) => self.on.has(RetryOn::REFUSED_STREAM),
                Failure::Reset(_) | Failure::Timeout => false,
            }
    }

    pub(in crate::router) fn wants_after_answer(&self, status: u16, headers: &HeaderMap) -> bool {
        if headers.contains(Known::XEnvoyRatelimited) {
            return self.on.has(RetryOn::ENVOY_RATELIMITED);
        }
        let policy = &self.policy;
        let by_status = match status {
            502..=504 => self.on.has(RetryOn::FIVE_XX.or(RetryOn::GATEWAY_ERROR)),
            500..=599 => self.on.has(RetryOn::FIVE_XX),
            409 => self.on.has(RetryOn::RETRIABLE_4XX),
            _ => false,
        };
        by_status
            || self.names_status(status)
            || self.on.has(RetryOn::RETRIABLE_HEADERS)
                && (policy.response_headers.iter().any(|it| it.matches(headers))
                    || (self.more_headers.iter()).any(|name| headers.contains(name.as_str())))
            || self.wants_after_grpc(headers)
    }

    fn names_status(&self, status: u16) -> bool {
        self.on.has(RetryOn::RETRIABLE_STATUS_CODES)
            && (self.policy.status_codes.contains(&status) || self.more_codes.contains(&status))
            && !(status == TOO_EARLY && self.early)
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

    /// Whether the request may be tried again as far as it is concerned itself, which uses up one of its tries.
    pub(super) fn another(&mut self, wants: bool) -> Decision {
        // What was never sent can be sent later, however large it is; what has come so far will do.
        if !wants || self.begun && !self.keeps_body {
            return Decision::Final;
        }
        if self.left == 0 {
            return Decision::Exhausted;
        }
        self.left -= 1;
        // The right to the try that has failed goes back first.
        self.taken = None;
        Decision::Again
    }

    /// How long the next try waits after an answer that asks for one.
    pub(super) fn wait_after_answer(
        &self,
        status: u16,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Wait {
        if status == TOO_EARLY
            && self.names_status(status)
            && !headers.contains(Known::XEnvoyRatelimited)
        {
            return Wait::Not;
        }
        match self.reset_wait(headers, now) {
            // As in Envoy, no time at all is as good as none.
            Some(wait) if wait > Duration::from_millis(1) => Wait::Asked(wait),
            _ => Wait::BackOff,
        }
    }

    /// When the answer says that it is worth coming back (`rate_limited_retry_back_off`).
    fn reset_wait(&self, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
        self.policy.reset_headers.iter().find_map(|header| {
            let value = number(headers.get_str(&header.name)?)?;
            let value = Duration::from_secs(value);
            let wait = match header.is_time {
                false => value,
                true => {
                    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
                    value.checked_sub(Duration::from_secs(now.as_secs()))?
                }
            };
            (wait <= self.policy.max_reset).then_some(wait)
        })
    }

    /// Chooses a host by `choose`, which is told whom to pass over and how often it may do so: again while the policy avoids what
    /// it finds, if the limit of choices allows.
    pub(super) fn choose<C>(
        &self,
        host_of: impl Fn(&C) -> &Arc<Host>,
        mut choose: impl FnMut(&[Arc<Host>], u32) -> Option<C>,
    ) -> Option<C> {
        let policy = &self.policy;
        let attempts = policy.host_attempts;
        let again = match policy.avoid_previous_hosts {
            true => attempts,
            false => 0,
        };
        let mut chosen = choose(&self.tried, again)?;
        // As in Envoy, the first try goes anywhere.
        if self.tried.is_empty() || !self.avoids(host_of(&chosen)) {
            return Some(chosen);
        }
        let mut avoided = match policy.avoid_previous_hosts {
            true => self.tried.clone(),
            false => Vec::new(),
        };
        for _ in 0..attempts {
            avoided.push(host_of(&chosen).clone());
            chosen = choose(&avoided, attempts)?;
            if !self.avoids(host_of(&chosen)) {
                break;
            }
        }
        Some(chosen)
    }

    /// A random wait, whose bound doubles each time.
    fn backoff(&mut self) -> Duration {
        let bound = self.next_wait;
        self.next_wait = (bound * 2).min(self.max_wait);
        bound.mul_f64(rand::random())
    }

    /// What a wait comes to, with what is random of it.
    pub(super) fn time_of(&mut self, wait: Wait) -> Duration {
        match wait {
            Wait::Not => Duration::ZERO,
            Wait::BackOff => self.backoff(),
            // As in Envoy, not all come back at the same moment.
            Wait::Asked(wait) => wait + (wait / 2).mul_f64(rand::random()),
        }
    }

    /// Whether no try but the first one should meet this host, whatever was tried.
    fn avoids(&self, host: &Host) -> bool {
        let policy = &self.policy;
        policy.avoid_canaries && host.is_canary()
            || (policy.avoid_metadata.iter()).any(|wanted| host.has_metadata(wanted))
    }
}

#[cfg(test)]
#[path = "simulation.rs"]
mod simulation;
