//! [`Checkers`]: the health checks of one version of a cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nuncio_event::clock;
use nuncio_stats::Group;
use tokio::task::AbortHandle;

use super::events::Event;
use super::session::{Change, Session, random_below};
use super::{Check, Failure, Finding, Settings};
use crate::host::{HealthFlags, Host};
use crate::host_set::PrioritySet;
use crate::stats::{HealthCheckStats as S, RedisHealthCheckStats};

/// Which hosts are asked, and what was found. Dropping it ends all questions.
#[derive(Debug)]
pub(crate) struct Checkers {
    settings: Arc<[Settings]>,
    stats: Arc<Group>,
    /// With a Redis check.
    redis: Option<Arc<Group>>,
    /// Whose hosts these are, for events.
    cluster: Arc<str>,
    serial: u64,
    /// By the host's place in memory, which `Checked` keeps.
    hosts: HashMap<usize, Checked>,
    tally: Tally,
}

/// How many sessions are how: kept up with each finding, for there may be very many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    waiting: usize,
    healthy: usize,
    degraded: usize,
}

impl Tally {
    fn of<'a>(sessions: impl IntoIterator<Item = &'a Session>) -> Self {
        let mut tally = Self::default();
        for session in sessions {
            tally.waiting += usize::from(!session.has_begun());
            tally.healthy += usize::from(!session.failed);
            tally.degraded += usize::from(session.degraded);
        }
        tally
    }

    /// Some sessions were `before` and are `after`.
    fn replace(&mut self, before: Self, after: Self) {
        let Self {
            waiting,
            healthy,
            degraded,
        } = self;
        *waiting = *waiting + after.waiting - before.waiting;
        *healthy = *healthy + after.healthy - before.healthy;
        *degraded = *degraded + after.degraded - before.degraded;
    }
}

#[derive(Debug)]
struct Checked {
    host: Arc<Host>,
    /// One for each check.
    sessions: Box<[Session]>,
    tasks: Box<[AbortHandle]>,
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What follows a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Health flags of the host have changed.
    pub(crate) changed: bool,
    /// When to ask again.
    pub(crate) wait: Duration,
}

fn key(host: &Arc<Host>) -> usize {
    Arc::as_ptr(host) as usize
}

impl Checkers {
    pub(crate) fn new(
        settings: Arc<[Settings]>,
        stats: Arc<Group>,
        redis: Option<Arc<Group>>,
        cluster: Arc<str>,
        serial: u64,
    ) -> Self {
        Self {
            settings,
            stats,
            redis,
            cluster,
            serial,
            hosts: HashMap::new(),
            tally: Tally::default(),
        }
    }

    /// Tells this version from others of the same cluster.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Every host was asked once: Envoy's condition for a warm cluster.
    pub(crate) fn is_ready(&self) -> bool {
        self.tally.waiting == 0
    }

    /// Asks these hosts from now on, and no others. `start` begins to ask one host one of the checks.
    pub(crate) fn set_hosts(
        &mut self,
        hosts: &PrioritySet,
        start: impl Fn(&Arc<Host>, usize, Settings) -> AbortHandle,
    ) {
        let mut before = std::mem::take(&mut self.hosts);
        for host in hosts.hosts().filter(|host| !host.is_unchecked()) {
            let checked = before.remove(&key(host)).unwrap_or_else(|| {
                let settings = self.settings.iter().enumerate();
                Checked {
                    host: host.clone(),
                    sessions: self.settings.iter().map(|_| Session::new()).collect(),
                    tasks: settings
                        .map(|(index, settings)| start(host, index, settings.clone()))
                        .collect(),
                }
            });
            self.hosts.insert(key(host), checked);
        }
        self.tally = Tally::of(self.hosts.values().flat_map(|checked| &*checked.sessions));
        self.show();
    }

    /// Takes over what check number `index` has found of `host`; `None` when it is not asked any more. `used`: the cluster
    /// has had a connection.
    pub(crate) fn on_finding(
        &mut self,
        host: &Arc<Host>,
        index: usize,
        finding: Finding,
        used: bool,
    ) -> Option<Next> {
        let settings = self.settings.get(index)?;
        let checked = self.hosts.get_mut(&key(host))?;
        let session = checked.sessions.get_mut(index)?;
        self.stats.inc(S::ATTEMPT);
        let healthy = match finding {
            Finding::Healthy { .. } => {
                self.stats.inc(S::SUCCESS);
                true
            }
            Finding::Unhealthy(failure) => {
                count_failure(&self.stats, failure);
                false
            }
        };
        match (&settings.check, finding) {
            (Check::Http(check), _) => {
                if let Some(service) = &check.service {
                    let verified = service.verified.swap(0, Relaxed);
                    self.stats.add(S::VERIFY_CLUSTER, verified);
                }
            }
            (Check::Redis(check), Finding::Unhealthy(Failure::Active { .. }))
                if !check.key.is_empty() =>
            {
                if let Some(redis) = &self.redis {
                    redis.inc(RedisHealthCheckStats::EXISTS_FAILURE);
                }
            }
            _ => {}
        }
        let before = Tally::of([&*session]);
        let change = note(session, finding, settings, &self.cluster, host);
        self.tally.replace(before, Tally::of([&*session]));
        let wait = session.interval(healthy, change, used, settings);
        let flags = host.health_flags();
        checked.set_flags(finding);
        let changed = change == Change::Changed || host.health_flags() != flags;
        if changed {
            self.show();
        }
        Some(Next { changed, wait })
    }

    /// A host says in the answer to a request that it fails: all its checks have found that. Whether flags have changed.
    pub(crate) fn on_immediate_failure(&mut self, host: &Arc<Host>) -> bool {
        let Some(checked) = self.hosts.get_mut(&key(host)) else {
            return false;
        };
        let finding = Finding::Unhealthy(Failure::Passive);
        let before = Tally::of(&checked.sessions);
        for (session, settings) in checked.sessions.iter_mut().zip(&*self.settings) {
            note(session, finding, settings, &self.cluster, host);
        }
        self.tally.replace(before, Tally::of(&checked.sessions));
        let flags = host.health_flags();
        checked.set_flags(finding);
        host.set_health_flags(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL);
        count_failure(&self.stats, Failure::Passive);
        self.show();
        host.health_flags() != flags
    }

    /// Sets the gauges.
    fn show(&self) {
        let stats = &self.stats;
        stats.gauge_set(S::HEALTHY, self.tally.healthy as u64);
        stats.gauge_set(S::DEGRADED, self.tally.degraded as u64);
    }
}

/// Lets a session count a finding, and logs what that means.
fn note(
    session: &mut Session,
    finding: Finding,
    settings: &Settings,
    cluster: &str,
    host: &Host,
) -> Change {
    let (first, failed, degraded) = (session.first, session.failed, session.degraded);
    let change = session.on_finding(finding, settings);
    let Some(log) = &settings.events else {
        return change;
    };
    let write = |event| log.write(event, settings.check.kind(), cluster, host);
    match finding {
        Finding::Healthy { .. } => {
            if failed && !session.failed {
                write(Event::AddHealthy { first });
            } else if log.all_successes {
                write(Event::Succeeded);
            }
            match (degraded, session.degraded) {
                (false, true) => write(Event::Degraded),
                (true, false) => write(Event::NoLongerDegraded),
                _ => {}
            }
        }
        Finding::Unhealthy(failure) => {
            if !failed && session.failed {
                write(Event::EjectUnhealthy(failure));
            }
            if first || log.all_failures {
                write(Event::Failed { failure, first });
            }
        }
    }
    change
}

fn count_failure(stats: &Group, failure: Failure) {
    stats.inc(S::FAILURE);
    match failure {
        Failure::Network | Failure::Timeout => stats.inc(S::NETWORK_FAILURE),
        Failure::Passive => stats.inc(S::PASSIVE_FAILURE),
        Failure::Active { .. } => {}
    }
}

impl Checked {
    /// Flags of the host, after `finding` of one of its checks.
    fn set_flags(&self, finding: Finding) {
        let host = &self.host;
        let set = |flag, on| match on {
            true => host.set_health_flags(flag),
            false => host.clear_health_flags(flag),
        };
        let failed = self.sessions.iter().any(|session| session.failed);
        let degraded = self.sessions.iter().any(|session| session.degraded);
        let failed_before = host
            .health_flags()
            .intersects(HealthFlags::FAILED_ACTIVE_HC);
        set(HealthFlags::FAILED_ACTIVE_HC, failed);
        if failed_before && !failed {
            host.set_healthy_since(clock::now());
        }
        set(HealthFlags::DEGRADED_ACTIVE_HC, degraded);
        host.clear_health_flags(HealthFlags::PENDING_ACTIVE_HC);
        match finding {
            Finding::Unhealthy(failure) => {
                set(HealthFlags::ACTIVE_HC_TIMEOUT, failure == Failure::Timeout);
                if matches!(failure, Failure::Active { excluded: true, .. }) {
                    host.set_health_flags(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL);
                }
            }
            Finding::Healthy { .. } if !failed => {
                host.clear_health_flags(
                    HealthFlags::ACTIVE_HC_TIMEOUT
                        .with(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL),
                );
            }
            Finding::Healthy { .. } => {}
        }
    }
}

/// How long to wait before a host is asked for the first time.
pub(crate) fn initial_wait(settings: &Settings) -> Duration {
    random_below(settings.initial_jitter)
}
