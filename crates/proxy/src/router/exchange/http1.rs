//! The exchange on a borrowed HTTP/1.1 connection, which the stream's own task drives.

use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::h1::MissingPseudoHeader;
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_upstream::{ClosedBy, PooledConnection};
use tokio::time::Instant;

use super::super::outcome::Reset;
use super::Step;

/// First read: a head and a small body fit.
const FIRST_READ: usize = 8 * 1024;
/// Reads grow up to this while they come back full.
const LARGEST_READ: usize = 512 * 1024;

/// The exchange.
pub(super) struct Http1Exchange {
    connection: PooledConnection,
    /// The request is encoded whole.
    encoded_end: bool,
    /// The response's final headers have come.
    started: bool,
    read_size: usize,
    /// The socket has said `Pending` since the task was woken.
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
            connection,
            encoded_end: end,
            started: false,
            read_size: FIRST_READ,
            read_blocked: false,
            write_blocked: false,
        })
    }

    pub(super) fn wake_up(&mut self) {
        self.read_blocked = false;
        self.write_blocked = false;
    }

    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        let connection = &mut *self.connection;
        connection
            .encoder
            .encode_data(data, end, &mut connection.write);
        self.encoded_end |= end;
    }

    pub(super) fn send_trailers(&mut self, trailers: &HeaderMap) {
        let connection = &mut *self.connection;
        connection
            .encoder
            .encode_trailers(trailers, &mut connection.write);
        self.encoded_end = true;
    }

    pub(super) fn unsent(&self) -> usize {
        self.connection.write.len()
    }

    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    pub(super) fn abandon(self, by: ClosedBy) {
        self.connection.close_with_active_request(by);
    }

    /// The response is complete: the connection goes back to the pool, if both sides are done with it.
    pub(super) fn finish(self, now: Instant) {
        if !self.encoded_end || self.unsent() > 0 {
            // The upstream has answered before it had the whole request.
            self.abandon(ClosedBy::Local);
        } else if self.connection.decoder.facts().keep_alive {
            // Unless bytes follow that nobody asked for.
            self.connection.release(now);
        } else {
            self.connection.close_after_response(ClosedBy::Local);
        }
    }

    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
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
