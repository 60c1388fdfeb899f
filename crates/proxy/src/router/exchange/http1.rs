//! The exchange on a borrowed HTTP/1.1 connection, which the stream's own task drives.

use std::io;
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_event::clock;
use nuncio_http::h1::MissingPseudoHeader;
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_net::Pipe;
use nuncio_upstream::{ClosedBy, PooledConnection};
use tokio::time::Instant;

use super::super::outcome::Reset;
use super::gather::{Advice, Gathering};
use super::{Room, Step, Wire, header_bytes};

/// First read: a head and a small body fit. As large as storage of the buffers' pool, so that nothing of it is left out.
const FIRST_READ: usize = 16 * 1024;
/// Reads grow up to this while they come back full.
const LARGEST_READ: usize = 512 * 1024;
/// A body of which so much is still to come goes through a pipe, if it may: less is gone before that has paid off.
const WORTH_A_PIPE: u64 = 256 * 1024;

/// `:status` and its value.
const STATUS_BYTES: usize = 10;

/// The exchange.
pub(super) struct Http1Exchange {
    connection: PooledConnection,
    /// The request is encoded whole.
    encoded_end: bool,
    /// The client has ended its side of a tunnel, and the upstream was told.
    half_closed: bool,
    /// The response's final headers have come.
    started: bool,
    /// Who closes the connection after the response, unless it goes on: the peer, where that ended the body.
    ended_by: ClosedBy,
    /// Bytes of the response's body have gone through a pipe: the rest will, too.
    spliced: Option<Box<Gathering>>,
    /// Without what lies in the read buffer.
    wire: Wire,
    read_size: usize,
    /// The socket has said `Pending`, and would say so again.
    read_blocked: bool,
    write_blocked: bool,
}

impl Http1Exchange {
    /// Encodes the request's headers; `end` when nothing follows them.
    ///
    /// # Errors
    /// There is no request without that header; the connection is closed.
    pub(super) fn begin(
        mut connection: PooledConnection,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<Http1Exchange, MissingPseudoHeader> {
        let parts = &mut *connection;
        match parts.encoder.encode_headers(headers, end, &mut parts.write) {
            Ok(kind) => parts.decoder.begin(kind),
            Err(missing) => {
                connection.close_after_response(ClosedBy::Local);
                return Err(missing);
            }
        }
        Ok(Http1Exchange {
            wire: Wire {
                sent: connection.write.len() as u64,
                ..Wire::default()
            },
            connection,
            encoded_end: end,
            half_closed: false,
            started: false,
            ended_by: ClosedBy::Local,
            spliced: None,
            read_size: FIRST_READ,
            read_blocked: false,
            write_blocked: false,
        })
    }

    pub(super) fn wake_up(&mut self) {
        self.read_blocked &= self.connection.io.still_waits();
        self.write_blocked = false;
    }

    /// Whether everything is sent and nothing has come.
    pub(super) fn is_waiting(&self) -> bool {
        self.read_blocked && self.connection.write.is_empty() && self.connection.read.is_empty()
    }

    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        let connection = &mut *self.connection;
        let before = connection.write.len();
        connection
            .encoder
            .encode_data(data, end, &mut connection.write);
        self.wire.sent += (connection.write.len() - before) as u64;
        self.encoded_end |= end;
    }

    pub(super) fn send_trailers(&mut self, trailers: &HeaderMap) {
        let connection = &mut *self.connection;
        let before = connection.write.len();
        connection
            .encoder
            .encode_trailers(trailers, &mut connection.write);
        self.wire.sent += (connection.write.len() - before) as u64;
        self.encoded_end = true;
    }

    /// The bytes of the exchange on the wire so far: everything that was read is the response's.
    pub(super) fn wire(&self) -> Wire {
        Wire {
            received: self.wire.received + self.connection.read.len() as u64,
            ..self.wire
        }
    }

    pub(super) fn header_bytes(&self) -> usize {
        self.connection.encoder.header_bytes()
    }

    pub(super) fn unsent(&self) -> usize {
        self.connection.write.len()
    }

    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    fn is_tunnel(&self) -> bool {
        self.started && self.connection.decoder.facts().is_tunnel
    }

    pub(super) fn abandon(self, by: ClosedBy) {
        self.connection.close_with_active_request(by);
    }

    /// The response is complete: the connection goes back to the pool, if both sides are done with it.
    pub(super) fn finish(self, now: Instant) {
        if !self.encoded_end || self.unsent() > 0 {
            // The upstream has answered before it had the whole request.
            let by = self.ended_by;
            self.abandon(by);
        } else if self.connection.decoder.facts().keep_alive {
            // Unless bytes follow that nobody asked for.
            self.connection.release(now);
        } else {
            let by = self.ended_by;
            self.connection.close_after_response(by);
        }
    }

    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        room: Room,
        response: &mut Message,
    ) -> Step {
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
        if self.encoded_end && !self.half_closed && self.is_tunnel() && self.unsent() == 0 {
            // A failure is found by the next read.
            self.half_closed = self.connection.io.poll_shutdown_write(cx).is_ready();
        }
        if room == Room::None {
            return if moved { Step::Moved } else { Step::Wait };
        }
        let connection = &mut *self.connection;
        if !connection.read.is_empty() {
            let before = connection.read.len();
            let outcome = connection.decoder.decode(&mut connection.read, response);
            self.wire.received += (before - connection.read.len()) as u64;
            match outcome {
                Ok(Some(event)) => {
                    if let Event::Headers { .. } | Event::Informational = event {
                        self.started |= event != Event::Informational;
                        self.wire.headers_received +=
                            header_bytes(&response.headers, 1, STATUS_BYTES);
                    }
                    if let Event::Headers { .. } = event
                        && connection.decoder.facts().says_close
                    {
                        self.connection.on_close_notify();
                    }
                    if let Event::Trailers = event {
                        self.wire.trailers_received += header_bytes(&response.trailers, 0, 0);
                    }
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
            if let Some(gathering) = &mut self.spliced {
                let advice = gathering.on_silence(cx);
                self.follow(advice);
            }
            return if moved { Step::Moved } else { Step::Wait };
        }
        if let Room::Pipe(max) = room
            && let Some(step) = self.splice(cx, max)
        {
            return match step {
                Step::Wait if moved => Step::Moved,
                step => step,
            };
        }
        match self.connection.poll_read(cx, self.read_size) {
            Poll::Ready(Ok(0) | Err(_)) => self.on_eof(),
            Poll::Ready(Ok(read)) => {
                if read >= self.read_size {
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

    /// Takes at most `max` bytes of the body as they are. `None`: they are to be read.
    fn splice(&mut self, cx: &mut Context<'_>, max: usize) -> Option<Step> {
        let connection = &mut *self.connection;
        let verbatim = connection.decoder.verbatim();
        let is_bulk = self.spliced.is_some()
            || match verbatim {
                // Nobody has said how much comes: that reads came back full does.
                u64::MAX => self.read_size == LARGEST_READ,
                length => length >= WORTH_A_PIPE,
            };
        if verbatim == 0 || !is_bulk || !connection.io.can_splice() || !connection.read.is_empty() {
            return None;
        }
        let mut pipe = Pipe::take()?;
        let max = usize::try_from(verbatim).unwrap_or(usize::MAX).min(max);
        match self.connection.poll_splice_in(cx, &mut pipe, max) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Unsupported => None,
            Poll::Ready(Ok(0) | Err(_)) => Some(self.on_eof()),
            Poll::Ready(Ok(count)) => {
                self.wire.received += count as u64;
                let event = self.connection.decoder.skip(count as u64);
                let left = verbatim - count as u64;
                let advice = self.spliced.get_or_insert_default().on_moved(count, left);
                self.follow(advice);
                Some(Step::Spliced(pipe, event.is_end()))
            }
            Poll::Pending => {
                self.read_blocked = true;
                if let Some(gathering) = &mut self.spliced {
                    let advice = gathering.on_empty(cx, verbatim, clock::now());
                    self.follow(advice);
                }
                Some(Step::Wait)
            }
        }
    }

    fn follow(&self, advice: Advice) {
        let least = match advice {
            Advice::Keep => return,
            Advice::HoldBack(least) => least,
            Advice::Report => 1,
        };
        // Where a socket cannot hold back (a unix socket), it reports every byte as before.
        let _ = self.connection.io.stream().set_receive_low_water(least);
    }

    /// The upstream has closed, or reset, the connection: the end of a body without length, or a failure.
    fn on_eof(&mut self) -> Step {
        if self.is_tunnel() {
            return match self.encoded_end {
                // Both sides are done. (Envoy waits for its idle timeout.)
                true => Step::Event(Event::Data { end_stream: true }),
                false => Step::Failed(Reset::ConnectionTermination, ClosedBy::Remote),
            };
        }
        let connection = &mut *self.connection;
        match connection.decoder.on_eof(&connection.read) {
            Ok(Some(event)) => {
                self.ended_by = ClosedBy::Remote;
                Step::Event(event)
            }
            Ok(None) => Step::Failed(Reset::ConnectionTermination, ClosedBy::Remote),
            Err(_) => Step::Failed(Reset::ProtocolError, ClosedBy::Remote),
        }
    }
}
