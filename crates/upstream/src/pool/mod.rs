//! Connection pools for HTTP/1.1: one per worker, host and priority. See `LIFECYCLE.md`.

mod connect;
mod connection;
mod pending;
mod sweep;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use nuncio_event::Instant;
use nuncio_stats::{Group, LocalGroup, Schema};

use crate::breaker::{Breakers, Priority, Resource, WorkerGauges};
use crate::host::Host;
use crate::info::ClusterInfo;
use crate::stats::{AnswerStats, ClusterStats as S, Http1Stats};

pub use connect::{ConnectFailure, FailureKind};
pub use connection::{ClientConnection, ClosedBy, PooledConnection};
pub use pending::PendingConnection;
pub(crate) use sweep::Sweeper;

use pending::Waiter;
use sweep::PoolSignal;

/// What a pool answers to a request that wants a connection.
#[derive(Debug)]
pub enum Acquire {
    /// A connection that was waiting for work.
    Ready(PooledConnection),
    /// A connection is being made, or all that may exist are busy: the request waits in line.
    Pending(PendingConnection),
    /// The circuit breaker of requests is open; counted. Envoy answers 503 `UO` `overflow`.
    Overflow,
    /// The circuit breaker of pending requests is open; counted. As [`Self::Overflow`], but the host is not part of it.
    PendingOverflow,
    /// There may be no further pool (`max_connection_pools`); counted. Envoy answers as if there was no host.
    NoPool,
}

/// What one worker counts for one cluster, shared by its pools.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Keeps the stats alive.
    pub(crate) group: Arc<Group>,
    pub(crate) stats: LocalGroup,
    pub(crate) external: LazyGroup,
    pub(crate) internal: LazyGroup,
    pub(crate) canary: LazyGroup,
    pub(crate) http1: LazyGroup,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) gauges: WorkerGauges,
}

impl Counters {
    pub(crate) fn new(info: &ClusterInfo) -> Self {
        let stats = info.stats.local();
        Self {
            group: info.stats.clone(),
            gauges: WorkerGauges::new(stats.clone(), &info.breakers),
            stats,
            external: LazyGroup::new("external", AnswerStats::SCHEMA),
            internal: LazyGroup::new("internal", AnswerStats::SCHEMA),
            canary: LazyGroup::new("canary", AnswerStats::SCHEMA),
            http1: LazyGroup::new("http1", Http1Stats::SCHEMA),
            breakers: info.breakers.clone(),
        }
    }
}

/// Stats under a cluster's name that are there once they are needed.
#[derive(Debug)]
pub(crate) struct LazyGroup {
    suffix: &'static str,
    schema: &'static Schema,
    /// The group keeps the stats alive.
    group: OnceCell<(Arc<Group>, LocalGroup)>,
}

impl LazyGroup {
    fn new(suffix: &'static str, schema: &'static Schema) -> Self {
        Self {
            suffix,
            schema,
            group: OnceCell::new(),
        }
    }

    /// This worker's block, made under `cluster` at the first call.
    #[inline]
    pub(crate) fn of(&self, cluster: &Group) -> &LocalGroup {
        let (_, local) = self.group.get_or_init(|| {
            let group = cluster.subgroup(self.suffix, self.schema);
            let local = group.local();
            (group, local)
        });
        local
    }
}

/// The connections of one worker to one host at one priority.
#[derive(Debug)]
pub(crate) struct Pool {
    host: Arc<Host>,
    priority: Priority,
    counters: Rc<Counters>,
    /// For connections that are made from now on.
    info: RefCell<Arc<ClusterInfo>>,
    /// The last one was used last, and is used first.
    #[expect(
        clippy::vec_box,
        reason = "a connection moves to its request and back: as a pointer"
    )]
    idle: RefCell<Vec<Box<ClientConnection>>>,
    /// First come, first served.
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    connecting: Cell<usize>,
    /// All: being made, idle and busy.
    connections: Cell<usize>,
    draining: Cell<bool>,
    /// Counts as one of `max_connection_pools`.
    live: Cell<bool>,
    sweeper: Rc<Sweeper>,
    /// The sweeper has this pool on its list.
    enrolled: Cell<bool>,
    signal: OnceCell<Arc<PoolSignal>>,
}

impl Pool {
    pub(crate) fn new(
        host: Arc<Host>,
        priority: Priority,
        counters: Rc<Counters>,
        info: Arc<ClusterInfo>,
        sweeper: Rc<Sweeper>,
    ) -> Self {
        Self {
            host,
            priority,
            counters,
            info: RefCell::new(info),
            idle: RefCell::default(),
            waiters: RefCell::default(),
            connecting: Cell::new(0),
            connections: Cell::new(0),
            draining: Cell::new(false),
            live: Cell::new(false),
            sweeper,
            enrolled: Cell::new(false),
            signal: OnceCell::new(),
        }
    }

    /// See [`WorkerCluster::acquire`](crate::WorkerCluster::acquire).
    #[inline]
    pub(crate) fn acquire(self: &Rc<Self>) -> Acquire {
        match self.take_idle() {
            Some(connection) => match self.attach(connection) {
                Ok(connection) => Acquire::Ready(connection),
                Err(connection) => {
                    self.put_back(connection);
                    Acquire::Overflow
                }
            },
            None => self.queue(),
        }
    }

    /// The connection that was used last, if it is still good. No syscall unless the loop has heard of something.
    #[inline]
    fn take_idle(self: &Rc<Self>) -> Option<Box<ClientConnection>> {
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            match connection.probe() {
                None => return Some(connection),
                Some(end) => self.close_idle(connection, end),
            }
        }
    }

    #[cold]
    fn queue(self: &Rc<Self>) -> Acquire {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        if !self.live.get() {
            if !breakers.try_take(self.priority, Resource::Pools, gauges) {
                stats.inc(S::UPSTREAM_CX_POOL_OVERFLOW);
                return Acquire::NoPool;
            }
            self.live.set(true);
        }
        if !breakers.try_take(self.priority, Resource::Pending, gauges) {
            stats.inc(S::UPSTREAM_RQ_PENDING_OVERFLOW);
            self.retire_if_unused();
            return Acquire::PendingOverflow;
        }
        stats.inc(S::UPSTREAM_RQ_PENDING_TOTAL);
        stats.gauge_add(S::UPSTREAM_RQ_PENDING_ACTIVE, 1);
        self.host.stats().rq_pending_active.fetch_add(1, Relaxed);
        let waiter = Rc::new(Waiter::default());
        self.waiters.borrow_mut().push_back(waiter.clone());
        self.create_connections();
        Acquire::Pending(PendingConnection::new(self.clone(), waiter))
    }

    /// Begins a request on `connection`, if the budget of requests allows it.
    #[inline]
    fn attach(
        self: &Rc<Self>,
        mut connection: Box<ClientConnection>,
    ) -> Result<PooledConnection, Box<ClientConnection>> {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        if !breakers.try_take(self.priority, Resource::Requests, gauges) {
            stats.inc(S::UPSTREAM_RQ_ACTIVE_OVERFLOW);
            return Err(connection);
        }
        if connection.begin_request() {
            stats.inc(S::UPSTREAM_CX_MAX_REQUESTS);
        }
        stats.inc(S::UPSTREAM_RQ_TOTAL);
        stats.gauge_add(S::UPSTREAM_RQ_ACTIVE, 1);
        self.host.stats().rq_total.fetch_add(1, Relaxed);
        self.host.stats().rq_active.fetch_add(1, Relaxed);
        Ok(PooledConnection::new(connection, self.clone()))
    }

    /// The request on a connection is over.
    #[inline]
    fn detach(&self) {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        breakers.give_back(self.priority, Resource::Requests, gauges);
        stats.gauge_sub(S::UPSTREAM_RQ_ACTIVE, 1);
        self.host.stats().rq_active.fetch_sub(1, Relaxed);
    }

    /// Takes back a connection whose request is complete.
    #[inline]
    fn release(self: &Rc<Self>, mut connection: Box<ClientConnection>, now: Instant) {
        self.detach();
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
    fn put_back(self: &Rc<Self>, connection: Box<ClientConnection>) {
        let waiter = self.waiters.borrow_mut().pop_front();
        if let Some(waiter) = waiter {
            waiter.assign(connection);
            // Others still wait: Envoy tries again for them.
            self.create_connections();
        } else if self.draining.get() {
            self.close(connection, ClosedBy::Local, false);
        } else {
            if !self.enrolled.get() {
                self.sweeper.enroll(self, &connection);
            }
            self.idle.borrow_mut().push(connection);
        }
    }

    /// Closes a connection on which no request runs, for what [`ClientConnection::probe`] has found.
    fn close_idle(self: &Rc<Self>, connection: Box<ClientConnection>, end: connection::IdleEnd) {
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

    /// Closes a connection. `active`: its request was not complete; [`Self::detach`] was called.
    fn close(self: &Rc<Self>, connection: Box<ClientConnection>, by: ClosedBy, active: bool) {
        self.connection_is_gone(by, active);
        self.record_life(&connection);
        drop(connection);
        self.after_loss();
    }

    fn record_life(&self, connection: &ClientConnection) {
        let stats = &self.counters.stats;
        let length = connection.opened().elapsed();
        stats.record(S::UPSTREAM_CX_LENGTH_MS, length.as_millis() as u64);
        stats.record(S::UPSTREAM_RQ_PER_CX, connection.requests);
    }

    /// Counts the end of a connection, made or only tried.
    fn connection_is_gone(&self, by: ClosedBy, active: bool) {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        self.connections.set(self.connections.get() - 1);
        self.host.stats().cx_active.fetch_sub(1, Relaxed);
        stats.gauge_sub(S::UPSTREAM_CX_ACTIVE, 1);
        breakers.give_back(self.priority, Resource::Connections, gauges);
        stats.inc(S::UPSTREAM_CX_DESTROY);
        stats.inc(match by {
            ClosedBy::Local => S::UPSTREAM_CX_DESTROY_LOCAL,
            ClosedBy::Remote => S::UPSTREAM_CX_DESTROY_REMOTE,
        });
        if active {
            stats.inc(S::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ);
            stats.inc(match by {
                ClosedBy::Local => S::UPSTREAM_CX_DESTROY_LOCAL_WITH_ACTIVE_RQ,
                ClosedBy::Remote => S::UPSTREAM_CX_DESTROY_REMOTE_WITH_ACTIVE_RQ,
            });
        }
    }

    fn after_loss(self: &Rc<Self>) {
        self.create_connections();
        self.retire_if_unused();
    }

    /// A pool without connections and waiters does not count as one.
    fn retire_if_unused(&self) {
        if self.live.get() && self.connections.get() == 0 && self.waiters.borrow().is_empty() {
            self.live.set(false);
            let Counters {
                breakers, gauges, ..
            } = &*self.counters;
            breakers.give_back(self.priority, Resource::Pools, gauges);
        }
    }

    /// Connections made from now on follow `info`.
    pub(crate) fn set_info(&self, info: &Arc<ClusterInfo>) {
        *self.info.borrow_mut() = info.clone();
    }

    /// Closes what is idle now and what is busy once its request is complete. Who waits is still served.
    pub(crate) fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        let idle = self.idle.take();
        for connection in idle {
            self.close(connection, ClosedBy::Local, false);
        }
    }

    /// Looks at idle connections: closes those whose time is over or whose peer is gone, and has the loop tell about
    /// those that have been idle for a while. Returns when to look again; `None` when nothing is idle.
    fn sweep(self: &Rc<Self>, now: Instant) -> Option<Instant> {
        let mut closed = Vec::new();
        let mut next: Option<Instant> = None;
        let mut at = 0;
        while let Some(connection) = self.idle.borrow_mut().get_mut(at) {
            if let Some(reason) = self.look_at(connection, now) {
                closed.push((at, reason));
            } else {
                let deadline = connection.idle_deadline();
                next = next.into_iter().chain(deadline).min();
            }
            at += 1;
        }
        for (at, reason) in closed.into_iter().rev() {
            let connection = self.idle.borrow_mut().remove(at);
            self.close_swept(connection, reason);
        }
        let idle = !self.idle.borrow().is_empty();
        idle.then(|| {
            next.into_iter()
                .chain([now + sweep::TICK])
                .min()
                .unwrap_or(now)
        })
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
            let signal = self.signal.get_or_init(|| self.sweeper.signal());
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

impl Drop for Pool {
    fn drop(&mut self) {
        // Busy connections hold the pool, so what is left is idle; count its end.
        for connection in self.idle.take() {
            self.connection_is_gone(ClosedBy::Local, false);
            self.record_life(&connection);
        }
        self.retire_if_unused();
    }
}

/// Why the sweep closes a connection.
enum Swept {
    Expired,
    IdledOut,
    Ended(connection::IdleEnd),
}

#[cfg(test)]
mod tests;
