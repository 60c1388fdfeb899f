//! `%START_TIME(format)%`: strftime as Envoy has it (Abseil's `FormatTime`, plus `%f`, `%1f` … `%9f` and `%s`).

mod calendar;
mod local;
mod pattern;
mod render;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use nuncio_config::ConfigError;

use self::pattern::Item;
use self::render::Rendered;

/// How Envoy shows a time when no format is given.
const DEFAULT_UTC: &str = "%Y-%m-%dT%H:%M:%E3SZ";
const DEFAULT_LOCAL: &str = "%Y-%m-%dT%H:%M:%E3S%z";

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

/// A compiled time format.
///
/// What depends on the second only is rendered once per second and thread; a line costs a copy and the digits of the
/// fraction. Fractions have microseconds, as in Envoy: further digits are zero.
#[derive(Debug)]
pub(crate) struct TimeFormat {
    /// Tells formats apart in the threads' caches; never 0.
    id: u64,
    local: bool,
    items: Box<[Item]>,
}

impl TimeFormat {
    /// Compiles a format; an empty one stands for Envoy's default. `local` shows the machine's time zone.
    ///
    /// # Errors
    /// When the format has a line feed (`%n`), which could split a header.
    pub(crate) fn parse(format: &str, local: bool) -> Result<TimeFormat, ConfigError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let format = match format {
            "" if local => DEFAULT_LOCAL,
            "" => DEFAULT_UTC,
            other => other,
        };
        let items = pattern::parse(format)?;
        Ok(TimeFormat {
            id: NEXT_ID.fetch_add(1, Relaxed),
            local,
            items,
        })
    }

    /// Appends `time`.
    pub(crate) fn write(&self, time: SystemTime, out: &mut Vec<u8>) {
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
                cached.rendered.render(&self.items, second, self.local);
                cached.format = self.id;
                cached.second = second;
            }
            cached.rendered.write(micros, out);
        });
    }
}

#[cfg(test)]
mod tests;
