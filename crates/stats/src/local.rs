//! The calling thread's way to count: what the data path holds.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::block::{Block, GaugeCell, Wide};
use crate::codes::CodeSlot;
use crate::schema::{CounterSlot, GaugeSlot, HistogramSlot};

/// One thread's block of a [`Group`](crate::Group). Keep it; making it takes a lock, using it does not.
///
/// A slot must come from the group's own schema; one of another schema counts something else (or nothing, if it is
/// out of bounds). It does not keep the group alive: what is counted after the group is gone is lost.
#[derive(Clone, Debug)]
pub struct LocalGroup {
    cells: Arc<[AtomicU64]>,
    wide: Arc<Wide>,
    /// Stays on its thread: an increment is a load and a store.
    _not_send: PhantomData<Rc<()>>,
}

impl LocalGroup {
    pub(crate) fn new(block: &Block) -> Self {
        Self {
            cells: Arc::clone(&block.cells),
            wide: Arc::clone(&block.wide),
            _not_send: PhantomData,
        }
    }

    /// Adds one to a counter.
    #[inline]
    pub fn inc(&self, slot: CounterSlot) {
        self.add(slot, 1);
    }

    /// Adds `amount` to a counter.
    #[inline]
    pub fn add(&self, slot: CounterSlot, amount: u64) {
        if let Some(cell) = self.cells.get(usize::from(slot.0)) {
            cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
        }
    }

    /// Adds `amount` to a gauge. The gauge's value is the sum over the threads, so another thread may subtract.
    #[inline]
    pub fn gauge_add(&self, slot: GaugeSlot, amount: u64) {
        if let Some(cell) = self.cells.get(usize::from(slot.0)) {
            GaugeCell::add(cell, amount as i64);
        }
    }

    /// Subtracts `amount` from a gauge.
    #[inline]
    pub fn gauge_sub(&self, slot: GaugeSlot, amount: u64) {
        if let Some(cell) = self.cells.get(usize::from(slot.0)) {
            GaugeCell::add(cell, (amount as i64).wrapping_neg());
        }
    }

    /// Makes `value` (less than 2⁶³) this thread's share of a gauge. The gauge's value is the sum over the threads:
    /// set it from one thread only, or let each set its own share.
    #[inline]
    pub fn gauge_set(&self, slot: GaugeSlot, value: u64) {
        if let Some(cell) = self.cells.get(usize::from(slot.0)) {
            GaugeCell::set(cell, value);
        }
    }

    /// Records a value in a histogram, in the histogram's unit.
    #[inline]
    pub fn record(&self, slot: HistogramSlot, value: u64) {
        if let Some(pages) = self.wide.histograms.get(usize::from(slot.0)) {
            pages.record(value);
        }
    }

    /// Counts a response of status `code` in a family of per-code counters.
    #[inline]
    pub fn charge_code(&self, slot: CodeSlot, code: u16) {
        if let Some(pages) = self.wide.codes.get(usize::from(slot.0)) {
            pages.charge(code);
        }
    }
}
