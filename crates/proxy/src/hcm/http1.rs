//! The driver of one downstream HTTP/1 connection.
//!
//! One task per connection does everything: it reads and decodes requests, polls the stream (which drives the
//! borrowed upstream connection), encodes and writes responses. A request that finds an idle upstream connection
//! costs two wake-ups: one for the request, one for the response.

mod ending;

use std::rc::Rc;
use std::task::{Context, Poll};

use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::{Timer, clock};
use nuncio_http::h1::{
    CodecError, RequestFacts, ServerDecoder, ServerEncoder, UNDERSCORE, Version,
};
use nuncio_http::{Event, Known};
use nuncio_net::Pipe;
use nuncio_sdk::{DownstreamConnection, LocalReply, Protocol, ResponseFlags};
use tokio::time::Instant;

use ending::Drain;

use super::accepted::{Accepted, Counted, Ended};
use super::stats::{CodecStats, HttpStats};
use super::{HcmOnWorker, WorkerHcm};
use crate::router::header_bytes;
use crate::stream::Stream;

/// First read of an idle connection: a head and a small body fit.
const FIRST_READ: usize = 4 * 1024;
/// Reads grow up to this while they come back full.
const LARGEST_READ: usize = 512 * 1024;
/// … and up to this while the upstream is the slower side: what is read has to wait in front of it.
const SLOW_READ: usize = 64 * 1024;
/// How much of the next requests is read while one is being served: enough to notice that the peer left.
const READ_AHEAD: usize = 16 * 1024;
/// Steps of reading and decoding before the upstream gets its turn.
const READS: usize = 8;
/// Rounds of work before other tasks of the worker get their turn.
const ROUNDS: usize = 32;

/// Where the connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Serving requests.
    Open,
    /// What is written is flushed, then the peer gets time to close first.
    Closing,
    /// Over.
    Closed,
}

/// Which ways of the socket have said `Pending`, and would say so again.
#[derive(Clone, Copy, Debug, Default)]
struct Blocked {
    read: bool,
    write: bool,
}

pub(super) struct ServerConnection {
    worker: Rc<HcmOnWorker>,
    hcm: Rc<WorkerHcm>,
    down: DownstreamConnection,
    write: Buffer,
    /// Body that goes out before `write`, from the upstream's socket, without having been here.
    pipe: Option<Pipe>,
    decoder: ServerDecoder,
    encoder: ServerEncoder,
    stream: Option<Box<Stream>>,
    timer: Timer,
    phase: Phase,
    counted: Counted,
    drain: Drain,
    idle_since: Instant,
    max_duration_at: Option<Instant>,
    /// A closing connection need not wait for the peer to close.
    close_at_once: bool,
    /// When a closing connection is closed even if the peer has not.
    close_at: Option<Instant>,
    /// How long written bytes may wait for the peer: as the route of the last response says.
    flush_timeout: Option<Duration>,
    /// Since when written bytes wait for the peer.
    flush_since: Option<Instant>,
    read_size: usize,
    blocked: Blocked,
    requests: u32,
    reading_paused: bool,
    /// The peer broke the protocol: what it sends is not looked at any more.
    failed: bool,
}

impl ServerConnection {
    pub(super) fn new(accepted: Accepted) -> ServerConnection {
        let Accepted {
            worker,
            down,
            counted,
            max_duration_at,
            timer,
        } = accepted;
        let hcm = worker.hcm.clone();
        let config = &hcm.config;
        ServerConnection {
            decoder: ServerDecoder::new(config.h1.clone()),
            encoder: ServerEncoder::new(config.h1.clone()),
            write: Buffer::new(),
            pipe: None,
            stream: None,
            timer,
            phase: Phase::Open,
            counted,
            drain: Drain::No,
            idle_since: clock::now(),
            max_duration_at,
            close_at_once: false,
            close_at: None,
            flush_timeout: config.timeouts.stream_flush,
            flush_since: None,
            read_size: FIRST_READ,
            blocked: Blocked::default(),
            requests: 0,
            reading_paused: false,
            failed: false,
            worker,
            hcm,
            down,
        }
    }

    /// Drives the connection; ready when it is to be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        if self.down.handle.poll_close(cx).is_ready() {
            self.close_now(Ended::Locally, "local_connection_close");
            return Poll::Ready(());
        }
        self.blocked = Blocked {
            read: self.blocked.read && self.down.io.still_waits(),
            write: false,
        };
        if let Some(stream) = &mut self.stream {
            stream.router.wake_up();
        }
        for round in 0.. {
            let mut progress = match self.phase {
                Phase::Open => self.serve(cx, now) && !self.is_settled(),
                Phase::Closing => self.linger(cx),
                Phase::Closed => false,
            };
            if self.phase == Phase::Closed {
                return Poll::Ready(());
            }
            if !progress {
                self.timer.set_deadline(self.deadline());
                if self.timer.poll_expired(cx).is_pending() {
                    return Poll::Pending;
                }
                self.on_deadline(clock::now());
                progress = true;
                if self.phase == Phase::Closed {
                    return Poll::Ready(());
                }
            }
            if progress && round >= ROUNDS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Pending
    }

    /// One round of an open connection: request, upstream, response. Returns whether anything moved.
    fn serve(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = self.read(cx, now);
        if let Some(stream) = &mut self.stream {
            let room = self.pipe.is_none()
                && self.write.len() < crate::SEND_AHEAD.min(self.down.buffer_limit as usize);
            stream.out.takes_pipe = stream.out.started
                && self.write.is_empty()
                && self.encoder.is_verbatim()
                && self.down.io.can_splice();
            progress |= stream.poll(cx, room, now);
            progress |= self.take_output(now);
        }
        progress | self.flush(cx, now)
    }

    /// Whether another round would move nothing: a request is with its upstream, or its response with the client, and both
    /// sockets have said `Pending`.
    fn is_settled(&self) -> bool {
        let idle = self.phase == Phase::Open && self.blocked.read && self.is_flushed();
        idle && match &self.stream {
            Some(stream) => stream.waits_for_upstream(),
            None => self.down.read.is_empty(),
        }
    }

    /// Encodes what the stream has ready.
    fn take_output(&mut self, now: Instant) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let before = self.write.len();
        let mut spliced = 0;
        if std::mem::take(&mut stream.out.send_continue) {
            let http10 = self.decoder.facts().version == Version::Http10;
            self.write.append_slice(match http10 {
                true => b"HTTP/1.0 100 Continue\r\n\r\n",
                false => b"HTTP/1.1 100 Continue\r\n\r\n",
            });
        }
        if std::mem::take(&mut stream.out.informational) {
            self.encoder.encode_informational(
                &self.decoder.facts(),
                &stream.response.headers,
                &mut self.write,
            );
        }
        if stream.out.headers.is_some() && before < self.down.buffer_limit as usize {
            self.encode_headers(now);
        }
        let Some(stream) = &mut self.stream else {
            return true;
        };
        if stream.out.started && !stream.out.sent_end {
            let end_here = stream.out.end && !stream.out.trailers;
            if let Some(pipe) = stream.out.pipe.take() {
                spliced = pipe.len();
                stream.info.bytes_sent += spliced as u64;
                self.pipe = Some(pipe);
            }
            if !stream.out.data.is_empty() || end_here {
                stream.info.bytes_sent += stream.out.data.len() as u64;
                self.encoder
                    .encode_data(&mut stream.out.data, end_here, &mut self.write);
                stream.out.sent_end = end_here;
            }
            if std::mem::take(&mut stream.out.trailers) {
                self.encoder
                    .encode_trailers(&stream.response.trailers, &mut self.write);
                stream.info.header_bytes_sent = self.encoder.header_bytes() as u64;
                stream.info.plain_header_bytes_sent = stream.info.header_bytes_sent;
                stream.out.sent_end = true;
            }
        }
        let written = self.write.len() - before + spliced;
        stream.info.wire_bytes_sent += written as u64;
        if stream.out.reset {
            // What came before the cut still goes out.
            stream.out.close = true;
            self.finish_stream(now);
            return true;
        }
        if stream.out.sent_end {
            stream.info.timing.last_downstream_tx = Some(now);
            self.finish_stream(now);
            return true;
        }
        written > 0
    }

    fn encode_headers(&mut self, now: Instant) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let end = stream.out.headers.take().unwrap_or_default();
        let hcm = &self.hcm;
        self.flush_timeout = stream.flush_timeout();
        let drain = &self.down.handle.drain;
        if self.drain == Drain::No
            && (hcm.health.is_failing() || drain.drain_close(now, || hcm.random()))
        {
            hcm.stats.inc(HttpStats::DOWNSTREAM_CX_DRAIN_CLOSE);
            self.drain = Drain::Until(now + hcm.drain_time());
        }
        stream.out.close |= stream.saw_close || self.drain.closes();
        stream.out.close_is_expected |= self.drain == Drain::AtNextResponse;
        if self.decoder.facts().version == Version::Http10 && !stream.out.close {
            // Without a length only the end of the connection ends the body.
            stream.out.close = !end && !stream.response.headers.contains(Known::ContentLength);
            stream.out.close_is_expected = stream.out.close;
            if !stream.out.close {
                stream
                    .response
                    .headers
                    .set(Known::Connection, b"keep-alive");
            }
        }
        let announce = stream.out.close || self.drain != Drain::No;
        if announce && !stream.opens_tunnel() {
            stream.response.headers.set(Known::Connection, b"close");
        }
        self.encoder.encode_headers(
            &self.decoder.facts(),
            &stream.response.headers,
            end,
            &mut self.write,
        );
        stream.info.header_bytes_sent = self.encoder.header_bytes() as u64;
        stream.info.plain_header_bytes_sent = stream.info.header_bytes_sent;
        stream.info.timing.first_downstream_tx = Some(now);
        stream.out.started = true;
        stream.out.sent_end = end;
    }

    /// The exchange is over: log it, and decide whether the connection lives on.
    fn finish_stream(&mut self, now: Instant) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        stream.finish(now);
        let close = stream.out.close || !stream.request_end || self.drain == Drain::Over;
        let at_once = stream.request_end && stream.out.close_is_expected;
        if !stream.request_end && !stream.reset_counted {
            self.hcm.stats.inc(HttpStats::DOWNSTREAM_RQ_RX_RESET);
        }
        self.worker.recycle(stream);
        self.idle_since = now;
        self.read_size = FIRST_READ;
        if close && self.phase == Phase::Open {
            self.start_closing();
            self.close_at_once = at_once;
        }
    }

    /// Whether everything that is for the peer was sent.
    fn is_flushed(&self) -> bool {
        self.write.is_empty() && self.pipe.is_none()
    }

    /// Writes what is encoded. Returns whether bytes went out.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.is_flushed() || self.blocked.write {
            return false;
        }
        let result = match &mut self.pipe {
            Some(pipe) => self.down.io.poll_splice_out(cx, pipe, false),
            None => self.down.io.poll_write(cx, &mut self.write),
        };
        match result {
            Poll::Ready(Ok(written)) => {
                self.pipe.take_if(|pipe| pipe.is_empty());
                self.hcm
                    .stats
                    .add(HttpStats::DOWNSTREAM_CX_TX_BYTES_TOTAL, written as u64);
                if self.is_flushed() {
                    if self.stream.is_none() {
                        self.write.release();
                    }
                    self.flush_since = None;
                } else {
                    self.flush_since = Some(now);
                }
                if let Some(stream) = &mut self.stream {
                    stream.touch(now);
                }
                true
            }
            Poll::Ready(Err(error)) => {
                log::debug!("[C{}] write error: {error}", self.down.info.id);
                self.close_now(Ended::ByPeer, "downstream_remote_disconnect");
                false
            }
            Poll::Pending => {
                self.blocked.write = true;
                self.flush_since.get_or_insert(now);
                false
            }
        }
    }

    /// Decodes what was read, and reads more where more is wanted, until the request is complete or nothing more is
    /// there. Returns whether anything came.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
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
