//! Trying a request again: the router's part of it.

mod state;

use std::sync::Arc;

use nuncio_event::clock;
use nuncio_http::Known;
use nuncio_route::Forward;
use nuncio_sdk::ResponseFlags;
use nuncio_upstream::lb::Numbering;
use nuncio_upstream::{BackOff, Chosen, ClosedBy, ClusterKind, WorkerCluster};
use tokio::time::Instant;

use super::Upstream;
use super::balancing::Avoid;
use super::outcome::note_answer;
use crate::stream::Stream;
use state::{Decision, Wait};
pub(super) use state::{Failure, Retry};

impl Stream {
    /// Whether, and how, the request may be tried again.
    pub(super) fn prepare_retries(&mut self, forward: &Forward) {
        // What goes through a tunnel cannot be sent again.
        if self.is_connect || self.is_upgrade && !self.asks_for_websocket() {
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
            priorities.get_mut().on_host_attempted(host);
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
        // The members of a composite cluster are asked one by one.
        let by_member = cluster.info().kind == ClusterKind::Composite;
        let priorities = retry.priorities.as_ref();
        let loads = priorities.filter(|_| !by_member).and_then(|priorities| {
            let hosts = cluster.host_sets();
            let mut priorities = priorities.borrow_mut();
            priorities.loads(&hosts, Numbering::ByPlace).cloned()
        });
        let priorities = priorities.filter(|_| by_member);
        retry.choose(
            |chosen: &Chosen| chosen.host.host(),
            |attempted, max_reselections| {
                let avoid = Avoid {
                    attempted,
                    max_reselections,
                    loads: loads.as_ref(),
                    priorities,
                };
                self.choose_host(cluster, route, avoid)
            },
        )
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
        self.retry_if(wants, None, Wait::BackOff)
    }

    /// An answer has come. Returns whether it is dropped, and the request tried again.
    pub(super) fn retry_after_answer(&mut self, end: bool, now: Instant) -> bool {
        let status = self.response.headers.status().unwrap_or(0);
        let Some(retry) = &self.router.retry else {
            return false;
        };
        let wants = retry.wants_after_answer(status, &self.response.headers);
        let wait = match wants {
            true => {
                let now = clock::wall_time(now);
                retry.wait_after_answer(status, &self.response.headers, now)
            }
            false => Wait::BackOff,
        };
        if !self.retry_if(wants, Some(status), wait) {
            return false;
        }
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            // Whatever its status.
            cluster.on_host_error(host);
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

    /// The present try has ended in a way that no policy covers.
    pub(super) fn end_retries(&mut self) {
        if self.router.retry.is_some() {
            self.retry_if(false, None, Wait::BackOff);
        }
    }

    fn retry_if(&mut self, wants: bool, code: Option<u16>, wait: Wait) -> bool {
        match self.decide(wants) {
            Decision::Final => {
                if let (Some(retry), Some(cluster)) = (&self.router.retry, &self.router.cluster)
                    && retry.taken.is_some()
                    && !wants
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
                self.plan_try(code, wait);
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

    fn plan_try(&mut self, code: Option<u16>, wait: Wait) {
        let now = self.now;
        if let Some(retry) = &mut self.router.retry {
            retry.next_try = Some(now + retry.time_of(wait));
            retry.waits = match wait {
                Wait::Not => BackOff::None,
                Wait::BackOff => BackOff::Exponential,
                Wait::Asked(_) => BackOff::RateLimited,
            };
        }
        if let (Some(cluster), Some(code)) = (&self.router.cluster, code) {
            cluster.on_retried_answer(code);
        }
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
                self.plan_try(None, Wait::BackOff);
                self.note_timeout_retry();
                true
            }
        }
    }

    fn decide(&mut self, wants: bool) -> Decision {
        let (Some(retry), Some(cluster)) = (&mut self.router.retry, &self.router.cluster) else {
            return Decision::Final;
        };
        match retry.another(wants) {
            Decision::Again => {}
            Decision::Exhausted => {
                cluster.on_retry_limit();
                self.router.groups.count_retry_limit();
                return Decision::Exhausted;
            }
            other => return other,
        }
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
        // As in Envoy, a try counts when it is made, not when it is planned.
        if let (Some(cluster), Some(retry)) = (&self.router.cluster, &self.router.retry) {
            cluster.on_retry(retry.waits);
        }
        self.router.groups.count_retry();
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
