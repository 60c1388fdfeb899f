//! The `date` header of responses.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use nuncio_event::clock;
use nuncio_http::date::with_http_date;
use tokio::time::Instant;

type Text = [u8; 29];

/// The text of the present second, which is good until the next one begins.
#[derive(Default)]
pub(crate) struct DateCache(Cell<Option<(Instant, Instant, Text)>>);

impl DateCache {
    /// The date at `now`.
    pub(crate) fn at(&self, now: Instant) -> Text {
        match self.0.get() {
            Some((from, until, text)) if from <= now && now < until => text,
            _ => self.renew(now),
        }
    }

    #[cold]
    fn renew(&self, now: Instant) -> Text {
        let wall = clock::wall_time(now);
        let mut text = Text::default();
        with_http_date(wall, |date| text.copy_from_slice(date));
        let passed = wall
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos());
        let left = Duration::from_secs(1) - Duration::from_nanos(u64::from(passed));
        self.0.set(Some((now, now + left, text)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_changes_with_the_second() {
        let start = clock::now();
        let half_past = UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        clock::pin_wall_clock(clock::WallAnchor::new(start, half_past));
        let cache = DateCache::default();
        let at = |millis| {
            let text = cache.at(start + Duration::from_millis(millis));
            String::from_utf8(text.to_vec()).unwrap()
        };
        assert_eq!(at(0), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(499), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(500), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(1500), "Sun, 06 Nov 1994 08:49:39 GMT");
        assert_eq!(at(0), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
