//! Tasks whose panic ends only themselves.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinHandle;

use crate::worker;

/// Spawns `future` on this thread's loop. If it panics, the panic is logged and counted
/// ([`Observer::task_panicked`](crate::Observer::task_panicked)), the future is dropped (its connection closes), and
/// the worker goes on.
///
/// # Panics
/// When called outside of a `LocalRuntime` or `LocalSet`.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    tokio::task::spawn_local(guard(future))
}

async fn guard(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // A task owns all its state (`!Send`, nothing shared but counters and per-worker tables
        // that are changed in single steps), so what a panic leaves behind is dropped with it.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(payload) => {
                worker::report_task_panic(panic_message(&*payload));
                Poll::Ready(())
            }
        }
    })
    .await;
}

/// The text that `panic!` was given.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}
