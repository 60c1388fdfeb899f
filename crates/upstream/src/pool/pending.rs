//! A request's place in line for a connection.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use super::connect::{ConnectFailure, FailureKind};
use super::http2::Reservation;
use super::{ClientConnection, Lease, Pool};
use crate::breaker::Resource;
use crate::stats::ClusterStats as S;

/// One place in line, shared by the pool and by who waits.
#[derive(Debug, Default)]
pub(super) struct Waiter {
    state: RefCell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug, Default)]
enum State {
    /// In line.
    #[default]
    Waiting,
    /// Out of line, with a connection on which no request has begun yet.
    Assigned(Box<ClientConnection>),
    /// Out of line, with a place on a connection.
    Reserved(Reservation),
    /// Out of line, and no longer counted as pending.
    Failed(ConnectFailure),
    /// The answer was taken.
    Done,
}

impl Waiter {
    pub(super) fn assign(&self, connection: Box<ClientConnection>) {
        self.answer(State::Assigned(connection));
    }

    pub(super) fn reserve(&self, reservation: Reservation) {
        self.answer(State::Reserved(reservation));
    }

    pub(super) fn fail(&self, failure: ConnectFailure) {
        self.answer(State::Failed(failure));
    }

    fn answer(&self, state: State) {
        *self.state.borrow_mut() = state;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request that waits for a connection. Dropping it gives its place up; a connection that is being made for it is made
/// nevertheless and goes to the pool.
pub struct PendingConnection {
    pool: Rc<Pool>,
    waiter: Rc<Waiter>,
}

impl fmt::Debug for PendingConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingConnection").finish_non_exhaustive()
    }
}

impl PendingConnection {
    pub(super) fn new(pool: Rc<Pool>, waiter: Rc<Waiter>) -> Self {
        Self { pool, waiter }
    }

    /// Ready with a connection, or with why there is none. Not to be polled again after that.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lease, ConnectFailure>> {
        loop {
            let state = mem::replace(&mut *self.waiter.state.borrow_mut(), State::Done);
            match state {
                State::Waiting => {
                    *self.waiter.state.borrow_mut() = State::Waiting;
                    let mut waker = self.waiter.waker.borrow_mut();
                    match &mut *waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                    return Poll::Pending;
                }
                // A new connection is taken as it is: an upstream that accepts and closes must end the request,
                // not make it try for ever.
                State::Assigned(connection) if connection.requests == 0 => {
                    return Poll::Ready(self.begin(connection));
                }
                State::Assigned(mut connection) => match connection.probe() {
                    None => return Poll::Ready(self.begin(connection)),
                    // It ended between its last request and this one: back to the head of the line.
                    Some(end) => {
                        self.wait_again();
                        self.pool.close_idle(connection, end);
                    }
                },
                State::Reserved(reservation) => match reservation.take() {
                    Ok(Some(stream)) => {
                        self.pool.is_no_longer_pending();
                        return Poll::Ready(Ok(Lease::Http2(stream)));
                    }
                    Err(_) => {
                        self.pool.is_no_longer_pending();
                        let overflow = ConnectFailure::of_kind(FailureKind::Overflow);
                        return Poll::Ready(Err(overflow));
                    }
                    // The connection has ended, or takes no more streams: back to the head of the line.
                    Ok(None) => {
                        self.wait_again();
                        self.pool.create_connections();
                    }
                },
                State::Failed(failure) => return Poll::Ready(Err(failure)),
                State::Done => return Poll::Pending,
            }
        }
    }

    fn wait_again(&self) {
        *self.waiter.state.borrow_mut() = State::Waiting;
        let mut waiters = self.pool.waiters.borrow_mut();
        waiters.push_front(self.waiter.clone());
    }

    fn begin(&self, connection: Box<ClientConnection>) -> Result<Lease, ConnectFailure> {
        self.pool.is_no_longer_pending();
        let attached = self.pool.attach(connection).map_err(|connection| {
            self.pool.put_back(connection);
            ConnectFailure::of_kind(FailureKind::Overflow)
        });
        attached.map(|connection| self.pool.lease(connection))
    }
}

impl Drop for PendingConnection {
    fn drop(&mut self) {
        let state = mem::replace(&mut *self.waiter.state.borrow_mut(), State::Done);
        let pool = &self.pool;
        match state {
            State::Waiting => {
                pool.waiters
                    .borrow_mut()
                    .retain(|waiter| !Rc::ptr_eq(waiter, &self.waiter));
                pool.is_no_longer_pending();
                pool.counters.stats.inc(S::UPSTREAM_RQ_CANCELLED);
                pool.retire_if_unused();
            }
            State::Assigned(connection) => {
                pool.is_no_longer_pending();
                pool.counters.stats.inc(S::UPSTREAM_RQ_CANCELLED);
                pool.put_back(connection);
            }
            State::Reserved(reservation) => {
                pool.is_no_longer_pending();
                pool.counters.stats.inc(S::UPSTREAM_RQ_CANCELLED);
                drop(reservation);
            }
            State::Failed(_) | State::Done => {}
        }
    }
}

impl Pool {
    /// Counts the end of a wait.
    pub(super) fn is_no_longer_pending(&self) {
        let counters = &self.counters;
        counters
            .breakers
            .give_back(self.priority, Resource::Pending, &counters.gauges);
        counters.stats.gauge_sub(S::UPSTREAM_RQ_PENDING_ACTIVE, 1);
        self.host.stats().rq_pending_active.fetch_sub(1, Relaxed);
    }

    /// Answers all who wait with `failure`, as Envoy does when a connection cannot be made: the caller decides about
    /// another attempt.
    pub(super) fn fail_waiters(&self, failure: &ConnectFailure) {
        let waiters = mem::take(&mut *self.waiters.borrow_mut());
        for waiter in waiters {
            self.is_no_longer_pending();
            self.counters
                .stats
                .inc(S::UPSTREAM_RQ_PENDING_FAILURE_EJECT);
            waiter.fail(failure.clone());
        }
    }
}
