//! A thread's own slots of one group.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::codes::CodePages;
use crate::histogram::pages::Pages;
use crate::schema::Schema;

/// Slots of one group, written by one thread only and read by any.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The thread that writes.
    pub(crate) shard: u32,
    /// Counters as they are, then gauges as [`GaugeCell`] encodes them.
    pub(crate) cells: Arc<[AtomicU64]>,
    /// What needs more than a number.
    pub(crate) wide: Arc<Wide>,
}

/// The parts of a block that are larger than a number each.
#[derive(Debug)]
pub(crate) struct Wide {
    pub(crate) histograms: Box<[Pages]>,
    pub(crate) codes: Box<[CodePages]>,
}

impl Block {
    pub(crate) fn new(shard: u32, schema: &Schema) -> Self {
        Self {
            shard,
            cells: (0..schema.cells()).map(|_| AtomicU64::new(0)).collect(),
            wide: Arc::new(Wide {
                histograms: schema.histograms.iter().map(|_| Pages::default()).collect(),
                codes: schema.codes.iter().map(|_| CodePages::default()).collect(),
            }),
        }
    }
}

/// How a gauge lies in a cell: the thread's signed share times two, plus one as a mark that it was ever written
/// (a gauge that went back to zero is still "used").
#[derive(Debug)]
pub(crate) struct GaugeCell;

impl GaugeCell {
    /// Adds `delta` to the thread's share.
    #[inline]
    pub(crate) fn add(cell: &AtomicU64, delta: i64) {
        let value = cell.load(Relaxed).wrapping_add((delta as u64) << 1);
        cell.store(value | 1, Relaxed);
    }

    /// Makes `value` the thread's share.
    #[inline]
    pub(crate) fn set(cell: &AtomicU64, value: u64) {
        cell.store(value << 1 | 1, Relaxed);
    }

    /// The thread's share, and whether it was ever written.
    pub(crate) fn read(cell: &AtomicU64) -> (i64, bool) {
        let raw = cell.load(Relaxed);
        (raw as i64 >> 1, raw & 1 == 1)
    }
}
