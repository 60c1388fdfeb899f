use super::*;
use crate::host::HealthFlags;
use crate::lb::round_robin::RoundRobin;
use crate::lb::testing::{env, group, in_zone, of_groups, picks};
use crate::testing::{host, run_paused};

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
    hosts.derived_or(|| Arc::new(policy.places(&hosts, None)));
    hosts
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
        let before = hosts.derived().unwrap().downcast_ref::<Places>();
        rebuilt.derived_or(|| Arc::new(policy.places(&rebuilt, before)));
        assert!(share_of_a(&policy, &rebuilt).abs_diff(20) <= 2);
    });
}
