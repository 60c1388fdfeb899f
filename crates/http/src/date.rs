//! The `date` header, formatted once a second.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

/// Length in bytes of an IMF-fixdate (RFC 9110, section 5.6.7).
const LEN: usize = 29;

struct Cached {
    second: u64,
    text: [u8; LEN],
}

thread_local! {
    static CACHE: RefCell<Cached> = const { RefCell::new(Cached { second: u64::MAX, text: [0; LEN] }) };
}

/// Calls `use_it` with `now` as an HTTP date. The text is made anew only when the second differs from the
/// last call's on this thread.
pub fn with_http_date<R>(now: SystemTime, use_it: impl FnOnce(&[u8]) -> R) -> R {
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let text = CACHE.with_borrow_mut(|cached| {
        if cached.second != second {
            let text = httpdate::fmt_http_date(now);
            cached.text.copy_from_slice(&text.as_bytes()[..LEN]);
            cached.second = second;
        }
        cached.text
    });
    use_it(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn follows_the_clock_it_is_given() {
        let at = |secs| with_http_date(UNIX_EPOCH + Duration::from_millis(secs), <[u8]>::to_vec);
        assert_eq!(at(784_111_777_000), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_777_999), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778_000), b"Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
