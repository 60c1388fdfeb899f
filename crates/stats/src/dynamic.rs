//! Single stats made by name, for what is counted rarely and has no schema.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::histogram::pages::Pages;
use crate::histogram::{Distribution, Merged};
use crate::schema::Unit;

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
#[derive(Clone, Debug)]
pub struct Histogram {
    unit: Unit,
    state: Arc<Mutex<(Pages, Merged)>>,
}

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

    pub(crate) fn reset(&self) {
        self.0.value.store(0, Relaxed);
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.value.load(Relaxed)
    }

    pub(crate) fn used(&self) -> bool {
        self.0.used.load(Relaxed)
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

    pub(crate) fn used(&self) -> bool {
        self.0.used.load(Relaxed)
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
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            state: Arc::default(),
        }
    }

    /// The unit to record in.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Records a value, in the histogram's unit.
    pub fn record(&self, value: u64) {
        self.state().0.record(value);
    }

    pub(crate) fn merge(&self) {
        let (pages, merged) = &mut *self.state();
        let mut now = Distribution::default();
        pages.add_to(&mut now);
        merged.merge(now);
    }

    pub(crate) fn merged(&self) -> Merged {
        self.state().1.clone()
    }

    fn state(&self) -> MutexGuard<'_, (Pages, Merged)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
