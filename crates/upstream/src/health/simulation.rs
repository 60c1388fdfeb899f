//! Health checks under the simulated clock: hosts that fall ill and recover, are removed and come back while they are asked,
//! beside a model of Envoy's rules. `NUNCIO_SEED` chooses one run, which a failure names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_event::Instant;
use nuncio_event::clock;
use nuncio_stats::Store;
use tokio::task::spawn_local;

use super::checkers::{Asker, CheckStats};
use super::{Check, Checkers, Failure, Finding, HttpCounters, Settings, TcpCheck, ask_again};
use crate::host::{HealthFlags, Host};
use crate::host_set::{LocalityGroup, PriorityOptions, PrioritySet};
use crate::random::Random;
use crate::stats::{ClusterStats, HealthCheckStats as S, HealthCheckTotalStats as Total};
use crate::testing::{below, seeded};

/// What Envoy's `ActiveHealthCheckSession` knows, written down from its rules.
#[derive(Clone, Copy, Debug)]
struct Model {
    first: bool,
    failed: bool,
    degraded: bool,
    timed_out: bool,
    good: u32,
    bad: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transition {
    Unchanged,
    Pending,
    Changed,
}

impl Model {
    const NEW: Self = Self {
        first: true,
        failed: true,
        degraded: false,
        timed_out: false,
        good: 0,
        bad: 0,
    };

    fn on(&mut self, finding: Finding, settings: &Settings) -> Transition {
        let transition = match finding {
            Finding::Healthy { degraded } => self.on_success(degraded, settings),
            Finding::Unhealthy(failure) => self.on_failure(failure, settings),
        };
        self.first = false;
        transition
    }

    fn on_success(&mut self, degraded: bool, settings: &Settings) -> Transition {
        self.bad = 0;
        let mut transition = Transition::Unchanged;
        if self.failed {
            transition = Transition::Pending;
            self.good += u32::from(!self.first);
            if self.first || self.good == settings.healthy_threshold {
                self.failed = false;
                self.timed_out = false;
                transition = Transition::Changed;
            }
        }
        if self.degraded != degraded {
            self.degraded = degraded;
            if transition == Transition::Unchanged {
                transition = Transition::Changed;
            }
        }
        transition
    }

    fn on_failure(&mut self, failure: Failure, settings: &Settings) -> Transition {
        self.good = 0;
        let mut transition = Transition::Unchanged;
        if !self.failed {
            transition = Transition::Pending;
            let patient = match failure {
                Failure::Network | Failure::Timeout => true,
                Failure::Active { retriable, .. } => retriable,
                Failure::Passive => false,
            };
            self.bad += u32::from(patient);
            if !patient || self.bad == settings.unhealthy_threshold {
                self.failed = true;
                transition = Transition::Changed;
            }
        }
        self.timed_out = failure == Failure::Timeout && self.failed;
        transition
    }
}

/// How a host answers at present.
#[derive(Clone, Copy, Debug)]
enum Condition {
    Well,
    Degraded,
    Refuses,
    Silent,
    Wrong,
    Retriable,
    Excluded,
}

impl Condition {
    fn any(random: &Random) -> Self {
        match below(random, 10) {
            0..4 => Self::Well,
            4 => Self::Degraded,
            5 => Self::Refuses,
            6 => Self::Silent,
            7 => Self::Wrong,
            8 => Self::Retriable,
            _ => Self::Excluded,
        }
    }

    fn finding(self) -> Finding {
        let active = |retriable, excluded| Failure::Active {
            retriable,
            excluded,
            status: 503,
        };
        match self {
            Self::Well => Finding::Healthy { degraded: false },
            Self::Degraded => Finding::Healthy { degraded: true },
            Self::Refuses => Finding::Unhealthy(Failure::Network),
            Self::Silent => Finding::Unhealthy(Failure::Timeout),
            Self::Wrong => Finding::Unhealthy(active(false, false)),
            Self::Retriable => Finding::Unhealthy(active(true, false)),
            Self::Excluded => Finding::Unhealthy(active(false, true)),
        }
    }
}

#[derive(Default)]
struct Counted {
    attempts: u64,
    successes: u64,
    failures: u64,
    network: u64,
    passive: u64,
}

struct World {
    random: Random,
    settings: Arc<[Settings]>,
    checkers: Checkers,
    stats: Vec<Arc<nuncio_stats::Group>>,
    total: Option<Arc<nuncio_stats::Group>>,
    hosts: Vec<Arc<Host>>,
    /// By the host's number: it is one of the cluster's.
    present: Vec<bool>,
    conditions: Vec<Condition>,
    /// By host and check, of those that are present.
    models: HashMap<(usize, usize), Model>,
    counted: Vec<Counted>,
    excluded: Vec<bool>,
    /// A question is on its way.
    asking: HashMap<(usize, usize), bool>,
    /// When the next question may come at the earliest and at the latest.
    due: HashMap<(usize, usize), (Instant, Instant)>,
    used: bool,
    reports: usize,
}

type Shared = Rc<RefCell<World>>;

fn any_settings(random: &Random, checks: usize) -> Vec<Settings> {
    // Not so short that a run has very many questions.
    let ms = |most| Duration::from_millis(100 + below(random, most));
    let some = |most: u64| match below(random, 2) {
        0 => Duration::ZERO,
        _ => Duration::from_millis(below(random, most)),
    };
    let one = |index| Settings {
        name: format!("check {index}"),
        timeout: ms(300),
        interval: ms(2000),
        initial_jitter: some(500),
        interval_jitter: some(500),
        interval_jitter_percent: below(random, 3) as u32 * 40,
        unhealthy_threshold: 1 + below(random, 4) as u32,
        healthy_threshold: 1 + below(random, 4) as u32,
        no_traffic_interval: ms(5000),
        no_traffic_healthy_interval: ms(5000),
        unhealthy_interval: ms(3000),
        unhealthy_edge_interval: ms(500),
        healthy_edge_interval: ms(500),
        reuse_connection: true,
        alt_port: None,
        check: Check::Tcp(TcpCheck::default()),
        events: None,
    };
    (0..checks).map(one).collect()
}

impl World {
    fn new(random: Random, store: &Store) -> Self {
        let checks = 1 + below(&random, 3) as usize;
        let count = 1 + below(&random, 6) as usize;
        let settings: Arc<[Settings]> = any_settings(&random, checks).into();
        let group = |index| store.group(format!("check.{index}"), S::SCHEMA);
        let stats: Vec<_> = (0..checks).map(group).collect();
        let total = (checks > 1).then(|| store.group("total", Total::SCHEMA));
        let check_stats = CheckStats {
            checks: stats.clone().into(),
            total: total.clone(),
            redis: None,
            http: HttpCounters::new(store.group("cluster.c", ClusterStats::SCHEMA)),
        };
        let host = |number| crate::testing::host(number as u16 + 1, 1, HealthFlags::NONE);
        Self {
            checkers: Checkers::new(settings.clone(), check_stats, "c".into(), 1),
            stats,
            total,
            hosts: (0..count).map(host).collect(),
            present: vec![false; count],
            conditions: (0..count).map(|_| Condition::any(&random)).collect(),
            models: HashMap::new(),
            counted: (0..checks).map(|_| Counted::default()).collect(),
            excluded: vec![false; count],
            asking: HashMap::new(),
            due: HashMap::new(),
            used: false,
            reports: 0,
            settings,
            random,
        }
    }

    fn any_host(&self) -> usize {
        below(&self.random, self.hosts.len() as u64) as usize
    }

    /// Checks what a host's flags, and the gauges, must be.
    fn compare(&self, seed: u64) {
        let (mut healthy, mut degraded, mut waiting) = (0, 0, 0);
        for (number, host) in self.hosts.iter().enumerate() {
            if !self.present[number] {
                continue;
            }
            let models = (0..self.settings.len()).map(|check| &self.models[&(number, check)]);
            let any = |is: fn(&Model) -> bool| models.clone().any(is);
            let expected = [
                (HealthFlags::FAILED_ACTIVE_HC, any(|it| it.failed)),
                (HealthFlags::DEGRADED_ACTIVE_HC, any(|it| it.degraded)),
                (HealthFlags::ACTIVE_HC_TIMEOUT, any(|it| it.timed_out)),
                (
                    HealthFlags::EXCLUDED_VIA_IMMEDIATE_HC_FAIL,
                    self.excluded[number],
                ),
            ];
            for (flag, is) in expected {
                let has = host.health_flags().intersects(flag);
                assert_eq!(has, is, "seed {seed}: {flag:?} of host {number}");
            }
            healthy += u64::from(!any(|it| it.failed));
            degraded += u64::from(any(|it| it.degraded));
            waiting += u64::from(any(|it| it.first));
        }
        assert_eq!(self.checkers.is_ready(), waiting == 0, "seed {seed}: ready");
        if let Some(total) = &self.total {
            assert_eq!(total.gauge(Total::HEALTHY), healthy, "seed {seed}");
            assert_eq!(total.gauge(Total::DEGRADED), degraded, "seed {seed}");
        }
        for (check, (stats, counted)) in self.stats.iter().zip(&self.counted).enumerate() {
            let count = |is: fn(&Model) -> bool| {
                let of_check = self.models.iter().filter(|(key, _)| key.1 == check);
                of_check.filter(|(_, model)| is(model)).count() as u64
            };
            for (name, shown, expected) in [
                ("healthy", stats.gauge(S::HEALTHY), count(|it| !it.failed)),
                (
                    "degraded",
                    stats.gauge(S::DEGRADED),
                    count(|it| it.degraded),
                ),
                ("attempt", stats.counter(S::ATTEMPT), counted.attempts),
                ("success", stats.counter(S::SUCCESS), counted.successes),
                ("failure", stats.counter(S::FAILURE), counted.failures),
                (
                    "network",
                    stats.counter(S::NETWORK_FAILURE),
                    counted.network,
                ),
                (
                    "passive",
                    stats.counter(S::PASSIVE_FAILURE),
                    counted.passive,
                ),
            ] {
                assert_eq!(shown, expected, "seed {seed}: {name} of check {check}");
            }
        }
    }

    /// A question was answered; when the next one is to come.
    fn on_report(
        &mut self,
        (number, check): (usize, usize),
        finding: Finding,
        seed: u64,
    ) -> Duration {
        self.reports += 1;
        assert!(self.present[number], "seed {seed}: a removed host is asked");
        let asking = self.asking.insert((number, check), false);
        assert_eq!(asking, Some(true), "seed {seed}");
        let settings = &self.settings[check];
        let model = self.models.get_mut(&(number, check)).unwrap();
        let transition = model.on(finding, settings);
        let counted = &mut self.counted[check];
        let is_well = matches!(finding, Finding::Healthy { .. });
        counted.successes += u64::from(is_well);
        counted.failures += u64::from(!is_well);
        let is_network = matches!(
            finding,
            Finding::Unhealthy(Failure::Network | Failure::Timeout)
        );
        counted.network += u64::from(is_network);
        let alone = self.settings.len() == 1;
        if alone
            && matches!(
                finding,
                Finding::Unhealthy(Failure::Active { excluded: true, .. })
            )
        {
            self.excluded[number] = true;
        }
        let failed = |check| self.models[&(number, check)].failed;
        if is_well && !(0..self.settings.len()).any(failed) {
            self.excluded[number] = false;
        }
        let base = match (self.used, is_well, transition) {
            (true, true, Transition::Pending) => settings.healthy_edge_interval,
            (true, true, _) => settings.interval,
            (true, false, Transition::Pending) => settings.unhealthy_edge_interval,
            (true, false, _) => settings.unhealthy_interval,
            (false, true, Transition::Unchanged | Transition::Changed) => {
                settings.no_traffic_healthy_interval
            }
            (false, ..) => settings.no_traffic_interval,
        };
        let most = base + base * settings.interval_jitter_percent / 100 + settings.interval_jitter;
        let flags = self.hosts[number].health_flags();
        let host = self.hosts[number].clone();
        let next = self.checkers.on_finding(&host, check, finding, self.used);
        let next = next.unwrap_or_else(|| panic!("seed {seed}: host {number} is not known"));
        assert!(
            base <= next.wait && next.wait <= most,
            "seed {seed}: {:?} is not from {base:?} to {most:?}",
            next.wait
        );
        let flags_changed = host.health_flags() != flags;
        assert!(
            next.changed || !flags_changed,
            "seed {seed}: nobody is told"
        );
        // Timers have a resolution of a millisecond.
        let due = clock::now() + next.wait;
        let slack = Duration::from_millis(2);
        self.due.insert((number, check), (due, due + slack));
        self.compare(seed);
        next.wait
    }

    fn on_question(&mut self, key: (usize, usize), seed: u64) -> Condition {
        let asking = self.asking.insert(key, true);
        assert_ne!(asking, Some(true), "seed {seed}: two questions at a time");
        let (earliest, latest) = self.due[&key];
        let now = clock::now();
        assert!(
            earliest <= now && now <= latest,
            "seed {seed}: asked {now:?}, due {earliest:?} to {latest:?}"
        );
        self.counted[key.1].attempts += 1;
        self.conditions[key.0]
    }
}

/// Adds or removes a host.
fn toggle(world: &Shared, number: usize, seed: u64) {
    let mut guard = world.borrow_mut();
    let it = &mut *guard;
    it.present[number] = !it.present[number];
    for check in 0..it.settings.len() {
        it.models.remove(&(number, check));
        it.asking.remove(&(number, check));
        if it.present[number] {
            it.models.insert((number, check), Model::NEW);
            let now = clock::now();
            let latest = now + it.settings[check].initial_jitter + Duration::from_millis(2);
            it.due.insert((number, check), (now, latest));
        }
    }
    if it.present[number] {
        // As the cluster manager does with hosts that it has not seen before.
        it.hosts[number].clear_health_flags(HealthFlags::ACTIVE_HC);
        it.hosts[number].set_health_flags(HealthFlags::FAILED_ACTIVE_HC);
        it.excluded[number] = false;
    }
    let present = it.hosts.iter().zip(&it.present).filter(|(_, is)| **is);
    let group = LocalityGroup {
        locality: Arc::default(),
        weight: None,
        priority: 0,
        hosts: present.map(|(host, _)| host.clone()).collect(),
    };
    let set = PrioritySet::build(&[group], PriorityOptions::default());
    let hosts = it.hosts.clone();
    let stats = it.checkers.stats();
    it.checkers.set_hosts(&set, |host, check, settings| {
        let number = hosts.iter().position(|it| Arc::ptr_eq(it, host)).unwrap();
        let key = (number, check);
        let told = world.clone();
        let report = move |finding| Some(told.borrow_mut().on_report(key, finding, seed));
        let asking = Asking {
            world: world.clone(),
            key,
            timeout: settings.timeout,
            seed,
        };
        let task = ask_again(
            settings.initial_jitter,
            asking,
            stats.checks[check].clone(),
            report,
        );
        spawn_local(task).abort_handle()
    });
    it.compare(seed);
}

/// Asks one check of a host.
struct Asking {
    world: Rc<RefCell<World>>,
    key: (usize, usize),
    timeout: Duration,
    seed: u64,
}

impl Asker for Asking {
    async fn ask(&mut self, begins: impl Fn()) -> Finding {
        begins();
        let condition = self.world.borrow_mut().on_question(self.key, self.seed);
        let latency = below(&self.world.borrow().random, self.timeout.as_millis() as u64);
        match condition {
            Condition::Silent => tokio::time::sleep(self.timeout).await,
            _ => tokio::time::sleep(Duration::from_millis(latency)).await,
        }
        condition.finding()
    }

    async fn rest(&mut self) -> Finding {
        std::future::pending().await
    }
}

async fn live(random: Random, seed: u64) {
    let store = Store::new(1);
    let world = Rc::new(RefCell::new(World::new(random, &store)));
    let count = world.borrow().hosts.len();
    for number in 0..count {
        toggle(&world, number, seed);
    }
    for _ in 0..200 {
        let (wait, what, number) = {
            let it = world.borrow();
            let wait = below(&it.random, 1500);
            (wait, below(&it.random, 10), it.any_host())
        };
        tokio::time::sleep(Duration::from_millis(wait)).await;
        match what {
            0..6 => {
                let mut it = world.borrow_mut();
                it.conditions[number] = Condition::any(&it.random);
            }
            6 | 7 => toggle(&world, number, seed),
            8 => {
                let mut it = world.borrow_mut();
                let host = it.hosts[number].clone();
                it.checkers.on_immediate_failure(&host);
                if it.present[number] {
                    let last = it.settings.len() - 1;
                    let settings = it.settings.clone();
                    let model = it.models.get_mut(&(number, last)).unwrap();
                    model.on(Finding::Unhealthy(Failure::Passive), &settings[last]);
                    it.counted[last].failures += 1;
                    it.counted[last].passive += 1;
                    it.excluded[number] = true;
                }
                it.compare(seed);
            }
            _ => world.borrow_mut().used = true,
        }
    }
    assert!(world.borrow().reports > 20, "seed {seed}: hosts are asked");
    // Ends the tasks, which keep the world.
    let none = PrioritySet::build(&[], PriorityOptions::default());
    world.borrow_mut().checkers.set_hosts(&none, |_, _, _| {
        unreachable!("there are no hosts");
    });
}

#[test]
fn hosts_are_judged_as_by_envoys_rules() {
    seeded(30, |random, seed| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, live(random, seed));
    });
}
