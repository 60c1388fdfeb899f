//! A named set of stats.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::block::{Block, GaugeCell};
use crate::codes::{CodeSlot, CodeTotals};
use crate::histogram::{Distribution, Merged};
use crate::local::LocalGroup;
use crate::schema::{CounterSlot, GaugeSlot, HistogramSlot, NOT_WITH, Schema, USED_ALWAYS};
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
    rare: Option<Box<Rare>>,
}

/// What few groups have.
#[derive(Debug, Default)]
struct Rare {
    /// What the counters were when they were last reset.
    counters: Box<[u64]>,
    codes: Box<[CodeTotals]>,
    /// Histograms as of the last merge.
    merged: Box<[Merged]>,
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

    /// The group of the same store whose names begin with this one's prefix, a dot and `suffix`: for stats that are
    /// there only once they are needed.
    #[must_use]
    pub fn subgroup(&self, suffix: &str, schema: &'static Schema) -> Arc<Group> {
        let prefix: Arc<str> = format!("{}.{suffix}", self.prefix).into();
        match self.registry.upgrade() {
            Some(registry) => registry.group(prefix, schema),
            // The store is gone: nobody reads any more.
            None => Arc::new(Group::new(prefix, schema, Weak::new())),
        }
    }

    /// The group of the same store and prefix with other stats: for those that few of its kind have.
    #[must_use]
    pub fn beside(&self, schema: &'static Schema) -> Arc<Group> {
        match self.registry.upgrade() {
            Some(registry) => registry.group(self.prefix.clone(), schema),
            None => Arc::new(Group::new(self.prefix.clone(), schema, Weak::new())),
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
        self.state().counter(slot.0).0
    }

    /// The present value of a gauge.
    #[must_use]
    pub fn gauge(&self, slot: GaugeSlot) -> u64 {
        self.state().gauge(slot.0).0
    }

    /// How often `code` was charged.
    #[must_use]
    pub fn code(&self, slot: CodeSlot, code: u16) -> u64 {
        self.read_codes(usize::from(slot.0)).code(code)
    }

    /// A counter's value since the last reset, and whether it was ever written.
    pub(crate) fn read_counter(&self, slot: u16) -> (u64, bool) {
        self.state().counter(slot)
    }

    /// A gauge's value, and whether it was ever written.
    pub(crate) fn read_gauge(&self, slot: u16) -> (u64, bool) {
        self.state().gauge(slot)
    }

    /// Whether a histogram has a value, merged or not.
    pub(crate) fn has_recorded(&self, histogram: usize) -> bool {
        let state = self.state();
        let mut pages =
            (state.blocks.iter()).filter_map(|block| block.wide.histograms.get(histogram));
        pages.any(|pages| !pages.is_empty())
    }

    /// Whether a gauge counts as used because of another stat ([`GaugeDef::used_with`](crate::GaugeDef::used_with)).
    pub(crate) fn is_used_with(&self, other: u16) -> bool {
        match other {
            NOT_WITH => false,
            USED_ALWAYS => true,
            slot if usize::from(slot) < self.schema.counters.len() => self.read_counter(slot).1,
            slot => self.read_gauge(slot).1,
        }
    }

    /// The counts of a family of per-code counters since the last reset.
    pub(crate) fn read_codes(&self, family: usize) -> CodeTotals {
        let state = self.state();
        let totals = state.codes(family);
        match state.rare.as_ref().and_then(|rare| rare.codes.get(family)) {
            Some(baseline) => totals.since(baseline),
            None => totals,
        }
    }

    /// A histogram as of the last merge.
    pub(crate) fn read_histogram(&self, index: usize) -> Merged {
        let state = self.state();
        let merged = state.rare.as_ref().and_then(|rare| rare.merged.get(index));
        merged.cloned().unwrap_or_default()
    }

    /// Sums the threads' histograms for those who read.
    pub(crate) fn merge_histograms(&self) {
        let mut state = self.state();
        let State { blocks, rare, .. } = &mut *state;
        if self.schema.histograms.is_empty() || blocks.is_empty() {
            return;
        }
        let rare = rare.get_or_insert_default();
        if rare.merged.is_empty() {
            rare.merged = self
                .schema
                .histograms
                .iter()
                .map(|_| Merged::default())
                .collect();
        }
        for (index, merged) in rare.merged.iter_mut().enumerate() {
            let mut now = Distribution::default();
            for block in blocks.iter() {
                block.wide.histograms[index].add_to(&mut now);
            }
            merged.merge(now);
        }
    }

    /// Makes all counters zero for those who read; threads keep counting from where they are.
    pub(crate) fn reset_counters(&self) {
        let mut state = self.state();
        if state.blocks.is_empty() && state.cold.is_empty() {
            return;
        }
        let counters = 0..self.schema.counters.len() as u16;
        let counters = counters.map(|slot| state.counter_sum(slot)).collect();
        let codes = (0..self.schema.codes.len())
            .map(|family| state.codes(family))
            .collect();
        let rare = state.rare.get_or_insert_default();
        (rare.counters, rare.codes) = (counters, codes);
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

    /// The value since the last reset, and whether it was ever written.
    fn counter(&self, slot: u16) -> (u64, bool) {
        let sum = self.counter_sum(slot);
        let baseline = self
            .rare
            .as_ref()
            .and_then(|rare| rare.counters.get(usize::from(slot)));
        // Adding nothing to it is use, too.
        let used = sum != 0 || self.cold(slot).is_some();
        (sum.wrapping_sub(baseline.copied().unwrap_or(0)), used)
    }

    fn counter_sum(&self, slot: u16) -> u64 {
        let cells = self
            .blocks
            .iter()
            .filter_map(|block| block.cells.get(usize::from(slot)));
        cells.fold(self.cold(slot).unwrap_or(0), |sum, cell| {
            sum.wrapping_add(cell.load(Relaxed))
        })
    }

    fn codes(&self, family: usize) -> CodeTotals {
        let mut totals = CodeTotals::default();
        for pages in self
            .blocks
            .iter()
            .filter_map(|block| block.wide.codes.get(family))
        {
            pages.add_to(&mut totals);
        }
        totals
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
        let value = match cold {
            // A cold share below zero lies near 2⁶⁴ (another thread added what this one subtracted).
            Some(cold) if shares >= 0 => cold.wrapping_add(shares as u64),
            cold => cold.unwrap_or(0).checked_add_signed(shares).unwrap_or(0),
        };
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
