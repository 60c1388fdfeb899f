//! How streams and connections end.

use nuncio_buffer::Buffer;

use super::Connection;
use crate::h2::frame::{self, MAX_31, kind};
use crate::h2::stream::Half;
use crate::h2::{ErrorCode, GoAway, Role, StreamKey};

impl Connection {
    /// Closes one direction of a stream, or both.
    #[inline]
    pub(super) fn close(&mut self, key: StreamKey, recv: bool, send: bool) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.is_closed() {
            return;
        }
        if recv {
            stream.recv = Half::Closed;
        }
        if send {
            stream.send = Half::Closed;
            stream.blocked = false;
        }
        if stream.is_closed() {
            self.open -= 1;
        }
    }

    /// Resets the stream, unless it is closed both ways or has been reset. No event follows for it; the key stays valid
    /// until it is released.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode, out: &mut Buffer) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        if stream.is_closed() {
            return;
        }
        let id = stream.id;
        self.close(key, true, true);
        if id != 0 {
            self.rst_stream(id, code, out);
        }
    }

    pub(super) fn rst_stream(&mut self, id: u32, code: ErrorCode, out: &mut Buffer) {
        if self.failed.is_some() {
            // The last word has been said.
            return;
        }
        self.counts().tx_reset += 1;
        frame::number(out, kind::RST_STREAM, id, code.0);
        self.outbound.add_control(frame::HEAD + 4);
    }

    /// The driver is done with the stream: its key may be given to another one. A stream that is not closed both ways is reset:
    /// by a server that has sent the whole response with `NO_ERROR`, otherwise with `INTERNAL_ERROR`, as Envoy does.
    /// Bytes not consumed are given back to the connection's window.
    pub fn release(&mut self, key: StreamKey, out: &mut Buffer) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let held = stream.recv_window.held();
        if stream.queued {
            self.writable.retain(|&(queued, _)| queued != key);
        }
        let answered = self.role == Role::Server && stream.send == Half::Closed;
        if !stream.is_closed() {
            let code = if answered {
                ErrorCode::NO_ERROR
            } else {
                ErrorCode::INTERNAL_ERROR
            };
            self.reset(key, code, out);
        }
        self.streams.remove(key);
        if self.block.is_some() || self.early.is_some() {
            self.forget_block(key);
        }
        if held > 0 && self.failed.is_none() {
            self.give_back(held, out);
        }
    }

    /// Sends a GOAWAY. Repetitions that say nothing new are left out.
    pub fn go_away(&mut self, kind: GoAway, out: &mut Buffer) {
        let (last, code) = match kind {
            GoAway::ShutdownNotice => (MAX_31, ErrorCode::NO_ERROR),
            GoAway::Final => (self.last_peer_id, ErrorCode::NO_ERROR),
            GoAway::Error(code) => (self.last_peer_id, code),
        };
        // The last stream must not grow (section 6.8).
        let last = self.goodbye_sent.map_or(last, |(sent, _)| last.min(sent));
        if self.goodbye_sent == Some((last, code)) || self.failed.is_some() {
            return;
        }
        if kind != GoAway::ShutdownNotice {
            self.refuses_streams = true;
        } else if self.goodbye_sent.is_some() {
            return;
        }
        if kind == GoAway::Final {
            // Envoy counts neither the notice nor what its codec says of an error.
            self.counts().goaway_sent += 1;
        }
        self.write_go_away(last, code, "", out);
    }

    pub(super) fn write_go_away(
        &mut self,
        last: u32,
        code: ErrorCode,
        debug: &str,
        out: &mut Buffer,
    ) {
        self.goodbye_sent = Some((last, code));
        frame::head(out, kind::GOAWAY, 0, 0, 8 + debug.len());
        out.append_slice(&last.to_be_bytes());
        out.append_slice(&code.0.to_be_bytes());
        out.append_slice(debug.as_bytes());
        self.outbound.add(frame::HEAD + 8 + debug.len());
    }

    /// Whether no new stream should be begun any more: a GOAWAY went either way, or (client) stream ids are used up.
    #[must_use]
    pub fn is_going_away(&self) -> bool {
        self.goodbye_received.is_some() || self.goodbye_sent.is_some() || self.is_used_up()
    }
}
