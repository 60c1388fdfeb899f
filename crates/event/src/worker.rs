//! The worker threads.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant as StdInstant};

use tokio::sync::mpsc;

use crate::dispatcher::{Dispatcher, Dispatchers, Message};
use crate::observer::Observer;
use crate::run::Loop;
use crate::task::panic_message;
use crate::watchdog::{self, Heartbeat};

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    static INDEX: Cell<Option<usize>> = const { Cell::new(None) };
}

/// What a worker's thread knows about itself.
struct Current {
    index: usize,
    observer: Arc<dyn Observer>,
}

/// The index of the worker whose thread this is; `None` on every other thread.
#[inline]
pub fn worker_index() -> Option<usize> {
    INDEX.get()
}

/// Logs and counts the panic of a task on this thread.
pub(crate) fn report_task_panic(message: &str) {
    CURRENT.with_borrow(|current| match current {
        Some(current) => {
            log::error!(
                "a task on worker {} panicked and was ended: {message}",
                current.index
            );
            current.observer.task_panicked(current.index);
        }
        None => log::error!("a task panicked and was ended: {message}"),
    });
}

/// What posted closures and the init closure are given on a worker's thread.
pub struct WorkerContext {
    index: usize,
    name: String,
    workers: Dispatchers,
    at_shutdown: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl fmt::Debug for WorkerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerContext")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl WorkerContext {
    /// The worker's index, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The worker's name as Envoy's stats and logs call it: `worker_0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dispatchers of all workers, this one among them.
    pub fn workers(&self) -> &Dispatchers {
        &self.workers
    }

    /// Runs `call` when the worker is asked to stop, before its tasks are dropped; the last one
    /// registered runs first.
    pub fn on_shutdown(&self, call: impl FnOnce() + 'static) {
        self.at_shutdown.borrow_mut().push(Box::new(call));
    }

    fn shut_down(&self) {
        loop {
            // Taken one by one: a callback may register another.
            let Some(call) = self.at_shutdown.borrow_mut().pop() else {
                return;
            };
            call();
        }
    }
}

/// Some workers did not stop as they should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopError {
    /// Workers that were still running when the time was over.
    pub stuck: Vec<usize>,
    /// Workers that had ended by a panic.
    pub panicked: Vec<usize>,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "workers still running: {:?}, workers that panicked: {:?}",
            self.stuck, self.panicked
        )
    }
}

impl std::error::Error for StopError {}

/// How a worker's thread ended.
enum End {
    Stopped(usize),
    Panicked(usize),
}

/// The worker threads. Dropping this asks them to stop and does not wait.
pub struct Workers {
    dispatchers: Dispatchers,
    threads: Vec<JoinHandle<()>>,
    ends: sync_mpsc::Receiver<End>,
    heartbeats: Vec<Arc<Heartbeat>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("count", &self.threads.len())
            .finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts `count` threads named `wrk:worker_<i>`, each with a loop of its own; `init`
    /// runs first on each, then what is posted.
    ///
    /// # Errors
    /// When a thread or its loop cannot be made (no memory, no file descriptors); workers that
    /// were already started are stopped.
    pub fn start(
        count: usize,
        observer: Arc<dyn Observer>,
        init: impl Fn(&WorkerContext) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let init = Arc::new(init);
        let (all, receivers): (Vec<_>, Vec<_>) = (0..count).map(Dispatcher::new).unzip();
        let (end, ends) = sync_mpsc::channel();
        let (ready, readies) = sync_mpsc::channel();
        let mut workers = Self {
            dispatchers: Dispatchers::new(all),
            threads: Vec::with_capacity(count),
            ends,
            heartbeats: Vec::with_capacity(count),
        };
        for (index, receiver) in receivers.into_iter().enumerate() {
            let heartbeat = Arc::new(Heartbeat::default());
            workers.heartbeats.push(Arc::clone(&heartbeat));
            let thread = Thread {
                index,
                workers: workers.dispatchers.clone(),
                receiver,
                heartbeat,
                observer: Arc::clone(&observer),
            };
            let (init, end, ready) = (Arc::clone(&init), end.clone(), ready.clone());
            let handle = std::thread::Builder::new()
                .name(format!("wrk:worker_{index}"))
                .spawn(move || {
                    // The receiver is gone when `Workers` was dropped without waiting.
                    let _ = end.send(thread.run(&*init, ready));
                })?;
            workers.threads.push(handle);
        }
        drop(ready);
        // A loop is made on its own thread; its failure is nevertheless an error of the start.
        // Ends when every thread has sent or dropped its end.
        for result in readies {
            result?;
        }
        Ok(workers)
    }

    /// The dispatchers of all workers.
    pub fn dispatchers(&self) -> &Dispatchers {
        &self.dispatchers
    }

    /// The workers' heartbeats, by index, for [`watchdog::Watchdog::start`].
    pub fn heartbeats(&self) -> &[Arc<Heartbeat>] {
        &self.heartbeats
    }

    /// Asks every worker to stop and waits at most `bound` for all of them. Each first runs what was
    /// posted before, then its shutdown callbacks, then drops its tasks. Blocks the calling thread.
    ///
    /// # Errors
    /// [`StopError`] names the workers that panicked or are still running; those threads are left
    /// behind.
    pub fn stop(mut self, bound: Duration) -> Result<(), StopError> {
        self.ask_to_stop();
        let deadline = StdInstant::now() + bound;
        let mut error = StopError::default();
        let mut running: Vec<usize> = (0..self.threads.len()).collect();
        while !running.is_empty() {
            let left = deadline.saturating_duration_since(StdInstant::now());
            match self.ends.recv_timeout(left) {
                Ok(End::Stopped(index)) => running.retain(|&worker| worker != index),
                Ok(End::Panicked(index)) => {
                    running.retain(|&worker| worker != index);
                    error.panicked.push(index);
                }
                Err(_) => {
                    error.stuck = running;
                    break;
                }
            }
        }
        for (index, thread) in self.threads.drain(..).enumerate() {
            // A thread that has told its end has nothing left to do but return.
            if !error.stuck.contains(&index) {
                let _ = thread.join();
            }
        }
        error.panicked.sort_unstable();
        if error == StopError::default() {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn ask_to_stop(&self) {
        for dispatcher in self.dispatchers.iter() {
            // A worker that has ended needs no asking.
            let _ = dispatcher.send(Message::Stop);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// One worker thread's life.
struct Thread {
    index: usize,
    workers: Dispatchers,
    receiver: mpsc::UnboundedReceiver<Message>,
    heartbeat: Arc<Heartbeat>,
    observer: Arc<dyn Observer>,
}

type Ready = sync_mpsc::Sender<io::Result<()>>;

impl Thread {
    fn run(self, init: &dyn Fn(&WorkerContext), ready: Ready) -> End {
        let index = self.index;
        let observer = Arc::clone(&self.observer);
        INDEX.set(Some(index));
        CURRENT.set(Some(Current {
            index,
            observer: Arc::clone(&observer),
        }));
        // The worker is not used again after a panic, so nothing can see a broken state.
        match catch_unwind(AssertUnwindSafe(|| self.run_loop(init, ready))) {
            Ok(()) => End::Stopped(index),
            Err(payload) => {
                log::error!("worker {index} panicked: {}", panic_message(&*payload));
                observer.worker_panicked(index);
                End::Panicked(index)
            }
        }
    }

    fn run_loop(mut self, init: &dyn Fn(&WorkerContext), ready: Ready) {
        let own_loop = match Loop::enter() {
            Ok(own_loop) => own_loop,
            Err(error) => {
                // `start` waits for this.
                let _ = ready.send(Err(error));
                return;
            }
        };
        let context = WorkerContext {
            index: self.index,
            name: format!("worker_{}", self.index),
            workers: self.workers,
            at_shutdown: RefCell::default(),
        };
        init(&context);
        // `start` has stopped waiting if another worker failed; then a stop is on its way.
        let _ = ready.send(Ok(()));
        drop(ready);
        crate::spawn(watchdog::beat(self.heartbeat));
        own_loop.run(pin!(async {
            while let Some(Message::Call(call)) = self.receiver.recv().await {
                call(&context);
            }
            context.shut_down();
        }));
        // Dropping the loop has dropped the tasks and with them the connections.
    }
}

#[cfg(test)]
mod tests;
