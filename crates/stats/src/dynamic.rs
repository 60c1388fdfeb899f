//! Single stats made by name, for what is counted rarely and has no schema.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::histogram::pages::Pages;

/// A counter with a name of its own. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Cell>);

/// A gauge with a name of its own. Clones are the same gauge.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Cell>);

/// A text with a name of its own. Clones are the same text.
#[derive(Clone, Debug, Default)]
pub struct TextReadout(Arc<Mutex<String>>);

/// A histogram with a name of its own. Clones record together.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Cell {
    value: AtomicU64,
    used: AtomicBool,
}

impl Cell {
    fn update(&self, change: impl Fn(u64) -> u64) {
        self.used.store(true, Relaxed);
        // The closure never declines, so neither does the update.
        let _ = self
            .value
            .fetch_update(Relaxed, Relaxed, |value| Some(change(value)));
    }
}

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.update(|value| value.wrapping_add(amount));
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.value.load(Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: u64) {
        self.0.update(|_| value);
    }

    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.update(|value| value.wrapping_add(amount));
    }

    /// Subtracts `amount`, stopping at zero.
    pub fn sub(&self, amount: u64) {
        self.0.update(|value| value.saturating_sub(amount));
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.value.load(Relaxed)
    }
}

impl TextReadout {
    /// Sets the text.
    pub fn set(&self, text: impl Into<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.into();
    }

    /// The present text.
    #[must_use]
    pub fn value(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Histogram {
    /// Records a value, in the histogram's unit.
    pub fn record(&self, value: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .record(value);
    }
}
