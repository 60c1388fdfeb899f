//! [`Client`]: one HTTP/2 connection as its pool, its task and its streams share it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::Instant;
use nuncio_http::h2::{Connection as Codec, Role, StreamKey};
use nuncio_net::{Address, Connection};
use nuncio_sdk::Http2Stats;

use super::inbox::Inbox;
use super::stream::{PooledStream, StreamReset};
use super::{ClosedBy, Pool};
use crate::info::HttpOptions;
use crate::stats::ClusterStats as S;

/// Whether a connection takes streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its pool does not know it yet.
    New,
    /// It takes more streams.
    Ready,
    /// It has as many as it may have.
    Busy,
    /// It takes no more, and ends with its last one.
    Draining,
    /// It is over, and counted.
    Closed,
}

/// What the task and the streams both work on.
pub(super) struct Wire {
    pub(super) codec: Codec,
    /// Encoded and not yet sent.
    pub(super) write: Buffer,
    /// By [`StreamKey`].
    pub(super) inboxes: Vec<Inbox>,
    /// Streams that have something to send but for which `write` was too full.
    pub(super) want_room: VecDeque<StreamKey>,
}

/// One connection. Its task (see [`super::driver`]) owns the socket.
pub(super) struct Client {
    pub(super) pool: Rc<Pool>,
    pub(super) id: u64,
    pub(super) local_address: Rc<Address>,
    /// The other end, where it is not the host's first address.
    pub(super) other_address: Option<Rc<Address>>,
    pub(super) wire: RefCell<Wire>,
    state: Cell<State>,
    /// Streams in use.
    streams: Cell<u32>,
    /// Places that were promised to requests in line.
    reserved: Cell<u32>,
    /// Streams that it may have at once, by configuration and by the peer's settings.
    limit: Cell<u32>,
    /// How many more streams there may be in its life; `u32::MAX` is without limit.
    remaining: Cell<u32>,
    /// Streams so far.
    requests: Cell<u64>,
    pub(super) opened: Instant,
    /// Since when there is no stream.
    idle_since: Cell<Instant>,
    /// After so long without a stream the next one is preceded by a PING.
    idle_ping: Option<Duration>,
    pub(super) ping_wanted: Cell<bool>,
    task: RefCell<Waker>,
    /// The task has been woken and did not run yet.
    woken: Cell<bool>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// What became of the wish for a stream.
pub(super) enum Attached {
    Stream(PooledStream),
    /// The circuit breaker of requests is open.
    Overflow,
    /// The connection takes no more streams.
    Unusable,
}

impl Client {
    pub(super) fn new(
        pool: Rc<Pool>,
        io: &Connection,
        options: &HttpOptions,
        now: Instant,
    ) -> Self {
        let mut codec = Codec::new(Role::Client, options.h2.clone());
        let mut write = Buffer::new();
        codec.start(&mut write);
        let remote = io.remote_address();
        Self {
            id: io.id(),
            local_address: Rc::new(io.local_address().clone()),
            other_address: (remote != pool.host.address()).then(|| Rc::new(remote.clone())),
            pool,
            wire: RefCell::new(Wire {
                codec,
                write,
                inboxes: Vec::new(),
                want_room: VecDeque::new(),
            }),
            state: Cell::new(State::New),
            streams: Cell::new(0),
            reserved: Cell::new(0),
            limit: Cell::new(options.h2.max_concurrent_streams),
            remaining: Cell::new(options.max_requests_per_connection.unwrap_or(u32::MAX)),
            requests: Cell::new(0),
            opened: now,
            idle_since: Cell::new(now),
            idle_ping: options.keepalive.and_then(|it| it.idle_interval),
            ping_wanted: Cell::new(false),
            task: RefCell::new(Waker::noop().clone()),
            woken: Cell::new(false),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    fn set_state(self: &Rc<Self>, state: State) {
        let before = self.state.replace(state);
        if before != state {
            self.pool.http2.transfer(self, before, state);
        }
    }

    /// Streams that it has, or has promised.
    pub(super) fn in_use(&self) -> u32 {
        self.streams.get() + self.reserved.get()
    }

    /// How many more streams it takes now.
    pub(super) fn unused(&self) -> u32 {
        let reserved = self.reserved.get();
        let by_limit = self.limit.get().saturating_sub(self.streams.get());
        by_limit.min(self.remaining.get()).saturating_sub(reserved)
    }

    /// Takes its place among the pool's connections: it takes streams from now on.
    pub(super) fn open_for_streams(self: &Rc<Self>) {
        if self.pool.draining.get() && self.pool.waiters.borrow().is_empty() {
            return self.close(ClosedBy::Local, StreamReset::ConnectionTermination);
        }
        self.set_state(State::Ready);
        self.settle();
        self.pool.serve_waiters();
        if self.pool.draining.get() && self.reserved.get() == 0 {
            self.drain();
        }
    }

    /// Ready or busy, by what it takes now.
    fn settle(self: &Rc<Self>) {
        let state = match self.unused() {
            0 => State::Busy,
            _ => State::Ready,
        };
        if matches!(self.state(), State::Ready | State::Busy) {
            self.set_state(state);
        }
    }

    /// There may be more room than before: those who wait get it.
    fn settle_and_serve(self: &Rc<Self>) {
        let before = self.state();
        self.settle();
        if before == State::Busy && self.state() == State::Ready {
            self.pool.serve_waiters();
        }
    }

    /// The peer's settings have come.
    pub(super) fn set_limit(self: &Rc<Self>, limit: u32) {
        self.limit.set(limit);
        self.settle_and_serve();
    }

    /// Begins a stream.
    pub(super) fn attach(self: &Rc<Self>) -> Attached {
        if !matches!(self.state(), State::Ready | State::Busy) {
            return Attached::Unusable;
        }
        let mut wire = self.wire.borrow_mut();
        let Wire {
            codec,
            write,
            inboxes,
            ..
        } = &mut *wire;
        let Some(key) = codec.open() else {
            let never_again = codec.is_going_away();
            drop(wire);
            if never_again {
                self.drain();
            } else {
                self.set_state(State::Busy);
            }
            return Attached::Unusable;
        };
        if !self.pool.begin_request() {
            codec.release(key, write);
            return Attached::Overflow;
        }
        if inboxes.len() <= key.index() {
            inboxes.resize_with(key.index() + 1, Inbox::default);
        }
        inboxes[key.index()].open();
        drop(wire);
        let counters = &self.pool.counters;
        counters
            .http2
            .of(&counters.group)
            .gauge_add(Http2Stats::STREAMS_ACTIVE, 1);
        if self.streams.get() == 0
            && let Some(limit) = self.idle_ping
            && self.idle_since.get().elapsed() >= limit
        {
            self.ping_wanted.set(true);
        }
        self.streams.update(|count| count + 1);
        self.requests.update(|count| count + 1);
        if self.remaining.get() != u32::MAX {
            self.remaining.update(|count| count - 1);
        }
        if self.remaining.get() == 0 {
            counters.stats.inc(S::UPSTREAM_CX_MAX_REQUESTS);
            self.set_state(State::Draining);
        } else {
            self.settle();
        }
        Attached::Stream(PooledStream::new(self.clone(), key))
    }

    /// Promises a place to a request in line.
    pub(super) fn reserve(self: &Rc<Self>) -> Reservation {
        self.reserved.update(|count| count + 1);
        self.settle();
        Reservation {
            client: Some(self.clone()),
        }
    }

    /// A stream is over, and released.
    pub(super) fn detach(self: &Rc<Self>, now: Instant) {
        let counters = &self.pool.counters;
        counters
            .http2
            .of(&counters.group)
            .gauge_sub(Http2Stats::STREAMS_ACTIVE, 1);
        self.pool.end_request();
        self.streams.update(|count| count - 1);
        if self.streams.get() == 0 {
            self.idle_since.set(now);
        }
        match self.state() {
            State::Draining => self.close_if_drained(),
            State::Busy => self.settle_and_serve(),
            State::New | State::Ready | State::Closed => {}
        }
        if self.pool.draining.get() {
            self.drain();
        }
    }

    /// Takes no more streams, and ends with its last one.
    pub(super) fn drain(self: &Rc<Self>) {
        if matches!(self.state(), State::Ready | State::Busy) {
            self.set_state(State::Draining);
        }
        if self.state() == State::Draining {
            self.close_if_drained();
        }
    }

    fn close_if_drained(self: &Rc<Self>) {
        if self.streams.get() == 0 {
            self.close(ClosedBy::Local, StreamReset::ConnectionTermination);
        }
    }

    /// Whether it has no stream, and since when.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.idle_since.get())
    }

    /// Ends the connection; its streams are told why. The task sends what is encoded, if that can be sent at once, and ends.
    pub(super) fn close(self: &Rc<Self>, by: ClosedBy, why: StreamReset) {
        if self.state() == State::Closed {
            return;
        }
        self.set_state(State::Closed);
        let mut cut = 0;
        for inbox in &mut self.wire.borrow_mut().inboxes {
            cut += u64::from(inbox.fail(why));
        }
        let stats = &self.pool.counters.stats;
        // As in Envoy, whose names for these do not quite fit.
        let terminated = why == StreamReset::ConnectionTermination;
        stats.add(
            match terminated {
                true => S::UPSTREAM_RQ_PENDING_FAILURE_EJECT,
                false => S::UPSTREAM_RQ_TX_RESET,
            },
            cut,
        );
        self.pool.connection_is_gone(by, terminated && cut > 0);
        self.pool.record_life(self.opened, self.requests.get());
        self.wake_task();
        self.pool.after_loss();
    }

    /// The task that is to be woken.
    pub(super) fn task_runs(&self, waker: &Waker) {
        self.woken.set(false);
        self.task.borrow_mut().clone_from(waker);
    }

    /// Something is to be sent, or the connection is over.
    #[inline]
    pub(super) fn wake_task(&self) {
        if !self.woken.replace(true) {
            self.task.borrow().wake_by_ref();
        }
    }
}

/// A place on a connection that was promised to a request in line. Dropping it gives the place back.
#[derive(Debug)]
pub(in crate::pool) struct Reservation {
    /// Taken when the place is used.
    client: Option<Rc<Client>>,
}

impl Reservation {
    /// Begins the stream; `None` when the connection takes none any more.
    ///
    /// # Errors
    /// The circuit breaker of requests is open.
    pub(in crate::pool) fn take(mut self) -> Result<Option<PooledStream>, Overflow> {
        let Some(client) = self.client.take() else {
            return Ok(None);
        };
        client.reserved.update(|count| count - 1);
        match client.attach() {
            Attached::Stream(stream) => Ok(Some(stream)),
            Attached::Unusable => Ok(None),
            Attached::Overflow => {
                client.settle_and_serve();
                Err(Overflow)
            }
        }
    }
}

/// The circuit breaker of requests is open.
#[derive(Clone, Copy, Debug)]
pub(in crate::pool) struct Overflow;

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.reserved.update(|count| count - 1);
            client.settle_and_serve();
        }
    }
}
