//! PINGs that find out whether the peer is still there (`connection_keepalive`).

use std::time::Duration;

use tokio::time::Instant;

use super::Keepalive as Config;

/// What a [`KeepaliveTimer`] wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepaliveDue {
    /// A PING is to be sent.
    Ping,
    /// The peer has said nothing since the PING.
    Timeout,
}

/// When to ask the peer of one connection, and until when to wait for its answer. At most one PING is unanswered.
#[derive(Debug)]
pub struct KeepaliveTimer {
    config: Config,
    ping_at: Option<Instant>,
    answer_by: Option<Instant>,
}

impl KeepaliveTimer {
    /// `random` is a number from 0 to 1.
    pub fn new(config: Config, now: Instant, random: f64) -> KeepaliveTimer {
        let mut keepalive = KeepaliveTimer {
            config,
            ping_at: None,
            answer_by: None,
        };
        keepalive.on_answer(now, random);
        keepalive
    }

    /// The PING was answered.
    pub fn on_answer(&mut self, now: Instant, random: f64) {
        self.answer_by = None;
        self.ping_at = self.config.interval.map(|interval| {
            let jitter = interval.mul_f64(self.config.jitter / 100.0 * random);
            // Envoy's timers know milliseconds.
            now + interval + Duration::from_millis(jitter.as_millis() as u64)
        });
    }

    /// A frame has come: the peer is there, though its answer may stand behind much else.
    #[inline]
    pub fn on_frame(&mut self, now: Instant) {
        if self.answer_by.is_some() {
            self.answer_by = Some(now + self.config.timeout);
        }
    }

    /// When [`Self::due`] has something to say.
    pub fn deadline(&self) -> Option<Instant> {
        self.answer_by.or(self.ping_at)
    }

    /// What is due now, if something is.
    pub fn due(&mut self, now: Instant) -> Option<KeepaliveDue> {
        self.deadline().filter(|&at| at <= now)?;
        if self.answer_by.is_some() {
            return Some(KeepaliveDue::Timeout);
        }
        self.ask(now);
        Some(KeepaliveDue::Ping)
    }

    /// Whether a PING is to be sent now, whatever the interval: not while one is unanswered.
    pub fn ask(&mut self, now: Instant) -> bool {
        let may = self.answer_by.is_none();
        if may {
            self.ping_at = None;
            self.answer_by = Some(now + self.config.timeout);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_waits_and_gives_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let config = Config {
            interval: Some(Duration::from_secs(100)),
            timeout: Duration::from_secs(5),
            jitter: 10.0,
            idle_interval: None,
        };
        let mut keepalive = KeepaliveTimer::new(config, start, 0.5);
        assert_eq!(keepalive.deadline(), Some(at(105)));
        assert_eq!(keepalive.due(at(104)), None);
        assert_eq!(keepalive.due(at(105)), Some(KeepaliveDue::Ping));
        keepalive.on_frame(at(108));
        assert_eq!(keepalive.due(at(110)), None);
        assert_eq!(keepalive.due(at(113)), Some(KeepaliveDue::Timeout));
        keepalive.on_answer(at(113), 0.0);
        assert_eq!(keepalive.deadline(), Some(at(213)));
    }

    #[test]
    fn asks_out_of_turn_but_not_twice() {
        let start = Instant::now();
        let config = Config {
            interval: None,
            timeout: Duration::from_secs(5),
            jitter: 15.0,
            idle_interval: None,
        };
        let mut keepalive = KeepaliveTimer::new(config, start, 0.5);
        assert_eq!(keepalive.deadline(), None);
        assert!(keepalive.ask(start) && !keepalive.ask(start));
        assert_eq!(keepalive.deadline(), Some(start + config.timeout));
    }
}
