//! PINGs that find out whether the peer is still there (`connection_keepalive`).

use std::time::Duration;

use nuncio_sdk::Keepalive as Config;
use tokio::time::Instant;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A PING is to be sent.
    Ping,
    /// The peer has said nothing since the PING.
    Timeout,
}

/// When to ask, and until when to wait.
pub(super) struct Keepalive {
    config: Config,
    ping_at: Option<Instant>,
    answer_by: Option<Instant>,
}

impl Keepalive {
    /// `random` is a number from 0 to 1.
    pub(super) fn new(config: Config, now: Instant, random: f64) -> Keepalive {
        let mut keepalive = Keepalive {
            config,
            ping_at: None,
            answer_by: None,
        };
        keepalive.on_answer(now, random);
        keepalive
    }

    /// The PING was answered.
    pub(super) fn on_answer(&mut self, now: Instant, random: f64) {
        self.answer_by = None;
        self.ping_at = self.config.interval.map(|interval| {
            let jitter = interval.mul_f64(self.config.jitter / 100.0 * random);
            // Envoy's timers know milliseconds.
            now + interval + Duration::from_millis(jitter.as_millis() as u64)
        });
    }

    /// A frame has come: the peer is there, though its answer may stand behind much else.
    #[inline]
    pub(super) fn on_frame(&mut self, now: Instant) {
        if self.answer_by.is_some() {
            self.answer_by = Some(now + self.config.timeout);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.answer_by.or(self.ping_at)
    }

    /// What is due now, if something is.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        self.deadline().filter(|&at| at <= now)?;
        if self.answer_by.is_some() {
            return Some(Due::Timeout);
        }
        self.ping_at = None;
        self.answer_by = Some(now + self.config.timeout);
        Some(Due::Ping)
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
        let mut keepalive = Keepalive::new(config, start, 0.5);
        assert_eq!(keepalive.deadline(), Some(at(105)));
        assert_eq!(keepalive.due(at(104)), None);
        assert_eq!(keepalive.due(at(105)), Some(Due::Ping));
        keepalive.on_frame(at(108));
        assert_eq!(keepalive.due(at(110)), None);
        assert_eq!(keepalive.due(at(113)), Some(Due::Timeout));
        keepalive.on_answer(at(113), 0.0);
        assert_eq!(keepalive.deadline(), Some(at(213)));
    }
}
