//! What is made of what the threads tell about themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nuncio_admin::ServerStats;
use nuncio_event::Observer;

/// Counts watchdog misses, and remembers that a worker was lost.
#[derive(Default)]
pub(crate) struct ServerObserver {
    /// Set when stats exist; workers are there before.
    stats: OnceLock<Arc<ServerStats>>,
    worker_lost: AtomicBool,
}

impl ServerObserver {
    pub(crate) fn set_stats(&self, stats: Arc<ServerStats>) {
        // Set once, by the only caller.
        let _ = self.stats.set(stats);
    }

    fn main_missed(&self, mega: bool) {
        if let Some(stats) = self.stats.get() {
            stats.watchdog_missed(None, mega);
        }
    }

    /// Whether a worker panicked: the process must not report success then.
    pub(crate) fn worker_lost(&self) -> bool {
        self.worker_lost.load(Ordering::Relaxed)
    }
}

/// The same for the main thread's loop.
pub(crate) struct MainObserver(pub(crate) Arc<ServerObserver>);

impl Observer for MainObserver {
    fn watchdog_miss(&self, _: usize) {
        self.0.main_missed(false);
    }

    fn watchdog_mega_miss(&self, _: usize) {
        self.0.main_missed(true);
    }
}

impl Observer for ServerObserver {
    fn worker_panicked(&self, _: usize) {
        self.worker_lost.store(true, Ordering::Relaxed);
    }

    fn watchdog_miss(&self, worker: usize) {
        if let Some(stats) = self.stats.get() {
            stats.watchdog_missed(Some(worker), false);
        }
    }

    fn watchdog_mega_miss(&self, worker: usize) {
        if let Some(stats) = self.stats.get() {
            stats.watchdog_missed(Some(worker), true);
        }
    }
}
