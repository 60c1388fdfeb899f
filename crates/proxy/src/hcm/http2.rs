//! The driver of one downstream HTTP/2 connection.
//!
//! One task per connection drives all its streams, which lie in slots under the codec's keys. A round reads and decodes,
//! polls the streams that have something to do (and only those), encodes what they have ready, and writes it at once.
//! See `http2/LIFECYCLE.md`.

mod bulk;
mod deadlines;
mod ending;
mod incoming;
mod ready;
mod respond;
mod tunnel;

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nuncio_buffer::Buffer;
use nuncio_event::{Timer, clock};
use nuncio_http::h2::{self, Role, StreamKey};
use nuncio_http::{HeaderMap, Message};
use nuncio_net::Pipe;
use nuncio_sdk::http2::{KeepaliveTimer, OutboundFrames};
use nuncio_sdk::{DownstreamConnection, Http2Stats};
use tokio::time::Instant;

use super::accepted::{Accepted, Counted, Ended};
use super::stats::HttpStats;
use super::{HcmOnWorker, WorkerHcm};
use crate::stream::Stream;
use bulk::Bulk;
use deadlines::Deadlines;
use ending::{Drain, PrematureResets};
use ready::ReadySet;

/// First read of an idle connection: the requests of a busy client fit.
const FIRST_READ: usize = 16 * 1024;
/// Reads grow up to this while they come back full.
const LARGEST_READ: usize = 256 * 1024;
/// Steps of reading and decoding before the streams get their turn.
const READS: usize = 8;
/// Rounds of work before other tasks of the worker get their turn.
const ROUNDS: usize = 32;
/// Body bytes that a stream sends before others get their turn.
const TURN: usize = 64 * 1024;
/// While so much of a response waits for the client, no more of it is read.
const HANDOVER: usize = 64 * 1024;

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

/// Which ways of the socket have said `Pending` since the task was woken.
#[derive(Clone, Copy, Debug, Default)]
struct Blocked {
    read: bool,
    write: bool,
}

/// What lies under one of the codec's keys.
struct Slot {
    /// Marks the slot as ready. Made once, used by all streams that come to lie here.
    waker: Waker,
    stream: Option<Box<Stream>>,
    /// The stream is in [`ServerConnection::due`].
    due: bool,
    /// The stream is in [`ServerConnection::stalled`].
    stalled: bool,
    /// The stream is over and logged; what is left of its response waits for the client.
    flushing: bool,
    /// When the client must have taken that.
    flush_by: Option<Instant>,
    /// The request is an extended CONNECT, which the stream knows as an upgrade.
    extended_connect: bool,
    /// Body bytes of the request that the codec may not take for consumed yet.
    owed: usize,
    /// Body bytes of the response that wait, as the stats know them.
    pending: usize,
}

impl Slot {
    fn new(waker: Waker) -> Slot {
        Slot {
            waker,
            stream: None,
            due: false,
            stalled: false,
            flushing: false,
            flush_by: None,
            extended_connect: false,
            owed: 0,
            pending: 0,
        }
    }
}

pub(super) struct ServerConnection {
    worker: Rc<HcmOnWorker>,
    hcm: Rc<WorkerHcm>,
    down: DownstreamConnection,
    counted: Counted,
    codec: h2::Connection,
    /// What the codec decodes into, before it is known for whom.
    scratch: Message,
    write: Buffer,
    /// Its frames in the gauges.
    outbound: OutboundFrames,
    /// A body that goes out beside `write`.
    bulk: Option<Bulk>,
    /// For the frames of the next one, in a round in which there may be one.
    frames: Option<Pipe>,
    /// No more is encoded while so much waits to be written.
    write_limit: usize,
    slots: Vec<Slot>,
    /// Slots with a stream.
    open: usize,
    ready: ReadySet,
    /// Slots that have something to do.
    due: Vec<u32>,
    /// The other one of the two vectors that take turns as `due`.
    next_due: Vec<u32>,
    /// Several slots have something to do in this round: they take turns.
    is_crowded: bool,
    /// Slots that wait for room in `write`.
    stalled: Vec<u32>,
    deadlines: Deadlines,
    timer: Timer,
    phase: Phase,
    drain: Drain,
    keepalive: Option<KeepaliveTimer>,
    resets: PrematureResets,
    /// Since when there is no stream.
    idle_since: Instant,
    max_duration_at: Option<Instant>,
    /// When a closing connection is closed even if the peer has not.
    close_at: Option<Instant>,
    read_size: usize,
    blocked: Blocked,
    requests: u32,
    /// Bytes decoded that belong to no stream yet.
    wire: usize,
    /// The peer broke the protocol: what it sends is not looked at any more.
    failed: bool,
    /// `100 Continue`, made when it is first needed.
    hundred: HeaderMap,
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
        let now = clock::now();
        let hcm = worker.hcm.clone();
        let config = &hcm.config;
        hcm.http2_stats
            .inc(Http2Stats::NGHTTP2_DOWNSTREAM_CONNECTIONS);
        let mut codec = h2::Connection::new(Role::Server, config.h2.clone());
        let mut write = Buffer::new();
        codec.start(&mut write);
        let keepalive = config
            .h2_keepalive
            .map(|keepalive| KeepaliveTimer::new(keepalive, now, hcm.random_fraction()));
        ServerConnection {
            write_limit: crate::SEND_AHEAD.min(down.buffer_limit as usize),
            codec,
            scratch: Message::new(),
            write,
            outbound: OutboundFrames::default(),
            bulk: None,
            frames: None,
            slots: Vec::new(),
            open: 0,
            ready: ReadySet::default(),
            due: Vec::new(),
            next_due: Vec::new(),
            is_crowded: false,
            stalled: Vec::new(),
            deadlines: Deadlines::default(),
            timer,
            phase: Phase::Open,
            drain: Drain::No,
            keepalive,
            resets: PrematureResets::default(),
            idle_since: now,
            max_duration_at,
            close_at: None,
            read_size: FIRST_READ,
            blocked: Blocked::default(),
            requests: 0,
            wire: 0,
            failed: false,
            hundred: HeaderMap::new(),
            counted,
            worker,
            hcm,
            down,
        }
    }

    /// Drives the connection; ready when it is to be dropped.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = clock::now();
        if self.down.handle.poll_close(cx).is_ready() {
            self.close_now(Ended::Locally, "local_connection_close", now);
            return Poll::Ready(());
        }
        self.codec.set_now(now.into_std());
        self.blocked = Blocked::default();
        self.ready.register(cx.waker());
        for round in 0.. {
            let mut progress = match self.phase {
                Phase::Open => self.serve(cx, now),
                Phase::Closing => self.linger(cx, now),
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

    /// One round of an open connection. Returns whether anything moved.
    fn serve(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut progress = self.read(cx, now);
        if self.phase != Phase::Open {
            return true;
        }
        if !self.down.read.is_empty() || self.codec.is_in_header_block() {
            self.begin_request(now);
        }
        self.take_woken();
        while let Some(key) = self.codec.next_writable() {
            self.make_due(key.0);
        }
        progress |= self.drive(now);
        // Before the client can know.
        self.settle_counts();
        progress | self.flush(cx, now)
    }

    /// What the codec has counted goes into the stats.
    fn settle_counts(&mut self) {
        if let Some(counts) = self.codec.take_counts() {
            Http2Stats::add(&self.hcm.http2_stats, &counts);
        }
    }

    /// Decodes what was read, and reads more. Returns whether anything came.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        for _ in 0..READS {
            while self.phase == Phase::Open && !self.failed && self.decode(now) {
                moved = true;
            }
            if self.phase != Phase::Open || self.blocked.read || !self.receive(cx, now) {
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
            Poll::Ready(Ok(read @ 1..)) => {
                let stats = &self.hcm.stats;
                stats.add(HttpStats::DOWNSTREAM_CX_RX_BYTES_TOTAL, read as u64);
                if read >= self.read_size {
                    self.read_size = (read * 4).min(LARGEST_READ);
                }
                true
            }
            Poll::Ready(end) => {
                if let Err(error) = end {
                    log::debug!("[C{}] read error: {error}", self.down.info.id);
                }
                self.close_now(Ended::ByPeer, "downstream_remote_disconnect", now);
                false
            }
            Poll::Pending => {
                self.blocked.read = true;
                false
            }
        }
    }

    /// Slots whose wakers were used have something to do.
    fn take_woken(&mut self) {
        let (slots, due) = (&mut self.slots, &mut self.due);
        self.ready.take(|index| {
            let slot = &mut slots[index as usize];
            if let Some(stream) = &mut slot.stream {
                stream.router.wake_up();
                if !std::mem::replace(&mut slot.due, true) {
                    due.push(index);
                }
            }
        });
    }

    /// The slot has something to do.
    fn make_due(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.stream.is_some() && !std::mem::replace(&mut slot.due, true) {
            self.due.push(index);
        }
    }

    /// The slot waits for room in the write buffer.
    fn stall(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if !std::mem::replace(&mut slot.stalled, true) {
            self.stalled.push(index);
        }
    }

    /// Gives each slot that has something to do its turn. Returns whether there was one.
    fn drive(&mut self, now: Instant) -> bool {
        if self.due.is_empty() {
            return false;
        }
        let mut due = std::mem::replace(&mut self.due, std::mem::take(&mut self.next_due));
        self.is_crowded = due.len() > 1;
        for &index in &due {
            self.slots[index as usize].due = false;
            self.drive_slot(index, now);
        }
        due.clear();
        self.next_due = due;
        self.frames = None;
        true
    }

    fn drive_slot(&mut self, index: u32, now: Instant) {
        let key = StreamKey(index);
        let stream = self.slots[index as usize].stream.as_ref();
        let takes_pipe = stream.is_some_and(|stream| stream.out.started) && self.takes_pipe(key);
        let has_bulk = self.has_bulk(key);
        let slot = &mut self.slots[index as usize];
        let Some(stream) = &mut slot.stream else {
            return;
        };
        if !slot.flushing {
            let room = self.write.len() < self.write_limit;
            let may_read = room && !has_bulk && stream.out.data.len() < HANDOVER;
            stream.out.takes_pipe = takes_pipe;
            let mut cx = Context::from_waker(&slot.waker);
            let progress = stream.poll(&mut cx, may_read, now);
            if slot.owed > 0 && !stream.is_backed_up_request() {
                let owed = std::mem::take(&mut slot.owed);
                self.codec.consumed(key, owed, &mut self.write);
            }
            if progress {
                self.make_due(index);
            }
            if !room {
                self.stall(index);
            }
        }
        self.respond(index, now);
        let slot = &self.slots[index as usize];
        if let Some(stream) = &slot.stream {
            let deadline = match slot.flushing {
                true => slot.flush_by,
                false => stream.deadline(),
            };
            self.deadlines.note(index, deadline);
        }
    }

    /// Writes what is encoded. Returns whether bytes went out.
    fn flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if (self.write.is_empty() && self.bulk.is_none()) || self.blocked.write {
            return false;
        }
        let mut moved = false;
        while self.phase != Phase::Closed && !self.blocked.write {
            let bulk_moved = self.bulk.is_some() && self.flush_bulk(cx, now);
            moved |= bulk_moved;
            if self.bulk_unsent() > 0 || self.write.is_empty() {
                break;
            }
            moved |= self.flush_frames(cx, now);
            if !self.write.is_empty() || self.bulk.is_none() {
                break;
            }
        }
        if self.phase == Phase::Closed {
            return false;
        }
        self.codec.flushed(self.write.len() + self.bulk_unsent());
        let waiting = self.codec.outbound_frames();
        self.outbound.show(waiting, || &self.hcm.http2_stats);
        if let Err(error) = self.codec.check()
            && self.phase == Phase::Open
        {
            self.on_connection_error(error, now);
        }
        moved
    }

    /// Writes frames. Returns whether bytes went out.
    fn flush_frames(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        match self.down.io.poll_write(cx, &mut self.write) {
            Poll::Ready(Ok(written)) => {
                let stats = &self.hcm.stats;
                stats.add(HttpStats::DOWNSTREAM_CX_TX_BYTES_TOTAL, written as u64);
                if self.open == 0 {
                    self.write.release();
                }
                if self.write.len() < self.write_limit && !self.stalled.is_empty() {
                    for index in std::mem::take(&mut self.stalled) {
                        self.slots[index as usize].stalled = false;
                        self.make_due(index);
                    }
                }
                true
            }
            Poll::Ready(Err(error)) => {
                log::debug!("[C{}] write error: {error}", self.down.info.id);
                self.close_now(Ended::ByPeer, "downstream_remote_disconnect", now);
                false
            }
            Poll::Pending => {
                self.blocked.write = true;
                false
            }
        }
    }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        if self.phase != Phase::Closed {
            self.close_now(Ended::Locally, "local_connection_close", clock::now());
        }
        self.outbound.show((0, 0), || &self.hcm.http2_stats);
    }
}
