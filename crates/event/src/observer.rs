//! What the threads tell about themselves.

/// Receives what happens to workers: the server turns it into stats and into the exit code.
///
/// Called on the thread where it happens (a worker, or the watchdog's); log lines are already
/// written when a method is called.
pub trait Observer: Send + Sync {
    /// A task on worker `worker` panicked and ended; the worker goes on.
    fn task_panicked(&self, worker: usize) {
        let _ = worker;
    }

    /// Worker `worker` itself panicked and has ended. The process cannot serve its share any more:
    /// it should exit with a code that is not zero.
    fn worker_panicked(&self, worker: usize) {
        let _ = worker;
    }

    /// The loop of `worker` did not turn for the watchdog's `miss_timeout`.
    fn watchdog_miss(&self, worker: usize) {
        let _ = worker;
    }

    /// The loop of `worker` did not turn for the watchdog's `megamiss_timeout`.
    fn watchdog_mega_miss(&self, worker: usize) {
        let _ = worker;
    }
}

/// An observer that does nothing.
#[derive(Debug)]
pub struct NoObserver;

impl Observer for NoObserver {}
