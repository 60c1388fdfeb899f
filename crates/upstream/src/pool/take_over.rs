//! Idle connections that change from one worker to another. Envoy has no such thing: with few connections on many workers it
//! opens connections although others idle.
//!
//! A worker without an idle connection looks at what the others have said they have (a hint per host, written by their
//! sweepers, so that using a connection costs nothing), and asks one of them. That one takes a connection off its loop,
//! makes sure that nothing has come on it, and sends it; if it has none, the asker makes one. While the answer is under way
//! the request counts as one for which a connection is being made.
//!
//! The connection stays one of the budget and of the host's count; gauges change from one worker's block to the other's.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hashbrown::HashMap;
use nuncio_event::{Dispatcher, worker_index};

use super::connection::Moving;
use super::{ClientConnection, Pool};
use crate::breaker::{Priority, Resource};
use crate::host::Host;
use crate::info::ClusterInfo;
use crate::stats::{ClusterStats as S, TakeOverStats};

thread_local! {
    /// This worker's pools that have offered connections, or have asked for some.
    static POOLS: RefCell<HashMap<Key, Weak<Pool>>> = RefCell::default();
}

/// The address of the shared host, which whoever uses the key keeps alive, and the priority.
type Key = (usize, usize);

fn key(host: &Arc<Host>, priority: Priority) -> Key {
    (Arc::as_ptr(host) as usize, priority.index())
}

fn find(key: Key) -> Option<Rc<Pool>> {
    POOLS.with_borrow(|pools| pools.get(&key).and_then(Weak::upgrade))
}

/// A question on its way to the worker that is asked. Unless it is answered, its drop says that there is nothing.
struct Question {
    host: Arc<Host>,
    priority: Priority,
    info: Arc<ClusterInfo>,
    asker: Option<Dispatcher>,
}

/// A connection on its way to the asker, or the news that there is none. A connection that is dropped on the way ends, and
/// gives back what it counted for.
struct Answer {
    moving: Option<Moving>,
    host: Arc<Host>,
    priority: Priority,
    info: Arc<ClusterInfo>,
}

impl Question {
    fn answer(&mut self, moving: Option<Moving>) {
        let Some(asker) = self.asker.take() else {
            return;
        };
        let answer = Answer {
            moving,
            host: self.host.clone(),
            priority: self.priority,
            info: self.info.clone(),
        };
        // A worker that has ended needs nothing.
        let _ = asker.post(move |_| {
            if let Some(pool) = find(key(&answer.host, answer.priority)) {
                pool.answered(answer);
            }
        });
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.answer(None);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.moving.take().is_some() {
            let stats = &self.info.stats;
            stats.inc(S::UPSTREAM_CX_DESTROY);
            stats.inc(S::UPSTREAM_CX_DESTROY_LOCAL);
            self.host.stats().cx_active.fetch_sub(1, Relaxed);
            let breakers = &self.info.breakers;
            breakers.give_back(self.priority, Resource::Connections, &**stats);
        }
    }
}

impl Pool {
    /// Tells the other workers how many connections wait here, and have done so for a while.
    pub(super) fn offer_idle(self: &Rc<Self>) {
        if self.shares_idle.get() {
            let idle = self.http1.idle.borrow();
            let parked = idle.iter().filter(|it| it.is_parked()).count();
            self.show_idle(parked as u32);
            self.register();
        }
    }

    fn register(self: &Rc<Self>) {
        let key = key(&self.host, self.priority);
        POOLS.with_borrow_mut(|pools| pools.insert(key, Rc::downgrade(self)));
    }

    /// The pool ends.
    pub(super) fn unregister(&self) {
        if !self.shares_idle.get() {
            return;
        }
        self.show_idle(0);
        let key = key(&self.host, self.priority);
        // Fails when the thread ends: then nobody asks any more.
        let _ = POOLS.try_with(|pools| {
            let mut pools = pools.borrow_mut();
            if pools.get(&key).is_some_and(|it| it.strong_count() == 0) {
                pools.remove(&key);
            }
        });
    }

    fn show_idle(&self, count: u32) {
        let workers = self.http1.sweeper.workers().len();
        let idle = self.host.idle_of_workers(workers);
        if let Some(shown) = worker_index().and_then(|here| idle.get(here)) {
            shown.store(count, Relaxed);
        }
    }

    /// Asks another worker for an idle connection, if one seems to have some. Whether it did.
    pub(super) fn ask_other_workers(self: &Rc<Self>) -> bool {
        if !self.shares_idle.get() || self.draining.get() {
            return false;
        }
        let workers = self.http1.sweeper.workers();
        let Some((here, asker)) = worker_index().and_then(|at| Some((at, workers.get(at)?))) else {
            return false;
        };
        let idle = self.host.idle_of_workers(workers.len());
        let other = idle.iter().enumerate().position(|(worker, count)| {
            let take_one = |count: u32| count.checked_sub(1);
            worker != here && count.fetch_update(Relaxed, Relaxed, take_one).is_ok()
        });
        let Some(other) = other.and_then(|at| workers.get(at)) else {
            return false;
        };
        self.register();
        let mut question = Question {
            host: self.host.clone(),
            priority: self.priority,
            info: self.info.borrow().clone(),
            asker: Some(asker.clone()),
        };
        self.connecting_capacity.update(|sum| sum + 1);
        self.asked.update(|count| count + 1);
        let counters = &self.counters;
        let stats = counters.take_over.of(&counters.group);
        stats.inc(TakeOverStats::ASKED);
        // If that worker has ended, the question's drop answers.
        let _ = other.post(move |_| {
            let pool = find(key(&question.host, question.priority));
            let moving = pool.and_then(|pool| pool.give_away(&question.info));
            question.answer(moving);
        });
        true
    }

    /// The connection that has been idle longest, if it is good and those who ask would have made it alike.
    fn give_away(self: &Rc<Self>, info: &ClusterInfo) -> Option<Moving> {
        let is_alike = {
            let own = self.info.borrow();
            own.connection_hash == info.connection_hash
                && Arc::ptr_eq(&own.breakers, &info.breakers)
        };
        if !is_alike || self.draining.get() {
            return None;
        }
        loop {
            let mut connection = {
                let mut idle = self.http1.idle.borrow_mut();
                let at = idle.iter().position(|it| it.is_parked())?;
                idle.remove(at)
            };
            if let Some(end) = connection.probe() {
                self.close_idle(connection, end);
                continue;
            }
            connection.buffered.clear(&self.counters.stats);
            let (opened, requests) = (connection.opened(), connection.requests);
            match connection.detach() {
                Ok(moving) => {
                    self.connections.update(|count| count - 1);
                    self.counters.stats.gauge_sub(S::UPSTREAM_CX_ACTIVE, 1);
                    self.retire_if_unused();
                    return Some(moving);
                }
                Err(by) => {
                    self.connection_is_gone(by, false);
                    self.record_life(opened, requests);
                    self.after_loss();
                }
            }
        }
    }

    /// The worker that was asked has answered.
    fn answered(self: &Rc<Self>, mut answer: Answer) {
        // Otherwise it was asked by a pool that is gone.
        if self.asked.get() == 0 {
            return;
        }
        self.asked.update(|count| count - 1);
        self.connecting_capacity.update(|sum| sum - 1);
        match answer.moving.take() {
            Some(moving) => self.adopt(moving),
            None => self.create_connections_for_waiters(),
        }
        self.retire_if_unused();
    }

    fn adopt(self: &Rc<Self>, moving: Moving) {
        let counters = &self.counters;
        counters.stats.gauge_add(S::UPSTREAM_CX_ACTIVE, 1);
        self.connections.update(|count| count + 1);
        // The last wait may have been given up: then the pool counts as one again, beyond its limit if need be.
        if !self.live.replace(true) {
            counters
                .breakers
                .take_beyond(self.priority, Resource::Pools, &counters.gauges);
        }
        let options = self.info.borrow().http.clone();
        match ClientConnection::attach(moving, self.host.address(), &options) {
            Ok(connection) => {
                let stats = counters.take_over.of(&counters.group);
                stats.inc(TakeOverStats::TAKEN);
                self.put_back(Box::new(connection));
            }
            Err(error) => {
                log::debug!("cannot take over a connection: {error}");
                self.connection_is_gone(super::ClosedBy::Local, false);
                self.after_loss();
            }
        }
    }
}
