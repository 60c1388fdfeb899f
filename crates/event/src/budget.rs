//! How much a task may do before others run: so many sockets found ready.

use std::cell::Cell;
use std::task::{Context, Poll};

use tokio::task::coop;

/// As many as the runtime gives to its own tasks.
const OF_A_POLL: u32 = 128;
/// No task of the thread's executor is being polled: the runtime's budget counts.
const NOT_OURS: u32 = u32::MAX;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(NOT_OURS) };
}

/// The budget of one poll of a task; it ends when this is dropped.
pub(crate) struct Budget(());

/// Begins the budget of a poll.
#[inline]
pub(crate) fn begin() -> Budget {
    LEFT.set(OF_A_POLL);
    Budget(())
}

impl Drop for Budget {
    #[inline]
    fn drop(&mut self) {
        LEFT.set(NOT_OURS);
    }
}

/// Takes one from the budget of the task that is being polled. When there is none left the task is woken again at once,
/// after the others.
#[inline]
pub(crate) fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    match LEFT.get() {
        NOT_OURS => coop::poll_proceed(cx).map(|budget| budget.made_progress()),
        0 => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        left => {
            LEFT.set(left - 1);
            Poll::Ready(())
        }
    }
}

/// Whether the task that is being polled has some of its budget left. When not, `Pending` says nothing about a socket.
#[inline]
pub fn has_budget() -> bool {
    match LEFT.get() {
        NOT_OURS => coop::has_budget_remaining(),
        left => left > 0,
    }
}
