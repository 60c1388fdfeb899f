//! Families of counters per status code: `upstream_rq_200`, `upstream_rq_2xx`, `upstream_rq_completed`.
//!
//! Charging writes one cell, that of the code; the class and the total are sums made when somebody reads. A name
//! exists once it was used, as in Envoy (`CodeStatsImpl::chargeBasicResponseStat`).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The place of a family of per-status-code counters in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeSlot(pub(crate) u16);

/// Codes per page: few, since a cluster answers with few codes.
const PAGE_CODES: usize = 20;
const PAGES: usize = 500 / PAGE_CODES;

/// First and one past the last code that has a counter of its own; others are `_unknown`.
const FIRST: u16 = 100;
const END: u16 = 600;

/// One thread's counts of one family. A page exists once one of its codes was charged (160 bytes each).
#[derive(Debug, Default)]
pub(crate) struct CodePages {
    pages: [OnceLock<Box<[AtomicU64; PAGE_CODES]>>; PAGES],
    unknown: AtomicU64,
}

impl CodePages {
    /// Counts one response. Only the thread that owns the block calls this.
    #[inline]
    pub(crate) fn charge(&self, code: u16) {
        let place = usize::from(code.wrapping_sub(FIRST));
        let cell = match self.pages.get(place / PAGE_CODES) {
            Some(page) => &page.get_or_init(new_page)[place % PAGE_CODES],
            None => &self.unknown,
        };
        cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Adds this thread's counts to `totals`.
    pub(crate) fn add_to(&self, totals: &mut CodeTotals) {
        for (number, page) in self.pages.iter().enumerate() {
            let Some(page) = page.get() else { continue };
            for (place, cell) in page.iter().enumerate() {
                totals.add(
                    FIRST + (number * PAGE_CODES + place) as u16,
                    cell.load(Relaxed),
                );
            }
        }
        totals.unknown += self.unknown.load(Relaxed);
    }
}

#[cold]
fn new_page() -> Box<[AtomicU64; PAGE_CODES]> {
    Box::new([const { AtomicU64::new(0) }; PAGE_CODES])
}

/// Counts of one family over all threads: codes in rising order, only those used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CodeTotals {
    codes: Vec<(u16, u64)>,
    unknown: u64,
}

impl CodeTotals {
    fn add(&mut self, code: u16, count: u64) {
        if count == 0 || !(FIRST..END).contains(&code) {
            return;
        }
        match self.codes.binary_search_by_key(&code, |entry| entry.0) {
            Ok(at) => self.codes[at].1 += count,
            Err(at) => self.codes.insert(at, (code, count)),
        }
    }

    /// The count of one code.
    pub(crate) fn code(&self, code: u16) -> u64 {
        self.codes
            .iter()
            .find(|entry| entry.0 == code)
            .map_or(0, |entry| entry.1)
    }
}
