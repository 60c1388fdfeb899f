//! PINGs that find out whether the peer is still there (`connection_keepalive`).

use nuncio_event::Instant;
use nuncio_sdk::Keepalive;

/// The PINGs of one connection. At most one is unanswered.
#[derive(Debug)]
pub(super) struct Pings {
    options: Keepalive,
    /// When the next is due.
    next: Option<Instant>,
    /// When the answer must be here.
    answer_until: Option<Instant>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a PING, then call [`Pings::sent`].
    Ping,
    /// The peer is gone.
    TimedOut,
}

impl Pings {
    /// `random` is a part, 0 to 1, for the jitter.
    pub(super) fn new(options: Keepalive, random: f64, now: Instant) -> Self {
        let mut pings = Self {
            options,
            next: None,
            answer_until: None,
        };
        pings.plan(random, now);
        pings
    }

    fn plan(&mut self, random: f64, now: Instant) {
        self.next = self.options.interval.map(|interval| {
            let jitter = interval.mul_f64(self.options.jitter / 100.0 * random);
            now + interval + jitter
        });
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.answer_until.or(self.next)
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        if let Some(until) = self.answer_until {
            return match until <= now {
                true => Due::TimedOut,
                false => Due::Nothing,
            };
        }
        match self.next {
            Some(next) if next <= now => Due::Ping,
            _ => Due::Nothing,
        }
    }

    /// Whether a PING may be sent beside those that are planned: not while one is unanswered.
    pub(super) fn may_ping(&self) -> bool {
        self.answer_until.is_none()
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.answer_until = Some(now + self.options.timeout);
    }

    pub(super) fn answered(&mut self, random: f64, now: Instant) {
        self.answer_until = None;
        self.plan(random, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pings(interval: Option<u64>) -> (Pings, Instant) {
        let now = Instant::now();
        let options = Keepalive {
            interval: interval.map(Duration::from_secs),
            timeout: Duration::from_secs(2),
            jitter: 50.0,
            idle_interval: None,
        };
        (Pings::new(options, 0.5, now), now)
    }

    #[test]
    fn a_ping_is_due_after_interval_and_jitter_and_wants_an_answer() {
        let (mut pings, now) = pings(Some(8));
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(pings.deadline(), Some(at(10)));
        assert_eq!(pings.due(at(9)), Due::Nothing);
        assert_eq!(pings.due(at(10)), Due::Ping);
        pings.sent(at(10));
        assert!(!pings.may_ping());
        assert_eq!(pings.due(at(11)), Due::Nothing);
        assert_eq!(pings.due(at(12)), Due::TimedOut);
        pings.answered(0.0, at(11));
        assert_eq!(pings.deadline(), Some(at(19)));
    }

    #[test]
    fn without_an_interval_nothing_is_planned() {
        let (mut pings, now) = pings(None);
        assert_eq!(pings.deadline(), None);
        pings.sent(now);
        assert_eq!(pings.deadline(), Some(now + Duration::from_secs(2)));
    }
}
