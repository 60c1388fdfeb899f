//! Requests that began a short while ago, for a retry budget with a `budget_interval`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Into so many parts the interval is divided: a request is forgotten when between 0.9 and 1 of the interval has passed.
const PARTS: u64 = 10;

/// Counts beginnings over all workers. Each part of the interval has a place, which is used again when the part is over.
#[derive(Debug)]
pub(super) struct RequestWindow {
    begun: Instant,
    interval: Duration,
    /// Number of the part in the upper half, requests in it in the lower one.
    parts: [AtomicU64; PARTS as usize],
}

impl RequestWindow {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            begun: now,
            interval,
            parts: Default::default(),
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// The part that `now` belongs to; never 0, which is what places begin with.
    fn part(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.begun).as_nanos();
        let parts = passed * u128::from(PARTS) / self.interval.as_nanos().max(1);
        // A part that comes some 2^32 parts later looks like this one; its requests are long forgotten by then.
        (parts % u128::from(u32::MAX)) as u64 + 1
    }

    /// A request begins.
    pub(super) fn note(&self, now: Instant) {
        let part = self.part(now);
        let place = &self.parts[(part % PARTS) as usize];
        let more = |old: u64| {
            Some(match old >> 32 == part {
                true => old.checked_add(1).filter(|new| new >> 32 == part)?,
                false => part << 32 | 1,
            })
        };
        // An error says that no more can be counted in this part.
        let _ = place.try_update(Relaxed, Relaxed, more);
    }

    /// How many have begun within the interval.
    pub(super) fn count(&self, now: Instant) -> u64 {
        let part = self.part(now);
        let recent = |old: &u64| old >> 32 != 0 && part.wrapping_sub(old >> 32) < PARTS;
        let parts = self.parts.iter().map(|place| place.load(Relaxed));
        parts
            .filter(recent)
            .map(|old| old & u64::from(u32::MAX))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_forgotten_after_the_interval() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let window = RequestWindow::new(Duration::from_secs(1), begun);
        assert_eq!(window.count(begun), 0);
        for ms in [0, 150, 150, 550, 999] {
            window.note(at(ms));
        }
        assert_eq!(window.count(at(999)), 5);
        assert_eq!(window.count(at(1150)), 2, "the first 200 ms are over");
        window.note(at(1150));
        assert_eq!(window.count(at(1151)), 3);
        assert_eq!(window.count(at(5000)), 0);
        window.note(at(5000));
        assert_eq!(window.count(at(5000)), 1, "places are used again");
    }

    #[test]
    fn the_first_part_is_forgotten_as_soon_as_any_other() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let window = RequestWindow::new(Duration::from_secs(1), begun);
        window.note(at(10));
        assert_eq!(window.count(at(999)), 1);
        assert_eq!(window.count(at(1000)), 0);
    }

    #[test]
    fn a_short_interval_is_no_division_by_zero() {
        let begun = Instant::now();
        let window = RequestWindow::new(Duration::ZERO, begun);
        window.note(begun + Duration::from_secs(1_000_000_000));
        assert!(window.count(begun + Duration::from_secs(2_000_000_000)) <= 1);
    }
}
