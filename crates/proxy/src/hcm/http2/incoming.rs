//! What the peer sends.

use nuncio_http::Event;
use nuncio_http::h2::{ConnectionError, ErrorCode, Incoming, StreamError, StreamKey};
use nuncio_sdk::{Http2Stats, Protocol, ResponseFlags};
use tokio::time::Instant;

use super::{ServerConnection, Slot, tunnel};
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

impl ServerConnection {
    /// Takes one event from what was read. Returns whether there was one.
    pub(super) fn decode(&mut self, now: Instant) -> bool {
        let before = self.down.read.len();
        if before == 0 {
            return false;
        }
        let decoded = self
            .codec
            .decode(&mut self.down.read, &mut self.scratch, &mut self.write);
        self.wire += before - self.down.read.len();
        match decoded {
            Ok(None) => false,
            Ok(Some(incoming)) => {
                if let Some(keepalive) = &mut self.keepalive {
                    keepalive.on_frame(now);
                }
                self.on_incoming(incoming, now);
                true
            }
            Err(error) => {
                self.on_connection_error(error, now);
                true
            }
        }
    }

    fn on_incoming(&mut self, incoming: Incoming, now: Instant) {
        match incoming {
            Incoming::Stream { key, event } => match event {
                Event::Headers { end_stream } => self.on_request(key, end_stream, now),
                Event::Data { end_stream } => self.on_data(key, end_stream, now),
                Event::Trailers => self.on_trailers(key, now),
                Event::Reset { code } => self.on_reset(key, code, now),
                // A request decoder gives none.
                Event::Informational => {}
            },
            Incoming::StreamFailed { key, error } => self.on_stream_failed(key, error, now),
            Incoming::Pong { .. } => {
                let random = self.hcm.random_fraction();
                if let Some(keepalive) = &mut self.keepalive {
                    keepalive.on_answer(now, random);
                }
            }
            // A client that goes away is served to the end; as in Envoy, nothing else comes of it.
            Incoming::GoAway { .. } | Incoming::Settings | Incoming::Progress => {}
        }
        if !self.codec.is_in_header_block() {
            // What was no stream's is nobody's.
            self.wire = 0;
        }
    }

    /// A stream for a key that has none.
    fn new_stream(&mut self, now: Instant) -> Box<Stream> {
        let limit = self.hcm.config.h2.initial_stream_window_size;
        self.worker
            .new_stream(&self.down.info, Protocol::Http2, limit, now)
    }

    /// A stream for a key of the codec's.
    fn open_stream(&mut self, key: StreamKey, now: Instant) -> Box<Stream> {
        while self.slots.len() <= key.index() {
            let waker = self.ready.waker(self.slots.len() as u32);
            self.slots.push(Slot::new(waker));
        }
        self.open += 1;
        self.hcm
            .http2_stats
            .gauge_add(Http2Stats::STREAMS_ACTIVE, 1);
        self.count_request(now);
        self.new_stream(now)
    }

    /// A request whose headers are not complete when all that came is decoded is a stream already: it has deadlines,
    /// and a line in the log.
    #[cold]
    pub(super) fn begin_request(&mut self, now: Instant) {
        let Some(key) = self.codec.begin_request(&self.down.read) else {
            return;
        };
        if self.stream_of(key).is_some() {
            return;
        }
        // The bytes so far count when the headers are complete.
        let wire = std::mem::take(&mut self.wire);
        let stream = self.open_stream(key, now);
        self.wire = wire;
        self.deadlines.note(key.0, stream.deadline());
        self.slots[key.index()].stream = Some(stream);
    }

    fn stream_of(&mut self, key: StreamKey) -> Option<&mut Box<Stream>> {
        self.slots.get_mut(key.index())?.stream.as_mut()
    }

    fn on_request(&mut self, key: StreamKey, end: bool, now: Instant) {
        let begun = self
            .slots
            .get_mut(key.index())
            .and_then(|it| it.stream.take());
        let mut stream = match begun {
            None => self.open_stream(key, now),
            Some(stream) => stream,
        };
        let wire = std::mem::take(&mut self.wire) as u64;
        stream.info.wire_bytes_received += wire;
        stream.info.header_bytes_received += wire;
        if stream.out.headers.is_some() || stream.out.started {
            // It was answered, for want of headers.
            stream.request_end |= end;
            self.slots[key.index()].stream = Some(stream);
            return;
        }
        std::mem::swap(&mut stream.request.headers, &mut self.scratch.headers);
        stream.info.plain_header_bytes_received = stream.request.headers.byte_size() as u64;
        let extended_connect = tunnel::request_to_http1(&mut stream.request.headers);
        stream.on_headers(Protocol::Http2, end, now);
        let slot = &mut self.slots[key.index()];
        slot.extended_connect = extended_connect;
        slot.stream = Some(stream);
        self.make_due(key.0);
    }

    /// `max_requests_per_connection`: the connection drains from the last request on.
    fn count_request(&mut self, now: Instant) {
        self.requests = self.requests.saturating_add(1);
        let max = self.hcm.config.max_requests_per_connection;
        if max.is_some_and(|max| self.requests >= max) {
            let stats = &self.hcm.stats;
            stats.inc(HttpStats::DOWNSTREAM_CX_MAX_REQUESTS_REACHED);
            self.start_draining(now);
        }
    }

    fn on_data(&mut self, key: StreamKey, end: bool, now: Instant) {
        let wire = std::mem::take(&mut self.wire) as u64;
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            self.scratch.data.clear();
            return;
        };
        slot.owed += self.scratch.data.len();
        if slot.flushing {
            // Nobody wants it any more; the window is that of all streams, though.
            self.scratch.data.clear();
            stream.request_end |= end;
        } else {
            stream.info.wire_bytes_received += wire;
            stream.request.data.append(&mut self.scratch.data);
            stream.on_data(end, now);
        }
        // What cannot move on yet is looked at again when the stream has had its turn.
        if !stream.is_backed_up_request() {
            let owed = std::mem::take(&mut slot.owed);
            self.codec.consumed(key, owed, &mut self.write);
        }
        self.make_due(key.0);
    }

    fn on_trailers(&mut self, key: StreamKey, now: Instant) {
        let wire = std::mem::take(&mut self.wire) as u64;
        let slot = &mut self.slots[key.index()];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        if slot.flushing {
            stream.request_end = true;
            return;
        }
        stream.info.wire_bytes_received += wire;
        stream.info.header_bytes_received += wire;
        std::mem::swap(&mut stream.request.trailers, &mut self.scratch.trailers);
        stream.info.plain_header_bytes_received += stream.request.trailers.byte_size() as u64;
        stream.on_trailers(now);
        self.make_due(key.0);
    }

    fn on_reset(&mut self, key: StreamKey, code: u64, now: Instant) {
        let refused = code == u64::from(ErrorCode::REFUSED_STREAM.0);
        let details = match refused {
            true => "http2.remote_refuse",
            false => "http2.remote_reset",
        };
        let wire = std::mem::take(&mut self.wire) as u64;
        if let Some(stream) = &mut self.slots[key.index()].stream {
            stream.info.wire_bytes_received += wire;
        }
        self.end_by_peer(key, ResponseFlags::DOWNSTREAM_REMOTE_RESET, details, now);
    }

    /// The codec has reset the stream for what the peer did.
    fn on_stream_failed(&mut self, key: StreamKey, error: StreamError, now: Instant) {
        log::debug!(
            "[C{}] stream error: {} ({})",
            self.down.info.id,
            error.reason,
            error.details
        );
        let flag = match error.code {
            ErrorCode::PROTOCOL_ERROR => ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR,
            _ => ResponseFlags::DOWNSTREAM_REMOTE_RESET,
        };
        if self.stream_of(key).is_some() {
            self.end_by_peer(key, flag, error.details, now);
        } else {
            self.log_malformed(flag, error.details, now);
            self.codec.release(key, &mut self.write);
        }
    }

    /// Ends a stream that the peer has given up or spoilt.
    fn end_by_peer(
        &mut self,
        key: StreamKey,
        flag: ResponseFlags,
        details: &'static str,
        now: Instant,
    ) {
        let slot = &mut self.slots[key.index()];
        if let Some(stream) = &mut slot.stream {
            stream.on_downstream_gone(flag, details);
            self.finish_stream(key, now);
        } else {
            self.codec.release(key, &mut self.write);
        }
    }

    /// A request that never became one is counted and logged, too.
    fn log_malformed(&mut self, flag: ResponseFlags, details: &'static str, now: Instant) {
        self.wire = 0;
        let mut stream = self.new_stream(now);
        stream.on_downstream_gone(flag, details);
        stream.finish(now);
        self.worker.recycle(stream);
    }

    /// The peer broke the protocol: all streams end, and the connection when the codec's last word is sent.
    pub(super) fn on_connection_error(&mut self, error: ConnectionError, now: Instant) {
        log::debug!("[C{}] {error}", self.down.info.id);
        self.failed = true;
        let stats = &self.hcm.stats;
        if !error.is_flood {
            stats.inc(HttpStats::DOWNSTREAM_CX_PROTOCOL_ERROR);
        }
        if self.open > 0 || error.stream.is_some() {
            stats.inc(HttpStats::DOWNSTREAM_CX_DESTROY_ACTIVE_RQ);
            stats.inc(HttpStats::DOWNSTREAM_CX_DESTROY_LOCAL_ACTIVE_RQ);
        }
        let flag = ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR;
        if let Some(key) = error.stream {
            match self.stream_of(key).is_some() {
                true => self.end_by_peer(key, flag, error.stream_details, now),
                false => self.log_malformed(flag, error.stream_details, now),
            }
        }
        self.end_all_streams(flag, error.details, now);
        self.start_closing(now);
    }
}
