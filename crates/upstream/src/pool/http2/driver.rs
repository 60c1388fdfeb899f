//! The task of one HTTP/2 connection: it owns the socket, decodes what comes into the streams' inboxes, and sends what the
//! streams have encoded, many streams' frames with one write.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::{Instant, Timer};
use nuncio_http::h2::{ConnectionError, Counts, Incoming, StreamKey};
use nuncio_http::{Event, Message};
use nuncio_net::Connection;
use nuncio_sdk::Http2Stats;
use nuncio_sdk::http2::{KeepaliveDue, KeepaliveTimer, OutboundFrames};

use super::super::buffered::Buffered;
use super::client::{Client, State, Wire};
use super::stream::StreamReset;
use super::{ClosedBy, Pool};
use crate::info::ClusterInfo;
use crate::random::Random;
use crate::stats::ClusterStats as S;

/// First read: many small responses fit.
const FIRST_READ: usize = 16 * 1024;
/// Reads grow up to this while they come back full. What is read, its body bytes, and the frames into which they go
/// downstream all fit pooled storage, and the processor's cache.
const LARGEST_READ: usize = 56 * 1024;
/// Short reads in a row before other tasks get their turn.
const READS: usize = 4;
/// Streams that wait for room are told when no more than this waits to be sent.
const LOW_WATER: usize = 16 * 1024;

/// Serves a new connection until it ends.
pub(in crate::pool) async fn serve(
    pool: Rc<Pool>,
    io: Connection,
    info: &ClusterInfo,
    now: Instant,
) {
    let mut driver = Driver::new(pool, io, info, now);
    driver.client.open_for_streams();
    poll_fn(|cx| driver.poll(cx)).await;
}

struct Driver {
    client: Rc<Client>,
    io: Connection,
    read: Buffer,
    scratch: Message,
    /// Whose body bytes `scratch.data` holds, not yet put into the inbox.
    undelivered: Option<StreamKey>,
    read_size: usize,
    /// Bytes decoded that are not yet known to be a stream's.
    undecided: u64,
    /// The socket took no more since the task was woken.
    write_blocked: bool,
    buffered: Buffered,
    outbound: OutboundFrames,
    timer: Timer,
    idle_timeout: Option<Duration>,
    /// Before then it cannot have been idle for too long: moved on when it is reached.
    look_for_idle: Option<Instant>,
    /// `max_connection_duration`
    expires: Option<Instant>,
    keepalive: Option<KeepaliveTimer>,
    random: Option<Random>,
}

impl Driver {
    fn new(pool: Rc<Pool>, io: Connection, info: &ClusterInfo, now: Instant) -> Self {
        let options = &info.http;
        let client = Client::new(pool, &io, options, now);
        let counters = &client.pool.counters;
        let stats = counters.http2.of(&counters.group);
        stats.inc(Http2Stats::NGHTTP2_UPSTREAM_CONNECTIONS);
        let random = options.keepalive.map(|_| Random::from_system());
        let keepalive = options
            .keepalive
            .map(|options| KeepaliveTimer::new(options, now, part(random.as_ref())));
        Self {
            client: Rc::new(client),
            io,
            read: Buffer::new(),
            scratch: Message::new(),
            undelivered: None,
            read_size: FIRST_READ,
            undecided: 0,
            write_blocked: false,
            buffered: Buffered::default(),
            outbound: OutboundFrames::default(),
            timer: Timer::new(),
            idle_timeout: options.idle_timeout,
            look_for_idle: options
                .idle_timeout
                .and_then(|timeout| now.checked_add(timeout)),
            expires: options.expiry(now),
            keepalive,
            random,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.client.task_runs(cx.waker());
        self.write_blocked = false;
        let now = Instant::now();
        self.client.wire.borrow_mut().codec.set_now(now.into_std());
        let more = self.receive(cx, now);
        self.ping_before_stream(now);
        loop {
            self.send(cx);
            self.count();
            if self.client.state() == State::Closed {
                return Poll::Ready(());
            }
            self.timer.set_deadline(self.deadline());
            if self.timer.poll_expired(cx).is_pending() {
                break;
            }
            self.on_deadline(Instant::now());
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Reads and decodes until the socket is empty or a read came back full: then the streams' tasks take what has come before
    /// more is read. Whether there may be more.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for _ in 0..READS {
            if self.client.state() == State::Closed {
                return false;
            }
            match self.io.poll_read(cx, &mut self.read, self.read_size) {
                Poll::Pending => return false,
                Poll::Ready(Ok(0) | Err(_)) => {
                    let why = StreamReset::ConnectionTermination;
                    self.client.close(ClosedBy::Remote, why);
                    return false;
                }
                Poll::Ready(Ok(count)) => {
                    let stats = &self.client.pool.counters.stats;
                    stats.add(S::UPSTREAM_CX_RX_BYTES_TOTAL, count as u64);
                    self.buffered.on_read(stats, self.read.len());
                    if let Some(keepalive) = &mut self.keepalive {
                        keepalive.on_frame(now);
                    }
                    self.decode(now);
                    if count == self.read_size {
                        self.read_size = LARGEST_READ;
                        return true;
                    } else if count < FIRST_READ {
                        self.read_size = FIRST_READ;
                    }
                }
            }
        }
        true
    }

    /// Decodes all that was read.
    fn decode(&mut self, now: Instant) {
        let client = self.client.clone();
        if self.read.len() > FIRST_READ {
            // Mostly one body: its pieces need not move while they come together.
            self.scratch.data.reserve(self.read.len());
        }
        loop {
            let mut wire = client.wire.borrow_mut();
            let Wire {
                codec,
                write,
                inboxes,
                ..
            } = &mut *wire;
            let before = self.scratch.data.len();
            let unread = self.read.len();
            let decoded = codec.decode(&mut self.read, &mut self.scratch, write);
            self.undecided += (unread - self.read.len()) as u64;
            if matches!(decoded, Ok(Some(ref it)) if !matches!(it, Incoming::Stream { .. }))
                && !codec.is_in_header_block()
            {
                self.undecided = 0;
            }
            let of_same = |key| match decoded {
                Ok(Some(Incoming::Stream {
                    key: next,
                    event: Event::Data { .. },
                })) => next == key,
                _ => false,
            };
            // Consecutive pieces of one body go to its inbox in one.
            if let Some(key) = self.undelivered.filter(|key| !of_same(*key)) {
                inboxes[key.index()].put_data(&mut self.scratch.data, before);
                inboxes[key.index()].wake();
                self.undelivered = None;
            }
            match decoded {
                Ok(None) => break,
                Ok(Some(Incoming::Progress)) => {}
                Ok(Some(Incoming::Stream { key, event })) => {
                    let inbox = &mut inboxes[key.index()];
                    inbox.count(std::mem::take(&mut self.undecided), event);
                    inbox.put(event, &mut self.scratch);
                    match event {
                        Event::Data { .. } => self.undelivered = Some(key),
                        Event::Reset { code } => {
                            let reset = StreamReset::of_code(code);
                            if inbox.fail(reset) {
                                count_reset(&client, reset);
                            }
                        }
                        _ => inbox.wake(),
                    }
                }
                Ok(Some(Incoming::StreamFailed { key, error })) => {
                    log::debug!("[C{}] upstream: {}", client.id, error.reason);
                    let reset = StreamReset::of_code(u64::from(error.code.0));
                    if inboxes[key.index()].fail(reset) {
                        count_reset(&client, reset);
                    }
                }
                Ok(Some(Incoming::Settings)) => {
                    let limit = codec.peer_max_streams();
                    drop(wire);
                    client.set_limit(limit);
                }
                Ok(Some(Incoming::GoAway { last_stream, code })) => {
                    log::debug!(
                        "[C{}] upstream goes away: last stream {last_stream}, code {code}",
                        client.id
                    );
                    drop(wire);
                    client.pool.counters.stats.inc(S::UPSTREAM_CX_CLOSE_NOTIFY);
                    client.drain();
                }
                Ok(Some(Incoming::Pong { .. })) => {
                    let random = part(self.random.as_ref());
                    if let Some(keepalive) = &mut self.keepalive {
                        keepalive.on_answer(now, random);
                    }
                }
                Err(error) => {
                    drop(wire);
                    return self.on_error(error);
                }
            }
        }
        if self.read.is_empty() {
            self.read.release();
        }
        self.scratch.data.release();
        let mut wire = client.wire.borrow_mut();
        while let Some(key) = wire.codec.next_writable() {
            wire.inboxes[key.index()].wake();
        }
    }

    /// The upstream broke the protocol, or went beyond a limit: every stream fails by that, as in Envoy.
    #[cold]
    fn on_error(&self, error: ConnectionError) {
        log::debug!("[C{}] upstream: {error}", self.client.id);
        let stats = &self.client.pool.counters.stats;
        stats.inc(S::UPSTREAM_CX_PROTOCOL_ERROR);
        self.client
            .close(ClosedBy::Local, StreamReset::ProtocolError);
    }

    /// Sends what is encoded.
    fn send(&mut self, cx: &mut Context<'_>) {
        let client = self.client.clone();
        let mut wire = client.wire.borrow_mut();
        let Wire {
            codec,
            write,
            inboxes,
            want_room,
        } = &mut *wire;
        let mut failed = false;
        while !write.is_empty() && !self.write_blocked {
            match self.io.poll_write(cx, write) {
                Poll::Ready(Ok(count)) => {
                    let stats = &client.pool.counters.stats;
                    stats.add(S::UPSTREAM_CX_TX_BYTES_TOTAL, count as u64);
                }
                Poll::Ready(Err(_)) => {
                    failed = true;
                    write.clear();
                }
                Poll::Pending => self.write_blocked = true,
            }
        }
        self.buffered
            .on_write(&client.pool.counters.stats, write.len());
        write.release();
        codec.flushed(write.len());
        let counters = &client.pool.counters;
        let stats = || counters.http2.of(&counters.group);
        self.outbound.show(codec.outbound_frames(), stats);
        if write.len() <= LOW_WATER {
            for key in want_room.drain(..) {
                let inbox = &mut inboxes[key.index()];
                inbox.wants_room = false;
                inbox.wake();
            }
        }
        let checked = codec.check();
        drop(wire);
        if client.state() == State::Closed {
            return;
        }
        if failed && !self.io.stream().is_readable() {
            // What the upstream sent before it closed is read first.
            client.close(ClosedBy::Remote, StreamReset::ConnectionTermination);
        } else if let Err(error) = checked {
            self.on_error(error);
        }
    }

    /// Adds up what the codec has counted.
    fn count(&self) {
        if let Some(counts) = self.client.wire.borrow_mut().codec.take_counts() {
            let counters = &self.client.pool.counters;
            // Envoy counts the trailers of requests only.
            let counts = Counts {
                trailers: 0,
                ..counts
            };
            Http2Stats::add(counters.http2.of(&counters.group), &counts);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let keepalive = self.keepalive.as_ref();
        let keepalive = keepalive.and_then(KeepaliveTimer::deadline);
        [self.look_for_idle, self.expires, keepalive]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_deadline(&mut self, now: Instant) {
        let client = &self.client;
        let stats = &client.pool.counters.stats;
        if self.expires.is_some_and(|at| at <= now) {
            self.expires = None;
            stats.inc(S::UPSTREAM_CX_MAX_DURATION_REACHED);
            client.drain();
        }
        if self.look_for_idle.is_some_and(|at| at <= now) {
            let since = client.idle_since();
            let timeout = self.idle_timeout;
            let until = timeout.and_then(|timeout| since.unwrap_or(now).checked_add(timeout));
            self.look_for_idle = until;
            if until.is_some_and(|at| at <= now) && client.state() != State::Closed {
                stats.inc(S::UPSTREAM_CX_IDLE_TIMEOUT);
                client.close(ClosedBy::Local, StreamReset::ConnectionTermination);
            }
        }
        match self.keepalive.as_mut().and_then(|it| it.due(now)) {
            Some(KeepaliveDue::Ping) => self.ping(now),
            Some(KeepaliveDue::Timeout) if client.state() != State::Closed => {
                let counters = &client.pool.counters;
                let http2 = counters.http2.of(&counters.group);
                http2.inc(Http2Stats::KEEPALIVE_TIMEOUT);
                client.close(ClosedBy::Local, StreamReset::ConnectionTermination);
            }
            _ => {}
        }
    }

    /// A stream on a connection that was idle for long is preceded by a PING.
    fn ping_before_stream(&mut self, now: Instant) {
        if self.client.ping_wanted.take() && self.keepalive.as_mut().is_some_and(|it| it.ask(now)) {
            self.ping(now);
        }
    }

    fn ping(&mut self, now: Instant) {
        let mut wire = self.client.wire.borrow_mut();
        let Wire { codec, write, .. } = &mut *wire;
        let since = now.saturating_duration_since(self.client.opened);
        codec.ping(since.as_millis() as u64, write);
    }
}

/// A stream has failed. As in Envoy, whose names say little: what counts is the reason, not who has reset the stream.
#[cold]
fn count_reset(client: &Client, reset: StreamReset) {
    let stats = &client.pool.counters.stats;
    match reset {
        StreamReset::RemoteReset => stats.inc(S::UPSTREAM_RQ_RX_RESET),
        StreamReset::ProtocolError => stats.inc(S::UPSTREAM_RQ_TX_RESET),
        _ => {}
    }
}

/// A random part, 0 to 1.
fn part(random: Option<&Random>) -> f64 {
    random.map_or(0.0, |random| random.next() as f64 / u64::MAX as f64)
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Nothing to do unless the task ends before its time (a panic, the end of the worker).
        let why = StreamReset::ConnectionTermination;
        self.client.close(ClosedBy::Local, why);
        let counters = &self.client.pool.counters;
        self.buffered.clear(&counters.stats);
        let stats = || counters.http2.of(&counters.group);
        self.outbound.show((0, 0), stats);
    }
}
