//! Active health checks of all clusters: who is asked, and what follows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use nuncio_event::clock;
use nuncio_net::Address;
use nuncio_sdk::ClusterId;
use tokio::task::spawn_local;

use super::{ClusterManager, Version};
use crate::health::{
    Check, CheckStats, Checkers, Finding, HttpCounters, ImmediateFailures, Probe, Settings, Target,
    ask_again,
};
use crate::host::{HealthFlags, Host};
use crate::host_set::PrioritySet;
use crate::info::ClusterInfo;
use crate::stats::{ClusterStats, HealthCheckStats, HealthCheckTotalStats, RedisHealthCheckStats};

impl ClusterManager {
    /// `None` without health checks, or without a runtime (validation).
    pub(super) fn make_checkers(
        &self,
        info: &ClusterInfo,
        settings: Vec<Settings>,
        serial: u64,
    ) -> Option<Box<Checkers>> {
        if settings.is_empty() || tokio::runtime::Handle::try_current().is_err() {
            return None;
        }
        let store = &self.server.stats;
        let prefix = format!("cluster.{}.health_check", info.observability_name);
        let check = |settings: &Settings| {
            let prefix = match settings.name.as_str() {
                "" => prefix.clone(),
                name => format!("{prefix}.name.{name}"),
            };
            store.group(prefix, HealthCheckStats::SCHEMA)
        };
        let is_redis = |settings: &Settings| matches!(settings.check, Check::Redis(_));
        let stats = CheckStats {
            checks: settings.iter().map(check).collect(),
            total: (settings.len() > 1)
                .then(|| store.group(prefix.clone(), HealthCheckTotalStats::SCHEMA)),
            redis: settings.iter().any(is_redis).then(|| {
                let prefix = format!("{prefix}.redis");
                store.group(prefix, RedisHealthCheckStats::SCHEMA)
            }),
            http: HttpCounters::new(info.stats.clone()),
        };
        let cluster = info.name.clone();
        let checkers = Checkers::new(settings.into(), stats, cluster, serial);
        Some(Box::new(checkers))
    }

    pub(super) fn immediate_failures(&self, id: ClusterId) -> ImmediateFailures {
        let (main, manager) = (self.main.clone(), self.this.clone());
        ImmediateFailures::new(move |host| {
            let manager = manager.clone();
            // The main thread is gone when the server ends.
            let _ = main.post(move || {
                if let Some(manager) = manager.upgrade() {
                    manager.on_immediate_failure(id, &host);
                }
            });
        })
    }

    /// The hosts of a version have changed: those that are new are asked for their health and their load, those that are gone no
    /// more.
    pub(super) fn follow_hosts(&self, version: &mut Version, before: &PrioritySet) {
        self.check_hosts(version, before);
        self.ask_for_reports(version);
    }

    /// Hosts of `before` keep the health that they had.
    fn check_hosts(&self, version: &mut Version, before: &PrioritySet) {
        let Some(checkers) = &mut version.checkers else {
            return;
        };
        let known: HashSet<*const Host> = before.hosts().map(Arc::as_ptr).collect();
        let mut initial = HealthFlags::FAILED_ACTIVE_HC;
        if version.ignore_new_hosts {
            initial = initial.with(HealthFlags::PENDING_ACTIVE_HC);
        }
        let mut flagged = false;
        for host in version.hosts.hosts() {
            if !host.is_unchecked() && !known.contains(&Arc::as_ptr(host)) {
                host.set_health_flags(initial);
                flagged = true;
            }
        }
        let (info, serial) = (version.info.clone(), checkers.serial());
        let stats = checkers.stats();
        checkers.set_hosts(&version.hosts, |host, index, settings| {
            let target = target(&info, host, &settings);
            let initial_jitter = settings.initial_jitter;
            let probe = Probe::new(target, settings, self.turns.clone(), stats.http.clone());
            let report = self.health_reporter(info.id, serial, host, index);
            let task = ask_again(initial_jitter, probe, stats.checks[index].clone(), report);
            spawn_local(task).abort_handle()
        });
        if flagged {
            version.sort_hosts_anew();
        }
    }

    /// What takes in the findings of one check of a host.
    fn health_reporter(
        &self,
        id: ClusterId,
        serial: u64,
        host: &Arc<Host>,
        index: usize,
    ) -> impl FnMut(Finding) -> Option<Duration> + use<> {
        let (manager, host) = (self.this.clone(), host.clone());
        move |finding| {
            let manager = manager.upgrade()?;
            manager.on_health_finding(id, serial, &host, index, finding)
        }
    }

    /// Returns when to ask again; `None` when the version, or the host, is gone.
    fn on_health_finding(
        &self,
        id: ClusterId,
        serial: u64,
        host: &Arc<Host>,
        index: usize,
        finding: Finding,
    ) -> Option<Duration> {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id)?;
        let (version, in_warming) = entry.version_mut(|version| {
            let checkers = version.checkers.as_ref();
            checkers.is_some_and(|checkers| checkers.serial() == serial)
        })?;
        let was_ready = version.is_ready();
        let used = version.info.stats.counter(ClusterStats::UPSTREAM_CX_TOTAL) > 0;
        let next = version
            .checkers
            .as_mut()?
            .on_finding(host, index, finding, used)?;
        let unejected = matches!(finding, Finding::Healthy { .. })
            && (version.info.outlier.as_ref())
                .is_some_and(|detector| detector.on_health_check_success(host, clock::now()));
        let is_shown = was_ready && !in_warming;
        if (next.changed || unejected) && is_shown {
            self.show_health_soon(id, version, Some(host));
        }
        if version.is_ready() && !was_ready {
            // Once for all findings up to now: there may be as many as hosts, and nobody has seen any of them.
            version.sort_hosts_anew();
            self.ask_for_reports(version);
            if in_warming {
                self.activate(&mut state, id);
                if let Some(entry) = state.clusters.get_mut(&id) {
                    self.count(entry);
                }
            } else {
                version.show_membership();
                self.show(&state, id);
            }
            state.init.remove(id);
        }
        self.advance(state);
        Some(self.bounded_interval(next.wait))
    }

    fn on_immediate_failure(&self, id: ClusterId, host: &Arc<Host>) {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id);
        if let Some(version) = entry.and_then(|entry| entry.active.as_mut())
            && let Some(checkers) = &mut version.checkers
            && checkers.on_immediate_failure(host)
        {
            self.show_health_soon(id, version, Some(host));
        }
    }
}

/// Where, and under which name, a host is asked.
fn target(info: &ClusterInfo, host: &Arc<Host>, settings: &Settings) -> Target {
    let own = host.health_check();
    let address: Address = match own {
        Some(own) if own.address.is_some() => own
            .address
            .clone()
            .unwrap_or_else(|| host.address().clone()),
        Some(own) if own.port != 0 => host.address().with_port(own.port),
        _ => settings.address_for(host.address()),
    };
    let name = own.map(|own| &own.hostname);
    Target {
        host: host.clone(),
        address,
        name: name.filter(|name| !name.is_empty()).cloned(),
        cluster: info.name.clone(),
        connect: info.connect.clone(),
    }
}
