//! The loop of a worker's thread: its tasks, its timers, its sockets, and one call of the kernel for each round of them.
//!
//! The runtime's own loop would do, and does in tests and on the main thread. This one knows that nothing of it is shared:
//! with sockets, tasks and timers of the thread's own there is nothing left for the runtime to do but to wait, and that it
//! would do in an epoll set around this thread's.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::reactor::{Guess, Source};
use crate::{executor, reactor, timer};

/// Ends the wait of a thread, from any thread.
struct Alarm {
    is_rung: AtomicBool,
    fd: OwnedFd,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Between two looks of the loop once is enough.
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            // It cannot overflow: one is added each time, and the set is edge-triggered.
            let _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
        }
    }
}

/// The loop of this thread. Its tasks end with it.
pub(crate) struct Loop {
    alarm: Arc<Alarm>,
    waker: Waker,
    /// The alarm in the thread's set.
    _heard: Source,
}

impl Loop {
    /// Makes this thread's loop; from now on tasks may be spawned and sockets opened.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub(crate) fn enter() -> io::Result<Self> {
        reactor::set_looped(true);
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let alarm = Arc::new(Alarm {
            // The first look is due.
            is_rung: AtomicBool::new(true),
            fd: fd.try_clone()?,
        });
        let heard = Source::new(fd, Guess::Nothing)?;
        let waker = Waker::from(Arc::clone(&alarm));
        executor::set_looped(Some(&waker));
        timer::set_looped(true);
        Ok(Self {
            alarm,
            waker,
            _heard: heard,
        })
    }

    /// Runs the thread's tasks until `main` has ended.
    pub(crate) fn run(self, mut main: Pin<&mut dyn Future<Output = ()>>) {
        let cx = &mut Context::from_waker(&self.waker);
        loop {
            if self.alarm.is_rung.swap(false, Ordering::AcqRel) && main.as_mut().poll(cx).is_ready()
            {
                return;
            }
            let more = executor::round();
            let next = timer::fire();
            // What fired has made tasks ready.
            let at_once =
                more || executor::is_ready() || self.alarm.is_rung.load(Ordering::Acquire);
            reactor::wait(if at_once { Some(Duration::ZERO) } else { next });
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        executor::set_looped(None);
        timer::set_looped(false);
        reactor::set_looped(false);
    }
}
