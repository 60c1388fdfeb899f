//! One lazy deadline per connection or stream.
//!
//! A deadline that moves later is only stored; the heap entry stays where it is and is looked at
//! again when its old time comes. So an idle timeout that every request pushes on costs the heap
//! one touch per timeout period, not one per request.

mod driver;
mod heap;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use driver::{fire, set_looped};

/// What a timer shares with its thread's heap.
#[derive(Default)]
struct Entry {
    deadline: Cell<Option<Instant>>,
    /// The place in the heap plus one; 0 when it is not there.
    place: Cell<usize>,
    /// Set by the driver when the deadline has passed, so that polling needs no clock.
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Entry {
    fn is_queued(&self) -> bool {
        self.place.get() != 0
    }

    fn wake(&self) {
        // Cloned out of the borrow: a waker may run code of another executor.
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A deadline that wakes the task which polls it. Resolution 1 ms, late rather than early.
///
/// Runs on the loop of the thread that uses it: a worker's, or that of a current-thread tokio runtime, alone or with
/// a `LocalSet`, or of a `LocalRuntime`.
pub struct Timer {
    entry: Rc<Entry>,
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer {
    /// A timer without a deadline.
    pub fn new() -> Self {
        Self {
            entry: Rc::default(),
        }
    }

    /// A timer that expires at `deadline`.
    pub fn at(deadline: Instant) -> Self {
        let timer = Self::new();
        timer.entry.deadline.set(Some(deadline));
        timer
    }

    /// The deadline as it stands.
    pub fn deadline(&self) -> Option<Instant> {
        self.entry.deadline.get()
    }

    /// Moves the deadline; `None` takes it away. A timer that had expired is armed anew, unless the deadline is the
    /// one that has passed.
    ///
    /// Moving it later, or away, is a plain store.
    #[inline]
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        let entry = &self.entry;
        let old = entry.deadline.replace(deadline);
        if old == deadline {
            return;
        }
        entry.expired.set(false);
        let Some(new) = deadline else { return };
        if entry.is_queued() {
            // Where the entry is queued is at or before the stored deadline, so a later one
            // needs nothing.
            if old.is_none_or(|old| new < old) {
                driver::requeue(entry, new);
            }
        } else if entry.waker.borrow().is_some() {
            driver::queue(entry, new);
        }
    }

    /// Sets the deadline `timeout` from now; `None` takes it away.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.set_deadline(timeout.and_then(|timeout| Instant::now().checked_add(timeout)));
    }

    /// Ready when the deadline has passed, and again on each poll until it is moved. Otherwise the
    /// task is woken when it passes.
    ///
    /// # Panics
    /// Outside of a worker and of a current-thread tokio runtime.
    #[inline]
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let entry = &self.entry;
        if entry.expired.get() {
            return Poll::Ready(());
        }
        {
            let mut waker = entry.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|old| old.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        if let Some(deadline) = entry.deadline.get()
            && !entry.is_queued()
        {
            if deadline <= Instant::now() {
                entry.expired.set(true);
                return Poll::Ready(());
            }
            driver::queue(entry, deadline);
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.entry.is_queued() {
            driver::remove(&self.entry);
        }
    }
}

/// A future that ends after a time; see [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    timer: Timer,
}

/// Waits for `duration` on this thread's timers. A duration beyond the clock's range never ends.
pub fn sleep(duration: Duration) -> Sleep {
    let mut timer = Timer::new();
    timer.set_timeout(Some(duration));
    Sleep { timer }
}

/// The time was over first; see [`timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// What `future` returns, unless that takes longer than `limit`: then it is dropped.
///
/// # Errors
/// [`Elapsed`]
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut limit = pin!(sleep(limit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => limit.as_mut().poll(cx).map(|()| Err(Elapsed)),
    })
    .await
}

/// Waits until `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        timer: Timer::at(deadline),
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.poll_expired(cx)
    }
}

#[cfg(test)]
mod tests;
