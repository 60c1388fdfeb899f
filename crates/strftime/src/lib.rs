//! Times as text, by strftime formats as Envoy has them: Abseil's `FormatTime` (glibc's conversions, `%E3S`, `%Ez` …)
//! plus `%f`, `%1f` … `%9f`.
//!
//! What depends on the second only is rendered once per second and thread, so that a log line costs a copy and the
//! digits of its fraction.

mod calendar;
mod local;
mod pattern;
mod render;

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use self::pattern::Item;
use self::render::Rendered;

/// How many formats a thread remembers the present second of. Formats beyond that share places.
const CACHE_SLOTS: usize = 8;

thread_local! {
    static CACHE: RefCell<[Cached; CACHE_SLOTS]> = const { RefCell::new([const { Cached::EMPTY }; CACHE_SLOTS]) };
}

/// A format's text for one second, with zeros where its fraction goes.
struct Cached {
    format: u64,
    second: i64,
    rendered: Rendered,
}

impl Cached {
    const EMPTY: Cached = Cached {
        format: 0,
        second: 0,
        rendered: Rendered::EMPTY,
    };
}

/// Whose clock is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Coordinated universal time.
    Utc,
    /// The machine's time zone (`TZ`, `/etc/localtime`).
    Local,
}

/// The format has a `%n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFeed;

impl fmt::Display for LineFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time format contains a newline")
    }
}

impl std::error::Error for LineFeed {}

/// A compiled time format. Fractions have microseconds, as in Envoy: further digits are zero.
#[derive(Debug)]
pub struct TimeFormat {
    /// Tells formats apart in the threads' caches; never 0.
    id: u64,
    zone: Zone,
    items: Box<[Item]>,
}

impl TimeFormat {
    /// Compiles a format. What is no conversion stays as it is written.
    ///
    /// # Errors
    /// When the format has a line feed (`%n`), which could split a header or a log line.
    pub fn parse(format: &str, zone: Zone) -> Result<TimeFormat, LineFeed> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let items = pattern::parse(format)?;
        Ok(TimeFormat {
            id: NEXT_ID.fetch_add(1, Relaxed),
            zone,
            items,
        })
    }

    /// Appends `time`.
    pub fn write(&self, time: SystemTime, out: &mut Vec<u8>) {
        let (second, micros) = match time.duration_since(UNIX_EPOCH) {
            Ok(since) => (since.as_secs() as i64, since.subsec_micros()),
            Err(before) => {
                let before = before.duration();
                let micros = before.subsec_micros();
                let borrow = i64::from(micros > 0);
                (
                    -(before.as_secs() as i64) - borrow,
                    (1_000_000 - micros) % 1_000_000,
                )
            }
        };
        CACHE.with_borrow_mut(|cache| {
            let cached = &mut cache[self.id as usize % CACHE_SLOTS];
            if cached.format != self.id || cached.second != second {
                cached.rendered.render(&self.items, second, self.zone);
                cached.format = self.id;
                cached.second = second;
            }
            cached.rendered.write(micros, out);
        });
    }
}

#[cfg(test)]
mod tests;
