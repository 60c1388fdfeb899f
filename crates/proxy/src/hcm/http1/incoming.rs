//! Reads and decodes requests.

use std::task::{Context, Poll};

use nuncio_http::Event;
use nuncio_http::h1::{CodecError, RequestFacts, UNDERSCORE, Version};
use nuncio_sdk::{LocalReply, Protocol, ResponseFlags};
use tokio::time::Instant;

use super::{Phase, ServerConnection};
use crate::hcm::accepted::Ended;
use crate::hcm::stats::{CodecStats, HttpStats};
use crate::router::header_bytes;

/// Reads grow up to this while they come back full.
const LARGEST_READ: usize = 512 * 1024;
/// … and up to this while the upstream is the slower side: what is read has to wait in front of it.
const SLOW_READ: usize = 64 * 1024;
/// How much of the next requests is read while one is being served: enough to notice that the peer left.
const READ_AHEAD: usize = 16 * 1024;
/// Steps of reading and decoding before the upstream gets its turn.
const READS: usize = 8;

impl ServerConnection {
    /// Decodes what was read, and reads more where more is wanted, until the request is complete or nothing more is
    /// there. Returns whether anything came.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        for _ in 0..READS {
            if self.phase != Phase::Open || self.failed {
                return moved;
            }
            if self.wants_decode() {
                if self.decode(now) {
                    moved = true;
                    continue;
                }
            } else if self.down.read.len() >= READ_AHEAD {
                self.pause_reading(true);
                return moved;
            }
            self.pause_reading(false);
            if self.blocked.read || !self.receive(cx, now) {
                return moved;
            }
            moved = true;
        }
        moved
    }

    /// Reads once. Returns whether bytes came.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match self
            .down
            .io
            .poll_read(cx, &mut self.down.read, self.read_size)
        {
            Poll::Ready(Ok(0)) => {
                // As in Envoy, a client that closes its sending side has left.
                self.close_now(Ended::ByPeer, "downstream_remote_disconnect");
                false
            }
            Poll::Ready(Ok(read)) => {
                self.hcm
                    .stats
                    .add(HttpStats::DOWNSTREAM_CX_RX_BYTES_TOTAL, read as u64);
                if read >= self.read_size {
                    let slow = self
                        .stream
                        .as_ref()
                        .is_some_and(|stream| stream.upstream_lags());
                    let largest = if slow { SLOW_READ } else { LARGEST_READ };
                    self.read_size = (read * 4).min(largest);
                }
                if let Some(stream) = &mut self.stream {
                    stream.info.wire_bytes_received += read as u64;
                    stream.touch(now);
                }
                true
            }
            Poll::Ready(Err(error)) => {
                log::debug!("[C{}] read error: {error}", self.down.info.id);
                self.close_now(Ended::ByPeer, "downstream_remote_disconnect");
                false
            }
            Poll::Pending => {
                self.blocked.read = true;
                false
            }
        }
    }

    /// Whether the decoder should look at what was read: between requests, and in one that is not complete.
    fn wants_decode(&self) -> bool {
        match &self.stream {
            // The response must be on its way before the next request may begin, and slow readers must not pile up.
            None => self.write.len() < self.down.buffer_limit as usize,
            Some(stream) => !stream.request_end && stream.wants_request(),
        }
    }

    fn pause_reading(&mut self, pause: bool) {
        if self.reading_paused != pause {
            self.reading_paused = pause;
            self.hcm.stats.inc(if pause {
                HttpStats::DOWNSTREAM_FLOW_CONTROL_PAUSED_READING_TOTAL
            } else {
                HttpStats::DOWNSTREAM_FLOW_CONTROL_RESUMED_READING_TOTAL
            });
        }
    }

    /// Takes one event from what was read. Returns whether there was one.
    fn decode(&mut self, now: Instant) -> bool {
        if self.stream.is_none() {
            // RFC 9112 §2.2: empty lines before a request are no request. As nothing can hide in them, a bare LF will do.
            loop {
                match self.down.read.as_slice() {
                    [b'\r', b'\n', ..] => self.down.read.consume(2),
                    [b'\n', ..] => self.down.read.consume(1),
                    [] | [b'\r'] => return false,
                    _ => break,
                }
            }
            self.begin_stream(now);
        }
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match self
            .decoder
            .decode(&mut self.down.read, &mut stream.request)
        {
            Ok(None) => false,
            Ok(Some(Event::Headers { end_stream })) => {
                let facts = self.decoder.facts();
                stream.info.header_bytes_received = self.decoder.header_bytes() as u64;
                stream.info.plain_header_bytes_received = stream.info.header_bytes_received;
                stream.saw_close = !facts.keep_alive;
                stream.out.close_is_expected |= stream.saw_close;
                let dropped = self.decoder.take_dropped_underscores();
                if dropped > 0 {
                    self.hcm
                        .codec_stats
                        .add(CodecStats::DROPPED_HEADERS_WITH_UNDERSCORES, dropped);
                }
                stream.on_headers(protocol_of(&facts), end_stream, now);
                true
            }
            Ok(Some(Event::Data { end_stream })) => {
                stream.on_data(end_stream, now);
                true
            }
            Ok(Some(Event::Trailers)) => {
                stream.info.header_bytes_received += header_bytes(&stream.request.trailers, 0, 0);
                stream.on_trailers(now);
                true
            }
            Ok(Some(Event::Informational | Event::Reset { .. })) => {
                unreachable!("a request decoder gives neither")
            }
            Err(error) => {
                self.on_codec_error(error);
                true
            }
        }
    }

    fn begin_stream(&mut self, now: Instant) {
        let mut stream = self.worker.new_stream(
            &self.down.info,
            Protocol::Http11,
            self.down.buffer_limit,
            now,
        );
        stream.info.wire_bytes_received = self.down.read.len() as u64;
        self.requests += 1;
        if self
            .hcm
            .config
            .max_requests_per_connection
            .is_some_and(|max| self.requests >= max)
        {
            stream.out.close = true;
            stream.out.close_is_expected = true;
            self.hcm
                .stats
                .inc(HttpStats::DOWNSTREAM_CX_MAX_REQUESTS_REACHED);
        }
        self.stream = Some(stream);
    }

    /// The peer broke the protocol: answer if that is still possible, and close.
    fn on_codec_error(&mut self, error: CodecError) {
        log::debug!("[C{}] {error}", self.down.info.id);
        self.hcm.stats.inc(HttpStats::DOWNSTREAM_CX_PROTOCOL_ERROR);
        if error == UNDERSCORE {
            self.hcm
                .codec_stats
                .inc(CodecStats::REQUESTS_REJECTED_WITH_UNDERSCORES_IN_HEADERS);
        }
        self.failed = true;
        let Some(stream) = &mut self.stream else {
            return;
        };
        // What follows in the connection is no request of anybody.
        stream.request_end = false;
        if !stream.headers_seen {
            stream.request.headers.clear();
        }
        stream.out.close = true;
        stream.send_local_reply(LocalReply::new(error.status, error.body(), error.details).close());
        // The flag comes after the reply: `local_reply_config` does not see it.
        stream
            .info
            .set_flag(ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR);
        self.down.read.clear();
    }
}

fn protocol_of(facts: &RequestFacts) -> Protocol {
    match facts.version {
        Version::Http10 => Protocol::Http10,
        Version::Http11 => Protocol::Http11,
    }
}
