//! Which bin a value falls in: libcircllhist's log-linear bins for whole numbers.
//!
//! A bin is named by a small number: `0..=99` for the values below 100 (each a bin of its own), and above that
//! 90 bins per power of ten, by the two leading digits. `bin = page * 100 + digits`, where page 0 holds `0..=99` and
//! page p holds values of p + 2 decimal digits; digits 0..=9 of pages above 0 are never used.

/// Decimal pages a 63-bit value can need: 2 to 19 digits.
pub(crate) const PAGES: usize = 18;

/// Bins per page.
pub(crate) const PAGE_BINS: usize = 100;

/// Values above this are counted as this: libcircllhist takes signed numbers.
pub(crate) const MAX_VALUE: u64 = i64::MAX as u64;

/// `10^n`.
const POW10: [u64; 20] = {
    let mut table = [1; 20];
    let mut i = 1;
    while i < 20 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// Number of a bin: see the module's page.
pub(crate) type Bin = u16;

/// Page and place within the page of `value`'s bin.
#[inline]
pub(crate) fn locate(value: u64) -> (usize, usize) {
    if value < 100 {
        return (0, value as usize);
    }
    let value = value.min(MAX_VALUE);
    let page = value.ilog10() as usize - 1;
    (page, (value / POW10[page]) as usize)
}

/// The smallest value of a bin.
pub(crate) fn lower_bound(bin: Bin) -> f64 {
    let (page, digits) = (bin as usize / PAGE_BINS, bin as usize % PAGE_BINS);
    // Two steps in this order: the rounding must be that of libcircllhist's `val / 10.0 * 10^exp`.
    match (page, digits) {
        (0, 0) => 0.0,
        (0, 1..=9) => (digits * 10) as f64 / 10.0,
        _ => digits as f64 / 10.0 * POW10[page + 1] as f64,
    }
}

/// The width of a bin; the bin of zero has none.
pub(crate) fn width(bin: Bin) -> f64 {
    let (page, digits) = (bin as usize / PAGE_BINS, bin as usize % PAGE_BINS);
    match (page, digits) {
        (0, 0) => 0.0,
        (0, 1..=9) => 1.0 / 10.0,
        _ => POW10[page + 1] as f64 / 10.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bin() {
        let powers = (0..16).map(|n| 10u64.pow(n));
        let values = powers
            .flat_map(|p| [p - 1, p, p + 1, p * 3 / 2])
            .chain([0, 254, 99_999]);
        for value in values {
            let (page, place) = locate(value);
            assert!(page < PAGES && place < PAGE_BINS, "{value}");
            let bin = (page * PAGE_BINS + place) as Bin;
            let (low, width) = (lower_bound(bin), width(bin));
            let value = value as f64;
            assert!(
                low <= value && (value < low + width || value == low),
                "{value} in {low}+{width}"
            );
        }
        assert_eq!(locate(MAX_VALUE), (PAGES - 1, 92));
        assert_eq!(locate(u64::MAX), locate(MAX_VALUE));
    }
}
