//! [`Session`]: what one check knows of one host (Envoy's `ActiveHealthCheckSession`).

use std::time::Duration;

use super::{Failure, Finding, Settings};

/// Counts findings until they make a difference.
#[derive(Debug)]
pub(super) struct Session {
    /// Nothing was found yet.
    pub(super) first: bool,
    /// The host is not well.
    pub(super) failed: bool,
    pub(super) degraded: bool,
    /// It is not well, and the last question was not answered in time.
    pub(super) timed_out: bool,
    /// Good findings in a row while it is not well, and bad ones while it is.
    in_a_row: u32,
}

/// What a finding has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// More findings like this one will change the host's health.
    Pending,
    Changed,
}

impl Session {
    /// A host counts as not well until it was asked.
    pub(super) fn new() -> Self {
        Self {
            first: true,
            failed: true,
            degraded: false,
            timed_out: false,
            in_a_row: 0,
        }
    }

    /// Whether the host was asked at least once.
    pub(super) fn has_begun(&self) -> bool {
        !self.first
    }

    pub(super) fn on_finding(&mut self, finding: Finding, settings: &Settings) -> Change {
        let first = std::mem::replace(&mut self.first, false);
        match finding {
            Finding::Healthy { degraded } => {
                let mut change = Change::None;
                if !self.failed {
                    self.in_a_row = 0;
                } else {
                    self.in_a_row += 1;
                    // The first finding counts at once, so that start-up is quick.
                    if first || self.in_a_row >= settings.healthy_threshold {
                        self.failed = false;
                        self.timed_out = false;
                        self.in_a_row = 0;
                        change = Change::Changed;
                    } else {
                        change = Change::Pending;
                    }
                }
                if std::mem::replace(&mut self.degraded, degraded) != degraded
                    && change == Change::None
                {
                    change = Change::Changed;
                }
                change
            }
            Finding::Unhealthy(failure) => {
                let change = self.on_failure(failure, settings);
                self.timed_out = self.failed && failure == Failure::Timeout;
                change
            }
        }
    }

    fn on_failure(&mut self, failure: Failure, settings: &Settings) -> Change {
        if self.failed {
            self.in_a_row = 0;
            return Change::None;
        }
        self.in_a_row += 1;
        let counts_at_once = match failure {
            Failure::Active { retriable, .. } => !retriable,
            Failure::Passive => true,
            Failure::Network | Failure::Timeout => false,
        };
        if !counts_at_once && self.in_a_row < settings.unhealthy_threshold {
            return Change::Pending;
        }
        self.failed = true;
        self.in_a_row = 0;
        Change::Changed
    }

    /// When to ask again. `used`: the cluster has had a connection.
    pub(super) fn interval(
        &self,
        healthy: bool,
        change: Change,
        used: bool,
        settings: &Settings,
    ) -> Duration {
        let pending = change == Change::Pending;
        let base = match (used, healthy, pending) {
            (true, true, false) => settings.interval,
            (true, true, true) => settings.healthy_edge_interval,
            (true, false, false) => settings.unhealthy_interval,
            (true, false, true) => settings.unhealthy_edge_interval,
            (false, true, false) => settings.no_traffic_healthy_interval,
            (false, ..) => settings.no_traffic_interval,
        };
        with_jitter(base, settings)
    }
}

fn with_jitter(base: Duration, settings: &Settings) -> Duration {
    let share = base.mul_f64(f64::from(settings.interval_jitter_percent) / 100.0);
    let time = base + random_below(share) + random_below(settings.interval_jitter);
    // Never a busy loop.
    time.max(Duration::from_millis(1))
}

/// A random time from 0 to `limit`.
pub(crate) fn random_below(limit: Duration) -> Duration {
    limit.mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Check, TcpCheck};

    const WELL: Finding = Finding::Healthy { degraded: false };
    const NO_CONNECTION: Finding = Finding::Unhealthy(Failure::Network);
    const WRONG_ANSWER: Finding = Finding::Unhealthy(Failure::UNEXPECTED);

    fn settings() -> Settings {
        let seconds = Duration::from_secs;
        Settings {
            name: String::new(),
            timeout: seconds(1),
            interval: seconds(10),
            initial_jitter: Duration::ZERO,
            interval_jitter: Duration::ZERO,
            interval_jitter_percent: 0,
            unhealthy_threshold: 2,
            healthy_threshold: 3,
            no_traffic_interval: seconds(60),
            no_traffic_healthy_interval: seconds(70),
            unhealthy_interval: seconds(20),
            unhealthy_edge_interval: seconds(30),
            healthy_edge_interval: seconds(40),
            reuse_connection: true,
            alt_port: None,
            check: Check::Tcp(TcpCheck::default()),
            events: None,
        }
    }

    #[test]
    fn the_first_answer_counts_at_once_later_ones_in_numbers() {
        let settings = settings();
        let mut session = Session::new();
        assert!(session.failed && !session.has_begun());
        assert_eq!(session.on_finding(WELL, &settings), Change::Changed);
        assert!(!session.failed && session.has_begun());
        assert_eq!(
            session.on_finding(NO_CONNECTION, &settings),
            Change::Pending
        );
        assert_eq!(session.on_finding(WELL, &settings), Change::None);
        assert_eq!(
            session.on_finding(NO_CONNECTION, &settings),
            Change::Pending
        );
        assert_eq!(
            session.on_finding(NO_CONNECTION, &settings),
            Change::Changed
        );
        assert!(session.failed);
        assert_eq!(session.on_finding(NO_CONNECTION, &settings), Change::None);
        assert_eq!(session.on_finding(WELL, &settings), Change::Pending);
        assert_eq!(session.on_finding(WELL, &settings), Change::Pending);
        assert_eq!(session.on_finding(NO_CONNECTION, &settings), Change::None);
        for change in [Change::Pending, Change::Pending, Change::Changed] {
            assert_eq!(session.on_finding(WELL, &settings), change);
        }
    }

    #[test]
    fn a_wrong_answer_counts_at_once_unless_it_is_retriable() {
        let settings = settings();
        let retriable = Finding::Unhealthy(Failure::Active {
            retriable: true,
            excluded: false,
            status: 503,
        });
        let mut session = Session::new();
        session.on_finding(WELL, &settings);
        assert_eq!(session.on_finding(retriable, &settings), Change::Pending);
        assert_eq!(session.on_finding(WRONG_ANSWER, &settings), Change::Changed);
    }

    #[test]
    fn degraded_is_a_change_of_its_own() {
        let settings = settings();
        let mut session = Session::new();
        let degraded = Finding::Healthy { degraded: true };
        session.on_finding(WELL, &settings);
        assert_eq!(session.on_finding(degraded, &settings), Change::Changed);
        assert_eq!(session.on_finding(degraded, &settings), Change::None);
        assert_eq!(session.on_finding(WELL, &settings), Change::Changed);
    }

    #[test]
    fn intervals_depend_on_health_traffic_and_what_is_pending() {
        let settings = settings();
        let session = Session::new();
        let seconds =
            |healthy, change, used| session.interval(healthy, change, used, &settings).as_secs();
        assert_eq!(seconds(true, Change::None, true), 10);
        assert_eq!(seconds(true, Change::Pending, true), 40);
        assert_eq!(seconds(false, Change::Changed, true), 20);
        assert_eq!(seconds(false, Change::Pending, true), 30);
        assert_eq!(seconds(true, Change::Changed, false), 70);
        assert_eq!(seconds(true, Change::Pending, false), 60);
        assert_eq!(seconds(false, Change::None, false), 60);
    }

    #[test]
    fn jitter_is_added() {
        let settings = Settings {
            interval_jitter: Duration::from_secs(2),
            interval_jitter_percent: 50,
            ..settings()
        };
        let session = Session::new();
        for _ in 0..100 {
            let time = session.interval(true, Change::None, true, &settings);
            assert!((10..=17).contains(&time.as_secs()), "{time:?}");
        }
    }
}
