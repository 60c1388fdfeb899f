//! Outlier detection beside a model of Envoy's rules: random results, sweeps, members that come and go. `NUNCIO_SEED` chooses one
//! run, which a failure names.

use std::sync::Arc;
use std::time::Duration;

use nuncio_event::Instant;

use super::tests::Bench;
use super::{Ejection, Enforcing, Outcome, RateOf, Settings};
use crate::host::{HealthFlags, Host};
use crate::host_set::{LocalityGroup, PriorityOptions, PrioritySet};
use crate::random::Random;
use crate::stats::OutlierStats as S;
use crate::testing::{below, seeded};

/// What the model knows of a host.
#[derive(Clone, Debug, Default)]
struct Known {
    present: bool,
    in_a_row: [u32; 3],
    /// Total and good ones, by [`RateOf`].
    results: [(u64, u64); 2],
    ejected: bool,
    /// Times the base ejection time.
    backoff: u32,
    ejected_at: Option<Instant>,
    degraded_at: Option<Instant>,
}

const ALL: usize = 0;
const GATEWAY: usize = 1;
const LOCAL: usize = 2;

struct Simulation {
    bench: Bench,
    /// All that ever were.
    all: Vec<Arc<Host>>,
    known: Vec<Known>,
    settings: Settings,
    random: Random,
    /// Runs of errors that the main thread was not told of yet.
    reports: Vec<(usize, Ejection)>,
    enforced: u64,
    overflows: u64,
    seed: u64,
}

fn any_settings(random: &Random) -> Settings {
    let below = |limit| below(random, limit) as u32;
    let seconds = |least: u32, most| Duration::from_secs(u64::from(least + below(most)));
    // What is enforced now and then could not be foretold.
    let often = || 100 * u32::from(below(4) != 0);
    Settings {
        consecutive_5xx: 1 + below(6),
        consecutive_gateway_failure: 1 + below(6),
        consecutive_local_origin_failure: 1 + below(4),
        interval: seconds(1, 10),
        base_ejection_time: seconds(1, 30),
        max_ejection_time: seconds(30, 60),
        max_ejection_time_jitter: seconds(0, 5),
        max_ejection_percent: [0, 10, 34, 50, 100, 250][below(6) as usize],
        always_eject_one_host: below(2) == 0,
        success_rate_minimum_hosts: 1 + below(5),
        success_rate_request_volume: 1 + below(20),
        success_rate_stdev_factor: 500 + below(2000),
        failure_percentage_threshold: 1 + below(100),
        failure_percentage_minimum_hosts: 1 + below(5),
        failure_percentage_request_volume: 1 + below(20),
        split_external_local_origin_errors: below(2) == 0,
        detect_degraded_hosts: below(2) == 0,
        health_check_unejects: below(2) == 0,
        enforcing: Enforcing {
            consecutive_5xx: often(),
            consecutive_gateway_failure: often(),
            consecutive_local_origin_failure: often(),
            success_rate: often(),
            local_origin_success_rate: often(),
            failure_percentage: often(),
            failure_percentage_local_origin: often(),
        },
    }
}

impl Simulation {
    fn new(random: Random, seed: u64) -> Self {
        let settings = any_settings(&random);
        let count = 1 + below(&random, 9) as u16;
        let bench = Bench::new(count, settings.clone());
        let present = Known {
            present: true,
            ..Known::default()
        };
        Self {
            all: bench.hosts.hosts().cloned().collect(),
            known: vec![present; usize::from(count)],
            bench,
            settings,
            random,
            reports: Vec::new(),
            enforced: 0,
            overflows: 0,
            seed,
        }
    }

    fn any_host(&self) -> usize {
        below(&self.random, self.all.len() as u64) as usize
    }

    fn present(&self) -> Vec<usize> {
        let all = 0..self.known.len();
        all.filter(|host| self.known[*host].present).collect()
    }

    fn ejected(&self) -> usize {
        let ejected = self.present().into_iter();
        ejected.filter(|host| self.known[*host].ejected).count()
    }

    /// One more failure in a row; what that makes of the host.
    fn run(&mut self, host: usize, of: usize, limit: u32, ejection: Ejection) {
        let run = &mut self.known[host].in_a_row[of];
        *run += 1;
        if *run == limit {
            self.reports.push((host, ejection));
        }
    }

    fn code(&mut self, host: usize, code: u16) {
        self.bench.detector.put_code(&self.all[host], code);
        self.model_code(host, code);
    }

    fn model_code(&mut self, host: usize, code: u16) {
        let known = &mut self.known[host];
        known.results[0].0 += 1;
        if code < 500 {
            known.results[0].1 += 1;
            known.in_a_row[ALL] = 0;
            known.in_a_row[GATEWAY] = 0;
            return;
        }
        if (502..=504).contains(&code) {
            let limit = self.settings.consecutive_gateway_failure;
            self.run(host, GATEWAY, limit, Ejection::ConsecutiveGatewayFailure);
        } else {
            known.in_a_row[GATEWAY] = 0;
        }
        let limit = self.settings.consecutive_5xx;
        self.run(host, ALL, limit, Ejection::Consecutive5xx);
    }

    fn outcome(&mut self, host: usize, outcome: Outcome) {
        let detector = &self.bench.detector;
        detector.put_outcome(&self.all[host], outcome, None);
        if !self.settings.split_external_local_origin_errors {
            match outcome {
                Outcome::ConnectSuccess => {}
                Outcome::ConnectFailed => self.model_code(host, 503),
                Outcome::Timeout => self.model_code(host, 504),
            }
            return;
        }
        let known = &mut self.known[host];
        known.results[1].0 += 1;
        if outcome == Outcome::ConnectSuccess {
            known.results[1].1 += 1;
            known.in_a_row[LOCAL] = 0;
            return;
        }
        let limit = self.settings.consecutive_local_origin_failure;
        self.run(host, LOCAL, limit, Ejection::ConsecutiveLocalOriginFailure);
    }

    fn eject(&mut self, host: usize, ejection: Ejection) {
        let (active, hosts) = (self.ejected(), self.present().len());
        if self.known[host].ejected {
            return;
        }
        let percent = 100.0 * (active + 1) as f64 / hosts as f64;
        let may = percent <= f64::from(self.settings.max_ejection_percent.min(100))
            || self.settings.always_eject_one_host && active == 0;
        if !may {
            self.overflows += 1;
            return;
        }
        if self.settings.enforcing.of(ejection) == 0 {
            return;
        }
        self.enforced += 1;
        let (base, max) = (
            self.settings.base_ejection_time,
            self.settings.max_ejection_time,
        );
        let known = &mut self.known[host];
        known.ejected = true;
        known.ejected_at = Some(self.bench.now);
        // The factor stops to grow where it would make no difference.
        known.backoff += u32::from(base * known.backoff < max + base);
    }

    /// The main thread takes what was reported.
    fn run_reports(&mut self) {
        self.bench.run_reports();
        for (host, ejection) in std::mem::take(&mut self.reports) {
            if !self.known[host].present {
                continue;
            }
            if ejection == Ejection::Degraded {
                let now = self.bench.now;
                self.known[host].degraded_at.get_or_insert(now);
                continue;
            }
            if self.known[host].ejected {
                continue;
            }
            self.eject(host, ejection);
            let run = match ejection {
                Ejection::Consecutive5xx => ALL,
                Ejection::ConsecutiveGatewayFailure => GATEWAY,
                _ => LOCAL,
            };
            self.known[host].in_a_row[run] = 0;
        }
        self.compare("reports");
    }

    fn uneject(&mut self, host: usize) {
        let known = &mut self.known[host];
        known.ejected = false;
        known.in_a_row = [0; 3];
    }

    fn sweep(&mut self) {
        let before = self.bench.now;
        self.bench.pass(self.settings.interval.as_secs());
        let now = before + self.settings.interval;
        let base = self.settings.base_ejection_time;
        for host in self.present() {
            let known = &mut self.known[host];
            if known.degraded_at.is_some_and(|since| now - since >= base) {
                known.degraded_at = None;
            }
            if !known.ejected {
                known.backoff = known.backoff.saturating_sub(1);
                continue;
            }
            let time = (base * known.backoff).min(self.settings.max_ejection_time);
            let since = known.ejected_at.unwrap();
            let latest = time + self.settings.max_ejection_time_jitter;
            let is_back = now - since >= latest;
            let may_be_back = now - since >= time;
            // In between chance decides; a host that is ejected again by this sweep tells nothing of it.
            let flagged = self.bench_ejected(host);
            let again = || self.all[host].outlier_monitor().ejections().ejected_at == Some(now);
            if is_back || may_be_back && (!flagged || again()) {
                self.uneject(host);
            }
        }
        for of in RateOf::BOTH {
            self.sweep_rates(of);
        }
        self.compare("a sweep");
    }

    fn sweep_rates(&mut self, of: RateOf) {
        let mut rates = Vec::new();
        for host in self.present() {
            let results = &mut self.known[host].results[of as usize];
            let (total, good) = std::mem::take(results);
            if total > 0 && !self.known[host].ejected {
                rates.push((host, total, 100.0 * good as f64 / total as f64));
            }
        }
        let with_volume = |volume: u32| -> Vec<(usize, f64)> {
            let enough = rates
                .iter()
                .filter(|(_, total, _)| *total >= u64::from(volume));
            enough.map(|(host, _, rate)| (*host, *rate)).collect()
        };
        let (by_rate, by_failures) = (
            with_volume(self.settings.success_rate_request_volume),
            with_volume(self.settings.failure_percentage_request_volume),
        );
        let external = of == RateOf::ExternalOrigin;
        if !by_rate.is_empty() && by_rate.len() >= self.settings.success_rate_minimum_hosts as usize
        {
            let count = by_rate.len() as f64;
            let mean = by_rate.iter().map(|(_, rate)| rate).sum::<f64>() / count;
            let squares = by_rate
                .iter()
                .map(|(_, rate)| (rate - mean) * (rate - mean));
            let deviation = (squares.sum::<f64>() / count).sqrt();
            let factor = f64::from(self.settings.success_rate_stdev_factor) / 1000.0;
            let ejection = match external {
                true => Ejection::SuccessRate,
                false => Ejection::SuccessRateLocalOrigin,
            };
            for (host, rate) in by_rate {
                if rate < mean - factor * deviation {
                    self.eject(host, ejection);
                }
            }
        }
        if !by_failures.is_empty()
            && by_failures.len() >= self.settings.failure_percentage_minimum_hosts as usize
        {
            let ejection = match external {
                true => Ejection::FailurePercentage,
                false => Ejection::FailurePercentageLocalOrigin,
            };
            for (host, rate) in by_failures {
                if 100.0 - rate >= f64::from(self.settings.failure_percentage_threshold) {
                    self.eject(host, ejection);
                }
            }
        }
    }

    fn on_health_check_success(&mut self, host: usize) {
        if !self.known[host].present {
            return;
        }
        let now = self.bench.now;
        let ended = self
            .bench
            .detector
            .on_health_check_success(&self.all[host], now);
        let ends = self.settings.health_check_unejects && self.known[host].ejected;
        assert_eq!(ended, ends, "seed {}: host {host}", self.seed);
        if ends {
            self.uneject(host);
        }
        self.compare("a health check");
    }

    /// Adds or removes a host; one that comes back is another one, as for the cluster manager.
    fn toggle(&mut self, host: usize) {
        let present = !self.known[host].present;
        self.known[host] = Known {
            present,
            ..Known::default()
        };
        if present {
            self.all[host] = crate::testing::host(host as u16 + 1, 1, HealthFlags::NONE);
        }
        self.reports.retain(|(other, _)| *other != host);
        let group = LocalityGroup {
            locality: Arc::default(),
            weight: None,
            priority: 0,
            hosts: self
                .present()
                .into_iter()
                .map(|host| self.all[host].clone())
                .collect(),
        };
        self.bench.hosts = PrioritySet::build(&[group], PriorityOptions::default());
        self.bench.detector.on_hosts(&self.bench.hosts);
        self.compare("other members");
    }

    fn bench_ejected(&self, host: usize) -> bool {
        let flags = self.all[host].health_flags();
        flags.intersects(HealthFlags::FAILED_OUTLIER_CHECK)
    }

    fn compare(&self, after: &str) {
        let Self { seed, .. } = self;
        for host in self.present() {
            let known = &self.known[host];
            let is = self.bench_ejected(host);
            assert_eq!(
                is, known.ejected,
                "seed {seed}: host {host} after {after}: {known:?}"
            );
            let flags = self.all[host].health_flags();
            let degraded = flags.intersects(HealthFlags::DEGRADED_OUTLIER_DETECTION);
            let expected = known.degraded_at.is_some();
            assert_eq!(degraded, expected, "seed {seed}: host {host} after {after}");
        }
        for (name, shown, expected) in [
            (
                "active",
                self.bench.stats.gauge(S::EJECTIONS_ACTIVE),
                self.ejected() as u64,
            ),
            (
                "enforced",
                self.bench.stats.counter(S::EJECTIONS_ENFORCED_TOTAL),
                self.enforced,
            ),
            (
                "overflow",
                self.bench.stats.counter(S::EJECTIONS_OVERFLOW),
                self.overflows,
            ),
        ] {
            assert_eq!(shown, expected, "seed {seed}: {name} after {after}");
        }
    }

    /// Some results of one host: each has its own habits.
    fn traffic(&mut self, host: usize) {
        if !self.known[host].present {
            return;
        }
        let badness = [0, 5, 50, 95, 100][below(&self.random, 5) as usize];
        for _ in 0..below(&self.random, 25) {
            let bad = below(&self.random, 100) < badness;
            match (below(&self.random, 4), bad) {
                (0, true) => self.outcome(host, Outcome::ConnectFailed),
                (0, false) => self.outcome(host, Outcome::ConnectSuccess),
                (1, true) => self.outcome(host, Outcome::Timeout),
                (_, true) => {
                    let code = [500, 501, 502, 503, 504, 599][below(&self.random, 6) as usize];
                    self.code(host, code);
                }
                (_, false) => self.code(host, 200),
            }
            if below(&self.random, 200) == 0 {
                let host_is = &self.all[host];
                self.bench.detector.put_degraded(host_is);
                let known = self.known[host].degraded_at.is_some();
                if self.settings.detect_degraded_hosts && !known {
                    self.reports.push((host, Ejection::Degraded));
                }
            }
        }
    }

    fn live(&mut self) {
        for _ in 0..300 {
            let host = self.any_host();
            match below(&self.random, 20) {
                0..10 => self.traffic(host),
                10..14 => self.run_reports(),
                // What was reported before is taken before.
                14..18 => {
                    self.run_reports();
                    self.sweep();
                }
                18 => self.on_health_check_success(host),
                _ => {
                    self.run_reports();
                    self.toggle(host);
                }
            }
        }
    }
}

#[test]
fn hosts_are_ejected_by_envoys_rules() {
    let mut enforced = 0;
    seeded(50, |random, seed| {
        let mut simulation = Simulation::new(random, seed);
        simulation.live();
        enforced += simulation.enforced;
    });
    assert!(enforced > 0, "hosts are ejected now and then");
}
