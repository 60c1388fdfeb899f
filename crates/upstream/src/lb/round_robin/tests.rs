use proptest::prelude::*;

use super::*;
use crate::host::HealthFlags;
use crate::lb::LbContext;
use crate::lb::testing::{env, one_priority, picks};
use crate::testing::{host, port};

fn set(hosts: Vec<Arc<Host>>) -> Arc<PrioritySet> {
    one_priority(hosts.into_iter())
}

fn balancer(env: &LbEnv) -> Box<dyn LoadBalancer> {
    Arc::new(RoundRobin::default()).build(&env.random)
}

#[test]
fn equal_weights_take_turns_from_a_random_start() {
    let mut starts = std::collections::HashSet::new();
    for seed in 0..50 {
        let hosts = set((0..4).map(|p| host(p, 5, HealthFlags::NONE)).collect());
        let env = env(seed);
        let mut balancer = balancer(&env);
        let picked = picks(&mut *balancer, &hosts, &env, 8);
        for pair in picked.windows(2) {
            assert_eq!((pair[0] + 1) % 4, pair[1]);
        }
        starts.insert(picked[0]);
    }
    assert_eq!(starts.len(), 4);
}

#[test]
fn the_place_in_the_round_survives_a_change_of_hosts() {
    let env = env(1);
    let hosts: Vec<_> = (0..4).map(|p| host(p, 1, HealthFlags::NONE)).collect();
    let mut balancer = balancer(&env);
    let all = set(hosts);
    let before = picks(&mut *balancer, &all, &env, 1)[0];
    let all = Arc::new(all.rebuilt(all.options()));
    let after = picks(&mut *balancer, &all, &env, 1)[0];
    assert_eq!((before + 1) % 4, after);
}

#[test]
fn workers_take_turns_together() {
    let hosts = set((0..2).map(|p| host(p, 1, HealthFlags::NONE)).collect());
    let workers = [env(1), env(2)];
    let mut balancers = [balancer(&workers[0]), balancer(&workers[1])];
    let mut last = None;
    for turn in 0..20 {
        let at = turn % 3 % 2;
        let picked = picks(&mut *balancers[at], &hosts, &workers[at], 1)[0];
        assert_ne!(last.replace(picked), Some(picked));
    }
}

#[test]
fn new_hosts_start_slowly() {
    crate::testing::run_paused(async {
        let env = env(1);
        let policy = RoundRobin {
            slow_start: Some(SlowStart {
                window: std::time::Duration::from_secs(100),
                aggression: 1.0,
                min_weight: 0.1,
            }),
            ..RoundRobin::default()
        };
        let old = host(1, 1, HealthFlags::NONE);
        tokio::time::advance(std::time::Duration::from_secs(200)).await;
        let hosts = set(vec![old, host(2, 1, HealthFlags::NONE)]);
        let mut balancer = Arc::new(policy).build(&env.random);
        let share = |picked: Vec<u16>| picked.iter().filter(|&&port| port == 2).count();
        let at_first = share(picks(&mut *balancer, &hosts, &env, 1100));
        assert!((99..=101).contains(&at_first), "{at_first}");
        tokio::time::advance(std::time::Duration::from_secs(50)).await;
        let half = share(picks(&mut *balancer, &hosts, &env, 300));
        assert!((99..=101).contains(&half), "{half}");
        tokio::time::advance(std::time::Duration::from_secs(51)).await;
        assert_eq!(share(picks(&mut *balancer, &hosts, &env, 100)), 50);
    });
}

#[test]
fn weights_without_a_common_measure_have_their_shares_too() {
    let env = env(1);
    let hosts = set(vec![
        host(0, 1, HealthFlags::NONE),
        host(1, 10_007, HealthFlags::NONE),
    ]);
    let picked = picks(&mut *balancer(&env), &hosts, &env, 30_024);
    let count = picked.iter().filter(|&&port| port == 0).count();
    assert!((2..=4).contains(&count), "{count}");
}

#[test]
fn no_hosts_no_choice() {
    let env = env(1);
    let mut balancer = balancer(&env);
    assert!(
        balancer
            .choose(&set(Vec::new()), &LbContext::default(), &env)
            .is_none()
    );
}

#[test]
fn hosts_tried_before_are_passed_over() {
    let env = env(3);
    let hosts: Vec<_> = (0..3).map(|p| host(p, 1, HealthFlags::NONE)).collect();
    let all = set(hosts.clone());
    let mut balancer = balancer(&env);
    let attempted = [hosts[0].clone(), hosts[1].clone()];
    let cx = LbContext {
        attempted: &attempted,
        max_reselections: 3,
        ..LbContext::default()
    };
    for _ in 0..6 {
        assert_eq!(port(&balancer.choose(&all, &cx, &env).unwrap()), 2);
    }
}

proptest! {
    #[test]
    fn shares_follow_weights(weights in prop::collection::vec(1u32..=20, 1..10), seed in any::<u64>()) {
        let env = env(seed);
        let hosts = weights.iter().enumerate().map(|(p, w)| host(p as u16, *w, HealthFlags::NONE));
        let hosts = set(hosts.collect());
        let mut balancer = balancer(&env);
        let total: u32 = weights.iter().sum();
        let picked = picks(&mut *balancer, &hosts, &env, (total * 4) as usize);
        for (p, weight) in weights.iter().enumerate() {
            let count = picked.iter().filter(|&&port| usize::from(port) == p).count() as i64;
            prop_assert!((count - i64::from(weight * 4)).abs() <= 2, "{p}: {count} of {}", weight * 4);
        }
    }

    #[test]
    fn only_healthy_hosts_are_chosen(flags in prop::collection::vec(any::<bool>(), 1..20), seed in any::<u64>()) {
        prop_assume!(flags.iter().filter(|up| **up).count() * 2 >= flags.len());
        let env = env(seed);
        let health = |up: &bool| if *up { HealthFlags::NONE } else { HealthFlags::FAILED_EDS_HEALTH };
        let hosts = set(flags.iter().enumerate().map(|(p, up)| host(p as u16, 1, health(up))).collect());
        let mut balancer = balancer(&env);
        for port in picks(&mut *balancer, &hosts, &env, 50) {
            prop_assert!(flags[usize::from(port)]);
        }
    }
}
