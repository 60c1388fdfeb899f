//! What drives a thread's timers: its own loop, or under a runtime a task with one sleep for all of them.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

use super::Entry;
use super::heap::Heap;

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::default();
}

#[derive(Default)]
struct Timers {
    heap: Heap,
    driver: Driver,
}

/// The driver task's state as its thread knows it.
#[derive(Default)]
enum Driver {
    /// There is none: never started, or its runtime is gone.
    #[default]
    None,
    /// Spawned, not yet polled.
    Starting,
    /// Sleeps until the instant; `None` sleeps for ever.
    Sleeping(Waker, Option<Instant>),
    /// None is needed: the thread's own loop calls [`fire`].
    Looped,
}

/// Puts `entry` into the heap.
pub(super) fn queue(entry: &Rc<Entry>, at: Instant) {
    TIMERS.with_borrow_mut(|timers| {
        timers.heap.insert(at, Rc::clone(entry));
        timers.ensure_awake_by(at);
    });
}

/// Moves `entry`, which is in the heap, to the earlier instant `at`.
pub(super) fn requeue(entry: &Rc<Entry>, at: Instant) {
    TIMERS.with_borrow_mut(|timers| {
        timers.heap.move_earlier(entry, at);
        timers.ensure_awake_by(at);
    });
}

/// Takes `entry` out of the heap.
pub(super) fn remove(entry: &Rc<Entry>) {
    // When the thread ends its heap may be gone before its timers.
    let _ = TIMERS.try_with(|timers| timers.borrow_mut().heap.remove(entry));
}

impl Timers {
    fn ensure_awake_by(&mut self, at: Instant) {
        match &mut self.driver {
            Driver::None => {
                let handle = Handle::current();
                assert!(
                    handle.runtime_flavor() != RuntimeFlavor::MultiThread,
                    "timers need a current-thread runtime"
                );
                self.driver = Driver::Starting;
                // Dropped with its runtime, and then says so: the next runtime on this thread
                // (each test has its own) gets a driver of its own.
                let alive = Alive;
                handle.spawn(drive(alive));
            }
            Driver::Starting | Driver::Looped => {}
            Driver::Sleeping(waker, until) => {
                if until.is_none_or(|until| at < until) {
                    *until = Some(at);
                    waker.wake_by_ref();
                }
            }
        }
    }

    /// Takes the next entry whose deadline has passed; entries whose deadline has moved are put
    /// where they belong now, or let go when they have none.
    fn next_expired(&mut self, now: Instant) -> Option<Rc<Entry>> {
        while self.heap.first()? <= now {
            let entry = self.heap.pop()?;
            match entry.deadline.get() {
                Some(deadline) if deadline <= now => return Some(entry),
                Some(deadline) => self.heap.insert(deadline, entry),
                None => {}
            }
        }
        None
    }
}

/// Wakes whose deadlines have passed.
fn wake_expired(now: Instant) {
    // One at a time, outside of the borrow: a wake-up may drop timers.
    while let Some(entry) = TIMERS.with_borrow_mut(|timers| timers.next_expired(now)) {
        entry.expired.set(true);
        entry.wake();
    }
}

/// Wakes whose deadlines have passed. Returns how long the next one is ahead, if there is one.
pub(crate) fn fire() -> Option<Duration> {
    TIMERS.with_borrow(|timers| timers.heap.first())?;
    let now = Instant::now();
    wake_expired(now);
    let next = TIMERS.with_borrow(|timers| timers.heap.first())?;
    Some(next.saturating_duration_since(now))
}

/// Says that the thread's own loop calls [`fire`].
pub(crate) fn set_looped(on: bool) {
    let driver = if on { Driver::Looped } else { Driver::None };
    TIMERS.with_borrow_mut(|timers| timers.driver = driver);
}

struct Alive;

impl Drop for Alive {
    fn drop(&mut self) {
        // The old state is dropped after the borrow: it holds a waker.
        let _ = TIMERS.try_with(|timers| {
            let old = std::mem::take(&mut timers.borrow_mut().driver);
            drop(old);
        });
    }
}

async fn drive(_alive: Alive) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            wake_expired(Instant::now());
            let next = TIMERS.with_borrow_mut(|timers| {
                let next = timers.heap.first();
                match &mut timers.driver {
                    Driver::Sleeping(waker, until) => {
                        waker.clone_from(cx.waker());
                        *until = next;
                    }
                    other => *other = Driver::Sleeping(cx.waker().clone(), next),
                }
                next
            });
            let Some(next) = next else {
                return Poll::<()>::Pending;
            };
            sleep.as_mut().reset(next);
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
