//! The tasks of a thread: connections, accept loops, everything that [`spawn`](crate::spawn) starts.
//!
//! They never leave their thread, so a wake-up on it is a flag and an entry in a queue; the runtime's tasks, which know
//! other threads, take some ten atomic steps for each. A worker's loop runs their rounds; under a runtime one task of it
//! does ([`drive`]).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop::unconstrained;

use crate::{budget, worker};

thread_local! {
    static EXECUTOR: Executor = Executor::default();
}

/// A task's place, and its number, which tells it from those that had the place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    place: u32,
    number: u32,
}

/// A thread's tasks.
#[derive(Default)]
struct Executor {
    slots: RefCell<Slab<Slot>>,
    next_number: Cell<u32>,
    ready: RefCell<VecDeque<Id>>,
    driver: RefCell<Driver>,
    /// The driver runs, or has been told to.
    is_awake: Cell<bool>,
    door: OnceCell<Arc<Door>>,
}

/// The task of the runtime that runs these.
#[derive(Default)]
enum Driver {
    /// Never started, or its runtime is gone.
    #[default]
    None,
    /// Spawned, not yet polled: its first poll finds what is ready.
    Starting,
    Known(Waker),
    /// None is needed: the thread's own loop runs the rounds.
    Looped,
}

/// Where other threads leave word.
#[derive(Default)]
struct Door {
    is_used: AtomicBool,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    woken: Vec<Id>,
    driver: Option<Waker>,
}

enum Slot {
    Idle(Task),
    /// The task is being polled.
    Out {
        id: Id,
        aborted: bool,
    },
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    signal: Arc<Signal>,
    /// Made of the signal.
    waker: Waker,
    aborted: bool,
}

/// What a task's wakers hold.
struct Signal {
    id: Id,
    is_queued: AtomicBool,
    door: Arc<Door>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Without its thread's executor the thread is ending, and the task is gone.
        let is_at_home = EXECUTOR.try_with(|executor| {
            let home = executor.door.get();
            let is_home = home.is_some_and(|door| Arc::ptr_eq(door, &self.door));
            if is_home {
                executor.wake(self);
            }
            is_home
        });
        if is_at_home == Ok(false) {
            self.door.leave(self.id);
        }
    }
}

impl Door {
    /// From another thread.
    #[cold]
    fn leave(&self, id: Id) {
        let driver = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.woken.push(id);
            left.driver.clone()
        };
        self.is_used.store(true, Ordering::Release);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    #[cold]
    fn take(&self) -> Vec<Id> {
        // Before the list is taken: what comes later is told again.
        self.is_used.store(false, Ordering::Release);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut left.woken)
    }

    fn set_driver(&self, driver: Option<Waker>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.driver = driver;
    }
}

impl Slot {
    fn id(&self) -> Id {
        match self {
            Self::Idle(task) => task.signal.id,
            Self::Out { id, .. } => *id,
        }
    }
}

/// Starts `future` on this thread; it is polled first in the next round.
///
/// # Panics
/// Outside of a current-thread runtime.
pub(crate) fn spawn(future: Pin<Box<dyn Future<Output = ()>>>) -> Id {
    EXECUTOR.with(|executor| executor.spawn(future))
}

/// Has the task dropped in the next round, unless it ends before.
pub(crate) fn abort(id: Id) {
    // A thread that ends drops its tasks anyway.
    let _ = EXECUTOR.try_with(|executor| executor.abort(id));
}

impl Executor {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()>>>) -> Id {
        self.ensure_driver();
        let mut slots = self.slots.borrow_mut();
        let entry = slots.vacant_entry();
        let number = self.next_number.get();
        self.next_number.set(number.wrapping_add(1));
        let id = Id {
            place: u32::try_from(entry.key()).expect("fewer than four thousand million tasks"),
            number,
        };
        let signal = Arc::new(Signal {
            id,
            is_queued: AtomicBool::new(false),
            door: Arc::clone(self.door.get_or_init(Arc::default)),
        });
        let task = Task {
            future,
            waker: Waker::from(Arc::clone(&signal)),
            signal: Arc::clone(&signal),
            aborted: false,
        };
        entry.insert(Slot::Idle(task));
        drop(slots);
        self.wake(&signal);
        id
    }

    fn ensure_driver(&self) {
        if !matches!(*self.driver.borrow(), Driver::None) {
            return;
        }
        let runtime = Handle::current();
        assert!(
            runtime.runtime_flavor() != RuntimeFlavor::MultiThread,
            "tasks of a thread need a current-thread runtime"
        );
        self.driver.replace(Driver::Starting);
        self.is_awake.set(true);
        // Without the runtime's budget, which counts for one task: each of these has its own.
        runtime.spawn(unconstrained(drive(Alive)));
    }

    #[inline]
    fn wake(&self, signal: &Signal) {
        // Only this thread writes it.
        if !signal.is_queued.load(Ordering::Relaxed) {
            signal.is_queued.store(true, Ordering::Relaxed);
            self.queue(signal.id);
        }
    }

    #[inline]
    fn queue(&self, id: Id) {
        self.ready.borrow_mut().push_back(id);
        if !self.is_awake.replace(true)
            && let Driver::Known(driver) = &*self.driver.borrow()
        {
            driver.wake_by_ref();
        }
    }

    fn abort(&self, id: Id) {
        match self.slots.borrow_mut().get_mut(id.place as usize) {
            Some(slot) if slot.id() != id => return,
            Some(Slot::Idle(task)) => task.aborted = true,
            Some(Slot::Out { aborted, .. }) => {
                *aborted = true;
                return;
            }
            None => return,
        }
        self.queue(id);
    }

    /// Polls each task that is ready now, once. Returns whether others are by then.
    fn round(&self) -> bool {
        if let Some(door) = self.door.get()
            && door.is_used.load(Ordering::Acquire)
        {
            self.ready.borrow_mut().extend(door.take());
        }
        let count = self.ready.borrow().len();
        for _ in 0..count {
            let next = self.ready.borrow_mut().pop_front();
            if let Some(id) = next {
                self.run(id);
            }
        }
        self.is_ready()
    }

    fn is_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    /// A round for the driver `waker` wakes.
    fn driven_round(&self, waker: &Waker) {
        self.is_awake.set(true);
        self.know(waker);
        let more = self.round();
        self.is_awake.set(more);
        if more {
            waker.wake_by_ref();
        }
    }

    fn know(&self, driver: &Waker) {
        if !matches!(&*self.driver.borrow(), Driver::Known(known) if known.will_wake(driver)) {
            self.driver.replace(Driver::Known(driver.clone()));
            if let Some(door) = self.door.get() {
                door.set_driver(Some(driver.clone()));
            }
        }
    }

    fn run(&self, id: Id) {
        let place = id.place as usize;
        let out = Slot::Out { id, aborted: false };
        let taken = match self.slots.borrow_mut().get_mut(place) {
            Some(slot) if slot.id() == id => mem::replace(slot, out),
            // It has ended since it was woken.
            _ => return,
        };
        let Slot::Idle(mut task) = taken else {
            unreachable!("a task is polled by one round at a time")
        };
        task.signal.is_queued.store(false, Ordering::Relaxed);
        let ended = task.aborted || {
            let _budget = budget::begin();
            let cx = &mut Context::from_waker(&task.waker);
            guarded(|| task.future.as_mut().poll(cx)).is_none_or(|poll| poll.is_ready())
        };
        let mut slots = self.slots.borrow_mut();
        let aborted = matches!(slots.get(place), Some(Slot::Out { aborted: true, .. }));
        if ended || aborted {
            slots.try_remove(place);
            // A task's end may start others.
            drop(slots);
            guarded(|| drop(task));
        } else if let Some(slot) = slots.get_mut(place) {
            *slot = Slot::Idle(task);
        }
    }
}

/// What `call` returns; `None` when it panics, which is logged and counted.
///
/// A task owns all its state (`!Send`, nothing shared but counters and per-worker tables that are changed in single steps),
/// so what a panic leaves behind is dropped with it.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(value) => Some(value),
        Err(payload) => {
            worker::report_task_panic(crate::task::panic_message(&*payload));
            None
        }
    }
}

/// Drops the thread's tasks with their runtime; the next one (each test has its own) gets a driver of its own.
struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        end();
    }
}

/// Drops all tasks.
fn end() {
    // The thread may be ending: then its executor drops them.
    let tasks = EXECUTOR.try_with(|executor| {
        executor.driver.replace(Driver::None);
        executor.ready.borrow_mut().clear();
        if let Some(door) = executor.door.get() {
            door.set_driver(None);
            door.take();
        }
        executor.slots.take()
    });
    // After the borrows: tasks may wake, abort and start others as they end.
    drop(tasks);
}

/// Says that the thread's own loop calls [`round`], until `None` is said: then its tasks end.
pub(crate) fn set_looped(waker: Option<&Waker>) {
    let Some(waker) = waker else { return end() };
    EXECUTOR.with(|executor| {
        executor.driver.replace(Driver::Looped);
        let door = executor.door.get_or_init(Arc::default);
        door.set_driver(Some(waker.clone()));
    });
}

/// Polls each task of the thread that is ready now, once. Returns whether others are by then.
pub(crate) fn round() -> bool {
    EXECUTOR.with(Executor::round)
}

/// Whether a task of the thread waits to be polled.
pub(crate) fn is_ready() -> bool {
    EXECUTOR.with(Executor::is_ready)
}

async fn drive(_alive: Alive) {
    poll_fn(|cx| {
        EXECUTOR.with(|executor| executor.driven_round(cx.waker()));
        Poll::<()>::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
