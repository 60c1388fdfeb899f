//! What holds for every policy, as `load_balancing_policy` has it, alone and in others: who may be chosen, and how often.

use std::collections::{BTreeMap, BTreeSet};

use nuncio_config::any;
use nuncio_config::api::client_side_weighted_round_robin::ClientSideWeightedRoundRobin;
use nuncio_config::api::cluster::{Cluster, LoadBalancingPolicy, load_balancing_policy::Policy};
use nuncio_config::api::contrib::PeakEwma;
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::least_request::{LeastRequest, least_request::SelectionMethod};
use nuncio_config::api::load_aware_locality::LoadAwareLocality;
use nuncio_config::api::maglev::Maglev;
use nuncio_config::api::override_host::{OverrideHost, override_host::OverrideHostSource};
use nuncio_config::api::protobuf::{Any, UInt32Value, UInt64Value};
use nuncio_config::api::random::Random as RandomMessage;
use nuncio_config::api::ring_hash::{RingHash, ring_hash::HashFunction};
use nuncio_config::api::round_robin::RoundRobin;
use nuncio_config::api::subset::{Subset, subset::LbSubsetFallbackPolicy};
use nuncio_config::api::wrr_locality::WrrLocality;
use std::sync::Arc;

use super::testing::{env, group, of_groups, one_priority};
use super::{LbContext, LbPolicy};
use crate::convert::{SharedParts, compile};
use crate::host::{HealthFlags, Host};
use crate::host_set::{LocalityGroup, PrioritySet};
use crate::random::Random;
use crate::testing::{below, host, port, run_paused, seeded, static_cluster};

fn one(config: Any) -> LoadBalancingPolicy {
    LoadBalancingPolicy {
        policies: vec![Policy {
            typed_extension_config: Some(TypedExtensionConfig {
                name: "p".into(),
                typed_config: Some(config),
            }),
        }],
    }
}

fn made(config: Any) -> Arc<dyn LbPolicy> {
    let cluster = Cluster {
        load_balancing_policy: Some(one(config)),
        ..static_cluster("a", &[([127, 0, 0, 1], 80).into()])
    };
    compile(cluster, &SharedParts::default()).unwrap().lb
}

fn in_subset(child: Any) -> Any {
    any::pack(&Subset {
        fallback_policy: LbSubsetFallbackPolicy::AnyEndpoint.into(),
        subset_lb_policy: Some(one(child)),
        ..Subset::default()
    })
}

fn behind_list(child: Any) -> Any {
    any::pack(&OverrideHost {
        override_host_sources: vec![OverrideHostSource {
            header: "x-host".into(),
            ..OverrideHostSource::default()
        }],
        fallback_policy: Some(one(child)),
        ..OverrideHost::default()
    })
}

fn in_locality(child: Any) -> Any {
    any::pack(&LoadAwareLocality {
        endpoint_picking_policy: Some(one(child)),
        ..LoadAwareLocality::default()
    })
}

/// Every policy that chooses hosts of its cluster.
fn plain() -> Vec<(&'static str, Any)> {
    let scan = LeastRequest {
        selection_method: SelectionMethod::FullScan.into(),
        ..LeastRequest::default()
    };
    let murmur = RingHash {
        hash_function: HashFunction::MurmurHash2.into(),
        ..RingHash::default()
    };
    // Tables are made often here.
    let maglev = Maglev {
        table_size: Some(UInt64Value { value: 1009 }),
        ..Maglev::default()
    };
    let client_side = any::pack(&ClientSideWeightedRoundRobin::default());
    vec![
        ("round robin", any::pack(&RoundRobin::default())),
        ("least request", any::pack(&LeastRequest::default())),
        ("full scan", any::pack(&scan)),
        ("random", any::pack(&RandomMessage::default())),
        ("ring", any::pack(&RingHash::default())),
        ("murmur ring", any::pack(&murmur)),
        ("maglev", any::pack(&maglev)),
        (
            "wrr_locality",
            any::pack(&WrrLocality {
                endpoint_picking_policy: Some(one(client_side.clone())),
            }),
        ),
        ("client side", client_side),
        ("peak ewma", any::pack(&PeakEwma::default())),
    ]
}

/// The same, and each of them in those that take others.
fn all() -> Vec<(String, Any)> {
    let nested = plain().into_iter().flat_map(|(name, config)| {
        [
            (name.to_owned(), config.clone()),
            (format!("{name} in a subset"), in_subset(config.clone())),
            (format!("{name} behind a list"), behind_list(config.clone())),
            (
                format!("{name} in a subset behind a list"),
                behind_list(in_subset(config)),
            ),
        ]
    });
    let aware = ["round robin", "random", "full scan", "ring", "peak ewma"].map(|wanted| {
        let (_, child) = plain()
            .into_iter()
            .find(|(name, _)| *name == wanted)
            .unwrap();
        (format!("{wanted} by load of places"), in_locality(child))
    });
    nested.chain(aware).collect()
}

fn is_hashed(name: &str) -> bool {
    name.contains("ring") || name.contains("maglev")
}

/// Some flags: healthy most of the time.
fn some_health(random: &Random) -> HealthFlags {
    match below(random, 6) {
        0 => HealthFlags::FAILED_EDS_HEALTH,
        1 => HealthFlags::FAILED_ACTIVE_HC,
        2 => HealthFlags::DEGRADED_EDS_HEALTH,
        _ => HealthFlags::NONE,
    }
}

/// Who may be chosen, told by Envoy's documentation of priorities, degraded hosts and panic, and not as the code has it: with an
/// overprovisioning factor of 1.4 and a panic threshold of one half.
struct Allowed {
    ports: BTreeSet<u16>,
    /// Every way leads to a host.
    always: bool,
}

impl Allowed {
    /// `hashed`: policies with tables make them of healthy hosts only, as in Envoy.
    fn of(groups: &[LocalityGroup], hashed: bool) -> Self {
        let last = groups.iter().map(|group| group.priority).max().unwrap_or(0);
        let of_priority = |priority: u32| -> Vec<&Arc<Host>> {
            let groups = groups.iter().filter(|group| group.priority == priority);
            groups.flat_map(|group| &group.hosts).collect()
        };
        let ill = HealthFlags::FAILED_EDS_HEALTH.with(HealthFlags::FAILED_ACTIVE_HC);
        let is_ill = |host: &&&Arc<Host>| host.health_flags().intersects(ill);
        let is_degraded =
            |host: &&&Arc<Host>| !is_ill(host) && host.health_flags() != HealthFlags::NONE;
        let is_well = |host: &&&Arc<Host>| host.health_flags() == HealthFlags::NONE;
        let share = |part: usize, of: usize| match of {
            0 => 0,
            of => (140 * part / of).min(100),
        };
        let priorities: Vec<_> = (0..=last)
            .map(|priority| {
                let hosts = of_priority(priority);
                let well = hosts.iter().filter(is_well).count();
                let degraded = hosts.iter().filter(is_degraded).count();
                let total = hosts.len();
                (
                    hosts,
                    share(well, total),
                    share(degraded, total),
                    well + degraded,
                )
            })
            .collect();
        let capacity: usize = priorities.iter().map(|p| p.1 + p.2).sum();
        let capacity = capacity.min(100);
        let panics = |hosts: &[&Arc<Host>], available: usize| {
            capacity < 100 && (hosts.is_empty() || 2 * available < hosts.len())
        };
        let all_panic = priorities.iter().all(|p| panics(&p.0, p.3));
        let mut ports = BTreeSet::new();
        let mut always = true;
        let mut take = |hosts: Vec<&&Arc<Host>>| {
            always &= !hosts.is_empty();
            ports.extend(hosts.iter().map(|host| port(host)));
        };
        let mut healthy_left = 100;
        for (hosts, healthy, _, available) in &priorities {
            let load = match capacity {
                0 => 0,
                capacity => (healthy * 100 / capacity).min(healthy_left),
            };
            healthy_left -= load;
            if all_panic {
                if !hosts.is_empty() {
                    take(hosts.iter().collect());
                }
            } else if load > 0 {
                match panics(hosts, *available) {
                    true => take(hosts.iter().collect()),
                    false => take(hosts.iter().filter(is_well).collect()),
                }
            }
        }
        let mut left = healthy_left;
        for (hosts, _, degraded, available) in &priorities {
            let load = match capacity {
                0 => 0,
                capacity => (degraded * 100 / capacity).min(left),
            };
            left -= load;
            if load > 0 && !all_panic {
                match (panics(hosts, *available), hashed) {
                    (true, _) => take(hosts.iter().collect()),
                    (false, true) => take(hosts.iter().filter(is_well).collect()),
                    (false, false) => take(hosts.iter().filter(is_degraded).collect()),
                }
            }
        }
        always &= !ports.is_empty();
        Self { ports, always }
    }
}

/// Random places, priorities, weights and health.
fn some_groups(random: &Random) -> Vec<LocalityGroup> {
    let mut number = 0;
    let groups = 1 + below(random, 4);
    (0..groups)
        .map(|index| {
            let count = below(random, 5) + u64::from(index == 0);
            let zone = ["a", "b"][below(random, 2) as usize];
            let priority = match index {
                0 => 0,
                _ => below(random, 3) as u32,
            };
            let hosts: Vec<_> = (0..count)
                .map(|_| {
                    number += 1;
                    host(number, 1 + below(random, 4) as u32, some_health(random))
                })
                .collect();
            group(zone, priority, None, hosts.into_iter())
        })
        .collect()
}

/// Whoever is chosen may be, and somebody is wherever somebody may be; hosts fall ill and recover, and come and go. `NUNCIO_SEED`
/// chooses one run, which a failure names.
#[test]
fn only_hosts_that_the_rules_allow_are_chosen() {
    let policies: Vec<_> = all()
        .into_iter()
        .map(|(name, config)| (made(config), name))
        .collect();
    run_paused(async move {
        seeded(12, |random, seed| {
            let env = env(random.next());
            let mut groups = some_groups(&random);
            let mut hosts = of_groups(&groups);
            let mut balancers: Vec<_> = policies
                .iter()
                .map(|(policy, _)| policy.clone().build(&env.random))
                .collect();
            for step in 0..5 {
                let mut seen: BTreeMap<bool, Allowed> = BTreeMap::new();
                for ((_, name), balancer) in policies.iter().zip(&mut balancers) {
                    let hashed = is_hashed(name);
                    let Allowed { ports, always } = seen
                        .entry(hashed)
                        .or_insert_with(|| Allowed::of(&groups, hashed));
                    // What a policy makes of hosts hangs on them, so each gets a set of its own.
                    let hosts = Arc::new(hosts.rebuilt(hosts.options()));
                    for number in 0..25 {
                        let cx = LbContext {
                            hash: Some(random.next()),
                            ..LbContext::default()
                        };
                        let chosen = balancer.choose(&hosts, &cx, &env).map(|host| port(&host));
                        let what = || {
                            let health: Vec<_> = hosts
                                .hosts()
                                .map(|host| (port(host), host.priority(), host.health_flags()))
                                .collect();
                            format!("seed {seed}, step {step}.{number}: {name} of {health:?}")
                        };
                        match chosen {
                            Some(port) => {
                                assert!(ports.contains(&port), "{port} of {ports:?}; {}", what());
                            }
                            None => assert!(!*always, "nobody of {ports:?}; {}", what()),
                        }
                    }
                }
                // Somebody falls ill, recovers, comes or goes.
                match below(&random, 4) {
                    0 => {
                        let at = below(&random, groups.len() as u64) as usize;
                        let number = 100 + step as u16;
                        groups[at].hosts.push(host(number, 1, some_health(&random)));
                        hosts = of_groups(&groups);
                    }
                    1 => {
                        let at = below(&random, groups.len() as u64) as usize;
                        groups[at].hosts.pop();
                        hosts = of_groups(&groups);
                    }
                    _ => {
                        let all: Vec<_> = hosts.hosts().cloned().collect();
                        if !all.is_empty() {
                            let it = &all[below(&random, all.len() as u64) as usize];
                            it.clear_health_flags(
                                HealthFlags::FAILED_EDS_HEALTH
                                    .with(HealthFlags::FAILED_ACTIVE_HC)
                                    .with(HealthFlags::DEGRADED_EDS_HEALTH),
                            );
                            it.set_health_flags(some_health(&random));
                        }
                        // Sorted anew in place of made anew: it must come to the same.
                        let sorted = Arc::new(hosts.sorted_anew(hosts.options()));
                        assert_same(&sorted, &of_groups(&groups), seed);
                        hosts = sorted;
                    }
                }
            }
        });
    });
}

fn assert_same(one: &PrioritySet, other: &PrioritySet, seed: u64) {
    let lists = |set: &PrioritySet| -> Vec<Vec<u16>> {
        let sets = set.sets().iter();
        let lists = sets.flat_map(|set| [&set.all, &set.healthy, &set.degraded]);
        lists
            .map(|list| list.iter().map(|host| port(host)).collect())
            .collect()
    };
    assert_eq!(lists(one), lists(other), "seed {seed}");
    let priorities = 0..one.sets().len();
    for priority in priorities {
        assert_eq!(
            one.loads().share(priority),
            other.loads().share(priority),
            "seed {seed}"
        );
    }
}

/// How often each of the hosts 0, 1 … is chosen.
fn counts(policy: &Arc<dyn LbPolicy>, hosts: &Arc<PrioritySet>, picks: u64, seed: u64) -> Vec<u64> {
    let env = env(seed);
    let mut balancer = policy.clone().build(&env.random);
    let mut counts = vec![0; hosts.len()];
    for number in 0..picks {
        let cx = LbContext {
            hash: Some(Random::seeded(number).next()),
            ..LbContext::default()
        };
        let host = balancer.choose(hosts, &cx, &env).unwrap();
        counts[usize::from(port(&host))] += 1;
    }
    counts
}

/// How often a host of this weight is the heavier of two different ones, of equals the first.
fn share_of_pairs(weight: u32, weights: &[u32]) -> f64 {
    let lighter = weights.iter().filter(|other| **other < weight).count();
    let equal = weights.iter().filter(|other| **other == weight).count() - 1;
    (2 * lighter + equal) as f64 / (weights.len() * (weights.len() - 1)) as f64
}

/// Shares follow the weights wherever the policy looks at them; otherwise all are equal. Of two hosts of which nothing is known
/// peak EWMA takes the one that weighs more.
#[test]
fn shares_follow_weights() {
    run_paused(async {
        seeded(3, |random, seed| {
            let weights: Vec<u32> = (0..2 + below(&random, 5))
                .map(|_| 1 + below(&random, 6) as u32)
                .collect();
            let total: u32 = weights.iter().sum();
            for (name, config) in all() {
                let hosts = one_priority(
                    weights
                        .iter()
                        .enumerate()
                        .map(|(p, weight)| host(p as u16, *weight, HealthFlags::NONE)),
                );
                let blind = name.contains("random");
                let rounds = 30;
                let picks = u64::from(total * rounds);
                let found = counts(&made(config), &hosts, picks, random.next());
                let turns = name.contains("round robin")
                    || name.contains("least request") && !weights.iter().all(|w| *w == weights[0]);
                for (weight, found) in weights.iter().zip(&found) {
                    let wanted = match blind {
                        true => picks as f64 / weights.len() as f64,
                        false if name.contains("peak ewma") => {
                            picks as f64 * share_of_pairs(*weight, &weights)
                        }
                        false => f64::from(weight * rounds),
                    };
                    // Turns are exact; tables and draws follow the law of large numbers.
                    let room = match turns {
                        true => 2.0,
                        false => 6.0 * wanted.sqrt() + 0.1 * wanted,
                    };
                    let off = (*found as f64 - wanted).abs();
                    assert!(
                        off <= room,
                        "seed {seed}, {name}: {found} of {wanted} by {weights:?}"
                    );
                }
            }
        });
    });
}

/// Where each host has as many places as it weighs, a key moves only to a host that joins, and only from one that leaves.
#[test]
fn keys_of_a_ring_move_only_with_the_host() {
    seeded(40, |random, seed| {
        let policy = made(any::pack(&RingHash {
            hash_function: 1 + below(&random, 2) as i32,
            minimum_ring_size: Some(UInt64Value { value: 1 }),
            ..RingHash::default()
        }));
        let weight = |port: u16| 1 + u32::from(port) % 3;
        let count = 2 + below(&random, 20) as u16;
        // Number 0 weighs 1 and stays, or all the others would get more places.
        let gone = 1 + below(&random, u64::from(count) - 1) as u16;
        let set = |leave: Option<u16>| {
            let ports = (0..count).filter(|port| Some(*port) != leave);
            one_priority(ports.map(|port| host(port, weight(port), HealthFlags::NONE)))
        };
        let (all, rest) = (set(None), set(Some(gone)));
        let env = env(1);
        let mut balancer = policy.build(&env.random);
        for _ in 0..300 {
            let cx = LbContext {
                hash: Some(random.next()),
                ..LbContext::default()
            };
            let mut find = |set| port(&balancer.choose(set, &cx, &env).unwrap());
            let (with, without) = (find(&all), find(&rest));
            assert!(
                with == without || with == gone,
                "seed {seed}: {gone} of {count}, {with} and {without}"
            );
        }
    });
}

/// What was told of the next hosts is what comes.
#[test]
fn hosts_that_were_told_ahead_are_chosen() {
    seeded(4, |random, seed| {
        let weights: Vec<u32> = (0..1 + below(&random, 5))
            .map(|_| 1 + below(&random, 3) as u32)
            .collect();
        for (name, config) in all() {
            let env = env(random.next());
            let hosts = one_priority(
                weights
                    .iter()
                    .enumerate()
                    .map(|(p, weight)| host(p as u16, *weight, HealthFlags::NONE)),
            );
            let mut balancer = made(config).build(&env.random);
            let ahead = below(&random, 3) as usize;
            let told: Vec<_> = (0..=ahead)
                .map_while(|ahead| balancer.peek(&hosts, ahead, &env).map(|host| port(host)))
                .collect();
            for told in told {
                let found = port(
                    &balancer
                        .choose(&hosts, &LbContext::default(), &env)
                        .unwrap(),
                );
                assert_eq!(found, told, "seed {seed}: {name} of {weights:?}");
            }
        }
    });
}

/// A policy with choices of three looks at more hosts than with two, and is then less often wrong.
#[test]
fn more_choices_meet_busy_hosts_less_often() {
    let busy = |choices: u32| {
        let hosts = one_priority((0..10).map(|p| host(p, 1, HealthFlags::NONE)));
        for host in hosts.hosts().take(5) {
            let active = &host.stats().rq_active;
            active.store(9, std::sync::atomic::Ordering::Relaxed);
        }
        let policy = made(any::pack(&LeastRequest {
            choice_count: Some(UInt32Value { value: choices }),
            ..LeastRequest::default()
        }));
        let found = counts(&policy, &hosts, 8000, 1);
        found[..5].iter().sum::<u64>()
    };
    for (choices, wanted) in [(2, 2000), (3, 1000), (6, 125)] {
        let met = busy(choices);
        assert!(met.abs_diff(wanted) < 150, "{choices}: {met} of {wanted}");
    }
}
