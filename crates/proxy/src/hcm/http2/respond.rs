//! What the streams send.

use nuncio_http::h2::{ErrorCode, StreamKey};
use nuncio_sdk::{Http2Stats, ResponseFlags};
use tokio::time::Instant;

use super::{ServerConnection, TURN, tunnel};
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

impl ServerConnection {
    /// Encodes what a stream has ready, as far as windows and the write buffer have room, and ends the stream when that was all.
    pub(super) fn respond(&mut self, index: u32, now: Instant) {
        let key = StreamKey(index);
        let before = self.write.len();
        self.send_heads(key, now);
        let moved = self.send_body(key);
        let wire = (self.write.len() - before) as u64;
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        stream.info.wire_bytes_sent += wire;
        if stream.out.reset {
            // What came before the cut still goes out, as far as it may.
            let code = cut_code(stream);
            self.codec.reset(key, code, &mut self.write);
            return self.finish_stream(key, now);
        }
        if stream.out.sent_end {
            stream.info.timing.last_downstream_tx = Some(now);
            return self.finish_stream(key, now);
        }
        if moved && !slot.flushing {
            stream.touch(now);
        }
        self.note_pending(key);
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        if stream.out.started && stream.out.end && !slot.flushing {
            // For the upstream it is over. The stream ends when its last byte is in a frame, or is not wanted any more.
            slot.flushing = true;
            slot.flush_by = stream.flush_timeout().map(|limit| now + limit);
            stream.info.bytes_sent += stream.out.data.len() as u64;
            stream.leave_upstream();
        } else if moved {
            // There may be room for more of the response.
            self.make_due(index);
        }
    }

    /// Sends 1xx responses and the final headers.
    fn send_heads(&mut self, key: StreamKey, now: Instant) {
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        if std::mem::take(&mut stream.out.send_continue) {
            if self.hundred.is_empty() {
                self.hundred.set_status(100);
            }
            self.codec
                .send_informational(key, &self.hundred, &mut self.write);
        }
        if std::mem::take(&mut stream.out.informational) {
            let headers = &stream.response.headers;
            self.codec.send_informational(key, headers, &mut self.write);
        }
        if stream.out.headers.is_none() {
            return;
        }
        if self.write.len() >= self.write_limit {
            return self.stall(key.0);
        }
        match stream.saw_close {
            true => self.start_draining(now),
            false => self.drain_if_asked(now),
        }
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        let end = stream.out.headers.take().unwrap_or_default();
        if slot.extended_connect {
            tunnel::response_to_http2(&mut stream.response.headers);
        }
        let before = self.write.len();
        self.codec
            .send_headers(key, &stream.response.headers, end, &mut self.write);
        stream.info.header_bytes_sent += (self.write.len() - before) as u64;
        stream.info.plain_header_bytes_sent += stream.response.headers.byte_size() as u64;
        stream.info.timing.first_downstream_tx = Some(now);
        stream.out.started = true;
        stream.out.sent_end = end;
    }

    /// Sends body and trailers. Returns whether body moved.
    fn send_body(&mut self, key: StreamKey) -> bool {
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return false;
        };
        let out = &mut stream.out;
        if !out.started || out.sent_end {
            return false;
        }
        let end_here = out.end && !out.trailers;
        if let Some(pipe) = out.pipe.take() {
            stream.info.bytes_sent += pipe.len() as u64;
            self.begin_bulk(key, pipe, end_here);
        }
        if self.has_bulk(key) {
            // Nothing may overtake it.
            return false;
        }
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return false;
        };
        let out = &mut stream.out;
        let turn = match self.is_crowded {
            true => TURN,
            false => usize::MAX,
        };
        let mut moved = 0;
        if !out.data.is_empty() || end_here {
            let budget = turn.min(self.write_limit.saturating_sub(self.write.len()));
            moved = self
                .codec
                .send_data(key, &mut out.data, end_here, budget, &mut self.write);
            if !slot.flushing {
                stream.info.bytes_sent += moved as u64;
            }
            out.sent_end = end_here && out.data.is_empty();
            if !out.data.is_empty() && moved == budget {
                // Not the window but fairness, or the write buffer, keeps the rest back.
                match budget == turn {
                    true => self.make_due(key.0),
                    false => self.stall(key.0),
                }
                return moved > 0;
            }
        }
        if out.trailers && out.data.is_empty() {
            out.trailers = false;
            let before = self.write.len();
            self.codec
                .send_trailers(key, &stream.response.trailers, &mut self.write);
            stream.info.header_bytes_sent += (self.write.len() - before) as u64;
            stream.info.plain_header_bytes_sent += stream.response.trailers.byte_size() as u64;
            out.sent_end = true;
        }
        moved > 0
    }

    /// A drain of the listener, or a failed health check, begins with a response.
    fn drain_if_asked(&mut self, now: Instant) {
        let hcm = &self.hcm;
        let drain = &self.down.handle.drain;
        if self.drain.is_none()
            && (hcm.health.is_failing() || drain.drain_close(now, || hcm.random()))
        {
            hcm.stats.inc(HttpStats::DOWNSTREAM_CX_DRAIN_CLOSE);
            self.start_draining(now);
        }
    }

    /// Keeps `pending_send_bytes`.
    pub(super) fn note_pending(&mut self, key: StreamKey) {
        let slot = &mut self.slots[key.index()];
        let now = match &slot.stream {
            Some(stream) if stream.out.started => stream.out.data.len(),
            _ => 0,
        };
        let before = std::mem::replace(&mut slot.pending, now);
        if now == before {
            return;
        }
        let (stats, slot) = (&self.hcm.http2_stats, Http2Stats::PENDING_SEND_BYTES);
        if now > before {
            stats.gauge_add(slot, (now - before) as u64);
        } else {
            stats.gauge_sub(slot, (before - now) as u64);
        }
    }
}

/// Whether a CONNECT request, extended or not, failed together with the connection to its upstream (RFC 9113, section 8.5).
fn is_connect_error(stream: &Stream) -> bool {
    let flags =
        ResponseFlags::UPSTREAM_CONNECTION_FAILURE | ResponseFlags::UPSTREAM_CONNECTION_TERMINATION;
    (stream.is_connect || stream.is_upgrade) && stream.info.flags.intersects(flags)
}

/// What a stream is reset with whose response cannot be completed.
fn cut_code(stream: &Stream) -> ErrorCode {
    match is_connect_error(stream) {
        true => ErrorCode::CONNECT_ERROR,
        false => ErrorCode::INTERNAL_ERROR,
    }
}

/// What a stream is reset with whose response is complete, while its request is not.
pub(super) fn early_code(stream: &Stream) -> ErrorCode {
    let flags = stream.info.flags;
    if is_connect_error(stream) {
        ErrorCode::CONNECT_ERROR
    } else if flags.contains(ResponseFlags::UPSTREAM_PROTOCOL_ERROR) {
        ErrorCode::PROTOCOL_ERROR
    } else {
        ErrorCode::NO_ERROR
    }
}
