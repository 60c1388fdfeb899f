//! How headers, data and trailers pass the filters, in both directions.
//!
//! A *position* counts the filters in the order in which a direction meets them; the one after the last is the
//! terminal: the router for requests, the codec for responses.

use std::sync::Arc;
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_sdk::filter::Wishes;
use nuncio_sdk::{Action, DataAction, FilterContext, HttpFilter, LocalReply, Resume};

use super::Stream;
use super::lane::{Direction, FilterSlot, Gate, Lane};
use crate::hcm::config::{FilterChain, HcmConfig};

/// Which filter chain a stream runs through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainRef {
    /// The connection manager's.
    Main,
    /// That of `upgrade_configs[i]`.
    Upgrade(usize),
}

/// Shares a chain's configuration.
pub(crate) fn chain_of(config: &HcmConfig, chain: ChainRef) -> &Arc<FilterChain> {
    match chain {
        ChainRef::Main => &config.chain,
        ChainRef::Upgrade(index) => config.upgrades[index]
            .chain
            .as_ref()
            .unwrap_or(&config.chain),
    }
}

impl Stream {
    /// Makes the filters of the chosen chain, but those that the route disables.
    pub(super) fn create_filters(&mut self) {
        let hcm = self.hcm.clone();
        let chain: &FilterChain = hcm.chain(self.chain);
        for (entry, filter) in chain.filters.iter().enumerate() {
            let by_route = self
                .router
                .route
                .as_deref()
                .and_then(|route| route.filter_disabled(&filter.name));
            if !by_route.unwrap_or(filter.disabled) {
                self.filters
                    .push(FilterSlot::new(filter.config.create_filter(), entry));
            }
        }
    }

    /// Where the filter at a position of a direction stands in the chain.
    fn slot_index(&self, direction: Direction, position: usize) -> usize {
        match direction {
            Direction::Request => position,
            Direction::Response => self.filters.len() - 1 - position,
        }
    }

    fn lane_at(&mut self, direction: Direction, position: usize) -> &mut Lane {
        let index = self.slot_index(direction, position);
        self.filters[index].lane(direction)
    }

    /// Calls one filter with the stream at hand.
    fn call<R>(
        &mut self,
        direction: Direction,
        position: usize,
        callback: impl FnOnce(&mut dyn HttpFilter, &mut FilterContext<'_>) -> R,
    ) -> R {
        let index = self.slot_index(direction, position);
        let mut wishes = Wishes::default();
        let FilterSlot {
            filter,
            entry,
            request,
            response,
        } = &mut self.filters[index];
        let lane = match direction {
            Direction::Request => request,
            Direction::Response => response,
        };
        let mut cx = FilterContext {
            info: &mut self.info,
            request_headers: &mut self.request.headers,
            request_trailers: &mut self.request.trailers,
            response_headers: &mut self.response.headers,
            response_trailers: &mut self.response.trailers,
            held: &mut lane.seen,
            filter_name: &self.hcm.chain(self.chain).filters[*entry].name,
            wishes: &mut wishes,
        };
        let result = callback(&mut **filter, &mut cx);
        if wishes.buffer_limit.is_some() {
            lane.limit = wishes.buffer_limit;
        }
        if wishes.clear_route_cache {
            self.clear_route();
        }
        result
    }

    /// Passes headers from a position on.
    pub(super) fn pass_headers(&mut self, direction: Direction, from: usize, end: bool) {
        for position in from..self.filters.len() {
            let action = self.call(direction, position, |filter, cx| match direction {
                Direction::Request => filter.on_request_headers(cx, end),
                Direction::Response => filter.on_response_headers(cx, end),
            });
            if self.is_cut(direction) {
                return;
            }
            let gate = match action {
                Action::Continue => continue,
                Action::StopAndBuffer => Gate::Buffering,
                Action::StopAndWatermark => Gate::Watermark,
                Action::Await(wait) => Gate::Waiting(wait),
                Action::Respond(reply) => return self.reply_from_filter(direction, reply),
            };
            let lane = self.lane_at(direction, position);
            lane.gate = gate;
            lane.headers = true;
            lane.seen_end = end;
            return self.note_waits();
        }
        match direction {
            Direction::Request => self.router_headers(end),
            Direction::Response => self.emit_headers(end),
        }
    }

    /// Passes data from a position on. Takes the bytes.
    pub(super) fn pass_data(
        &mut self,
        direction: Direction,
        from: usize,
        data: &mut Buffer,
        end: bool,
    ) {
        for position in from..self.filters.len() {
            let lane = self.lane_at(direction, position);
            if lane.is_waiting() {
                lane.unseen.append(data);
                lane.unseen_end |= end;
                return self.check_limit(direction, position);
            }
            // What the filter holds and what comes now must fit, even if the filter would let go of it now.
            if matches!(lane.gate, Gate::Buffering)
                && lane.held() + data.len() > self.limit_at(direction, position)
            {
                return self.too_large(direction);
            }
            let action = self.call(direction, position, |filter, cx| match direction {
                Direction::Request => filter.on_request_data(cx, data, end),
                Direction::Response => filter.on_response_data(cx, data, end),
            });
            if self.is_cut(direction) {
                return;
            }
            let lane = self.lane_at(direction, position);
            let gate = match action {
                DataAction::Continue => {
                    let held_headers = std::mem::take(&mut lane.headers);
                    lane.gate = Gate::Open;
                    if !lane.seen.is_empty() {
                        lane.seen.append(data);
                        *data = std::mem::take(&mut lane.seen);
                    }
                    if held_headers {
                        // The stop ends here: the headers go on before the data.
                        self.pass_headers(direction, position + 1, end && data.is_empty());
                        if self.is_cut(direction) || (end && data.is_empty()) {
                            return;
                        }
                        return self.pass_data(direction, position + 1, data, end);
                    }
                    continue;
                }
                DataAction::StopAndBuffer => Gate::Buffering,
                DataAction::StopAndWatermark => Gate::Watermark,
                DataAction::Await(wait) => Gate::Waiting(wait),
                DataAction::Respond(reply) => return self.reply_from_filter(direction, reply),
                DataAction::Pace { bytes, until } => {
                    return self.pace(direction, position, data, bytes, end, until);
                }
            };
            lane.gate = gate;
            lane.seen.append(data);
            lane.seen_end |= end;
            self.note_waits();
            return self.check_limit(direction, position);
        }
        match direction {
            Direction::Request => self.router_data(data, end),
            Direction::Response => self.emit_data(data, end),
        }
    }

    /// Lets the first `bytes` go on and keeps the rest until the filter wants to see it.
    fn pace(
        &mut self,
        direction: Direction,
        position: usize,
        data: &mut Buffer,
        bytes: usize,
        end: bool,
        until: std::pin::Pin<Box<dyn Future<Output = ()>>>,
    ) {
        let mut now = data.split_to(bytes.min(data.len()));
        let lane = self.lane_at(direction, position);
        let held_headers = std::mem::take(&mut lane.headers);
        lane.gate = Gate::Pacing(until);
        lane.unseen.append(data);
        lane.unseen_end = end;
        self.note_waits();
        if held_headers {
            self.pass_headers(direction, position + 1, false);
        }
        if !now.is_empty() && !self.is_cut(direction) {
            self.pass_data(direction, position + 1, &mut now, false);
        }
    }

    /// Passes trailers from a position on.
    pub(super) fn pass_trailers(&mut self, direction: Direction, from: usize) {
        for position in from..self.filters.len() {
            let lane = self.lane_at(direction, position);
            if lane.is_waiting() {
                lane.trailers_unseen = true;
                return;
            }
            let action = self.call(direction, position, |filter, cx| match direction {
                Direction::Request => filter.on_request_trailers(cx),
                Direction::Response => filter.on_response_trailers(cx),
            });
            if self.is_cut(direction) {
                return;
            }
            let gate = match action {
                Action::Continue => {
                    self.release(direction, position);
                    if self.is_cut(direction) {
                        return;
                    }
                    continue;
                }
                Action::StopAndBuffer => Gate::Buffering,
                Action::StopAndWatermark => Gate::Watermark,
                Action::Await(wait) => Gate::Waiting(wait),
                Action::Respond(reply) => return self.reply_from_filter(direction, reply),
            };
            let lane = self.lane_at(direction, position);
            lane.gate = gate;
            lane.trailers_seen = true;
            return self.note_waits();
        }
        match direction {
            Direction::Request => self.router_trailers(),
            Direction::Response => self.emit_trailers(),
        }
    }

    /// Lets go on what a filter has seen and held: headers, then data. Trailers are the caller's.
    fn release(&mut self, direction: Direction, position: usize) {
        let lane = self.lane_at(direction, position);
        lane.gate = Gate::Open;
        let headers = std::mem::take(&mut lane.headers);
        let mut data = std::mem::take(&mut lane.seen);
        let end = std::mem::take(&mut lane.seen_end);
        if headers {
            self.pass_headers(direction, position + 1, end && data.is_empty());
            if self.is_cut(direction) || (end && data.is_empty()) {
                return;
            }
        }
        if !data.is_empty() || (end && !headers) {
            self.pass_data(direction, position + 1, &mut data, end);
        }
    }

    /// A wait is over: what was seen goes on, what was not is shown to the filter.
    fn resume(&mut self, direction: Direction, position: usize) {
        self.release(direction, position);
        if self.is_cut(direction) {
            return;
        }
        let lane = self.lane_at(direction, position);
        let mut unseen = std::mem::take(&mut lane.unseen);
        let end = std::mem::take(&mut lane.unseen_end);
        let seen_trailers = std::mem::take(&mut lane.trailers_seen);
        let trailers = std::mem::take(&mut lane.trailers_unseen);
        if !unseen.is_empty() || end {
            self.pass_data(direction, position, &mut unseen, end);
        }
        if seen_trailers && !self.is_cut(direction) {
            self.pass_trailers(direction, position + 1);
        } else if trailers && !self.is_cut(direction) {
            self.pass_trailers(direction, position);
        }
    }

    /// Polls all filters that wait. Returns whether one of them went on.
    pub(super) fn poll_waits(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        for direction in [Direction::Request, Direction::Response] {
            for position in 0..self.filters.len() {
                if self.is_cut(direction) {
                    break;
                }
                if let Poll::Ready(resume) = self.lane_at(direction, position).poll_wait(cx) {
                    progress = true;
                    self.settle(direction, position, resume);
                }
            }
        }
        self.note_waits();
        progress
    }

    fn settle(&mut self, direction: Direction, position: usize, mut resume: Resume) {
        // Closed to this wait, and open again when the outcome is known.
        self.lane_at(direction, position).gate = Gate::Open;
        loop {
            match resume {
                Resume::Continue => return self.resume(direction, position),
                Resume::Respond(reply) => return self.reply_from_filter(direction, reply),
                Resume::Run(run) => {
                    resume = self.call(direction, position, |_, cx| run(cx));
                    if self.is_cut(direction) {
                        return;
                    }
                }
            }
        }
    }

    /// Remembers whether any filter waits, so that a stream without waits never looks.
    fn note_waits(&mut self) {
        self.has_waits = self
            .filters
            .iter()
            .any(|slot| slot.request.is_waiting() || slot.response.is_waiting());
    }

    /// How much a filter may hold of a direction.
    fn limit_at(&mut self, direction: Direction, position: usize) -> usize {
        let default = match direction {
            Direction::Request => self.request_limit,
            Direction::Response => self.buffer_limit,
        };
        self.lane_at(direction, position).limit.unwrap_or(default) as usize
    }

    /// Acts on a lane that holds more than it may.
    fn check_limit(&mut self, direction: Direction, position: usize) {
        let limit = self.limit_at(direction, position);
        let lane = self.lane_at(direction, position);
        if lane.held() > limit && matches!(lane.gate, Gate::Buffering) {
            self.too_large(direction);
        }
    }

    fn too_large(&mut self, direction: Direction) {
        match direction {
            Direction::Request => self.request_too_large(),
            Direction::Response => self.response_too_large(),
        }
    }

    /// Whether some lane of a direction holds so much that reading should pause.
    pub(super) fn is_backed_up(&self, direction: Direction) -> bool {
        self.filters.iter().any(|slot| {
            let lane = match direction {
                Direction::Request => &slot.request,
                Direction::Response => &slot.response,
            };
            !matches!(lane.gate, Gate::Open | Gate::Buffering)
                && lane.held() > lane.limit.unwrap_or(self.buffer_limit) as usize
        })
    }

    fn reply_from_filter(&mut self, direction: Direction, reply: LocalReply) {
        match direction {
            Direction::Request => self.send_local_reply(reply),
            // The response that the filter refuses has entered the chain: the answer goes around it.
            Direction::Response => self.replace_response(reply),
        }
    }
}
