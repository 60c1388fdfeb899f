use proptest::prelude::*;
use std::sync::atomic::Ordering::Relaxed;
use twox_hash::XxHash64;

use super::maglev::Maglev;
use super::ring::{HashFunction, RingHash};
use super::*;
use crate::host::HealthFlags;
use crate::lb::testing::{env, group, of_groups, one_priority};
use crate::stats::{MaglevStats, RingHashStats};
use crate::testing::{host, port};

fn hosts(ports: impl Iterator<Item = u16>) -> Arc<PrioritySet> {
    one_priority(ports.map(|port| host(port, 1, HealthFlags::NONE)))
}

fn find(policy: &Arc<impl MakeTable>, set: &Arc<PrioritySet>, hash: u64, env: &LbEnv) -> u16 {
    let cx = LbContext {
        hash: Some(hash),
        ..LbContext::default()
    };
    let mut balancer = policy.clone().build(&env.random);
    port(&balancer.choose(set, &cx, env).expect("a host"))
}

/// The first numbers are hashes of their own.
fn hashes(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|number| XxHash64::oneshot(0, &number.to_le_bytes()))
}

/// Vector of Envoy's `hash_test.cc`.
#[test]
fn xxhash_is_envoys() {
    assert_eq!(XxHash64::oneshot(0, b"foo"), 3_728_699_739_546_630_719);
}

/// Envoy's `ring_hash_lb_test.cc`, `Basic`: twelve places of six hosts, and the hosts at and behind some of them.
#[test]
fn the_ring_of_envoys_own_test() {
    let env = env(1);
    let policy = Arc::new(RingHash {
        min_size: 12,
        ..RingHash::default()
    });
    let set = hosts(90..96);
    for (hash, wanted) in [
        (0, 94),
        (u64::MAX, 94),
        (3_551_244_743_356_806_947, 95),
        (3_551_244_743_356_806_948, 93),
    ] {
        assert_eq!(find(&policy, &set, hash, &env), wanted, "{hash}");
    }
    let stats = env.group.subgroup("ring_hash_lb", RingHashStats::SCHEMA);
    assert_eq!(stats.gauge(RingHashStats::SIZE), 12);
    assert_eq!(stats.gauge(RingHashStats::MIN_HASHES_PER_HOST), 2);
    assert_eq!(stats.gauge(RingHashStats::MAX_HASHES_PER_HOST), 2);
}

/// Envoy's `BasicWithMurmur2`.
#[test]
fn the_murmur_ring_of_envoys_own_test() {
    let env = env(1);
    let policy = Arc::new(RingHash {
        min_size: 12,
        function: HashFunction::Murmur2,
        ..RingHash::default()
    });
    let set = hosts(80..86);
    for (hash, wanted) in [
        (0, 85),
        (1_358_027_074_129_602_068, 85),
        (1_358_027_074_129_602_069, 83),
    ] {
        assert_eq!(find(&policy, &set, hash, &env), wanted, "{hash}");
    }
}

/// Envoy's `maglev_lb_test.cc`, `Basic`.
#[test]
fn the_table_of_envoys_own_test() {
    let env = env(1);
    let policy = Arc::new(Maglev {
        table_size: 7,
        ..Maglev::default()
    });
    let set = hosts(90..96);
    let found: Vec<u16> = (0..7).map(|hash| find(&policy, &set, hash, &env)).collect();
    assert_eq!(found, [92, 94, 90, 91, 95, 90, 93]);
    let stats = env.group.subgroup("maglev_lb", MaglevStats::SCHEMA);
    assert_eq!(stats.gauge(MaglevStats::MIN_ENTRIES_PER_HOST), 1);
    assert_eq!(stats.gauge(MaglevStats::MAX_ENTRIES_PER_HOST), 2);
}

#[test]
fn a_host_that_was_tried_is_passed_over() {
    let env = env(1);
    let set = hosts(1..9);
    let (ring, maglev) = (Arc::new(RingHash::default()), Arc::new(Maglev::default()));
    let mut balancers = [ring.build(&env.random), maglev.build(&env.random)];
    for balancer in &mut balancers {
        let cx = LbContext {
            hash: Some(77),
            ..LbContext::default()
        };
        let tried = [balancer.choose(&set, &cx, &env).unwrap().into_owned()];
        let again = LbContext {
            attempted: &tried,
            max_reselections: 100,
            ..cx
        };
        let second = balancer.choose(&set, &again, &env).unwrap();
        assert!(!Arc::ptr_eq(&second, &tried[0]));
    }
}

#[test]
fn a_busy_host_passes_requests_on_always_to_the_same() {
    let env = env(1);
    let policy = Arc::new(RingHash {
        hashing: HashingOptions {
            balance_factor: Some(150),
            ..HashingOptions::default()
        },
        ..RingHash::default()
    });
    let set = hosts(1..5);
    let first = find(&policy, &set, 42, &env);
    let busy = set.hosts().find(|host| port(host) == first).unwrap();
    busy.stats().rq_active.store(10, Relaxed);
    env.stats.gauge_add(S::UPSTREAM_RQ_ACTIVE, 10);
    let second = find(&policy, &set, 42, &env);
    assert_ne!(first, second);
    assert_eq!(find(&policy, &set, 42, &env), second);
}

#[test]
fn a_priority_that_has_not_changed_keeps_its_table() {
    let env = env(1);
    let policy = Maglev::default();
    let spare = host(9, 1, HealthFlags::NONE);
    let groups = [
        group("", 0, None, (0..4).map(|p| host(p, 1, HealthFlags::NONE))),
        group("", 1, None, [spare.clone()].into_iter()),
    ];
    let before = of_groups(&groups);
    let old = policy.derive(&before, None, &env.group).unwrap();
    spare.set_health_flags(HealthFlags::FAILED_EDS_HEALTH);
    let after = before.rebuilt(before.options());
    let new = policy.derive(&after, Some(&old), &env.group).unwrap();
    let tables = |derived: &Derived, priority: usize| {
        derived.downcast_ref::<Tables>().unwrap().by_priority[priority].clone()
    };
    assert!(Arc::ptr_eq(&tables(&old, 0), &tables(&new, 0)));
    assert!(!Arc::ptr_eq(&tables(&old, 1), &tables(&new, 1)));
}

#[test]
fn localities_of_no_weight_get_nothing() {
    let hosts = || (10..12).map(|p| host(p, 1, HealthFlags::NONE));
    let shares = |weights: [Option<u32>; 2]| {
        let groups = [
            group("a", 0, weights[0], hosts()),
            group("b", 0, weights[1], hosts()),
        ];
        Shares::of(&of_groups(&groups).sets()[0], false, true)
            .hosts
            .len()
    };
    assert_eq!(shares([Some(0), Some(2)]), 2);
    assert_eq!(shares([Some(0), Some(0)]), 0);
    assert_eq!(shares([None, None]), 4, "nobody asks for weights");
}

#[test]
fn localities_weigh_when_told_to() {
    let env = env(1);
    let set = of_groups(&[
        group(
            "a",
            0,
            Some(1),
            (10..12).map(|p| host(p, 1, HealthFlags::NONE)),
        ),
        group(
            "b",
            0,
            Some(3),
            (20..22).map(|p| host(p, 1, HealthFlags::NONE)),
        ),
    ]);
    let policy = Arc::new(Maglev {
        hashing: HashingOptions {
            locality_weighted: true,
            ..HashingOptions::default()
        },
        ..Maglev::default()
    });
    let in_b = hashes(4000)
        .filter(|hash| find(&policy, &set, *hash, &env) >= 20)
        .count();
    assert!((2900..3100).contains(&in_b), "{in_b}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn shares_follow_weights(weights in prop::collection::vec(1u32..=10, 2..8)) {
        let env = env(1);
        let ports = weights.iter().enumerate();
        let set = one_priority(ports.map(|(p, w)| host(p as u16, *w, HealthFlags::NONE)));
        let total: u32 = weights.iter().sum();
        let ring = Arc::new(RingHash { min_size: 65_536, ..RingHash::default() });
        let maglev = Arc::new(Maglev::default());
        let other = one_priority(set.hosts().cloned());
        let mut counts = vec![(0i64, 0i64); weights.len()];
        for hash in hashes(5000) {
            counts[usize::from(find(&ring, &set, hash, &env))].0 += 1;
            counts[usize::from(find(&maglev, &other, hash, &env))].1 += 1;
        }
        for ((ring, maglev), weight) in counts.iter().zip(&weights) {
            let wanted = i64::from(5000 * weight / total);
            prop_assert!((ring - wanted).abs() < 250, "{ring} of {wanted}");
            prop_assert!((maglev - wanted).abs() < 250, "{maglev} of {wanted}");
        }
    }

    #[test]
    fn removing_a_host_moves_little_else(count in 3u16..20, gone in 0u16..20) {
        let gone = gone % count;
        let env = env(1);
        let (all, rest) = (hosts(0..count), hosts((0..count).filter(|port| *port != gone)));
        let (all_too, rest_too) = (hosts(0..count), hosts((0..count).filter(|port| *port != gone)));
        let (ring, maglev) = (Arc::new(RingHash { min_size: 4096, ..RingHash::default() }), Arc::new(Maglev::default()));
        let mut moved = (0, 0);
        for hash in hashes(2000) {
            let (old, new) = (find(&ring, &all, hash, &env), find(&ring, &rest, hash, &env));
            moved.0 += u32::from(old != gone && old != new);
            let (old, new) = (find(&maglev, &all_too, hash, &env), find(&maglev, &rest_too, hash, &env));
            moved.1 += u32::from(old != gone && old != new);
        }
        // The other hosts get more places, since the ring's size stays; Maglev moves some by its nature.
        prop_assert!(moved.0 < 2000 / u32::from(count) + 60, "ring: {}", moved.0);
        prop_assert!(moved.1 < 300, "maglev: {}", moved.1);
    }
}
