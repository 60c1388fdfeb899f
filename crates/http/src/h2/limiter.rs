//! A bucket of tokens: how many events may come at once, and how many in the long run.

use std::time::Instant;

/// A bucket that is full at first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limiter {
    tokens: u64,
    burst: u64,
    /// Tokens that come back in a second.
    rate: u64,
    filled: Option<Instant>,
}

impl Limiter {
    pub(super) const fn new(burst: u64, rate: u64) -> Self {
        Self {
            tokens: burst,
            burst,
            rate,
            filled: None,
        }
    }

    /// Takes a token. False: there is none left.
    pub(super) fn take(&mut self, now: Option<Instant>) -> bool {
        if let Some(now) = now {
            let since = *self.filled.get_or_insert(now);
            // Whole seconds, as nghttp2 counts them.
            let seconds = now.saturating_duration_since(since).as_secs();
            if seconds > 0 {
                let back = seconds.saturating_mul(self.rate);
                self.tokens = self.tokens.saturating_add(back).min(self.burst);
                self.filled = Some(now);
            }
        }
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn tokens_come_back_by_the_second() {
        let mut limiter = Limiter::new(2, 1);
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        assert!(limiter.take(at(0)) && limiter.take(at(10)) && !limiter.take(at(900)));
        assert!(limiter.take(at(1000)) && !limiter.take(at(1001)));
        assert!(limiter.take(at(90_000)) && limiter.take(at(90_000)) && !limiter.take(at(90_000)));
    }

    #[test]
    fn without_a_clock_nothing_comes_back() {
        let mut limiter = Limiter::new(1, 1000);
        assert!(limiter.take(None) && !limiter.take(None));
    }
}
