//! Tries that have taken too long, and go on beside the next one (`hedge_on_per_try_timeout`): the first good answer wins.

use std::rc::Rc;
use std::task::Context;

use nuncio_http::{Event, Message};
use nuncio_sdk::UpstreamInfo;
use nuncio_upstream::outlier::Outcome;
use nuncio_upstream::{ClosedBy, WorkerCluster, WorkerHost};
use tokio::time::Instant;

use super::Upstream;
use super::exchange::{Exchange, Room, Step};
use super::outcome::{Reset, note_answer, reset_status};
use crate::stream::Stream;

/// An exchange that is not the latest one.
pub(super) struct Hedged {
    exchange: Exchange,
    host: Option<Rc<WorkerHost>>,
    /// The host's cluster, where that is not the route's.
    member: Option<Rc<WorkerCluster>>,
    /// What the log shows if this one wins.
    upstream: UpstreamInfo,
    response: Message,
}

impl Hedged {
    /// As [`RouterState::host_and_cluster`](super::RouterState), for a request to `cluster`.
    fn host_and_cluster<'a>(
        &'a self,
        cluster: Option<&'a Rc<WorkerCluster>>,
    ) -> Option<(&'a Rc<WorkerHost>, &'a Rc<WorkerCluster>)> {
        self.host.as_ref().zip(self.member.as_ref().or(cluster))
    }
}

impl Stream {
    /// Whether a try that takes too long goes on.
    pub(super) fn hedges(&self) -> bool {
        self.router.special.as_ref().is_some_and(|it| it.hedges)
    }

    fn has_hedged(&self) -> bool {
        let special = self.router.special.as_ref();
        special.is_some_and(|special| !special.hedged.is_empty())
    }

    /// Whether an answer may come from another try than one that has just failed.
    pub(super) fn awaits_more(&self) -> bool {
        let more = self.has_hedged()
            || match &self.router.upstream {
                Upstream::Choosing(_) | Upstream::Connecting(_) => true,
                Upstream::Active(exchange) => !exchange.has_started(),
                Upstream::Waiting | Upstream::None | Upstream::Done => false,
            };
        let retry = self.router.retry.as_ref();
        more || retry.is_some_and(|retry| retry.deadline().is_some())
    }

    /// The present try has taken too long: another one begins soon, if the policy has one left.
    pub(super) fn on_soft_timeout(&mut self, started: bool) {
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            cluster.put_outlier_outcome(host, Outcome::Timeout, None);
        }
        if started || !self.retry_beside() {
            return;
        }
        if let Upstream::Active(exchange) =
            std::mem::replace(&mut self.router.upstream, Upstream::Waiting)
            && let Some(special) = &mut self.router.special
        {
            special.hedged.push(Hedged {
                exchange,
                host: self.router.host.clone(),
                member: self.router.member.clone(),
                upstream: self.info.upstream.clone(),
                response: std::mem::take(&mut self.response),
            });
        }
    }

    /// Drives the earlier tries. Returns whether something moved.
    pub(super) fn poll_hedged(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = false;
        let mut index = 0;
        while let Some(special) = &mut self.router.special
            && let Some(hedged) = special.hedged.get_mut(index)
        {
            hedged.exchange.wake_up();
            match hedged.exchange.step(cx, Room::Events, &mut hedged.response) {
                Step::Moved => progress = true,
                Step::Event(Event::Headers { end_stream }) => {
                    progress = true;
                    self.on_hedged_headers(index, end_stream, now);
                }
                Step::Event(Event::Informational) => {
                    let winner = special.hedged.remove(index);
                    self.take_over(winner);
                    self.on_upstream_informational();
                    return true;
                }
                Step::Failed(reset, by) => {
                    progress = true;
                    self.on_hedged_reset(index, reset, by);
                }
                // Nothing comes before the headers.
                Step::Wait | Step::Event(_) | Step::Spliced(..) => index += 1,
            }
        }
        progress
    }

    /// An earlier try is answered. An answer that would be tried again waits for a better one, and is forgotten.
    fn on_hedged_headers(&mut self, index: usize, end: bool, now: Instant) {
        let Some(special) = &mut self.router.special else {
            return;
        };
        let hedged = special.hedged.remove(index);
        let status = hedged.response.headers.status().unwrap_or(0);
        let retry = self.router.retry.as_ref();
        let is_bad =
            retry.is_some_and(|retry| retry.wants_after_answer(status, &hedged.response.headers));
        if is_bad && self.awaits_more() {
            if let Some((host, cluster)) = hedged.host_and_cluster(self.router.cluster.as_ref()) {
                cluster.on_host_error(host);
                note_answer(cluster, host, &hedged.response.headers, self.is_grpc);
            }
            self.note_wire(&hedged.exchange);
            return hedged.exchange.abandon(ClosedBy::Local);
        }
        self.take_over(hedged);
        self.router.retry = None;
        self.take_answer(end, now);
    }

    fn on_hedged_reset(&mut self, index: usize, reset: Reset, by: ClosedBy) {
        let Some(special) = &mut self.router.special else {
            return;
        };
        let hedged = special.hedged.remove(index);
        self.note_wire(&hedged.exchange);
        if let Some((host, cluster)) = hedged.host_and_cluster(self.router.cluster.as_ref()) {
            cluster.on_host_error(host);
            cluster.put_outlier_outcome(host, Outcome::ConnectFailed, None);
            if reset == Reset::ProtocolError && hedged.exchange.owns_connection() {
                cluster.on_protocol_error(host);
            }
        }
        hedged.exchange.abandon(by);
        self.charge_code(reset_status(reset));
        if !self.awaits_more() {
            self.router.upstream = Upstream::Done;
            self.reply_after_reset(reset);
        }
    }

    /// An earlier try becomes the one that answers; all others end.
    fn take_over(&mut self, winner: Hedged) {
        let Hedged {
            exchange,
            host,
            member,
            upstream,
            response,
        } = winner;
        self.abandon_try();
        self.abandon_hedged();
        self.router.upstream = Upstream::Active(exchange);
        self.router.host = host;
        self.router.member = member;
        let before = std::mem::replace(&mut self.info.upstream, upstream);
        self.info.upstream.attempt_count = before.attempt_count;
        self.response = response;
        if let Some(time) = &mut self.router.try_time {
            time.disarm();
        }
    }

    /// Ends the earlier tries.
    pub(super) fn abandon_hedged(&mut self) {
        let Some(special) = &mut self.router.special else {
            return;
        };
        for hedged in std::mem::take(&mut special.hedged) {
            self.note_wire(&hedged.exchange);
            hedged.exchange.abandon(ClosedBy::Local);
        }
    }

    /// The whole request has taken too long: every try has.
    pub(super) fn time_out_hedged(&mut self) {
        let Some(special) = &self.router.special else {
            return;
        };
        for hedged in &special.hedged {
            if let Some(cluster) = &self.router.cluster {
                cluster.on_timeout(hedged.host.as_deref());
            }
            self.router.groups.count_timeout();
            self.charge_abort(
                self.timeout_status(),
                hedged.host_and_cluster(self.router.cluster.as_ref()),
            );
        }
    }

    /// The present try of a special request is answered.
    pub(super) fn on_special_headers(&mut self, end: bool, now: Instant) {
        let hedged = self.has_hedged();
        let status = self.response.headers.status().unwrap_or(0);
        let retry = self.router.retry.as_ref();
        let is_bad = hedged
            && retry.is_some_and(|retry| retry.wants_after_answer(status, &self.response.headers));
        if self.router.retry.is_some() && self.retry_after_answer(end, now) {
            return;
        }
        if is_bad {
            if let Some((host, cluster)) = self.router.host_and_cluster() {
                cluster.on_host_error(host);
                note_answer(cluster, host, &self.response.headers, self.is_grpc);
            }
            self.abandon_try();
            self.response.clear();
            self.router.upstream = Upstream::Waiting;
            return;
        }
        if self.follow_redirect(end, now) {
            return;
        }
        self.abandon_hedged();
        self.take_answer(end, now);
    }
}
