use std::sync::{Arc, Mutex};
use std::time::Duration;

use nuncio_event::Instant;
use nuncio_stats::Store;

use super::detector::{Detector, RateSummary};
use super::event_log::OutlierEventLog;
use super::{Ejection, Enforcing, Outcome, RateOf, Settings};
use crate::host::{Health, HealthFlags, Host};
use crate::host_set::{LocalityGroup, PriorityOptions, PrioritySet};
use crate::stats::OutlierStats as S;

type Reports = Vec<(Arc<Host>, Ejection)>;

/// A detector, its hosts, and what workers have reported.
pub(super) struct Bench {
    pub(super) detector: Detector,
    pub(super) hosts: PrioritySet,
    reports: Arc<Mutex<Reports>>,
    lines: Arc<Lines>,
    pub(super) stats: Arc<nuncio_stats::Group>,
    pub(super) now: Instant,
    _store: Store,
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl OutlierEventLog for Lines {
    fn write(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

impl Bench {
    pub(super) fn new(count: u16, settings: Settings) -> Self {
        let hosts: Vec<Arc<Host>> = (1..=count)
            .map(|port| crate::testing::host(port, 1, HealthFlags::NONE))
            .collect();
        let group = LocalityGroup {
            locality: Arc::default(),
            weight: None,
            priority: 0,
            hosts,
        };
        let store = Store::new(1);
        let stats = store.group("cluster.c.outlier_detection", S::SCHEMA);
        let reports = Arc::new(Mutex::new(Reports::new()));
        let reported = reports.clone();
        let lines = Arc::new(Lines::default());
        Self {
            detector: Detector::new(
                settings,
                "c".into(),
                stats.clone(),
                Box::new(move |host, ejection| reported.lock().unwrap().push((host, ejection))),
                Some(lines.clone()),
            ),
            hosts: PrioritySet::build(&[group], PriorityOptions::default()),
            reports,
            lines,
            stats,
            now: Instant::now(),
            _store: store,
        }
    }

    fn host(&self, index: usize) -> Arc<Host> {
        self.hosts.hosts().nth(index).unwrap().clone()
    }

    fn codes(&self, index: usize, code: u16, times: usize) {
        let host = self.host(index);
        (0..times).for_each(|_| self.detector.put_code(&host, code));
    }

    /// Lets the main thread take what was reported; whether health has changed.
    pub(super) fn run_reports(&self) -> bool {
        let reports = std::mem::take(&mut *self.reports.lock().unwrap());
        let mut changed = false;
        for (host, ejection) in reports {
            changed |= self
                .detector
                .on_report(&host, ejection, &self.hosts, self.now);
        }
        changed
    }

    pub(super) fn pass(&mut self, seconds: u64) -> bool {
        self.now += Duration::from_secs(seconds);
        self.detector.sweep(&self.hosts, self.now)
    }

    fn is_ejected(&self, index: usize) -> bool {
        self.host(index)
            .health_flags()
            .intersects(HealthFlags::FAILED_OUTLIER_CHECK)
    }

    fn ejected(&self) -> usize {
        (0..self.hosts.len())
            .filter(|index| self.is_ejected(*index))
            .count()
    }
}

fn settings() -> Settings {
    Settings {
        max_ejection_percent: 100,
        ..Settings::default()
    }
}

#[test]
fn errors_in_a_row_eject_a_host_and_it_comes_back() {
    let mut bench = Bench::new(2, settings());
    bench.codes(0, 500, 4);
    bench.codes(0, 200, 1);
    bench.codes(0, 500, 4);
    assert!(!bench.run_reports(), "a success breaks the run");
    bench.codes(0, 500, 1);
    assert!(bench.run_reports());
    assert!(bench.is_ejected(0));
    assert_eq!(bench.host(0).health(), Health::Unhealthy);
    assert_eq!(bench.stats.gauge(S::EJECTIONS_ACTIVE), 1);
    assert_eq!(
        bench.stats.counter(S::EJECTIONS_ENFORCED_CONSECUTIVE_5XX),
        1
    );
    assert_eq!(bench.stats.counter(S::EJECTIONS_TOTAL), 1);

    assert!(!bench.pass(20));
    assert!(bench.pass(10), "30 s have passed");
    assert!(!bench.is_ejected(0));
    assert_eq!(bench.stats.gauge(S::EJECTIONS_ACTIVE), 0);
    let lines = bench.lines.0.lock().unwrap();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1].contains(r#""secs_since_last_action":"30""#),
        "{}",
        lines[1]
    );
}

#[test]
fn ejections_grow_longer_and_quiet_intervals_shorten_them() {
    let mut bench = Bench::new(
        2,
        Settings {
            max_ejection_time: Duration::from_secs(70),
            ..settings()
        },
    );
    // 30 s, 60 s, then the limit of 70 s.
    for seconds in [30, 60, 70, 70] {
        bench.codes(0, 503, 5);
        bench.run_reports();
        assert!(bench.is_ejected(0));
        assert!(!bench.pass(seconds - 1), "{seconds} s");
        assert!(bench.pass(1));
    }
    for _ in 0..10 {
        bench.pass(10);
    }
    bench.codes(0, 503, 5);
    bench.run_reports();
    assert!(bench.pass(30), "the first ejection again");
}

#[test]
fn not_too_many_hosts_are_ejected() {
    let bench = Bench::new(
        10,
        Settings {
            max_ejection_percent: 25,
            ..settings()
        },
    );
    (0..10).for_each(|host| bench.codes(host, 500, 5));
    bench.run_reports();
    assert_eq!(bench.ejected(), 2);
    assert_eq!(bench.stats.counter(S::EJECTIONS_OVERFLOW), 8);
    assert_eq!(
        bench.stats.counter(S::EJECTIONS_DETECTED_CONSECUTIVE_5XX),
        10
    );

    let none = Bench::new(2, Settings::default());
    none.codes(0, 500, 5);
    none.run_reports();
    assert_eq!(none.ejected(), 0, "10 % of two hosts is none");
    let one = Bench::new(
        2,
        Settings {
            always_eject_one_host: true,
            ..Settings::default()
        },
    );
    (0..2).for_each(|host| one.codes(host, 500, 5));
    one.run_reports();
    assert_eq!(one.ejected(), 1);
}

#[test]
fn what_is_not_enforced_is_only_counted_and_logged() {
    let bench = Bench::new(
        2,
        Settings {
            enforcing: Enforcing {
                consecutive_5xx: 0,
                ..Settings::default().enforcing
            },
            ..settings()
        },
    );
    bench.codes(0, 500, 10);
    // The first report lets the run begin anew, so that it is found again.
    bench.run_reports();
    bench.codes(0, 500, 5);
    bench.run_reports();
    assert_eq!(bench.ejected(), 0);
    assert_eq!(
        bench.stats.counter(S::EJECTIONS_DETECTED_CONSECUTIVE_5XX),
        2
    );
    assert_eq!(bench.stats.counter(S::EJECTIONS_TOTAL), 2);
    assert!(bench.lines.0.lock().unwrap()[0].contains(r#""enforced":false"#));
}

#[test]
fn gateway_errors_have_a_run_of_their_own() {
    let bench = Bench::new(
        3,
        Settings {
            consecutive_5xx: 100,
            enforcing: Enforcing {
                consecutive_gateway_failure: 100,
                ..Settings::default().enforcing
            },
            ..settings()
        },
    );
    bench.codes(0, 503, 4);
    bench.codes(0, 500, 1);
    bench.codes(0, 502, 4);
    assert!(!bench.run_reports(), "500 is no gateway error");
    let host = bench.host(1);
    for _ in 0..5 {
        bench
            .detector
            .put_outcome(&host, Outcome::ConnectSuccess, None);
        bench
            .detector
            .put_outcome(&host, Outcome::ConnectFailed, None);
    }
    let host = bench.host(2);
    (0..5).for_each(|_| {
        bench
            .detector
            .put_outcome(&host, Outcome::Timeout, Some(204))
    });
    bench.run_reports();
    assert!(
        bench.is_ejected(1),
        "503 in a row, and a connection is no answer"
    );
    assert!(!bench.is_ejected(2), "the client gets 204 for a timeout");
}

#[test]
fn local_origin_errors_can_be_split_off() {
    let mut bench = Bench::new(
        2,
        Settings {
            split_external_local_origin_errors: true,
            ..settings()
        },
    );
    let host = bench.host(0);
    (0..4).for_each(|_| {
        bench
            .detector
            .put_outcome(&host, Outcome::ConnectFailed, None)
    });
    bench
        .detector
        .put_outcome(&host, Outcome::ConnectSuccess, None);
    (0..5).for_each(|_| {
        bench
            .detector
            .put_outcome(&host, Outcome::Timeout, Some(504))
    });
    bench.run_reports();
    assert!(bench.is_ejected(0));
    assert_eq!(
        bench
            .stats
            .counter(S::EJECTIONS_ENFORCED_CONSECUTIVE_LOCAL_ORIGIN_FAILURE),
        1
    );
    assert_eq!(
        bench.stats.counter(S::EJECTIONS_DETECTED_CONSECUTIVE_5XX),
        0
    );
    bench.pass(10);
}

#[test]
fn a_low_success_rate_ejects() {
    let mut bench = Bench::new(
        6,
        Settings {
            success_rate_request_volume: 10,
            consecutive_5xx: 1000,
            consecutive_gateway_failure: 1000,
            ..settings()
        },
    );
    for host in 0..5 {
        bench.codes(host, 200, 100);
    }
    bench.codes(5, 200, 50);
    bench.codes(5, 500, 50);
    assert!(bench.pass(10));
    assert!(bench.is_ejected(5));
    assert_eq!(bench.ejected(), 1);
    let RateSummary {
        average,
        ejection_threshold,
    } = bench.detector.summary(RateOf::ExternalOrigin);
    assert!((average - 91.666).abs() < 0.001 && (ejection_threshold - 56.26).abs() < 0.01);
    let monitor = |host: &Arc<Host>| {
        host.known_outlier_monitor()
            .unwrap()
            .success_rate(RateOf::ExternalOrigin)
    };
    assert_eq!(monitor(&bench.host(5)), 50.0);
    // Without traffic there is nothing to say.
    bench.pass(10);
    assert_eq!(monitor(&bench.host(5)), -1.0);
    assert_eq!(bench.detector.summary(RateOf::ExternalOrigin).average, -1.0);
}

#[test]
fn too_few_hosts_or_requests_say_nothing() {
    let low = Settings {
        consecutive_5xx: 1000,
        consecutive_gateway_failure: 1000,
        ..settings()
    };
    let mut few_hosts = Bench::new(4, low.clone());
    (0..4).for_each(|host| few_hosts.codes(host, if host == 0 { 500 } else { 200 }, 200));
    assert!(!few_hosts.pass(10));
    let mut few_requests = Bench::new(6, low);
    (0..6).for_each(|host| few_requests.codes(host, if host == 0 { 500 } else { 200 }, 40));
    assert!(!few_requests.pass(10));
}

#[test]
fn a_failure_percentage_ejects() {
    let mut bench = Bench::new(
        5,
        Settings {
            consecutive_5xx: 1000,
            consecutive_gateway_failure: 1000,
            enforcing: Enforcing {
                success_rate: 0,
                failure_percentage: 100,
                ..Settings::default().enforcing
            },
            ..settings()
        },
    );
    for host in 0..5 {
        bench.codes(host, 200, 8);
        bench.codes(host, if host < 2 { 500 } else { 200 }, 92);
    }
    assert!(bench.pass(10));
    assert_eq!(bench.ejected(), 2);
    assert_eq!(
        bench
            .stats
            .counter(S::EJECTIONS_ENFORCED_FAILURE_PERCENTAGE),
        2
    );
}

#[test]
fn degraded_hosts_are_marked_for_a_while() {
    let mut bench = Bench::new(
        2,
        Settings {
            detect_degraded_hosts: true,
            ..Settings::default()
        },
    );
    bench.detector.put_degraded(&bench.host(0));
    bench.detector.put_degraded(&bench.host(0));
    assert!(bench.run_reports());
    bench.detector.put_degraded(&bench.host(0));
    assert!(!bench.run_reports(), "known already");
    assert_eq!(bench.host(0).health(), Health::Degraded);
    assert_eq!(bench.stats.counter(S::EJECTIONS_DETECTED_DEGRADATION), 1);
    assert_eq!(bench.stats.gauge(S::EJECTIONS_ACTIVE), 0);
    assert!(!bench.pass(29));
    assert!(bench.pass(1));
    assert_eq!(bench.host(0).health(), Health::Healthy);
}
