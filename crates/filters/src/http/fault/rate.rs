//! Slowing a body down (Envoy's `StreamRateLimiter`).

use std::time::Duration;

use tokio::time::Instant;

/// Bodies are let through in slices of this time.
pub(super) const SLICE: Duration = Duration::from_millis(50);
/// Slices per second, and the most that are saved up.
const SLICES: f64 = 20.0;

/// A bucket of slices.
pub(super) struct Pacer {
    bytes_per_slice: u64,
    slices: f64,
    filled: Instant,
}

impl Pacer {
    /// A bucket that lets `kib_per_second` KiB through per second; it begins with one slice.
    pub(super) fn new(now: Instant, kib_per_second: u64) -> Pacer {
        let bytes_per_slice = kib_per_second.saturating_mul(1024) / SLICES as u64;
        Pacer {
            bytes_per_slice: bytes_per_slice.max(1),
            slices: 1.0,
            filled: now,
        }
    }

    /// How many of `wanted` bytes may go on now. Takes the slices that they need.
    pub(super) fn allowed(&mut self, now: Instant, wanted: usize) -> usize {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.slices = (self.slices + passed * SLICES).min(SLICES);
        self.filled = now;
        let needed = (wanted as u64).div_ceil(self.bytes_per_slice);
        let taken = needed.min(self.slices as u64);
        self.slices -= taken as f64;
        usize::try_from(taken.saturating_mul(self.bytes_per_slice))
            .unwrap_or(usize::MAX)
            .min(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_follow_the_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start, 1);
        // One KiB a second is 51 bytes a slice.
        assert_eq!(pacer.allowed(start, 1000), 51);
        assert_eq!(pacer.allowed(start, 1000), 0);
        assert_eq!(pacer.allowed(start + SLICE * 2, 1000), 102);
        assert_eq!(pacer.allowed(start + SLICE * 4, 10), 10);
        // What is saved up is bounded by a second.
        assert_eq!(
            pacer.allowed(start + Duration::from_secs(60), 10_000),
            20 * 51
        );
    }
}
