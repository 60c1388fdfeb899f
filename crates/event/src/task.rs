//! Tasks whose panic ends only themselves.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::executor::{self, Id};

/// A task of this thread. Dropping this leaves it alone.
#[derive(Clone, Debug)]
pub struct Task {
    id: Id,
    /// It is known on its own thread only.
    local: PhantomData<Rc<()>>,
}

impl Task {
    /// Has the task dropped soon, unless it ends before. Its own code is not run again.
    pub fn abort(&self) {
        executor::abort(self.id);
    }
}

/// Spawns `future` on this thread's loop. If it panics, the panic is logged and counted
/// ([`Observer::task_panicked`](crate::Observer::task_panicked)), the future is dropped (its connection closes), and
/// the worker goes on.
///
/// # Panics
/// When called outside of a current-thread runtime.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    Task {
        id: executor::spawn(Box::pin(future)),
        local: PhantomData,
    }
}

/// The text that `panic!` was given.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}
