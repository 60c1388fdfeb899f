//! One request and its response on a borrowed upstream connection.

use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::{Event, HeaderMap, Known, Message};
use nuncio_upstream::{ClosedBy, PooledConnection};
use tokio::time::Instant;

use super::Upstream;
use super::outcome::Reset;
use crate::stream::Stream;

/// First read: a head and a small body fit.
const FIRST_READ: usize = 8 * 1024;
/// Reads grow up to this while they come back full.
const LARGEST_READ: usize = 512 * 1024;
/// So much of a body goes to the client before more is read.
const HANDOVER: usize = 64 * 1024;

/// The exchange.
pub(super) struct Exchange {
    connection: PooledConnection,
    /// The request is encoded whole.
    encoded_end: bool,
    /// What the client sent for the tunnel before the upstream has agreed to one. An upstream that answers otherwise
    /// must not see it: to it, those bytes would be the next request.
    early: Option<Buffer>,
    /// The response's final headers have come.
    pub(super) started: bool,
    read_size: usize,
    /// The socket has said `Pending` since the task was woken.
    read_blocked: bool,
    write_blocked: bool,
}

impl Exchange {
    pub(super) fn new(connection: PooledConnection, encoded_end: bool) -> Exchange {
        Exchange {
            connection,
            encoded_end,
            early: None,
            started: false,
            read_size: FIRST_READ,
            read_blocked: false,
            write_blocked: false,
        }
    }

    pub(super) fn wake_up(&mut self) {
        self.read_blocked = false;
        self.write_blocked = false;
    }

    /// Encodes a piece of the request's body.
    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        if let Some(early) = &mut self.early {
            early.append(data);
            return;
        }
        let connection = &mut *self.connection;
        connection
            .encoder
            .encode_data(data, end, &mut connection.write);
        self.encoded_end |= end;
    }

    /// Encodes the request's trailers.
    pub(super) fn send_trailers(&mut self, trailers: &HeaderMap) {
        let connection = &mut *self.connection;
        connection
            .encoder
            .encode_trailers(trailers, &mut connection.write);
        self.encoded_end = true;
    }

    /// From now on bytes for the upstream wait, these before all others, until there is a tunnel.
    fn hold(&mut self, early: Buffer) {
        self.early = Some(early);
    }

    /// There is a tunnel: what has waited for it goes on.
    fn open_tunnel(&mut self) {
        if let Some(mut early) = self.early.take() {
            self.send_data(&mut early, false);
        }
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.connection.write.len() + self.early.as_ref().map_or(0, Buffer::len)
    }

    /// Ends an exchange that is not complete.
    pub(super) fn abandon(self, by: ClosedBy) {
        self.connection.close_with_active_request(by);
    }
}

/// What a round with the upstream brought.
enum Step {
    /// Nothing to do until the loop hears of something.
    Wait,
    /// Bytes moved.
    Moved,
    /// The decoder found something.
    Event(Event),
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
        if let Upstream::Connecting(pending) = &mut self.router.upstream {
            match pending.poll(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(connection)) => {
                    self.attach_holding(connection);
                    progress = true;
                }
                Poll::Ready(Err(failure)) => {
                    self.router.upstream = Upstream::Done;
                    self.on_connect_failure(failure);
                    return true;
                }
            }
        }
        loop {
            let Upstream::Active(exchange) = &mut self.router.upstream else {
                return progress;
            };
            let room = may_read && self.out.data.len() < self.buffer_limit as usize;
            match exchange.step(cx, room, &mut self.response) {
                Step::Wait => return progress,
                Step::Moved => {}
                Step::Event(Event::Informational) => {
                    // It must be on its way before the final headers take its place.
                    self.on_upstream_informational();
                    return true;
                }
                Step::Event(event) => self.on_upstream_event(event, now),
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

    /// Attaches the connection; a request for a WebSocket or a CONNECT request keeps its bytes back until the upstream has
    /// agreed, as Envoy does.
    pub(super) fn attach_holding(&mut self, connection: PooledConnection) {
        let is_websocket = self.is_upgrade
            && self
                .request
                .headers
                .get(Known::Upgrade)
                .is_some_and(|kind| kind.eq_ignore_ascii_case(b"websocket"));
        if !is_websocket && !self.is_connect {
            return self.attach(connection);
        }
        let early = std::mem::take(&mut self.router.body);
        self.attach(connection);
        if let Upstream::Active(exchange) = &mut self.router.upstream {
            exchange.hold(early);
        }
    }

    fn on_upstream_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Headers { end_stream } => {
                if self.refuse_handshake() {
                    return;
                }
                let status = self.response.headers.status().unwrap_or(0);
                if self.is_tunnel(status)
                    && let Upstream::Active(exchange) = &mut self.router.upstream
                {
                    exchange.open_tunnel();
                }
                self.on_upstream_headers(now);
                if end_stream {
                    self.on_upstream_end(now);
                }
                self.respond_headers(end_stream);
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
                self.on_upstream_end(now);
                self.respond_trailers();
            }
            Event::Informational | Event::Reset { .. } => {
                unreachable!("handled by the caller, or never from HTTP/1")
            }
        }
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
        if !exchange.encoded_end || exchange.unsent() > 0 {
            // The upstream has answered before it had the whole request.
            exchange.abandon(ClosedBy::Local);
        } else if exchange.connection.decoder.facts().keep_alive {
            // Unless bytes follow that nobody asked for.
            exchange.connection.release(now);
        } else {
            exchange.connection.close_after_response(ClosedBy::Local);
        }
        self.on_upstream_complete(now);
    }

    /// Takes back what was asked of the upstream, if it is not complete.
    pub(crate) fn router_abort(&mut self) {
        self.router.deadline = None;
        self.router.body.clear();
        match std::mem::replace(&mut self.router.upstream, Upstream::Done) {
            Upstream::None | Upstream::Done => {}
            // Dropping it leaves the queue; the connection in the making goes to whom it may serve.
            Upstream::Connecting(pending) => drop(pending),
            Upstream::Active(exchange) => {
                exchange.abandon(ClosedBy::Local);
            }
        }
    }
}

impl Exchange {
    fn step(&mut self, cx: &mut Context<'_>, may_read: bool, response: &mut Message) -> Step {
        let mut moved = false;
        if !self.connection.write.is_empty() && !self.write_blocked {
            match self.connection.poll_write(cx, &mut Buffer::new()) {
                Poll::Ready(Ok(_)) => {
                    moved = true;
                }
                // The upstream may have answered before it closed: what it sent is read first.
                Poll::Ready(Err(_)) if !self.connection.io.stream().is_readable() => {
                    return Step::Failed(Reset::ConnectionTermination, ClosedBy::Remote);
                }
                Poll::Ready(Err(_)) => self.connection.write.clear(),
                Poll::Pending => self.write_blocked = true,
            }
        }
        if !may_read {
            return if moved { Step::Moved } else { Step::Wait };
        }
        let connection = &mut *self.connection;
        if !connection.read.is_empty() {
            match connection.decoder.decode(&mut connection.read, response) {
                Ok(Some(event)) => {
                    self.started |= matches!(event, Event::Headers { .. });
                    return Step::Event(event);
                }
                Ok(None) => {}
                Err(error) => {
                    log::debug!("[C{}] upstream: {error}", connection.id);
                    return Step::Failed(Reset::ProtocolError, ClosedBy::Local);
                }
            }
        }
        if self.read_blocked {
            return if moved { Step::Moved } else { Step::Wait };
        }
        match self.connection.poll_read(cx, self.read_size) {
            Poll::Ready(Ok(0) | Err(_)) => self.on_eof(),
            Poll::Ready(Ok(read)) => {
                if read == self.read_size {
                    self.read_size = (read * 4).min(LARGEST_READ);
                }
                Step::Moved
            }
            Poll::Pending => {
                self.read_blocked = true;
                if moved { Step::Moved } else { Step::Wait }
            }
        }
    }

    /// The upstream has closed, or reset, the connection: the end of a body without length, or a failure.
    fn on_eof(&mut self) -> Step {
        let connection = &mut *self.connection;
        if self.started && connection.decoder.facts().is_tunnel {
            return Step::Failed(Reset::ConnectionTermination, ClosedBy::Remote);
        }
        match connection.decoder.on_eof(&connection.read) {
            Ok(Some(event)) => Step::Event(event),
            Ok(None) => Step::Failed(Reset::ConnectionTermination, ClosedBy::Remote),
            Err(_) => Step::Failed(Reset::ProtocolError, ClosedBy::Remote),
        }
    }
}
