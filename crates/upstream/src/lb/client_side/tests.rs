use proptest::prelude::*;

use super::*;
use crate::host::HealthFlags;
use crate::lb::testing::{env, group, of_groups, one_priority, picks};
use crate::testing::{host, run_paused};

fn policy() -> ClientSideWeightedRoundRobin {
    ClientSideWeightedRoundRobin {
        blackout: Duration::from_secs(10),
        expiration: Duration::from_secs(180),
        update_period: Duration::from_secs(1),
        error_penalty: 0.0,
        metrics: MetricNames::default(),
        out_of_band: None,
        turns: RoundRobin::default(),
    }
}

fn report(rate: f64, utilization: f64) -> OrcaReport {
    OrcaReport {
        rps_fractional: rate,
        application_utilization: utilization,
        ..OrcaReport::default()
    }
}

/// Hosts of one priority after each has reported and the blackout is over.
async fn after_reports(
    policy: &ClientSideWeightedRoundRobin,
    reports: &[Option<OrcaReport>],
) -> Arc<PrioritySet> {
    let hosts = one_priority((0..reports.len()).map(|p| host(p as u16, 1, HealthFlags::NONE)));
    for (host, report) in hosts.hosts().zip(reports) {
        if let Some(report) = report {
            policy.on_report(host, report, Instant::now()).unwrap();
        }
    }
    tokio::time::advance(policy.blackout).await;
    policy.on_tick(&hosts, Instant::now());
    Arc::new(hosts.rebuilt(hosts.options()))
}

fn weights(hosts: &PrioritySet) -> Vec<u32> {
    hosts.hosts().map(|host| host.weight()).collect()
}

#[test]
fn weights_are_requests_by_utilization() {
    let policy = ClientSideWeightedRoundRobin {
        error_penalty: 2.0,
        ..policy()
    };
    assert_eq!(policy.weight(&report(100.0, 0.5)), Ok(200));
    let mut failing = report(100.0, 0.5);
    failing.eps = 25.0;
    assert_eq!(policy.weight(&failing), Ok(100));
    assert_eq!(policy.weight(&report(0.0, 0.5)), Err(OrcaError::Rate));
    let idle = policy.weight(&report(1.0, 0.0));
    assert_eq!(idle, Err(OrcaError::Utilization));
    assert_eq!(policy.weight(&report(1e300, 1e-300)), Ok(u32::MAX));
}

#[test]
fn who_has_not_reported_gets_the_median() {
    run_paused(async {
        let policy = policy();
        let rate = |rate: f64| Some(report(rate, 1.0));
        let reports = [rate(100.0), rate(300.0), rate(700.0), None];
        let hosts = after_reports(&policy, &reports).await;
        assert_eq!(weights(&hosts), [100, 300, 700, 300]);
        let hosts = after_reports(&policy, &[rate(100.0), rate(200.0), None]).await;
        assert_eq!(weights(&hosts), [100, 200, 150]);
        let hosts = after_reports(&policy, &[None, None]).await;
        assert_eq!(weights(&hosts), [1, 1]);
    });
}

#[test]
fn nothing_changes_without_news() {
    run_paused(async {
        let policy = policy();
        let hosts = after_reports(&policy, &[Some(report(10.0, 1.0)), None]).await;
        assert!(!policy.on_tick(&hosts, Instant::now()));
        tokio::time::advance(2 * policy.expiration).await;
        assert!(policy.on_tick(&hosts, Instant::now()), "expired");
        assert_eq!(weights(&hosts), [1, 1]);
    });
}

#[test]
fn localities_have_their_own_weights() {
    run_paused(async {
        let policy = Arc::new(ClientSideWeightedRoundRobin {
            turns: RoundRobin {
                localities: LocalityOptions::Weighted,
                ..RoundRobin::default()
            },
            ..policy()
        });
        let up = |ports: std::ops::Range<u16>| ports.map(|p| host(p, 1, HealthFlags::NONE));
        let hosts = of_groups(&[
            group("a", 0, Some(1), up(0..2)),
            group("b", 0, Some(3), up(2..3)),
        ]);
        for (host, rate) in hosts.hosts().zip([100.0, 400.0, 1.0]) {
            let noted = policy.on_report(host, &report(rate, 1.0), Instant::now());
            noted.unwrap();
        }
        tokio::time::advance(policy.blackout).await;
        assert!(policy.on_tick(&hosts, Instant::now()));
        let hosts = Arc::new(hosts.rebuilt(hosts.options()));
        let env = env(1);
        let picked = picks(&mut *policy.build(&env.random), &hosts, &env, 2000);
        for (port, share) in [(0, 100), (1, 400), (2, 1500)] {
            let count = picked.iter().filter(|&&p| p == port).count();
            assert!(count.abs_diff(share) <= 3, "{port}: {count}");
        }
    });
}

/// A host that joins or leaves changes nobody else's weight.
#[test]
fn the_others_keep_their_weights() {
    run_paused(async {
        let policy = policy();
        let reports: Vec<_> = (1..6)
            .map(|n| Some(report(f64::from(n) * 10.0, 1.0)))
            .collect();
        let hosts = after_reports(&policy, &reports).await;
        let left = hosts.filtered(|host| host.weight() != 30, |l, _| l.weight);
        assert!(!policy.on_hosts(&left, Instant::now()));
        assert_eq!(weights(&left), [10, 20, 40, 50]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shares_follow_reports(rates in prop::collection::vec(1u32..=500, 1..8), seed in any::<u64>()) {
        let policy = Arc::new(policy());
        let for_reports = policy.clone();
        let reports: Vec<_> = rates.iter().map(|r| Some(report(f64::from(*r), 1.0))).collect();
        run_paused(async move {
            let hosts = after_reports(&for_reports, &reports).await;
            let env = env(seed);
            let total: u32 = rates.iter().sum();
            let picked = picks(&mut *policy.build(&env.random), &hosts, &env, (2 * total) as usize);
            for (port, rate) in rates.iter().enumerate() {
                let count = picked.iter().filter(|&&p| usize::from(p) == port).count();
                assert!(count.abs_diff(2 * *rate as usize) <= 2 + rates.len(), "{count} of {rate}");
            }
        });
    }
}
