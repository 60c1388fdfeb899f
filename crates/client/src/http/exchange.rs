//! One request and its response on what the pool has lent.

use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_event::Instant;
use nuncio_http::{Event, HeaderMap, Known, Message};
use nuncio_upstream::{ClosedBy, Lease, PooledConnection, PooledStream, Received, StreamReset};

use super::CallError;

/// So much is read at a time from a connection that serves one request.
const READ: usize = 16 * 1024;

/// What a round brought.
pub(super) enum Step {
    /// Nothing to do until the loop hears of something.
    Wait,
    /// Bytes moved.
    Moved,
    /// A part of the response.
    Event(Event),
    /// The exchange has failed; who ended the connection for it.
    Failed(StreamReset, ClosedBy),
}

#[derive(Debug)]
pub(super) enum Exchange {
    Http1 {
        connection: PooledConnection,
        /// The request is encoded whole.
        encoded_end: bool,
    },
    Http2(PooledStream),
}

impl Exchange {
    /// Encodes the request's headers; `end` when nothing follows them.
    pub(super) fn begin(
        lease: Lease,
        headers: &HeaderMap,
        end: bool,
    ) -> Result<Exchange, CallError> {
        match lease {
            Lease::Http1(mut connection) => {
                let parts = &mut *connection;
                match parts.encoder.encode_headers(headers, end, &mut parts.write) {
                    Ok(kind) => parts.decoder.begin(kind),
                    Err(_) => {
                        connection.close_after_response(ClosedBy::Local);
                        return Err(CallError::NoRequest);
                    }
                }
                Ok(Exchange::Http1 {
                    connection,
                    encoded_end: end,
                })
            }
            Lease::Http2(mut stream) => {
                if !headers.contains(Known::Method) || !headers.contains(Known::Path) {
                    return Err(CallError::NoRequest);
                }
                stream.send_headers(headers, end);
                Ok(Exchange::Http2(stream))
            }
            // Only who asks for a plain connection gets one.
            Lease::Tcp(_) => Err(CallError::NoRequest),
        }
    }

    pub(super) fn send_data(&mut self, data: &mut Buffer, end: bool) {
        match self {
            Exchange::Http1 {
                connection,
                encoded_end,
            } => {
                let parts = &mut **connection;
                parts.encoder.encode_data(data, end, &mut parts.write);
                *encoded_end |= end;
            }
            Exchange::Http2(stream) => stream.send_data(data, end),
        }
    }

    pub(super) fn send_trailers(&mut self, trailers: &HeaderMap) {
        match self {
            Exchange::Http1 {
                connection,
                encoded_end,
            } => {
                let parts = &mut **connection;
                parts.encoder.encode_trailers(trailers, &mut parts.write);
                *encoded_end = true;
            }
            Exchange::Http2(stream) => stream.send_trailers(trailers),
        }
    }

    pub(super) fn unsent(&self) -> usize {
        match self {
            Exchange::Http1 { connection, .. } => connection.write.len(),
            Exchange::Http2(stream) => stream.unsent(),
        }
    }

    /// Ends an exchange that is not complete.
    pub(super) fn abandon(self, by: ClosedBy) {
        match self {
            Exchange::Http1 { connection, .. } => connection.close_with_active_request(by),
            Exchange::Http2(stream) => drop(stream),
        }
    }

    /// The response is complete.
    pub(super) fn finish(self, now: Instant) {
        match self {
            Exchange::Http1 {
                connection,
                encoded_end,
            } => {
                if !encoded_end || !connection.write.is_empty() {
                    connection.close_with_active_request(ClosedBy::Local);
                } else if connection.decoder.facts().keep_alive {
                    connection.release(now);
                } else {
                    connection.close_after_response(ClosedBy::Local);
                }
            }
            Exchange::Http2(stream) => stream.finish(now),
        }
    }

    /// One round: sends what waits, and takes the next part of the response if `may_read`.
    pub(super) fn step(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
        response: &mut Message,
    ) -> Step {
        match self {
            Exchange::Http1 { connection, .. } => step_http1(connection, cx, may_read, response),
            Exchange::Http2(stream) => match stream.poll(cx, may_read, response) {
                Received::Nothing => Step::Wait,
                Received::Moved => Step::Moved,
                Received::Event(event) => Step::Event(event),
                Received::Reset(reset) => Step::Failed(reset, ClosedBy::Remote),
            },
        }
    }
}

fn step_http1(
    connection: &mut PooledConnection,
    cx: &mut Context<'_>,
    may_read: bool,
    response: &mut Message,
) -> Step {
    let mut moved = false;
    if !connection.write.is_empty() {
        match connection.poll_write(cx, &mut Buffer::new()) {
            Poll::Ready(Ok(_)) => moved = true,
            // The upstream may have answered before it closed: what it sent is read first.
            Poll::Ready(Err(_)) => connection.write.clear(),
            Poll::Pending => {}
        }
    }
    if !may_read {
        return if moved { Step::Moved } else { Step::Wait };
    }
    let parts = &mut **connection;
    if !parts.read.is_empty() {
        match parts.decoder.decode(&mut parts.read, response) {
            Ok(Some(event)) => return Step::Event(event),
            Ok(None) => {}
            Err(error) => {
                log::debug!("[C{}] upstream: {error}", parts.id);
                return Step::Failed(StreamReset::ProtocolError, ClosedBy::Local);
            }
        }
    }
    match connection.poll_read(cx, READ) {
        Poll::Pending if moved => Step::Moved,
        Poll::Pending => Step::Wait,
        Poll::Ready(Ok(1..)) => Step::Moved,
        Poll::Ready(Ok(0) | Err(_)) => {
            let parts = &mut **connection;
            match parts.decoder.on_eof(&parts.read) {
                Ok(Some(event)) => Step::Event(event),
                Ok(None) => Step::Failed(StreamReset::ConnectionTermination, ClosedBy::Remote),
                Err(_) => Step::Failed(StreamReset::ProtocolError, ClosedBy::Remote),
            }
        }
    }
}
