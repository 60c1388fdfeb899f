use std::rc::Rc;

use nuncio_sdk::Runtime;

use super::*;
use crate::host::{HealthFlags, Host};
use crate::lb::testing::{env, group, in_zone, of_groups};
use crate::lb::{LocalCluster, ZoneRoutingRuntime};
use crate::testing::{host, port};

const UP: HealthFlags = HealthFlags::NONE;
const DOWN: HealthFlags = HealthFlags::FAILED_EDS_HEALTH;

fn hosts(ports: std::ops::Range<u16>, health: HealthFlags) -> impl Iterator<Item = Arc<Host>> {
    ports.map(move |port| host(port, 1, health))
}

/// How often the first host of the chosen list is the one of each port.
fn firsts(sources: &mut Sources, set: &Arc<PrioritySet>, env: &LbEnv, count: usize) -> Vec<u16> {
    let first = |_| port(&sources.choose(set, env).expect("a list")[0]);
    (0..count).map(first).collect()
}

fn share(ports: &[u16], port: u16) -> usize {
    ports.iter().filter(|&&p| p == port).count()
}

#[test]
fn localities_share_by_weight_and_availability() {
    let env = env(1);
    let mut sources = Sources::new(LocalityOptions::Weighted);
    // The second locality can take 1.4 * 1/2 of its weight of 10.
    let half = hosts(20..21, UP).chain(hosts(21..22, DOWN));
    let set = of_groups(&[
        group("a", 0, Some(7), hosts(10..12, UP)),
        group("b", 0, Some(10), half),
        group("c", 0, None, hosts(30..32, UP)),
    ]);
    let picked = firsts(&mut sources, &set, &env, 1400);
    assert!(
        share(&picked, 10).abs_diff(700) <= 2,
        "{}",
        share(&picked, 10)
    );
    assert!(share(&picked, 20).abs_diff(700) <= 2);
}

#[test]
fn without_any_weight_localities_do_not_matter() {
    let env = env(1);
    let mut sources = Sources::new(LocalityOptions::Weighted);
    let set = of_groups(&[
        group("a", 0, None, hosts(10..12, UP)),
        group("b", 0, None, hosts(20..22, UP)),
    ]);
    assert_eq!(sources.choose(&set, &env).unwrap().len(), 4);
}

#[test]
fn panic_takes_all_hosts_or_none() {
    let env = env(1);
    let set = of_groups(&[group("a", 0, None, hosts(1..3, DOWN))]);
    let mut sources = Sources::new(LocalityOptions::default());
    assert_eq!(sources.choose(&set, &env).unwrap().len(), 2);
    assert_eq!(env.group.counter(S::LB_HEALTHY_PANIC), 1);
    let mut sources = Sources::new(LocalityOptions::ZoneAware(ZoneAwareOptions {
        fail_traffic_on_panic: true,
        ..ZoneAwareOptions::default()
    }));
    assert!(sources.choose(&set, &env).is_none());
    assert_eq!(env.group.counter(S::LB_HEALTHY_PANIC), 2);
}

/// A proxy in zone a; proxies per zone.
fn in_zone_a(proxies: &[(&str, u16)]) -> LbEnv {
    with_runtime(&Runtime::default(), proxies)
}

fn with_runtime(runtime: &Runtime, proxies: &[(&str, u16)]) -> LbEnv {
    let local = LocalCluster::new(in_zone("a"), ZoneRoutingRuntime::new(runtime));
    let groups: Vec<_> = proxies
        .iter()
        .map(|(zone, count)| group(zone, 0, None, hosts(900..900 + count, UP)))
        .collect();
    local.set_hosts(Some(of_groups(&groups)));
    LbEnv {
        local: Rc::new(local),
        ..env(3)
    }
}

fn zone_aware(min_cluster_size: u64) -> Sources {
    Sources::new(LocalityOptions::ZoneAware(ZoneAwareOptions {
        min_cluster_size,
        ..ZoneAwareOptions::default()
    }))
}

#[test]
fn a_zone_with_capacity_keeps_everything() {
    let env = in_zone_a(&[("a", 1), ("b", 1)]);
    let set = of_groups(&[
        group("b", 0, None, hosts(20..22, UP)),
        group("a", 0, None, hosts(10..14, UP)),
    ]);
    let picked = firsts(&mut zone_aware(6), &set, &env, 50);
    assert_eq!(share(&picked, 10), 50);
    assert_eq!(env.group.counter(S::LB_ZONE_ROUTING_ALL_DIRECTLY), 50);
    assert_eq!(env.group.counter(S::LB_RECALCULATE_ZONE_STRUCTURES), 1);
}

#[test]
fn the_runtime_prevails() {
    let proxies = [("a", 1), ("b", 1)];
    let set = || {
        of_groups(&[
            group("b", 0, None, hosts(20..22, UP)),
            group("a", 0, None, hosts(10..12, UP)),
        ])
    };
    let runtime = |key: &str, value: f64| {
        let key = format!("upstream.zone_routing.{key}");
        crate::testing::runtime(&[(&key, value)])
    };
    let small = with_runtime(&runtime("min_cluster_size", 5.0), &proxies);
    firsts(&mut zone_aware(1), &set(), &small, 50);
    assert_eq!(small.group.counter(S::LB_ZONE_CLUSTER_TOO_SMALL), 1);
    let large = with_runtime(&runtime("min_cluster_size", 4.0), &proxies);
    firsts(&mut zone_aware(6), &set(), &large, 50);
    assert_eq!(large.group.counter(S::LB_ZONE_ROUTING_ALL_DIRECTLY), 50);
    let off = with_runtime(&runtime("enabled", 0.0), &proxies);
    firsts(&mut zone_aware(1), &set(), &off, 50);
    assert_eq!(off.group.counter(S::LB_ZONE_ROUTING_ALL_DIRECTLY), 0);
}

#[test]
fn what_the_zone_cannot_take_goes_where_capacity_is_left() {
    // Half of the proxies are here, but a quarter of the hosts: half of the requests stay.
    let env = in_zone_a(&[("a", 2), ("b", 2)]);
    let set = of_groups(&[
        group("a", 0, None, hosts(10..12, UP)),
        group("b", 0, None, hosts(20..26, UP)),
    ]);
    let picked = firsts(&mut zone_aware(6), &set, &env, 4000);
    assert!(
        share(&picked, 10).abs_diff(2000) < 150,
        "{}",
        share(&picked, 10)
    );
    let sampled = env.group.counter(S::LB_ZONE_ROUTING_SAMPLED);
    assert_eq!(sampled as usize, share(&picked, 10));
    let cross = env.group.counter(S::LB_ZONE_ROUTING_CROSS_ZONE);
    assert_eq!(cross as usize, share(&picked, 20));
}

#[test]
fn small_clusters_and_strange_local_clusters_are_not_zoned() {
    let set = of_groups(&[
        group("a", 0, None, hosts(10..11, UP)),
        group("b", 0, None, hosts(20..21, UP)),
    ]);
    let env = in_zone_a(&[("a", 2), ("b", 2)]);
    assert_eq!(zone_aware(6).choose(&set, &env).unwrap().len(), 2);
    assert_eq!(env.group.counter(S::LB_ZONE_CLUSTER_TOO_SMALL), 1);
    let env = in_zone_a(&[("b", 2), ("c", 2)]);
    assert_eq!(zone_aware(2).choose(&set, &env).unwrap().len(), 2);
    assert_eq!(env.group.counter(S::LB_LOCAL_CLUSTER_NOT_OK), 1);
}

#[test]
fn the_local_zone_can_be_forced() {
    let env = in_zone_a(&[("a", 3)]);
    let set = of_groups(&[
        group("a", 0, None, hosts(10..11, UP)),
        group("b", 0, None, hosts(20..29, UP)),
    ]);
    let mut sources = Sources::new(LocalityOptions::ZoneAware(ZoneAwareOptions {
        force_local_zone: Some(1),
        ..ZoneAwareOptions::default()
    }));
    assert_eq!(share(&firsts(&mut sources, &set, &env, 20), 10), 20);
}
