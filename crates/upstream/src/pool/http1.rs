//! Connections that speak HTTP/1.1: one request at a time, idle in between.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nuncio_event::Instant;

use super::connection::{self, ClientConnection};
use super::sweep::{self, PoolSignal};
use super::{Acquire, ClosedBy, Lease, Pool, PooledConnection, Sweeper};
use crate::info::UpstreamProtocol;
use crate::stats::ClusterStats as S;

/// The connections of a pool that wait for work.
#[derive(Debug)]
pub(super) struct Http1Connections {
    /// The last one was used last, and is used first.
    #[expect(
        clippy::vec_box,
        reason = "a connection moves to its request and back: as a pointer"
    )]
    pub(super) idle: RefCell<Vec<Box<ClientConnection>>>,
    pub(super) sweeper: Rc<Sweeper>,
    /// The sweeper has this pool on its list.
    pub(super) listed: Cell<bool>,
    /// The sweeper will look at what becomes idle now.
    pub(super) watched: Cell<bool>,
    /// When it will look next; `None`: when its signal is raised.
    pub(super) next_sweep: Cell<Option<Instant>>,
    pub(super) signal: OnceCell<Arc<PoolSignal>>,
}

impl Http1Connections {
    pub(super) fn new(sweeper: Rc<Sweeper>) -> Self {
        Self {
            idle: RefCell::default(),
            sweeper,
            listed: Cell::new(false),
            watched: Cell::new(false),
            next_sweep: Cell::new(None),
            signal: OnceCell::new(),
        }
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// A sweep is wanted at `due`, if not before.
    pub(super) fn plan(&self, due: Instant) {
        let planned = self.next_sweep.get();
        self.next_sweep.set(planned.into_iter().chain([due]).min());
    }
}

impl Pool {
    #[inline]
    pub(super) fn acquire_http1(self: &Rc<Self>) -> Acquire {
        match self.take_idle() {
            Some(connection) => match self.attach(connection) {
                Ok(connection) => {
                    self.after_begin();
                    Acquire::Ready(self.lease(connection))
                }
                Err(connection) => {
                    self.put_back(connection);
                    Acquire::Overflow
                }
            },
            None => self.queue(),
        }
    }

    /// What the connection is to its user.
    #[inline]
    pub(super) fn lease(&self, connection: PooledConnection) -> Lease {
        match self.protocol {
            UpstreamProtocol::Tcp => Lease::Tcp(connection),
            UpstreamProtocol::Http1 | UpstreamProtocol::Http2 => Lease::Http1(connection),
        }
    }

    /// The connection that was used last, if it is still good. No syscall unless the loop has heard of something.
    #[inline]
    fn take_idle(self: &Rc<Self>) -> Option<Box<ClientConnection>> {
        loop {
            let mut connection = self.http1.idle.borrow_mut().pop()?;
            match connection.probe() {
                None => return Some(connection),
                Some(end) => self.close_idle(connection, end),
            }
        }
    }

    /// Begins a request on `connection`, if the budget of requests allows it.
    #[inline]
    pub(super) fn attach(
        self: &Rc<Self>,
        mut connection: Box<ClientConnection>,
    ) -> Result<PooledConnection, Box<ClientConnection>> {
        if !self.begin_request() {
            return Err(connection);
        }
        if connection.begin_request() {
            self.counters.stats.inc(S::UPSTREAM_CX_MAX_REQUESTS);
        }
        self.remember_tunnel(&connection);
        Ok(PooledConnection::new(connection, self.clone()))
    }

    /// Takes back a connection whose request is complete.
    #[inline]
    pub(super) fn release(self: &Rc<Self>, mut connection: Box<ClientConnection>, now: Instant) {
        self.end_request();
        if connection.has_leftovers() {
            return self.close_after_surplus(connection);
        }
        if connection.is_used_up() || self.draining.get() {
            return self.close(connection, ClosedBy::Local, false);
        }
        if connection.has_expired(now) {
            self.counters.stats.inc(S::UPSTREAM_CX_MAX_DURATION_REACHED);
            return self.close(connection, ClosedBy::Local, false);
        }
        connection.rest(now);
        self.put_back(connection);
    }

    /// The upstream has sent more than the response, or has not taken all of the request.
    #[cold]
    fn close_after_surplus(self: &Rc<Self>, connection: Box<ClientConnection>) {
        if !connection.read.is_empty() {
            self.counters.stats.inc(S::UPSTREAM_CX_PROTOCOL_ERROR);
        }
        self.close(connection, ClosedBy::Local, false);
    }

    /// Gives a connection to who waits longest, or lets it wait for work.
    #[inline]
    pub(super) fn put_back(self: &Rc<Self>, connection: Box<ClientConnection>) {
        let waiter = self.waiters.borrow_mut().pop_front();
        if let Some(waiter) = waiter {
            waiter.assign(connection);
            // Others still wait: Envoy tries again for them.
            self.create_connections_for_waiters();
        } else if self.draining.get() {
            self.close(connection, ClosedBy::Local, false);
        } else {
            if !self.http1.watched.get() {
                self.http1.sweeper.watch(self, &connection);
            }
            self.http1.idle.borrow_mut().push(connection);
        }
    }

    /// Closes a connection on which no request runs, for what [`ClientConnection::probe`] has found.
    pub(super) fn close_idle(
        self: &Rc<Self>,
        connection: Box<ClientConnection>,
        end: connection::IdleEnd,
    ) {
        let by = match end {
            connection::IdleEnd::Peer => ClosedBy::Remote,
            connection::IdleEnd::Unsolicited { protocol_error } => {
                if protocol_error {
                    self.counters.stats.inc(S::UPSTREAM_CX_PROTOCOL_ERROR);
                }
                ClosedBy::Local
            }
        };
        self.close(connection, by, false);
    }

    /// Closes a connection. `active`: its request was not complete; [`Self::end_request`] was called.
    pub(super) fn close(
        self: &Rc<Self>,
        mut connection: Box<ClientConnection>,
        by: ClosedBy,
        active: bool,
    ) {
        self.connection_is_gone(by, active);
        self.forget_tunnel(connection.id);
        connection.buffered.clear(&self.counters.stats);
        self.record_life(connection.opened(), connection.requests);
        drop(connection);
        self.after_loss();
    }

    /// Looks at idle connections: closes those whose time is over or whose peer is gone, and has the loop tell about
    /// those that have been idle for a while. Plans the next look.
    pub(super) fn sweep(self: &Rc<Self>, now: Instant) {
        let mut closed = Vec::new();
        let mut next: Option<Instant> = None;
        let mut watch = false;
        let mut at = 0;
        while let Some(connection) = self.http1.idle.borrow_mut().get_mut(at) {
            match self.look_at(connection, now) {
                Some(reason) => closed.push((at, reason)),
                None => {
                    let deadline = connection.idle_deadline();
                    next = next.into_iter().chain(deadline).min();
                    watch |= !connection.is_parked();
                }
            }
            at += 1;
        }
        // What is parked tells of itself.
        let tick = watch.then(|| now + sweep::TICK);
        self.http1.watched.set(watch);
        self.http1
            .next_sweep
            .set(next.into_iter().chain(tick).min());
        for (at, reason) in closed.into_iter().rev() {
            let connection = self.http1.idle.borrow_mut().remove(at);
            self.close_swept(connection, reason);
        }
        self.offer_idle();
    }

    fn look_at(self: &Rc<Self>, connection: &mut ClientConnection, now: Instant) -> Option<Swept> {
        if connection.has_expired(now) {
            return Some(Swept::Expired);
        }
        if connection.has_idled_out(now) {
            return Some(Swept::IdledOut);
        }
        if let Some(end) = connection.probe() {
            return Some(Swept::Ended(end));
        }
        if connection.idle_for(now) >= sweep::TICK {
            let signal = self
                .http1
                .signal
                .get_or_init(|| self.http1.sweeper.signal());
            let waker = Waker::from(signal.clone());
            if let Poll::Ready(end) = connection.park(&mut Context::from_waker(&waker)) {
                return end.map(Swept::Ended);
            }
        }
        None
    }

    fn close_swept(self: &Rc<Self>, connection: Box<ClientConnection>, reason: Swept) {
        let stats = &self.counters.stats;
        match reason {
            Swept::Ended(end) => return self.close_idle(connection, end),
            Swept::IdledOut => stats.inc(S::UPSTREAM_CX_IDLE_TIMEOUT),
            Swept::Expired => stats.inc(S::UPSTREAM_CX_MAX_DURATION_REACHED),
        }
        self.close(connection, ClosedBy::Local, false);
    }
}

/// Why the sweep closes a connection.
enum Swept {
    Expired,
    IdledOut,
    Ended(connection::IdleEnd),
}
