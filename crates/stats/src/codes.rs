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

/// The first of the 500 codes that have a counter of their own; others are `_unknown`.
const FIRST: u16 = 100;

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
        let unknown = self.unknown.load(Relaxed);
        if unknown != 0 {
            totals.unknown = Some(totals.unknown.unwrap_or(0) + unknown);
        }
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
    unknown: Option<u64>,
}

impl CodeTotals {
    fn add(&mut self, code: u16, count: u64) {
        if count == 0 {
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

    /// What came on top of `earlier`; codes that were used before stay, at zero if need be.
    pub(crate) fn since(mut self, earlier: &Self) -> Self {
        for (code, count) in &mut self.codes {
            *count -= earlier.code(*code).min(*count);
        }
        self.unknown = self
            .unknown
            .map(|count| count - earlier.unknown.unwrap_or(0).min(count));
        self
    }

    /// Whether any of its counters was used.
    pub(crate) fn is_used(&self) -> bool {
        !self.codes.is_empty() || self.unknown.is_some()
    }

    /// Calls `visit` with the suffix and value of each counter that was used; `completed`: the total is there even if none was.
    pub(crate) fn for_each(&self, completed: bool, mut visit: impl FnMut(Suffix, u64)) {
        if !self.is_used() {
            if completed {
                visit(Suffix::Completed, 0);
            }
            return;
        }
        for &(code, count) in &self.codes {
            visit(Suffix::Code(code), count);
        }
        for class in self.codes.chunk_by(|a, b| a.0 / 100 == b.0 / 100) {
            let suffix = Suffix::Class((class[0].0 / 100) as u8);
            visit(suffix, self.get(suffix));
        }
        if let Some(unknown) = self.unknown {
            visit(Suffix::Unknown, unknown);
        }
        visit(Suffix::Completed, self.get(Suffix::Completed));
    }

    /// The value of one counter of the family.
    pub(crate) fn get(&self, suffix: Suffix) -> u64 {
        let sum = |wanted: &dyn Fn(u16) -> bool| {
            self.codes
                .iter()
                .filter(|entry| wanted(entry.0))
                .map(|entry| entry.1)
                .sum::<u64>()
        };
        match suffix {
            Suffix::Code(code) => self.code(code),
            Suffix::Class(class) => sum(&|code| code / 100 == u16::from(class)),
            Suffix::Unknown => self.unknown.unwrap_or(0),
            Suffix::Completed => sum(&|_| true) + self.unknown.unwrap_or(0),
        }
    }
}

/// What a counter's name has after its family's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suffix {
    /// `200`
    Code(u16),
    /// `2xx`
    Class(u8),
    /// `unknown`: codes below 100 or above 599.
    Unknown,
    /// `completed`: all of them.
    Completed,
}

impl Suffix {
    pub(crate) fn write(self, out: &mut String) {
        let mut digits = itoa::Buffer::new();
        match self {
            Self::Code(code) => out.push_str(digits.format(code)),
            Self::Class(class) => {
                out.push_str(digits.format(class));
                out.push_str("xx");
            }
            Self::Unknown => out.push_str("unknown"),
            Self::Completed => out.push_str("completed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(totals: &CodeTotals) -> Vec<(String, u64)> {
        let mut names = Vec::new();
        totals.for_each(false, |suffix, value| {
            let mut name = String::new();
            suffix.write(&mut name);
            names.push((name, value));
        });
        names
    }

    #[test]
    fn classes_and_total_are_sums() {
        let (one, other) = (CodePages::default(), CodePages::default());
        one.charge(200);
        one.charge(204);
        other.charge(200);
        other.charge(503);
        for odd in [0, 99, 600, u16::MAX] {
            other.charge(odd);
        }
        let mut totals = CodeTotals::default();
        assert!(names(&totals).is_empty());
        one.add_to(&mut totals);
        other.add_to(&mut totals);
        let expected = [
            ("200", 2),
            ("204", 1),
            ("503", 1),
            ("2xx", 3),
            ("5xx", 1),
            ("unknown", 4),
            ("completed", 8),
        ];
        assert_eq!(
            names(&totals),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        let reset = totals.clone().since(&totals);
        assert!(names(&reset).iter().all(|(_, value)| *value == 0));
        assert_eq!(names(&reset).len(), expected.len());
    }
}
