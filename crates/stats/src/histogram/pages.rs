//! One thread's counts of one histogram.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::bins::{self, Bin, PAGE_BINS, PAGES};
use super::distribution::Distribution;

type Page = [AtomicU64; PAGE_BINS];

/// Counts per bin, written by one thread; a page exists once a value fell in it (800 bytes each).
#[derive(Debug, Default)]
pub(crate) struct Pages {
    pages: [OnceLock<Box<Page>>; PAGES],
}

impl Pages {
    /// Counts one value. Only the thread that owns the block calls this.
    #[inline]
    pub(crate) fn record(&self, value: u64) {
        let (page, place) = bins::locate(value);
        let page = self.pages[page].get_or_init(new_page);
        if let Some(cell) = page.get(place) {
            cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    /// Whether nothing was ever counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.iter().all(|page| page.get().is_none())
    }

    /// Adds this thread's counts to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Distribution) {
        for (number, page) in self.pages.iter().enumerate() {
            let Some(page) = page.get() else { continue };
            for (place, cell) in page.iter().enumerate() {
                let count = cell.load(Relaxed);
                if count != 0 {
                    sum.add((number * PAGE_BINS + place) as Bin, count);
                }
            }
        }
    }
}

#[cold]
fn new_page() -> Box<Page> {
    Box::new([const { AtomicU64::new(0) }; PAGE_BINS])
}
