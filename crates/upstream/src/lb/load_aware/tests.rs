use super::*;
use crate::host::HealthFlags;
use crate::lb::LbContext;
use crate::lb::hashing::ring::RingHash;
use crate::lb::round_robin::RoundRobin;
use crate::lb::testing::{env, group, in_zone, of_groups, picks};
use crate::stats::LoadAwareStats as S;
use crate::testing::{host, port, run_paused};

fn policy(own: &str) -> Arc<LoadAwareLocality> {
    Arc::new(LoadAwareLocality {
        child: Arc::<RoundRobin>::default(),
        options: LoadAwareOptions {
            update_period: Duration::from_secs(1),
            metrics: MetricNames::default(),
            variance_threshold: 0.1,
            smoothing: Duration::from_secs(5),
            probe_fraction: 0.03,
            expiration: Duration::from_secs(180),
            out_of_band: None,
        },
        own: in_zone(own),
    })
}

/// Two hosts in zone a, two in b.
fn zones(policy: &LoadAwareLocality) -> Arc<PrioritySet> {
    let up = |ports: std::ops::Range<u16>| ports.map(|p| host(p, 1, HealthFlags::NONE));
    let hosts = of_groups(&[group("a", 0, None, up(0..2)), group("b", 0, None, up(2..4))]);
    derive(policy, &hosts);
    hosts
}

fn derive(policy: &LoadAwareLocality, hosts: &PrioritySet) {
    hosts.derived_or(|| policy.derive(hosts, None, &env(0).group).unwrap());
}

fn say(policy: &LoadAwareLocality, hosts: &PrioritySet, busy: [f64; 4]) {
    for (host, utilization) in hosts.hosts().zip(busy) {
        let report = OrcaReport {
            cpu_utilization: utilization,
            ..OrcaReport::default()
        };
        policy.on_report(host, &report, Instant::now()).unwrap();
    }
    policy.on_tick(hosts, Instant::now());
}

/// The share of zone a, in percent.
fn share_of_a(policy: &Arc<LoadAwareLocality>, hosts: &Arc<PrioritySet>) -> usize {
    let env = env(11);
    let mut balancer = policy.clone().build(&env.random);
    let picked = picks(&mut *balancer, hosts, &env, 10_000);
    let a = picked.iter().filter(|&&port| port < 2).count();
    let first = picked.iter().filter(|&&port| port == 0).count();
    assert!(first.abs_diff(a / 2) <= 1, "turns within the locality");
    (a + 50) / 100
}

#[test]
fn localities_get_what_they_have_room_for() {
    run_paused(async {
        let policy = policy("");
        let hosts = zones(&policy);
        assert!(
            share_of_a(&policy, &hosts).abs_diff(50) <= 2,
            "nothing known"
        );
        say(&policy, &hosts, [0.8, 0.8, 0.1, 0.3]);
        assert!(share_of_a(&policy, &hosts).abs_diff(20) <= 2);
    });
}

#[test]
fn the_own_locality_keeps_all_but_probes_while_it_is_no_busier() {
    run_paused(async {
        let policy = policy("a");
        let hosts = zones(&policy);
        assert!(share_of_a(&policy, &hosts).abs_diff(97) <= 1);
        say(&policy, &hosts, [0.55, 0.55, 0.5, 0.5]);
        assert!(share_of_a(&policy, &hosts).abs_diff(97) <= 1);
        for _ in 0..60 {
            say(&policy, &hosts, [0.9, 0.9, 0.5, 0.5]);
        }
        let share = share_of_a(&policy, &hosts);
        assert!(share.abs_diff(17) <= 2, "{share}");
    });
}

#[test]
fn utilization_is_smoothed() {
    run_paused(async {
        let policy = policy("");
        let hosts = zones(&policy);
        say(&policy, &hosts, [0.5; 4]);
        say(&policy, &hosts, [1.0, 1.0, 0.5, 0.5]);
        // One tick of a second against five: not even a fifth of the way.
        let share = share_of_a(&policy, &hosts);
        assert!((43..=47).contains(&share), "{share}");
    });
}

#[test]
fn without_room_the_number_of_hosts_decides() {
    run_paused(async {
        let policy = policy("");
        let hosts = zones(&policy);
        say(&policy, &hosts, [2.0; 4]);
        assert!(share_of_a(&policy, &hosts).abs_diff(50) <= 2);
    });
}

#[test]
fn reports_expire() {
    run_paused(async {
        let policy = policy("");
        let hosts = zones(&policy);
        say(&policy, &hosts, [0.9, 0.9, 0.1, 0.1]);
        tokio::time::advance(Duration::from_secs(181)).await;
        policy.on_tick(&hosts, Instant::now());
        assert!(share_of_a(&policy, &hosts).abs_diff(50) <= 2);
    });
}

#[test]
fn what_is_known_survives_a_change_of_hosts() {
    run_paused(async {
        let policy = policy("");
        let hosts = zones(&policy);
        say(&policy, &hosts, [0.8, 0.8, 0.2, 0.2]);
        let rebuilt = Arc::new(hosts.rebuilt(hosts.options()));
        let again = policy.derive(&rebuilt, hosts.derived(), &env(0).group);
        rebuilt.derived_or(|| again.unwrap());
        assert!(share_of_a(&policy, &rebuilt).abs_diff(20) <= 2);
    });
}

/// Both of zone a, whose policy is a table of all hosts.
#[test]
fn tables_are_made_of_all_localities() {
    let policy = Arc::new(LoadAwareLocality {
        child: Arc::new(RingHash::default()),
        ..Arc::into_inner(policy("")).unwrap()
    });
    let up = |ports: std::ops::Range<u16>| ports.map(|p| host(p, 1, HealthFlags::NONE));
    let hosts = of_groups(&[group("a", 0, None, up(0..2)), group("b", 0, None, up(2..4))]);
    let alone = of_groups(&[group("", 0, None, up(0..4))]);
    let env = env(3);
    let mut aware = policy.build(&env.random);
    let mut ring = Arc::new(RingHash::default()).build(&env.random);
    for key in 0..200u64 {
        let cx = LbContext {
            hash: Some(key.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            ..LbContext::default()
        };
        let find = |balancer: &mut dyn LoadBalancer, hosts| {
            port(&balancer.choose(hosts, &cx, &env).unwrap())
        };
        assert_eq!(find(&mut *aware, &hosts), find(&mut *ring, &alone));
    }
}

/// One of two localities has only degraded hosts: they get what the healthy ones of the priority cannot take, and no more.
#[test]
fn health_is_judged_over_the_priority() {
    run_paused(async {
        let policy = policy("");
        let hosts = |flags: [HealthFlags; 4]| {
            let of =
                |ports: std::ops::Range<u16>| ports.map(move |p| host(p, 1, flags[usize::from(p)]));
            let groups = [group("a", 0, None, of(0..2)), group("b", 0, None, of(2..4))];
            let hosts = of_groups(&groups);
            derive(&policy, &hosts);
            hosts
        };
        let shares = |hosts: &Arc<PrioritySet>| {
            let env = env(5);
            let mut balancer = policy.clone().build(&env.random);
            let picked = picks(&mut *balancer, hosts, &env, 10_000);
            [0, 1, 2, 3].map(|port| picked.iter().filter(|p| **p == port).count() / 100)
        };
        let near = |found: [usize; 4], wanted: [usize; 4]| {
            let far = found.iter().zip(wanted).any(|(a, b)| a.abs_diff(b) > 2);
            assert!(!far, "{found:?}, not {wanted:?}");
        };
        let (up, degraded, failed) = (
            HealthFlags::NONE,
            HealthFlags::DEGRADED_EDS_HEALTH,
            HealthFlags::FAILED_EDS_HEALTH,
        );
        near(
            shares(&hosts([degraded, degraded, up, up])),
            [15, 15, 35, 35],
        );
        near(shares(&hosts([up, degraded, up, up])), [33, 0, 33, 33]);
        // The priority is in panic, though each zone alone, or none, would be.
        near(shares(&hosts([up, failed, failed, failed])), [25; 4]);
        near(shares(&hosts([up, failed, up, failed])), [50, 0, 50, 0]);
    });
}

#[test]
fn what_happens_is_counted() {
    run_paused(async {
        let policy = policy("a");
        let up = |ports: std::ops::Range<u16>| ports.map(|p| host(p, 1, HealthFlags::NONE));
        let hosts = of_groups(&[group("b", 0, None, up(0..2)), group("a", 0, None, up(2..4))]);
        let cluster = env(0).group;
        hosts.derived_or(|| policy.derive(&hosts, None, &cluster).unwrap());
        let stats = cluster.subgroup("load_aware_locality", S::SCHEMA);
        let counted = || {
            [
                S::RECOMPUTE_TOTAL,
                S::LOCAL_PREFERRED_TOTAL,
                S::PROBE_ACTIVE_TOTAL,
                S::SPILL_ACTIVE_TOTAL,
                S::ALL_OVERLOADED_TOTAL,
                S::STALE_LOCALITY_TOTAL,
            ]
            .map(|counter| stats.counter(counter))
        };
        assert_eq!(counted(), [1, 1, 1, 0, 0, 0]);
        say(&policy, &hosts, [0.1, 0.1, 0.9, 0.9]);
        assert_eq!(counted(), [2, 1, 1, 1, 0, 0]);
        say(&policy, &hosts, [1.0; 4]);
        for _ in 0..200 {
            say(&policy, &hosts, [1.0; 4]);
        }
        assert_eq!(stats.counter(S::RECOMPUTE_TOTAL), 203);
        assert!(stats.counter(S::LOCAL_PREFERRED_TOTAL) > 1);
        tokio::time::advance(Duration::from_secs(181)).await;
        policy.on_tick(&hosts, Instant::now());
        assert_eq!(stats.counter(S::STALE_LOCALITY_TOTAL), 2);
    });
}

#[test]
fn choices_can_be_told_ahead() {
    run_paused(async {
        let policy = policy("");
        let hosts = zones(&policy);
        let env = env(3);
        let mut balancer = policy.clone().build(&env.random);
        let told = picks(&mut *balancer, &hosts, &env, 20).len();
        assert_eq!(told, 20);
        for _ in 0..20 {
            let ahead = [0, 1, 2, 3].map(|n| balancer.peek(&hosts, n, &env).map(|h| port(h)));
            assert!(balancer.peek(&hosts, 4, &env).is_none());
            for told in ahead {
                let picked = picks(&mut *balancer, &hosts, &env, 1)[0];
                // Of each zone no more than its hosts are told.
                assert!(told.is_none_or(|told| told == picked));
            }
        }
    });
}
