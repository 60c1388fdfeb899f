//! A named set of stats.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use std::sync::atomic::Ordering::Relaxed;

use crate::block::{Block, GaugeCell};
use crate::codes::{CodeSlot, CodeTotals};
use crate::local::LocalGroup;
use crate::schema::{CounterSlot, GaugeSlot, HistogramSlot, Schema};
use crate::store::Registry;
use crate::thread;

/// A name prefix plus a [`Schema`]; its stats are shown as long as it lives.
///
/// The methods that write take a lock: they are for code that writes rarely. What they write lies apart from the
/// threads' blocks, 16 bytes per stat written, so that a group whose traffic has not begun stays small.
#[derive(Debug)]
pub struct Group {
    prefix: Arc<str>,
    schema: &'static Schema,
    registry: Weak<Registry>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: Vec<Block>,
    cold: Vec<Cold>,
}

/// A counter or gauge written through the group itself.
#[derive(Debug)]
struct Cold {
    slot: u16,
    value: u64,
}

impl Group {
    pub(crate) fn new(prefix: Arc<str>, schema: &'static Schema, registry: Weak<Registry>) -> Self {
        Self {
            prefix,
            schema,
            registry,
            state: Mutex::default(),
        }
    }

    /// What all names of the group begin with (no dot at the end).
    #[must_use]
    pub fn prefix(&self) -> &Arc<str> {
        &self.prefix
    }

    /// What the group counts.
    #[must_use]
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// The calling thread's block, made at its first call.
    #[must_use]
    pub fn local(&self) -> LocalGroup {
        let shard = thread::shard();
        let mut state = self.state();
        if let Some(block) = state.blocks.iter().find(|block| block.shard == shard) {
            return LocalGroup::new(block);
        }
        let block = Block::new(shard, self.schema);
        let local = LocalGroup::new(&block);
        state.blocks.push(block);
        local
    }

    /// Adds one to a counter, from any thread.
    pub fn inc(&self, slot: CounterSlot) {
        self.add(slot, 1);
    }

    /// Adds `amount` to a counter, from any thread.
    pub fn add(&self, slot: CounterSlot, amount: u64) {
        self.update(slot.0, |value| value.wrapping_add(amount));
    }

    /// Adds `amount` to a gauge, from any thread.
    pub fn gauge_add(&self, slot: GaugeSlot, amount: u64) {
        self.update(slot.0, |value| value.wrapping_add(amount));
    }

    /// Subtracts `amount` from a gauge, from any thread.
    pub fn gauge_sub(&self, slot: GaugeSlot, amount: u64) {
        self.update(slot.0, |value| value.wrapping_sub(amount));
    }

    /// Sets a gauge, from any thread. What threads add through [`LocalGroup::gauge_add`] is added to it.
    pub fn gauge_set(&self, slot: GaugeSlot, value: u64) {
        self.update(slot.0, |_| value);
    }

    /// Records a value in a histogram; makes the calling thread's block.
    pub fn record(&self, slot: HistogramSlot, value: u64) {
        self.local().record(slot, value);
    }

    /// Counts a response of status `code`; makes the calling thread's block.
    pub fn charge_code(&self, slot: CodeSlot, code: u16) {
        self.local().charge_code(slot, code);
    }

    /// The present value of a counter.
    #[must_use]
    pub fn counter(&self, slot: CounterSlot) -> u64 {
        self.state().counter(slot.0)
    }

    /// The present value of a gauge.
    #[must_use]
    pub fn gauge(&self, slot: GaugeSlot) -> u64 {
        self.state().gauge(slot.0).0
    }

    /// How often `code` was charged.
    #[must_use]
    pub fn code(&self, slot: CodeSlot, code: u16) -> u64 {
        let mut totals = CodeTotals::default();
        for block in &self.state().blocks {
            if let Some(pages) = block.wide.codes.get(usize::from(slot.0)) {
                pages.add_to(&mut totals);
            }
        }
        totals.code(code)
    }

    fn update(&self, slot: u16, change: impl FnOnce(u64) -> u64) {
        let mut state = self.state();
        match state.cold.iter_mut().find(|cold| cold.slot == slot) {
            Some(cold) => cold.value = change(cold.value),
            None => state.cold.push(Cold {
                slot,
                value: change(0),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while counting leaves numbers that are at worst one behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cold(&self, slot: u16) -> Option<u64> {
        self.cold
            .iter()
            .find(|cold| cold.slot == slot)
            .map(|cold| cold.value)
    }

    fn counter(&self, slot: u16) -> u64 {
        let blocks = self
            .blocks
            .iter()
            .filter_map(|block| block.cells.get(usize::from(slot)));
        blocks.fold(self.cold(slot).unwrap_or(0), |sum, cell| {
            sum.wrapping_add(cell.load(Relaxed))
        })
    }

    /// The value, and whether it was ever written.
    fn gauge(&self, slot: u16) -> (u64, bool) {
        let cold = self.cold(slot);
        let mut used = cold.is_some();
        let mut shares = 0i64;
        for cell in self
            .blocks
            .iter()
            .filter_map(|block| block.cells.get(usize::from(slot)))
        {
            let (share, written) = GaugeCell::read(cell);
            shares = shares.wrapping_add(share);
            used |= written;
        }
        // Reading races with threads that move an amount between them: a sum below zero is a moment, not a value.
        let value = cold.unwrap_or(0).checked_add_signed(shares).unwrap_or(0);
        (value, used)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.forget(self);
        }
    }
}
