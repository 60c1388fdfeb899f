//! Connection pools: one per worker, host, priority and protocol. See `LIFECYCLE.md`.
//!
//! - this file: what all pools do: the line of those who wait, budgets, the counting of connections and requests;
//! - [`connect`] makes connections ([`eyeballs`]: to one of several addresses), [`preconnect`] says when to make them ahead, [`pending`] is a place in line;
//! - [`http1`], [`connection`], [`sweep`]: connections that serve one request at a time, or one tunnel;
//! - [`http2`]: connections that serve many.

mod buffered;
mod connect;
mod connection;
pub(crate) mod eyeballs;
mod http1;
mod http2;
mod pending;
mod preconnect;
mod sweep;
mod take_over;
mod tunnels;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use nuncio_event::Instant;
use nuncio_sdk::Http2Stats;
use nuncio_stats::{Group, LocalGroup};

use crate::answers::{AltGroups, AnswerGroups, LazyGroup};
use crate::breaker::{Breakers, Priority, Resource, WorkerGauges};
use crate::host::Host;
use crate::info::{ClusterInfo, UpstreamProtocol};
use crate::stats::{ClusterStats as S, Http1Stats, RetryStats, TakeOverStats};

pub use connect::{ConnectFailure, FailureKind};
pub use connection::{ClientConnection, ClosedBy, PooledConnection};
pub use http2::{PooledStream, Received, StreamBytes, StreamReset};
pub use pending::PendingConnection;
pub(crate) use preconnect::Load;
pub(crate) use sweep::Sweeper;

use http1::Http1Connections;
use http2::Http2Connections;
use pending::Waiter;
use tunnels::Tunnels;

/// The right to send one request to a host.
#[derive(Debug)]
pub enum Lease {
    /// A connection of its own.
    Http1(PooledConnection),
    /// A stream of a connection that others use, too.
    Http2(PooledStream),
    /// A connection whose bytes are the client's; it is closed after its use.
    Tcp(PooledConnection),
}

/// What a pool answers to a request that wants a connection.
#[derive(Debug)]
pub enum Acquire {
    /// A connection that was waiting for work.
    Ready(Lease),
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
    pub(crate) answers: AnswerGroups,
    pub(crate) alt: AltGroups,
    pub(crate) retry: LazyGroup,
    pub(crate) http1: LazyGroup,
    pub(crate) http2: LazyGroup,
    pub(crate) take_over: LazyGroup,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) gauges: WorkerGauges,
}

impl Counters {
    /// `zone`: where this proxy is; empty when that is not known.
    pub(crate) fn new(info: &ClusterInfo, zone: &str) -> Self {
        let stats = info.stats.local();
        Self {
            group: info.stats.clone(),
            gauges: WorkerGauges::new(stats.clone(), &info.breakers),
            stats,
            answers: AnswerGroups::new(zone),
            alt: AltGroups::default(),
            retry: LazyGroup::new("retry", RetryStats::SCHEMA),
            http1: LazyGroup::new("http1", Http1Stats::SCHEMA),
            http2: LazyGroup::new("http2", Http2Stats::SCHEMA),
            take_over: LazyGroup::new("take_over", TakeOverStats::SCHEMA),
            breakers: info.breakers.clone(),
        }
    }
}

/// The connections of one worker to one host at one priority that speak one protocol.
#[derive(Debug)]
pub(crate) struct Pool {
    host: Arc<Host>,
    priority: Priority,
    protocol: UpstreamProtocol,
    counters: Rc<Counters>,
    /// For connections that are made from now on.
    info: RefCell<Arc<ClusterInfo>>,
    /// First come, first served.
    waiters: RefCell<VecDeque<Rc<Waiter>>>,
    /// How many requests the connections that are being made will take at once.
    connecting_capacity: Cell<u64>,
    /// All: being made, idle and busy.
    connections: Cell<usize>,
    draining: Cell<bool>,
    /// [`PoolOptions::preconnect`](crate::info::PoolOptions).
    preconnect: Cell<f32>,
    /// Counts as one of `max_connection_pools`.
    live: Cell<bool>,
    http1: Http1Connections,
    http2: Http2Connections,
    tunnels: Tunnels,
    /// Idle connections are given to other workers, and taken from them.
    shares_idle: Cell<bool>,
    /// Questions to other workers that were not answered yet.
    asked: Cell<u64>,
}

impl Pool {
    pub(crate) fn new(
        host: Arc<Host>,
        priority: Priority,
        protocol: UpstreamProtocol,
        counters: Rc<Counters>,
        info: Arc<ClusterInfo>,
        sweeper: Rc<Sweeper>,
    ) -> Self {
        Self {
            host,
            priority,
            protocol,
            counters,
            preconnect: Cell::new(info.pools.preconnect),
            info: RefCell::new(info),
            waiters: RefCell::default(),
            connecting_capacity: Cell::new(0),
            connections: Cell::new(0),
            draining: Cell::new(false),
            live: Cell::new(false),
            http1: Http1Connections::new(sweeper),
            http2: Http2Connections::default(),
            tunnels: Tunnels::default(),
            shares_idle: Cell::new(false),
            asked: Cell::new(0),
        }
    }

    /// Idle connections are given to other workers that have none, and taken from them.
    pub(crate) fn share_idle(&self) {
        let is_http1 = self.protocol == UpstreamProtocol::Http1;
        self.shares_idle.set(is_http1);
    }

    /// See [`WorkerCluster::acquire`](crate::WorkerCluster::acquire).
    #[inline]
    pub(crate) fn acquire(self: &Rc<Self>) -> Acquire {
        match self.protocol {
            UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => self.acquire_http1(),
            UpstreamProtocol::Http2 => self.acquire_http2(),
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
        if !self.come_to_life() {
            return Acquire::NoPool;
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
        if !self.ask_other_workers() {
            self.create_connections();
        }
        Acquire::Pending(PendingConnection::new(self.clone(), waiter))
    }

    /// The pool counts as one from now on, if there may be one more.
    fn come_to_life(&self) -> bool {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        if !self.live.get() {
            if !breakers.try_take(self.priority, Resource::Pools, gauges) {
                stats.inc(S::UPSTREAM_CX_POOL_OVERFLOW);
                return false;
            }
            self.live.set(true);
        }
        true
    }

    /// Counts a request that has got its connection, if the budget of requests allows it.
    #[inline]
    fn begin_request(&self) -> bool {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        if !breakers.try_take(self.priority, Resource::Requests, gauges) {
            stats.inc(S::UPSTREAM_RQ_ACTIVE_OVERFLOW);
            return false;
        }
        breakers.note_request(self.priority);
        stats.inc(S::UPSTREAM_RQ_TOTAL);
        stats.gauge_add(S::UPSTREAM_RQ_ACTIVE, 1);
        self.host.stats().rq_total.fetch_add(1, Relaxed);
        self.host.stats().rq_active.fetch_add(1, Relaxed);
        true
    }

    /// Counts the end of a request.
    #[inline]
    fn end_request(&self) {
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

    /// Counts what a connection that ends has seen.
    fn record_life(&self, opened: Instant, requests: u64) {
        let stats = &self.counters.stats;
        let length = opened.elapsed();
        stats.record(S::UPSTREAM_CX_LENGTH_MS, length.as_millis() as u64);
        stats.record(S::UPSTREAM_RQ_PER_CX, requests);
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
        self.preconnect.set(info.pools.preconnect);
        *self.info.borrow_mut() = info.clone();
    }

    /// Closes what is idle now and what is busy once its request is complete. Who waits is still served.
    pub(crate) fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        let idle = self.http1.idle.take();
        for connection in idle {
            self.close(connection, ClosedBy::Local, false);
        }
        self.drain_http2();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.unregister();
        // Busy connections hold the pool, so what is left is idle; count its end.
        for mut connection in self.http1.idle.take() {
            connection.buffered.clear(&self.counters.stats);
            self.connection_is_gone(ClosedBy::Local, false);
            self.record_life(connection.opened(), connection.requests);
        }
        self.retire_if_unused();
    }
}

#[cfg(test)]
mod tests;
