use std::rc::Rc;

use nuncio_stats::Store;
use proptest::prelude::*;

use super::*;
use crate::host::HealthFlags;
use crate::host_set::{LocalityGroup, PriorityOptions};
use crate::testing::{host, port};

fn env(seed: u64) -> LbEnv {
    let group = Store::new(1).group("cluster.x", ClusterStats::SCHEMA);
    LbEnv {
        random: Rc::new(Random::seeded(seed)),
        stats: group.local(),
    }
}

fn set(hosts: Vec<Arc<Host>>) -> Arc<PrioritySet> {
    let group = LocalityGroup {
        locality: Arc::default(),
        weight: None,
        priority: 0,
        hosts,
    };
    Arc::new(PrioritySet::build(&[group], PriorityOptions::default()))
}

fn picks(
    balancer: &mut dyn LoadBalancer,
    set: &Arc<PrioritySet>,
    env: &LbEnv,
    n: usize,
) -> Vec<u16> {
    let cx = LbContext::default();
    (0..n)
        .map(|_| port(&balancer.choose(set, &cx, env).unwrap()))
        .collect()
}

#[test]
fn equal_weights_take_turns_from_a_random_start() {
    let hosts = set((0..4).map(|p| host(p, 5, HealthFlags::NONE)).collect());
    let mut starts = std::collections::HashSet::new();
    for seed in 0..50 {
        let env = env(seed);
        let mut balancer = RoundRobin.build(&env.random);
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
    let mut balancer = RoundRobin.build(&env.random);
    let before = picks(&mut *balancer, &set(hosts.clone()), &env, 1)[0];
    let after = picks(&mut *balancer, &set(hosts), &env, 1)[0];
    assert_eq!((before + 1) % 4, after);
}

#[test]
fn no_hosts_no_choice() {
    let env = env(1);
    let mut balancer = RoundRobin.build(&env.random);
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
    let mut balancer = RoundRobin.build(&env.random);
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
        let mut balancer = RoundRobin.build(&env.random);
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
        let mut balancer = RoundRobin.build(&env.random);
        for port in picks(&mut *balancer, &hosts, &env, 50) {
            prop_assert!(flags[usize::from(port)]);
        }
    }
}
