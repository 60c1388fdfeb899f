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
use super::{Check, Failure, Finding, HttpCounters, Settings};
use crate::host::{HealthFlags, Host};
use crate::host_set::PrioritySet;
use crate::stats::{HealthCheckStats as S, HealthCheckTotalStats as Total, RedisHealthCheckStats};

/// Which hosts are asked, and what was found. Dropping it ends all questions.
#[derive(Debug)]
pub(crate) struct Checkers {
    settings: Arc<[Settings]>,
    stats: CheckStats,
    /// Whose hosts these are, for events.
    cluster: Arc<str>,
    serial: u64,
    /// By the host's place in memory, which `Checked` keeps.
    hosts: HashMap<usize, Checked>,
    /// One for each check.
    tallies: Box<[Tally]>,
    /// Hosts, rather than sessions: one is healthy that all checks find healthy.
    total: Tally,
}

/// `cluster.<name>.health_check.`
#[derive(Clone, Debug)]
pub(crate) struct CheckStats {
    /// One for each check.
    pub(crate) checks: Box<[Arc<Group>]>,
    /// With several checks.
    pub(crate) total: Option<Arc<Group>>,
    /// With a Redis check.
    pub(crate) redis: Option<Arc<Group>>,
    /// Of the connections of all checks.
    pub(crate) http: Arc<HttpCounters>,
}

/// How many sessions are how: kept up with each finding, for there may be very many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    waiting: usize,
    healthy: usize,
    degraded: usize,
}

impl Tally {
    /// A host, as its checks have found it together.
    fn of_host(checked: &Checked) -> Self {
        let any = |is: fn(&Session) -> bool| checked.sessions.iter().any(is);
        Self {
            waiting: usize::from(any(|session| !session.has_begun())),
            healthy: usize::from(!any(|session| session.failed)),
            degraded: usize::from(any(|session| session.degraded)),
        }
    }

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
        stats: CheckStats,
        cluster: Arc<str>,
        serial: u64,
    ) -> Self {
        Self {
            tallies: settings.iter().map(|_| Tally::default()).collect(),
            settings,
            stats,
            cluster,
            serial,
            hosts: HashMap::new(),
            total: Tally::default(),
        }
    }

    /// Tells this version from others of the same cluster.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Every host was asked once: Envoy's condition for a warm cluster.
    pub(crate) fn is_ready(&self) -> bool {
        self.total.waiting == 0
    }

    pub(crate) fn stats(&self) -> CheckStats {
        self.stats.clone()
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
        let hosts = self.hosts.values();
        for (index, tally) in self.tallies.iter_mut().enumerate() {
            *tally = Tally::of(hosts.clone().map(|checked| &checked.sessions[index]));
        }
        self.total = Tally::default();
        for checked in hosts {
            self.total
                .replace(Tally::default(), Tally::of_host(checked));
        }
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
        if !self.hosts.contains_key(&key(host)) {
            return None;
        }
        let stats = &self.stats.checks[index];
        let healthy = match finding {
            Finding::Healthy { .. } => {
                stats.inc(S::SUCCESS);
                true
            }
            Finding::Unhealthy(failure) => {
                count_failure(stats, failure);
                false
            }
        };
        match (&settings.check, finding) {
            (Check::Http(check), _) => {
                if let Some(service) = &check.service {
                    let verified = service.verified.swap(0, Relaxed);
                    stats.add(S::VERIFY_CLUSTER, verified);
                }
            }
            (Check::Redis(check), Finding::Unhealthy(Failure::Active { .. }))
                if !check.key.is_empty() =>
            {
                if let Some(redis) = &self.stats.redis {
                    redis.inc(RedisHealthCheckStats::EXISTS_FAILURE);
                }
            }
            _ => {}
        }
        let flags = host.health_flags();
        let change = self.note(host, index, finding)?;
        let checked = self.hosts.get(&key(host))?;
        let wait = checked.sessions[index].interval(healthy, change, used, &self.settings[index]);
        let changed = change == Change::Changed || host.health_flags() != flags;
        Some(Next { changed, wait })
    }

    /// A host says in the answer to a request that it fails: its last check has found that, as in Envoy. Whether flags have
    /// changed.
    pub(crate) fn on_immediate_failure(&mut self, host: &Arc<Host>) -> bool {
        let flags = host.health_flags();
        let Some(index) = self.settings.len().checked_sub(1) else {
            return false;
        };
        if self
            .note(host, index, Finding::Unhealthy(Failure::Passive))
            .is_none()
        {
            return false;
        }
        host.set_health_flags(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL);
        count_failure(&self.stats.checks[index], Failure::Passive);
        host.health_flags() != flags
    }

    /// Lets the session of check number `index` count a finding, with everything that follows for the host; `None` when it is
    /// not asked.
    fn note(&mut self, host: &Arc<Host>, index: usize, finding: Finding) -> Option<Change> {
        let checked = self.hosts.get_mut(&key(host))?;
        let total = Tally::of_host(checked);
        let session = checked.sessions.get_mut(index)?;
        let before = Tally::of([&*session]);
        let settings = &self.settings[index];
        let change = note(session, finding, settings, &self.cluster, host);
        let after = Tally::of([&*session]);
        self.tallies[index].replace(before, after);
        self.total.replace(total, Tally::of_host(checked));
        checked.set_flags(finding);
        if before != after {
            self.show();
        }
        Some(change)
    }

    /// Sets the gauges.
    fn show(&self) {
        for (stats, tally) in self.stats.checks.iter().zip(&self.tallies) {
            stats.gauge_set(S::HEALTHY, tally.healthy as u64);
            // Used once a host was degraded.
            if tally.degraded > 0 || stats.gauge(S::DEGRADED) > 0 {
                stats.gauge_set(S::DEGRADED, tally.degraded as u64);
            }
        }
        if let Some(stats) = &self.stats.total {
            stats.gauge_set(Total::HEALTHY, self.total.healthy as u64);
            stats.gauge_set(Total::DEGRADED, self.total.degraded as u64);
        }
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
        let timed_out = self.sessions.iter().any(|session| session.timed_out);
        set(HealthFlags::ACTIVE_HC_TIMEOUT, timed_out);
        host.clear_health_flags(HealthFlags::PENDING_ACTIVE_HC);
        match finding {
            // One of several checks cannot exclude a host, as in Envoy.
            Finding::Unhealthy(Failure::Active { excluded: true, .. })
                if self.sessions.len() == 1 =>
            {
                host.set_health_flags(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL);
            }
            Finding::Healthy { .. } if !failed => {
                host.clear_health_flags(HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL);
            }
            _ => {}
        }
    }
}

/// Who asks one host.
pub(crate) trait Asker {
    /// Asks once; `begins` is called when the question is put.
    async fn ask(&mut self, begins: impl Fn()) -> Finding;

    /// What is found without a question while it waits for the next one: mostly nothing, for ever.
    async fn rest(&mut self) -> Finding;
}

/// Asks a host after `initial_jitter`, and then as often as `report`, which learns what was found, wants it.
/// `attempts`: the stats of the check, which count questions.
pub(crate) async fn ask_again(
    initial_jitter: Duration,
    mut asker: impl Asker,
    attempts: Arc<Group>,
    mut report: impl FnMut(Finding) -> Option<Duration>,
) {
    let mut wait = Some(random_below(initial_jitter));
    while let Some(time) = wait {
        let finding = match tokio::time::timeout(time, asker.rest()).await {
            Ok(finding) => finding,
            Err(_) => asker.ask(|| attempts.inc(S::ATTEMPT)).await,
        };
        wait = report(finding);
    }
}
