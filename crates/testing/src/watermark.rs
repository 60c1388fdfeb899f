//! A number that threads raise and lower together.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// A number and the highest that it ever was.
#[derive(Debug, Default)]
pub struct Watermark {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Watermark {
    /// One more.
    pub fn enter(&self) {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
    }

    /// One less, of those who entered.
    pub fn leave(&self) {
        self.now.fetch_sub(1, SeqCst);
    }

    /// How many there are.
    pub fn now(&self) -> usize {
        self.now.load(SeqCst)
    }

    /// The most that there were at a time.
    pub fn most(&self) -> usize {
        self.most.load(SeqCst)
    }
}
