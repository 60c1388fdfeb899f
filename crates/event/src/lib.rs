//! Threads and time: everything that runs runs on one of these loops.
//!
//! * [`Dispatcher`] and [`MainDispatcher`]: post closures to a worker or to the main thread, in order;
//! * [`Workers`]: the worker threads, each with a loop of its own, on which no tokio runtime is needed (nor found);
//! * [`spawn`]: a task on this worker whose panic ends only itself;
//! * [`Slot`]: a value per worker, set from the main thread;
//! * [`Timer`]: one lazy deadline per connection or stream, [`sleep`] and [`timeout`] on top of it;
//! * [`reactor`]: readiness of the thread's sockets;
//! * [`FileWatcher`]: files that are replaced while the server runs;
//! * [`clock`]: the one source of time, so that tests can pause it;
//! * [`watchdog`]: notices workers that no longer turn.
//!
//! What is absent: no lock and no allocation on the path of a connection, no channel between
//! connections and threads, nothing that knows what is said on a socket.

mod budget;
pub mod clock;
mod dispatcher;
mod executor;
mod file_watch;
mod observer;
pub mod reactor;
mod run;
mod slot;
mod task;
mod timer;
pub mod watchdog;
mod worker;

pub use budget::has_budget;
pub use clock::now;
pub use dispatcher::{Dispatcher, Dispatchers, Ended, MainDispatcher, MainQueue, main_queue};
pub use file_watch::{FileWatcher, Watch};
pub use observer::{NoObserver, Observer};
pub use slot::Slot;
pub use task::{Task, spawn};
pub use timer::{Elapsed, Sleep, Timer, sleep, sleep_until, timeout};
pub use tokio::time::Instant;
pub use worker::{StopError, WorkerContext, Workers, worker_index};
