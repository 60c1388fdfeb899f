//! Time: tokio's clock for everything that is measured, the system's clock for what is shown.
//!
//! Tests pause tokio's clock (`start_paused = true`) and so drive every timer and duration of the
//! program; nothing else in the program may read `std::time::Instant` for behaviour.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How long a thread trusts its anchor before it looks at the system's clock again: a stepped
/// clock (NTP, a resumed machine) shows in log lines after at most this time.
const ANCHOR_LIFE: Duration = Duration::from_secs(1);

thread_local! {
    static ANCHOR: Cell<Option<Anchor>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Anchor {
    wall: WallAnchor,
    /// Good for instants before this one; pinned: for all.
    until: Option<Instant>,
}

/// The current instant of the program's clock.
#[inline]
pub fn now() -> Instant {
    Instant::now()
}

/// A pair of instants on both clocks, by which instants become wall-clock times without asking
/// the system again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallAnchor {
    instant: Instant,
    system: SystemTime,
}

impl WallAnchor {
    /// Says that `instant` was `system` on the wall.
    pub fn new(instant: Instant, system: SystemTime) -> Self {
        Self { instant, system }
    }

    /// The anchor of this moment.
    pub fn take() -> Self {
        Self::new(now(), SystemTime::now())
    }

    /// The wall-clock time of `instant`, before or after the anchor. A time that the system's
    /// clock cannot hold is given as the anchor itself.
    pub fn at(&self, instant: Instant) -> SystemTime {
        let moved = match instant.checked_duration_since(self.instant) {
            Some(later) => self.system.checked_add(later),
            None => self.system.checked_sub(self.instant - instant),
        };
        moved.unwrap_or(self.system)
    }
}

/// The wall-clock time of `instant`, for log lines and headers.
///
/// Uses an anchor of this thread that is taken anew about once a second, so it costs no syscall
/// and follows a clock that was set.
pub fn wall_time(instant: Instant) -> SystemTime {
    if let Some(anchor) = ANCHOR.get()
        // An instant before the anchor is a start time shown late. The anchor is good for it.
        && anchor.until.is_none_or(|until| instant < until)
    {
        return anchor.wall.at(instant);
    }
    let wall = WallAnchor::take();
    ANCHOR.set(Some(Anchor {
        wall,
        until: Some(wall.instant + ANCHOR_LIFE),
    }));
    wall.at(instant)
}

/// Fixes this thread's anchor for good: with a paused clock, times on the wall become
/// reproducible.
pub fn pin_wall_clock(wall: WallAnchor) {
    ANCHOR.set(Some(Anchor { wall, until: None }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pinned_clock_follows_the_paused_one() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(43_200);
        let start = now();
        pin_wall_clock(WallAnchor::new(start, noon));
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(wall_time(now()), noon + Duration::from_secs(90));
        assert_eq!(wall_time(start), noon);
        assert_eq!(
            WallAnchor::new(now(), noon).at(start),
            noon - Duration::from_secs(90)
        );
    }

    #[test]
    fn unpinned_clock_is_near_the_systems() {
        let shown = wall_time(now());
        let system = SystemTime::now();
        let apart = system
            .duration_since(shown)
            .unwrap_or_else(|early| early.duration());
        assert!(apart < Duration::from_secs(5), "{apart:?}");
    }
}
