//! One request and its response on their way through the filter chain, whatever the codec.
//!
//! The codec's driver feeds a stream ([`Stream::on_headers`] and so on), polls it, and takes what is to be sent
//! ([`Outgoing`]). See `LIFECYCLE.md`.

mod arrival;
mod chain;
mod from_upstream;
mod lane;
mod log;
mod recreate;
mod reply;
mod timers;

use std::borrow::Cow;
use std::rc::Rc;
use std::task::Context;

use nuncio_buffer::Buffer;
use nuncio_http::{Message, grpc};
use nuncio_net::Pipe;
use nuncio_sdk::{ConnectionInfo, Protocol, ResponseFlags, StreamInfo};
use tokio::time::Instant;

use crate::hcm::WorkerHcm;
use crate::hcm::config::HcmConfig;
use crate::hcm::response;
use crate::hcm::stats::{HttpStats, ListenerHttpStats};
use crate::router::RouterState;
pub(crate) use chain::{ChainRef, chain_of};
use lane::{Direction, FilterSlot};
pub(crate) use timers::earliest;

/// What the codec is to send next.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// A 1xx response waits in [`Outgoing::informational_headers`].
    pub(crate) informational: bool,
    /// `100 Continue` is to be sent by the codec itself.
    pub(crate) send_continue: bool,
    /// The response's headers are ready; whether they end the stream.
    pub(crate) headers: Option<bool>,
    /// Body that passed the filters.
    pub(crate) data: Buffer,
    /// Body that nobody on the way looks at, behind `data`.
    pub(crate) pipe: Option<Pipe>,
    /// The codec takes a pipe: everything before it is sent, and body bytes need no framing.
    pub(crate) takes_pipe: bool,
    /// The body, or what was sent last, ends the stream.
    pub(crate) end: bool,
    /// The response's trailers are ready, and end the stream.
    pub(crate) trailers: bool,
    /// The codec has taken the headers.
    pub(crate) started: bool,
    /// The connection is to be closed when the response was sent.
    pub(crate) close: bool,
    /// The client knows that the connection ends with this exchange: it need not be given time to notice.
    pub(crate) close_is_expected: bool,
    /// The codec has taken everything.
    pub(crate) sent_end: bool,
    /// The response cannot be completed: the connection is to be cut.
    pub(crate) reset: bool,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ResponseState {
    /// No response yet.
    None,
    /// Its headers are in the filter chain.
    InFilters,
    /// Its headers are ready for the codec, or sent.
    Emitted,
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) hcm: Rc<WorkerHcm>,
    pub(crate) info: StreamInfo,
    /// The request; `data` is what the codec decoded last.
    pub(crate) request: Message,
    /// The response; `data` is what the upstream's codec decoded last.
    pub(crate) response: Message,
    pub(crate) out: Outgoing,
    pub(crate) router: RouterState,
    pub(crate) chain: ChainRef,
    filters: Vec<FilterSlot>,
    has_waits: bool,
    pub(crate) buffer_limit: u32,
    /// Most bytes of the request that filters may hold.
    pub(crate) request_limit: u32,
    /// The request has arrived whole.
    pub(crate) request_end: bool,
    /// Nothing more of the request is wanted.
    request_cut: bool,
    response_state: ResponseState,
    /// What filters still do to the response does not matter any more.
    response_cut: bool,
    /// The request asks for another protocol and may have it.
    pub(crate) is_upgrade: bool,
    /// The upgrade, or CONNECT, is in the gauge.
    is_counted_upgrade: bool,
    pub(crate) is_connect: bool,
    pub(crate) is_head: bool,
    pub(crate) is_grpc: bool,
    /// The peer wants the connection closed after this exchange.
    pub(crate) saw_close: bool,
    timers: timers::StreamTimers,
    logged: bool,
    /// The request's headers have arrived whole.
    pub(crate) headers_seen: bool,
    /// The stream was counted as reset.
    pub(crate) reset_counted: bool,
    /// Time of the present round of work.
    pub(crate) now: Instant,
}

impl Stream {
    /// A stream that begins now.
    pub(crate) fn new(
        hcm: Rc<WorkerHcm>,
        connection: Rc<ConnectionInfo>,
        protocol: Protocol,
        buffer_limit: u32,
        now: Instant,
    ) -> Stream {
        let mut stream = Stream::idle(hcm, connection, buffer_limit, now);
        stream.begin(protocol, now);
        stream
    }

    fn idle(
        hcm: Rc<WorkerHcm>,
        connection: Rc<ConnectionInfo>,
        buffer_limit: u32,
        now: Instant,
    ) -> Stream {
        Stream {
            info: StreamInfo::new(connection, now),
            hcm,
            request: Message::new(),
            response: Message::new(),
            out: Outgoing::default(),
            router: RouterState::default(),
            chain: ChainRef::Main,
            filters: Vec::new(),
            has_waits: false,
            buffer_limit,
            request_limit: buffer_limit,
            request_end: false,
            request_cut: false,
            response_state: ResponseState::None,
            response_cut: false,
            is_upgrade: false,
            is_counted_upgrade: false,
            is_connect: false,
            is_head: false,
            is_grpc: false,
            saw_close: false,
            timers: timers::StreamTimers::default(),
            logged: false,
            headers_seen: false,
            reset_counted: false,
            now,
        }
    }

    /// Makes a finished stream the next one, of whichever connection of this worker.
    pub(crate) fn restart(
        &mut self,
        connection: &Rc<ConnectionInfo>,
        protocol: Protocol,
        buffer_limit: u32,
        now: Instant,
    ) {
        // Field by field: building a stream anew and moving it costs as much as handling a header.
        let Stream {
            hcm: _,
            info,
            request,
            response,
            out,
            router,
            chain,
            filters,
            has_waits,
            buffer_limit: limit,
            request_limit,
            request_end,
            request_cut,
            response_state,
            response_cut,
            is_upgrade,
            is_counted_upgrade,
            is_connect,
            is_head,
            is_grpc,
            saw_close,
            timers: _,
            logged,
            headers_seen,
            reset_counted,
            now: present,
        } = self;
        info.restart(connection, now);
        request.clear();
        response.clear();
        *out = Outgoing::default();
        router.restart();
        *chain = ChainRef::Main;
        filters.clear();
        *has_waits = false;
        *limit = buffer_limit;
        *request_limit = buffer_limit;
        *request_end = false;
        *request_cut = false;
        *response_state = ResponseState::None;
        *response_cut = false;
        *is_upgrade = false;
        *is_counted_upgrade = false;
        *is_connect = false;
        *is_head = false;
        *is_grpc = false;
        *saw_close = false;
        *logged = false;
        *headers_seen = false;
        *reset_counted = false;
        *present = now;
        self.begin(protocol, now);
    }

    /// `protocol`: until a request line says otherwise.
    fn begin(&mut self, protocol: Protocol, now: Instant) {
        self.info.stream_id = self.hcm.random();
        self.info.protocol = Some(protocol);
        let stats = &self.hcm.stats;
        stats.inc(HttpStats::DOWNSTREAM_RQ_TOTAL);
        stats.inc(match protocol {
            Protocol::Http10 | Protocol::Http11 => HttpStats::DOWNSTREAM_RQ_HTTP1_TOTAL,
            Protocol::Http2 => HttpStats::DOWNSTREAM_RQ_HTTP2_TOTAL,
            Protocol::Http3 => HttpStats::DOWNSTREAM_RQ_HTTP3_TOTAL,
        });
        stats.gauge_add(HttpStats::DOWNSTREAM_RQ_ACTIVE, 1);
        self.timers.begin(&self.hcm.config.timeouts, now);
    }

    pub(crate) fn config(&self) -> &HcmConfig {
        &self.hcm.config
    }

    fn is_cut(&self, direction: Direction) -> bool {
        match direction {
            Direction::Request => self.request_cut,
            Direction::Response => self.response_cut,
        }
    }

    /// The request's headers have arrived (in `self.request.headers`).
    pub(crate) fn on_headers(&mut self, protocol: Protocol, end: bool, now: Instant) {
        self.info.protocol = Some(protocol);
        self.headers_seen = true;
        self.timers.headers_arrived();
        self.touch(now);
        let headers = &self.request.headers;
        self.is_head = headers.method() == Some(b"HEAD");
        self.is_connect = headers.method() == Some(b"CONNECT");
        self.is_grpc = grpc::is_grpc_request(headers);
        if end {
            self.note_request_end(now);
        }
        let hcm = self.hcm.clone();
        if let Err(reply) = self.check_and_prepare(&hcm.config) {
            return self.send_local_reply(reply);
        }
        self.find_route();
        self.timers.on_route(
            self.router.route.as_deref(),
            &mut self.request.headers,
            &hcm.config.timeouts,
            now,
        );
        if let Some(route) = &self.router.route {
            let limit = route.body_buffer_limit(self.buffer_limit);
            self.request_limit = u32::try_from(limit).unwrap_or(u32::MAX);
        }
        self.log_start(now);
        if let Err(reply) = self.choose_chain(&hcm.config) {
            return self.send_local_reply(reply);
        }
        self.create_filters();
        self.pass_headers(Direction::Request, 0, end);
    }

    /// A piece of the request's body has arrived (in `self.request.data`).
    pub(crate) fn on_data(&mut self, end: bool, now: Instant) {
        self.touch(now);
        if !self.request_cut {
            self.info.bytes_received += self.request.data.len() as u64;
        }
        if end {
            self.note_request_end(now);
        }
        let mut data = std::mem::take(&mut self.request.data);
        if !self.request_cut {
            self.pass_data(Direction::Request, 0, &mut data, end);
        }
        // Large storage goes round between the buffers instead of being made anew for each piece.
        if data.is_empty() && !end {
            self.request.data = data;
        }
    }

    /// The request's trailers have arrived (in `self.request.trailers`).
    pub(crate) fn on_trailers(&mut self, now: Instant) {
        self.touch(now);
        self.note_request_end(now);
        if !self.request_cut {
            self.pass_trailers(Direction::Request, 0);
        }
    }

    fn note_request_end(&mut self, now: Instant) {
        self.request_end = true;
        self.info.timing.last_downstream_rx = Some(now);
        self.timers.request_arrived();
    }

    /// The response's headers have passed the filters.
    fn emit_headers(&mut self, end: bool) {
        let hcm = self.hcm.clone();
        let headers = &mut self.response.headers;
        let date = hcm.date.at(self.now);
        response::prepare(
            headers,
            &self.request.headers,
            &self.info,
            &hcm.config,
            &date,
        );
        self.response_state = ResponseState::Emitted;
        let status = headers.status().unwrap_or(0);
        self.info.response_code = Some(status);
        self.charge_response(status);
        if hcm.config.log_tunnels {
            self.log_tunnel(status);
        }
        if !self.request_end {
            // Nobody waits for the rest of the request: the connection ends with this response, unless it is a tunnel.
            match self.is_tunnel(status) {
                true => self.timers.request_arrived(),
                false => self.out.close = true,
            }
            hcm.stats
                .inc(HttpStats::DOWNSTREAM_RQ_RESPONSE_BEFORE_RQ_COMPLETE);
        }
        self.out.headers = Some(end);
        self.out.end |= end;
    }

    fn emit_data(&mut self, data: &mut Buffer, end: bool) {
        self.out.data.append(data);
        self.out.end |= end;
    }

    fn emit_trailers(&mut self) {
        self.out.trailers = true;
        self.out.end = true;
    }

    /// Counts a response by the class of its status; a status beyond 599 has none. Answers to health checks are not counted.
    fn charge_response(&self, status: u16) {
        if self.info.health_check {
            return;
        }
        let class = match status / 100 {
            1 => Some((
                HttpStats::DOWNSTREAM_RQ_1XX,
                ListenerHttpStats::DOWNSTREAM_RQ_1XX,
            )),
            2 => Some((
                HttpStats::DOWNSTREAM_RQ_2XX,
                ListenerHttpStats::DOWNSTREAM_RQ_2XX,
            )),
            3 => Some((
                HttpStats::DOWNSTREAM_RQ_3XX,
                ListenerHttpStats::DOWNSTREAM_RQ_3XX,
            )),
            4 => Some((
                HttpStats::DOWNSTREAM_RQ_4XX,
                ListenerHttpStats::DOWNSTREAM_RQ_4XX,
            )),
            5 => Some((
                HttpStats::DOWNSTREAM_RQ_5XX,
                ListenerHttpStats::DOWNSTREAM_RQ_5XX,
            )),
            _ => None,
        };
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_COMPLETED);
        if let Some((own, _)) = class {
            self.hcm.stats.inc(own);
        }
        if let Some(stats) = &self.hcm.listener_stats {
            stats.inc(ListenerHttpStats::DOWNSTREAM_RQ_COMPLETED);
            if let Some((_, listener)) = class {
                stats.inc(listener);
            }
        }
    }

    /// Drives what does not come from the codec: waiting filters and the upstream. `may_read`: the client takes
    /// what the upstream sends. Returns whether anything moved.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, may_read: bool, now: Instant) -> bool {
        let mut progress = false;
        if self.has_waits {
            progress = self.poll_waits(cx);
        }
        progress | self.poll_router(cx, may_read && !self.is_backed_up_response(), now)
    }

    fn is_backed_up_response(&self) -> bool {
        !self.filters.is_empty() && self.is_backed_up(Direction::Response)
    }

    /// Whether more of the request may be read.
    pub(crate) fn wants_request(&self) -> bool {
        !self.request_cut && !self.is_backed_up_request()
    }

    /// Whether so much of the request waits that the client should pause. What is not wanted any more waits nowhere.
    pub(crate) fn is_backed_up_request(&self) -> bool {
        self.router_is_backed_up()
            || (!self.filters.is_empty() && self.is_backed_up(Direction::Request))
    }

    /// The client is gone, or broke the protocol: everything of the stream ends.
    pub(crate) fn on_downstream_gone(
        &mut self,
        flag: ResponseFlags,
        details: impl Into<Cow<'static, str>>,
    ) {
        if !self.out.sent_end {
            self.info.set_flag(flag);
            self.info.response_code_details = Some(details.into());
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_RX_RESET);
            self.reset_counted = true;
        }
        self.request_cut = true;
        self.response_cut = true;
        self.router_abort();
    }

    /// The response is complete, and only waits for its client: the upstream has no part in that.
    pub(crate) fn leave_upstream(&mut self) {
        self.router_abort();
    }

    /// The stream is over: filters and logs are told, the stats are settled.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.conclude(now);
        self.rest();
    }

    /// As [`Stream::finish`], but what the codec has not taken of the response stays. [`Stream::rest`] is to follow.
    pub(crate) fn conclude(&mut self, now: Instant) {
        self.router_abort();
        self.info.end = Some(now);
        let stats = &self.hcm.stats;
        stats.gauge_sub(HttpStats::DOWNSTREAM_RQ_ACTIVE, 1);
        let took = now.saturating_duration_since(self.info.start);
        stats.record(HttpStats::DOWNSTREAM_RQ_TIME, took.as_millis() as u64);
        if self.is_counted_upgrade {
            stats.gauge_sub(HttpStats::DOWNSTREAM_CX_UPGRADES_ACTIVE, 1);
        }
        self.log_end();
        self.filters.clear();
    }

    /// A stream that waits for its next use owns no body storage.
    pub(crate) fn rest(&mut self) {
        for data in [
            &mut self.request.data,
            &mut self.response.data,
            &mut self.out.data,
        ] {
            data.clear();
            data.release();
        }
    }

    /// Whether the whole request is with the upstream, and nothing moves until that answers.
    pub(crate) fn waits_for_upstream(&self) -> bool {
        self.request_end && !self.has_waits && self.router.waits_for_upstream()
    }

    /// Earliest point in time at which [`Stream::on_deadline`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        earliest(self.timers.deadline(), self.router.deadline())
    }

    pub(crate) fn touch(&mut self, now: Instant) {
        self.now = now;
        self.timers.touch(now);
    }
}
