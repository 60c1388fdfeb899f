//! The sweeper: one task per worker that looks after idle connections, so that using one needs no timer and no waker.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use nuncio_event::{Dispatchers, Instant, Timer};

use super::{ClientConnection, Pool};

/// How long a connection is idle before the loop is asked to tell about its end at once. Short, so that the end of a
/// connection shows soon; long enough that a busy pool is swept a hundred times a second and not at each request.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// A worker's sweeper. Its task is made for the first idle connection and then stays; without any it sleeps.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    /// Pools with idle connections, roughly: a pool leaves the list when a sweep finds none.
    pools: RefCell<Vec<Rc<Pool>>>,
    /// When the next sweep is due; `None` when there is nothing to look after.
    next: Cell<Option<Instant>>,
    /// The task runs.
    started: Cell<bool>,
    /// The worker ends.
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Who else may have, or want, idle connections.
    workers: Dispatchers,
}

/// Wakes the sweeper for one pool. Used as the waker of idle connections, so it is shared with the loop.
#[derive(Debug)]
pub(super) struct PoolSignal {
    raised: AtomicBool,
    sweeper: Waker,
}

impl Wake for PoolSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raised.store(true, Release);
        self.sweeper.wake_by_ref();
    }
}

impl Sweeper {
    /// The sweeper of one of `workers`.
    pub(crate) fn new(workers: Dispatchers) -> Self {
        Self {
            workers,
            ..Self::default()
        }
    }

    pub(super) fn workers(&self) -> &Dispatchers {
        &self.workers
    }

    /// Looks after a pool, which is about to have `connection` idle.
    #[cold]
    pub(super) fn watch(self: &Rc<Self>, pool: &Rc<Pool>, connection: &ClientConnection) {
        pool.http1.watched.set(true);
        if !pool.http1.listed.replace(true) {
            self.pools.borrow_mut().push(pool.clone());
        }
        let latest = Instant::now() + TICK;
        let due = connection
            .idle_deadline()
            .map_or(latest, |at| at.min(latest));
        pool.http1.plan(due);
        if self.next.get().is_some_and(|next| next <= due) {
            return;
        }
        self.next.set(Some(due));
        if self.started.replace(true) {
            self.wake();
        } else {
            nuncio_event::spawn(run(self.clone()));
        }
    }

    fn wake(&self) {
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A signal for a pool that has connections parked. Only called by the task.
    pub(super) fn signal(&self) -> Arc<PoolSignal> {
        let waker = self.waker.borrow().clone();
        Arc::new(PoolSignal {
            raised: AtomicBool::new(false),
            sweeper: waker.unwrap_or_else(|| Waker::noop().clone()),
        })
    }

    /// Lets go of all pools: the worker ends.
    pub(crate) fn clear(&self) {
        let pools = mem::take(&mut *self.pools.borrow_mut());
        drop(pools);
        self.closed.set(true);
        self.wake();
    }

    /// Looks at the pools whose time has come or whose signal is raised.
    fn sweep(&self, now: Instant) {
        // Taken: closing connections may enlist pools.
        let pools = mem::take(&mut *self.pools.borrow_mut());
        self.next.set(None);
        for pool in pools {
            let http1 = &pool.http1;
            let signal = http1.signal.get();
            let raised = signal.is_some_and(|s| s.raised.swap(false, AcqRel));
            if raised || http1.next_sweep.get().is_some_and(|at| at <= now) {
                pool.sweep(now);
            }
            if pool.http1.has_idle() {
                let due = pool.http1.next_sweep.get();
                self.next.set(self.next.get().into_iter().chain(due).min());
                self.pools.borrow_mut().push(pool);
            } else {
                http1.listed.set(false);
                http1.watched.set(false);
            }
        }
    }
}

async fn run(sweeper: Rc<Sweeper>) {
    let mut timer = Timer::new();
    poll_fn(|cx: &mut Context<'_>| {
        *sweeper.waker.borrow_mut() = Some(cx.waker().clone());
        if sweeper.closed.get() {
            return Poll::Ready(());
        }
        loop {
            sweeper.sweep(Instant::now());
            timer.set_deadline(sweeper.next.get());
            if timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
