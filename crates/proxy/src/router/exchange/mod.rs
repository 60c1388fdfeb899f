//! One request and its response on a borrowed upstream connection.
//!
//! - this file: what the stream does with the exchange, whatever the protocol;
//! - [`http1`]: the connection is borrowed whole;
//! - [`http2`]: a stream of it is borrowed;
//! - [`tcp`]: no codec, the tunnel of a CONNECT request ends here.

mod gather;
mod http1;
mod http2;
mod tcp;

use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::h1::MissingPseudoHeader;
use nuncio_http::{Event, HeaderMap, Known, Message};
use nuncio_net::Pipe;
use nuncio_upstream::{ClosedBy, Lease};
use tokio::time::Instant;

use http1::Http1Exchange;
use http2::Http2Exchange;
use tcp::TcpExchange;

use super::Upstream;
use super::outcome::Reset;
use super::tracked::Tracked;
use crate::stream::Stream;

/// So much of a body goes to the client before more is read: a little less than what HTTP/2 gives at once.
const HANDOVER: usize = 48 * 1024;

/// The exchange, whatever the upstream's protocol.
pub(super) struct Exchange {
    codec: Codec,
    /// What the client sent for the tunnel before the upstream has agreed to one. An upstream that answers otherwise
    /// must not see it: to it, those bytes would be the next request.
    early: Option<Box<Buffer>>,
    /// With `track_cluster_stats`.
    pub(super) tracked: Option<Box<Tracked>>,
}

enum Codec {
    Http1(Http1Exchange),
    Http2(Http2Exchange),
    Tcp(TcpExchange),
}

/// The same call for every protocol.
macro_rules! each {
    ($codec:expr, $inner:ident => $body:expr) => {
        match $codec {
            Codec::Http1($inner) => $body,
            Codec::Http2($inner) => $body,
            Codec::Tcp($inner) => $body,
        }
    };
}

impl Exchange {
    /// Encodes the request's headers; `end` when nothing follows them.
    ///
    /// # Errors
    /// There is no request without that header.
    pub(super) fn begin(
        lease: Lease,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<Exchange, MissingPseudoHeader> {
        let codec = match lease {
            Lease::Http1(connection) => {
                Codec::Http1(Http1Exchange::begin(connection, headers, end)?)
            }
            Lease::Http2(stream) => {
                check_required(headers)?;
                Codec::Http2(Http2Exchange::begin(stream, headers, end))
            }
            Lease::Tcp(connection) => Codec::Tcp(TcpExchange::begin(connection, end)),
        };
        Ok(Exchange {
            codec,
            early: None,
            tracked: None,
        })
    }

    /// Bytes of the request's headers, as they were encoded; over HTTP/1 those of trailers, too.
    pub(super) fn header_bytes(&self) -> usize {
        match &self.codec {
            Codec::Http1(exchange) => exchange.header_bytes(),
            Codec::Http2(exchange) => exchange.header_bytes(),
            Codec::Tcp(_) => 0,
        }
    }

    /// Whether a connection of its own serves the exchange.
    pub(super) fn owns_connection(&self) -> bool {
        !matches!(self.codec, Codec::Http2(_))
    }

    /// The stream's task was woken: what said `Pending` before may not any more.
    pub(super) fn wake_up(&mut self) {
        match &mut self.codec {
            Codec::Http1(exchange) => exchange.wake_up(),
            Codec::Tcp(exchange) => exchange.wake_up(),
            Codec::Http2(_) => {}
        }
    }

    /// Whether there is nothing to do until the upstream's socket is heard of.
    pub(super) fn is_waiting(&self) -> bool {
        match &self.codec {
            Codec::Http1(exchange) => exchange.is_waiting(),
            Codec::Http2(_) | Codec::Tcp(_) => false,
        }
    }

    /// Encodes a piece of the request's body.
    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        if let Some(early) = &mut self.early {
            early.append(data);
            return;
        }
        if let Some(tracked) = &mut self.tracked {
            tracked.sent += data.len() as u64;
        }
        each!(&mut self.codec, it => it.send_data(data, end));
    }

    /// Encodes the request's trailers.
    pub(super) fn send_trailers(&mut self, trailers: &HeaderMap) {
        each!(&mut self.codec, it => it.send_trailers(trailers));
    }

    /// From now on bytes for the upstream wait until there is a tunnel.
    pub(super) fn hold(&mut self) {
        self.early = Some(Box::default());
    }

    /// There is a tunnel: what has waited for it goes on.
    fn open_tunnel(&mut self) {
        if let Some(mut early) = self.early.take() {
            self.send_data(&mut early, false);
        }
    }

    /// Bytes of the request that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        each!(&self.codec, it => it.unsent()) + self.early.as_ref().map_or(0, |early| early.len())
    }

    /// Whether the request waits for the upstream to open a window, not for its socket.
    pub(super) fn awaits_window(&self) -> bool {
        matches!(&self.codec, Codec::Http2(exchange) if exchange.awaits_window())
    }

    /// The bytes of the exchange on the wire so far.
    fn wire(&self) -> Wire {
        match &self.codec {
            Codec::Http1(exchange) => exchange.wire(),
            Codec::Http2(exchange) => exchange.wire(),
            Codec::Tcp(exchange) => exchange.wire,
        }
    }

    /// Whether the response's final headers have come.
    pub(super) fn has_started(&self) -> bool {
        each!(&self.codec, it => it.has_started())
    }

    /// Ends an exchange that is not complete.
    pub(super) fn abandon(self, by: ClosedBy) {
        each!(self.codec, it => it.abandon(by));
    }

    /// The response is complete.
    pub(super) fn finish(self, now: Instant) {
        let left_over = self.early.is_some_and(|early| !early.is_empty());
        match self.codec {
            codec if left_over => each!(codec, it => it.abandon(ClosedBy::Local)),
            Codec::Http1(exchange) => exchange.finish(now),
            Codec::Http2(exchange) => exchange.finish(now),
            Codec::Tcp(exchange) => exchange.finish(),
        }
    }

    /// One round: sends what waits, and takes what has come as far as there is `room`.
    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        room: Room,
        response: &mut Message,
    ) -> Step {
        let step = each!(&mut self.codec, it => it.step(cx, room, response));
        if let Some(tracked) = &mut self.tracked {
            tracked.note(&step, response);
        }
        step
    }
}

/// A request without these is none.
fn check_required(headers: &HeaderMap) -> Result<(), MissingPseudoHeader> {
    let needed = match headers.method() {
        None => Known::Method,
        Some(b"CONNECT") => Known::Authority,
        Some(_) => Known::Path,
    };
    match headers.contains(needed) {
        true => Ok(()),
        false => Err(MissingPseudoHeader(needed)),
    }
}

/// Bytes of an exchange on its upstream connection, headers and framing included.
#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    sent: u64,
    /// Of the request's headers and trailers; `None`: what was known when they were encoded.
    headers_sent: Option<u64>,
    received: u64,
    /// Of the fields of the response's headers.
    headers_received: u64,
    /// Of the fields of its trailers.
    trailers_received: u64,
}

/// What Envoy takes for the bytes of HTTP/1 headers: names, values and three bytes for each; `pseudo` of them, with
/// `pseudo_bytes` in their values, were no fields on the wire.
pub(crate) fn header_bytes(headers: &HeaderMap, pseudo: usize, pseudo_bytes: usize) -> u64 {
    (headers.byte_size() + 3 * headers.len()).saturating_sub(3 * pseudo + pseudo_bytes) as u64
}

/// What the client takes of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Nothing.
    None,
    /// Events.
    Events,
    /// Events, or at most so many bytes of the body in a pipe.
    Pipe(usize),
}

/// What a round with the upstream brought.
pub(super) enum Step {
    /// Nothing to do until the loop hears of something.
    Wait,
    /// Bytes moved.
    Moved,
    /// The decoder found something.
    Event(Event),
    /// Bytes of the body, and whether they end it.
    Spliced(Pipe, bool),
    /// The exchange failed, and who ended the connection for it.
    Failed(Reset, ClosedBy),
}

impl Stream {
    /// Drives the upstream. `may_read`: the client has room for more of the response.
    pub(crate) fn poll_router(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
        now: Instant,
    ) -> bool {
        let mut progress = false;
        if self.router.special.is_some() {
            progress = self.poll_hedged(cx, now);
            self.watch_shadows(cx);
        }
        if let Upstream::Choosing(host) = &mut self.router.upstream {
            match host.as_mut().poll(cx) {
                Poll::Pending => return progress,
                Poll::Ready(why) => {
                    self.choose_again(why);
                    progress = true;
                }
            }
        }
        if let Upstream::Connecting(pending) = &mut self.router.upstream {
            match pending.poll(cx) {
                Poll::Pending => return progress,
                Poll::Ready(Ok(lease)) => {
                    self.attach(lease);
                    progress = true;
                }
                Poll::Ready(Err(failure)) => {
                    self.router.upstream = Upstream::Done;
                    self.on_connect_failure(failure);
                    return true;
                }
            }
        }
        let may_splice = self.out.takes_pipe && self.may_splice();
        loop {
            let Upstream::Active(exchange) = &mut self.router.upstream else {
                return progress;
            };
            let limit = self.buffer_limit as usize;
            let room = if !may_read || self.out.data.len() >= limit {
                Room::None
            } else if may_splice {
                Room::Pipe(limit)
            } else {
                Room::Events
            };
            self.router.watch.note(
                self.router.cluster.as_ref(),
                room == Room::None,
                self.router.watch.is_behind(exchange.unsent()),
            );
            match exchange.step(cx, room, &mut self.response) {
                Step::Wait => return progress,
                // The usual request is sent at once, and the answer not there yet: another round would find that again.
                Step::Moved if exchange.is_waiting() => {
                    self.touch(now);
                    return true;
                }
                Step::Moved => self.router.watch.on_moved(now),
                Step::Event(Event::Informational) => {
                    // It must be on its way before the final headers take its place.
                    self.on_upstream_informational();
                    return true;
                }
                Step::Event(event) => {
                    self.on_upstream_event(event, now);
                    self.touch_try(now);
                }
                Step::Spliced(pipe, end) => {
                    if end {
                        self.on_upstream_end(now);
                    }
                    self.emit_pipe(pipe, end);
                    self.touch(now);
                    self.touch_try(now);
                    return true;
                }
                Step::Failed(reset, by) => {
                    self.on_upstream_reset(reset, by);
                    return true;
                }
            }
            progress = true;
            self.touch(now);
            // What has come goes to the client before more is read.
            if self.out.data.len() >= HANDOVER {
                return true;
            }
        }
    }

    /// The present try is alive.
    fn touch_try(&mut self, now: Instant) {
        if let Some(time) = &mut self.router.try_time
            && matches!(self.router.upstream, Upstream::Active(_))
        {
            time.touch(now);
        }
    }

    /// Whether the request wants to become a WebSocket, and may.
    pub(super) fn asks_for_websocket(&self) -> bool {
        self.is_upgrade
            && self
                .request
                .headers
                .get(Known::Upgrade)
                .is_some_and(|kind| kind.eq_ignore_ascii_case(b"websocket"))
    }

    fn on_upstream_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Headers { end_stream } => {
                if self.router.special.is_some() {
                    return self.on_special_headers(end_stream, now);
                }
                if self.router.retry.is_some() && self.retry_after_answer(end_stream, now) {
                    return;
                }
                self.take_answer(end_stream, now);
            }
            Event::Data { end_stream } => {
                let mut data = std::mem::take(&mut self.response.data);
                if end_stream {
                    self.on_upstream_end(now);
                }
                self.respond_data(&mut data, end_stream);
                // Large storage goes round between the buffers instead of being made anew for each piece.
                if data.is_empty() && !end_stream {
                    self.response.data = data;
                }
            }
            Event::Trailers => {
                self.tell_trailers(now);
                self.judge_trailers();
                self.on_upstream_end(now);
                self.respond_trailers();
            }
            Event::Informational | Event::Reset { .. } => {
                unreachable!("handled by the caller, or told as a failure")
            }
        }
    }

    /// The response that has come is the client's.
    pub(super) fn take_answer(&mut self, end: bool, now: Instant) {
        if self.refuse_handshake() {
            return;
        }
        if self.opens_tunnel()
            && let Upstream::Active(exchange) = &mut self.router.upstream
        {
            exchange.open_tunnel();
            // A tunnel may last.
            self.router.deadline = None;
            self.router.timeout = None;
            self.router.try_time = None;
        }
        self.on_upstream_headers(end, now);
        if end {
            self.on_upstream_end(now);
        }
        self.respond_headers(end);
    }

    /// The response is complete: its connection goes back to the pool, if both sides are done with it.
    fn on_upstream_end(&mut self, now: Instant) {
        self.info.timing.last_upstream_rx = Some(now);
        self.router.deadline = None;
        let Upstream::Active(exchange) =
            std::mem::replace(&mut self.router.upstream, Upstream::Done)
        else {
            return;
        };
        self.note_wire(&exchange);
        self.router.try_time = None;
        exchange.finish(now);
        // An answer to a gRPC request that ends without a status is none.
        self.judge(false);
        self.on_upstream_complete(now);
    }

    /// The exchange ends here: what it has cost is logged.
    pub(super) fn note_wire(&mut self, exchange: &Exchange) {
        if exchange.tracked.is_some() {
            self.note_tracked(exchange.tracked.as_deref());
        }
        let Wire {
            sent,
            headers_sent,
            received,
            headers_received,
            trailers_received,
        } = exchange.wire();
        self.router.watch.on_end(self.router.cluster.as_ref());
        self.info.upstream.wire_bytes_sent += sent;
        self.info.upstream.header_bytes_sent =
            headers_sent.unwrap_or_else(|| exchange.header_bytes() as u64);
        self.info.upstream.wire_bytes_received += received;
        self.info.upstream.head_bytes_received = headers_received;
        self.info.upstream.header_bytes_received = headers_received + trailers_received;
    }

    /// Takes back what was asked of the upstream, if it is not complete.
    pub(crate) fn router_abort(&mut self) {
        self.router.deadline = None;
        self.router.retry = None;
        self.router.body.clear();
        if self.router.special.is_some() {
            // Copies that do not have the whole request end with it.
            self.abandon_hedged();
            self.router.special = None;
        }
        match std::mem::replace(&mut self.router.upstream, Upstream::Done) {
            // Dropping a host to come gives back the right to wait for it.
            Upstream::None | Upstream::Done | Upstream::Waiting | Upstream::Choosing(_) => {}
            // Dropping it leaves the queue; the connection in the making goes to whom it may serve.
            Upstream::Connecting(pending) => {
                drop(pending);
                self.note_tracked(None);
            }
            Upstream::Active(exchange) => {
                self.note_wire(&exchange);
                exchange.abandon(ClosedBy::Local);
            }
        }
        self.router.try_time = None;
    }
}
