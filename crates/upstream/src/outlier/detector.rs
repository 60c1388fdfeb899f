//! [`Detector`]: ejects hosts and lets them back.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use nuncio_event::Instant;
use nuncio_sdk::runtime::Snapshot;
use nuncio_stats::{CounterSlot, Group};

use super::event_log::{Action, Event, OutlierEventLog, Rates};
use super::monitor::{Ejections, HostMonitor, Limits, Outcome};
use super::sweep::ejection_threshold;
use super::{Ejection, RateOf, Settings};
use crate::host::{HealthFlags, Host};
use crate::host_set::PrioritySet;
use crate::stats::OutlierStats as S;

/// Tells the main thread that a worker has detected an outlier.
pub(crate) type Report = Box<dyn Fn(Arc<Host>, Ejection) + Send + Sync>;

/// The outlier detection of one version of a cluster. Workers report results, the main thread decides.
pub struct Detector {
    configured: Settings,
    /// With what the runtime changes of it; written and read by the main thread.
    current: RwLock<Settings>,
    /// What workers need of it.
    limits: Limits,
    cluster: Arc<str>,
    stats: Arc<Group>,
    report: Report,
    log: Option<Arc<dyn OutlierEventLog>>,
    /// By [`RateOf`].
    summaries: [Summary; 2],
}

/// Success rates of the hosts together, in percent; -1 while there are too few hosts or requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateSummary {
    /// The mean.
    pub average: f64,
    /// A host below this is an outlier.
    pub ejection_threshold: f64,
}

/// A [`RateSummary`] that other threads may read.
#[derive(Debug)]
struct Summary {
    average: AtomicU64,
    ejection_threshold: AtomicU64,
}

impl Summary {
    const UNKNOWN: RateSummary = RateSummary {
        average: -1.0,
        ejection_threshold: -1.0,
    };

    fn new() -> Self {
        let summary = Self {
            average: AtomicU64::new(0),
            ejection_threshold: AtomicU64::new(0),
        };
        summary.set(Self::UNKNOWN);
        summary
    }

    fn set(&self, value: RateSummary) {
        self.average.store(value.average.to_bits(), Relaxed);
        self.ejection_threshold
            .store(value.ejection_threshold.to_bits(), Relaxed);
    }

    fn get(&self) -> RateSummary {
        RateSummary {
            average: f64::from_bits(self.average.load(Relaxed)),
            ejection_threshold: f64::from_bits(self.ejection_threshold.load(Relaxed)),
        }
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detector")
            .field("cluster", &self.cluster)
            .field("settings", &self.configured)
            .finish_non_exhaustive()
    }
}

impl Detector {
    pub(crate) fn new(
        settings: Settings,
        cluster: Arc<str>,
        stats: Arc<Group>,
        report: Report,
        log: Option<Arc<dyn OutlierEventLog>>,
    ) -> Self {
        Self {
            limits: Limits::new(&settings),
            current: RwLock::new(settings.clone()),
            configured: settings,
            cluster,
            stats,
            report,
            log,
            summaries: [Summary::new(), Summary::new()],
        }
    }

    /// The runtime has changed.
    pub(crate) fn on_runtime(&self, snapshot: &Snapshot) {
        let settings = self.configured.overridden(snapshot);
        self.limits.set(&settings);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    fn settings(&self) -> RwLockReadGuard<'_, Settings> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often [`Self::sweep`] is to be called.
    pub(crate) fn interval(&self) -> Duration {
        self.settings().interval
    }

    /// What the hosts' success rates were in the last interval.
    pub fn summary(&self, of: RateOf) -> RateSummary {
        self.summaries[of.index()].get()
    }

    /// A worker: the upstream has answered, or a status stands for its failure.
    pub(crate) fn put_code(&self, host: &Arc<Host>, code: u16) {
        let found = host.outlier_monitor().on_code(code, &self.limits);
        for ejection in found.into_iter().flatten() {
            (self.report)(host.clone(), ejection);
        }
    }

    /// A worker: something else than a status has happened; `code` is the status that the client gets for it, where that is
    /// not the usual one.
    pub(crate) fn put_outcome(&self, host: &Arc<Host>, outcome: Outcome, code: Option<u16>) {
        if self.configured.split_external_local_origin_errors {
            let success = outcome == Outcome::ConnectSuccess;
            let found = host
                .outlier_monitor()
                .on_local_origin(success, &self.limits);
            if let Some(ejection) = found {
                (self.report)(host.clone(), ejection);
            }
            return;
        }
        let usual = match outcome {
            // What the connection is used for decides.
            Outcome::ConnectSuccess => None,
            Outcome::ConnectFailed => Some(503),
            Outcome::Timeout => Some(504),
        };
        if let Some(code) = code.or(usual) {
            self.put_code(host, code);
        }
    }

    /// A worker: the answer said `x-envoy-degraded`.
    pub(crate) fn put_degraded(&self, host: &Arc<Host>) {
        let known = host
            .health_flags()
            .intersects(HealthFlags::DEGRADED_OUTLIER_DETECTION);
        if self.configured.detect_degraded_hosts && !known {
            (self.report)(host.clone(), Ejection::Degraded);
        }
    }

    /// The main thread: a worker has detected an outlier among `hosts`. Whether health flags have changed.
    pub(crate) fn on_report(
        &self,
        host: &Arc<Host>,
        ejection: Ejection,
        hosts: &PrioritySet,
        now: Instant,
    ) -> bool {
        let flags = host.health_flags();
        if ejection == Ejection::Degraded {
            return !flags.intersects(HealthFlags::DEGRADED_OUTLIER_DETECTION)
                && self.degrade(host, now);
        }
        if flags.intersects(HealthFlags::FAILED_OUTLIER_CHECK) {
            return false;
        }
        if ejection == Ejection::Consecutive5xx {
            self.stats.inc(S::EJECTIONS_CONSECUTIVE_5XX);
        }
        let changed = self.eject(host, ejection, hosts, Rates::default(), now);
        host.outlier_monitor().restart(ejection);
        changed
    }

    /// The main thread: the interval is over. Whether health flags have changed.
    pub(crate) fn sweep(&self, hosts: &PrioritySet, now: Instant) -> bool {
        let mut changed = false;
        for host in hosts.hosts() {
            // A host that has answered nothing has nothing to be told.
            if let Some(monitor) = host.known_outlier_monitor() {
                changed |= self.check_for_unejection(host, monitor, now);
                for of in RateOf::BOTH {
                    monitor.show_rate(of, -1.0);
                }
            }
        }
        for of in RateOf::BOTH {
            changed |= self.sweep_rates(of, hosts, now);
        }
        changed
    }

    fn sweep_rates(&self, of: RateOf, hosts: &PrioritySet, now: Instant) -> bool {
        let settings = self.settings();
        let summary = &self.summaries[of.index()];
        summary.set(Summary::UNKNOWN);
        let (for_rate, for_failures) = (
            settings.success_rate_request_volume,
            settings.failure_percentage_request_volume,
        );
        let mut by_rate = Vec::new();
        let mut by_failures = Vec::new();
        for host in hosts.hosts() {
            let Some(monitor) = host.known_outlier_monitor() else {
                continue;
            };
            // Taken of all hosts: what is left would count for the next interval.
            let (total, success) = monitor.take_interval(of);
            if total == 0 || is_ejected(host) {
                continue;
            }
            let rate = success as f64 * 100.0 / total as f64;
            if total >= u64::from(for_rate.min(for_failures)) {
                monitor.show_rate(of, rate);
            }
            if total >= u64::from(for_rate) {
                by_rate.push((host, rate));
            }
            if total >= u64::from(for_failures) {
                by_failures.push((host, rate));
            }
        }
        let mut changed = false;
        if !by_rate.is_empty() && by_rate.len() >= settings.success_rate_minimum_hosts as usize {
            let rates: Vec<f64> = by_rate.iter().map(|(_, rate)| *rate).collect();
            let factor = f64::from(settings.success_rate_stdev_factor) / 1000.0;
            let (average, threshold) = ejection_threshold(&rates, factor);
            summary.set(RateSummary {
                average,
                ejection_threshold: threshold,
            });
            let ejection = match of {
                RateOf::ExternalOrigin => Ejection::SuccessRate,
                RateOf::LocalOrigin => Ejection::SuccessRateLocalOrigin,
            };
            for (host, rate) in by_rate {
                if rate < threshold {
                    self.stats.inc(S::EJECTIONS_SUCCESS_RATE);
                    let rates = Rates {
                        host: rate,
                        average,
                        threshold,
                    };
                    changed |= self.eject(host, ejection, hosts, rates, now);
                }
            }
        }
        if !by_failures.is_empty()
            && by_failures.len() >= settings.failure_percentage_minimum_hosts as usize
        {
            let ejection = match of {
                RateOf::ExternalOrigin => Ejection::FailurePercentage,
                RateOf::LocalOrigin => Ejection::FailurePercentageLocalOrigin,
            };
            for (host, rate) in by_failures {
                if 100.0 - rate >= f64::from(settings.failure_percentage_threshold) {
                    let rates = Rates {
                        host: rate,
                        ..Rates::default()
                    };
                    changed |= self.eject(host, ejection, hosts, rates, now);
                }
            }
        }
        changed
    }

    /// Ejects a detected outlier, unless too many hosts are ejected or it is not to be enforced.
    fn eject(
        &self,
        host: &Arc<Host>,
        ejection: Ejection,
        hosts: &PrioritySet,
        rates: Rates,
        now: Instant,
    ) -> bool {
        let settings = self.settings();
        self.stats.inc(detected(ejection));
        let active = hosts.hosts().filter(|host| is_ejected(host)).count();
        let percent = (active + 1) as f64 * 100.0 / hosts.len().max(1) as f64;
        let may = percent <= f64::from(settings.max_ejection_percent.min(100))
            || (settings.always_eject_one_host && active == 0);
        // A host may be over both its success rate and its failure percentage in one sweep.
        if is_ejected(host) {
            return false;
        }
        if !may {
            self.stats.inc(S::EJECTIONS_OVERFLOW);
            return false;
        }
        if matches!(ejection, Ejection::Consecutive5xx | Ejection::SuccessRate) {
            self.stats.inc(S::EJECTIONS_TOTAL);
        }
        let enforced = rand::random_range(0..100) < settings.enforcing.of(ejection);
        let mut state = host.outlier_monitor().ejections();
        let since = state.unejected_at.map(|at| now - at);
        if enforced {
            host.set_health_flags(HealthFlags::FAILED_OUTLIER_CHECK);
            self.stats.inc(S::EJECTIONS_ENFORCED_TOTAL);
            if let Some(counter) = enforced_counter(ejection) {
                self.stats.inc(counter);
            }
            self.stats.gauge_set(S::EJECTIONS_ACTIVE, active as u64 + 1);
            state.count += 1;
            state.ejected_at = Some(now);
            if settings.base_ejection_time * state.backoff
                < settings.max_ejection_time + settings.base_ejection_time
            {
                state.backoff += 1;
            }
            let jitter = settings.max_ejection_time_jitter;
            state.jitter = jitter.mul_f64(rand::random());
        }
        let action = Action::Eject {
            ejection,
            enforced,
            rates,
        };
        self.log(host, &state, since, action);
        enforced
    }

    fn degrade(&self, host: &Arc<Host>, now: Instant) -> bool {
        self.stats.inc(S::EJECTIONS_DETECTED_DEGRADATION);
        host.set_health_flags(HealthFlags::DEGRADED_OUTLIER_DETECTION);
        let mut state = host.outlier_monitor().ejections();
        state.degraded_at = Some(now);
        let action = Action::Eject {
            ejection: Ejection::Degraded,
            enforced: true,
            rates: Rates::default(),
        };
        self.log(host, &state, state.unejected_at.map(|at| now - at), action);
        true
    }

    fn check_for_unejection(&self, host: &Arc<Host>, monitor: &HostMonitor, now: Instant) -> bool {
        let settings = self.settings();
        let mut changed = false;
        let mut state = monitor.ejections();
        if let Some(since) = state.degraded_at
            && now - since >= settings.base_ejection_time
        {
            state.degraded_at = None;
            host.clear_health_flags(HealthFlags::DEGRADED_OUTLIER_DETECTION);
            self.log(host, &state, None, Action::Uneject);
            changed = true;
        }
        if !is_ejected(host) {
            state.backoff = state.backoff.saturating_sub(1);
            return changed;
        }
        let Some(ejected_at) = state.ejected_at else {
            return changed;
        };
        let time = (settings.base_ejection_time * state.backoff).min(settings.max_ejection_time)
            + state.jitter;
        if now - ejected_at < time {
            return changed;
        }
        self.uneject(host, monitor, &mut state, now);
        true
    }

    fn uneject(&self, host: &Host, monitor: &HostMonitor, state: &mut Ejections, now: Instant) {
        host.clear_health_flags(HealthFlags::FAILED_OUTLIER_CHECK);
        self.stats.gauge_sub(S::EJECTIONS_ACTIVE, 1);
        // Few new errors must not be enough to eject the host again.
        monitor.restart_all();
        state.unejected_at = Some(now);
        let since = state.ejected_at.map(|at| now - at);
        self.log(host, state, since, Action::Uneject);
    }

    /// The main thread: an active health check has found the host to be well. Whether health flags have changed.
    pub(crate) fn on_health_check_success(&self, host: &Arc<Host>, now: Instant) -> bool {
        let ends = self.configured.health_check_unejects
            && is_ejected(host)
            && !host
                .health_flags()
                .intersects(HealthFlags::FAILED_ACTIVE_HC);
        if ends {
            let monitor = host.outlier_monitor();
            self.uneject(host, monitor, &mut monitor.ejections(), now);
        }
        ends
    }

    /// The hosts of the cluster are others now.
    pub(crate) fn on_hosts(&self, hosts: &PrioritySet) {
        let active = hosts.hosts().filter(|host| is_ejected(host)).count() as u64;
        if self.stats.gauge(S::EJECTIONS_ACTIVE) != active {
            self.stats.gauge_set(S::EJECTIONS_ACTIVE, active);
        }
    }

    fn log(&self, host: &Host, state: &Ejections, since: Option<Duration>, action: Action) {
        let Some(log) = &self.log else { return };
        let event = Event {
            cluster: &self.cluster,
            address: host.address().to_string(),
            time: SystemTime::now(),
            since_last_action: since,
            ejections: state.count,
            action,
        };
        log.write(&event.line());
    }
}

fn is_ejected(host: &Host) -> bool {
    host.health_flags()
        .intersects(HealthFlags::FAILED_OUTLIER_CHECK)
}

fn detected(ejection: Ejection) -> CounterSlot {
    match ejection {
        Ejection::Consecutive5xx => S::EJECTIONS_DETECTED_CONSECUTIVE_5XX,
        Ejection::ConsecutiveGatewayFailure => S::EJECTIONS_DETECTED_CONSECUTIVE_GATEWAY_FAILURE,
        Ejection::ConsecutiveLocalOriginFailure => {
            S::EJECTIONS_DETECTED_CONSECUTIVE_LOCAL_ORIGIN_FAILURE
        }
        Ejection::SuccessRate => S::EJECTIONS_DETECTED_SUCCESS_RATE,
        Ejection::SuccessRateLocalOrigin => S::EJECTIONS_DETECTED_LOCAL_ORIGIN_SUCCESS_RATE,
        Ejection::FailurePercentage => S::EJECTIONS_DETECTED_FAILURE_PERCENTAGE,
        Ejection::FailurePercentageLocalOrigin => {
            S::EJECTIONS_DETECTED_LOCAL_ORIGIN_FAILURE_PERCENTAGE
        }
        Ejection::Degraded => S::EJECTIONS_DETECTED_DEGRADATION,
    }
}

fn enforced_counter(ejection: Ejection) -> Option<CounterSlot> {
    Some(match ejection {
        Ejection::Consecutive5xx => S::EJECTIONS_ENFORCED_CONSECUTIVE_5XX,
        Ejection::ConsecutiveGatewayFailure => S::EJECTIONS_ENFORCED_CONSECUTIVE_GATEWAY_FAILURE,
        Ejection::ConsecutiveLocalOriginFailure => {
            S::EJECTIONS_ENFORCED_CONSECUTIVE_LOCAL_ORIGIN_FAILURE
        }
        Ejection::SuccessRate => S::EJECTIONS_ENFORCED_SUCCESS_RATE,
        Ejection::SuccessRateLocalOrigin => S::EJECTIONS_ENFORCED_LOCAL_ORIGIN_SUCCESS_RATE,
        Ejection::FailurePercentage => S::EJECTIONS_ENFORCED_FAILURE_PERCENTAGE,
        Ejection::FailurePercentageLocalOrigin => {
            S::EJECTIONS_ENFORCED_LOCAL_ORIGIN_FAILURE_PERCENTAGE
        }
        Ejection::Degraded => return None,
    })
}
