//! Random numbers of one thread.

use std::cell::Cell;

/// A small fast generator (splitmix64) for balancing decisions; not for secrets.
#[derive(Debug)]
pub struct Random(Cell<u64>);

impl Random {
    /// A generator with a seed of the operating system.
    pub fn from_system() -> Self {
        Self::seeded(rand::random())
    }

    /// A generator that repeats itself: for tests.
    pub fn seeded(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next number, uniform over all of `u64`.
    #[inline]
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
