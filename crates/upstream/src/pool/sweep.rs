//! The sweeper: one task per worker that looks after idle connections, so that using one needs no timer and no waker.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use nuncio_event::{Instant, Timer};

use super::{ClientConnection, Pool};

/// How long a connection is idle before the loop is asked to tell about its end at once; and how often those idle for
/// less are looked at.
pub(super) const TICK: Duration = Duration::from_secs(1);

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
    /// Puts a pool on the list, which is about to have `connection` idle.
    #[cold]
    pub(super) fn enroll(self: &Rc<Self>, pool: &Rc<Pool>, connection: &ClientConnection) {
        pool.enrolled.set(true);
        self.pools.borrow_mut().push(pool.clone());
        let latest = Instant::now() + TICK;
        let due = connection
            .idle_deadline()
            .map_or(latest, |at| at.min(latest));
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

    /// Looks at all pools, or only at those whose signal is raised.
    fn sweep(&self, now: Instant, only_raised: bool) {
        // Taken: closing connections may enroll pools.
        let pools = mem::take(&mut *self.pools.borrow_mut());
        let mut next = now + TICK;
        for pool in pools {
            let raised = pool
                .signal
                .get()
                .is_some_and(|s| s.raised.swap(false, AcqRel));
            if only_raised && !raised {
                self.pools.borrow_mut().push(pool);
                continue;
            }
            match pool.sweep(now) {
                Some(at) => {
                    next = next.min(at);
                    self.pools.borrow_mut().push(pool);
                }
                None => pool.enrolled.set(false),
            }
        }
        if !only_raised {
            self.next.set(Some(next));
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
        sweeper.sweep(Instant::now(), true);
        loop {
            if sweeper.pools.borrow().is_empty() {
                sweeper.next.set(None);
            }
            timer.set_deadline(sweeper.next.get());
            if timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            sweeper.sweep(Instant::now(), false);
        }
    })
    .await;
}
