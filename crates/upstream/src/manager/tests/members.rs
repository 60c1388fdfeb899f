//! Aggregate and composite clusters, whose members come, change and go.

use std::cell::Cell;

use nuncio_config::api::aggregate::ClusterConfig as AggregateConfig;
use nuncio_config::api::cluster::cluster::{
    ClusterDiscoveryType, CustomClusterType, LbPolicy as PolicyKind,
};
use nuncio_config::api::composite::{
    ClusterConfig as CompositeConfig, cluster_config::ClusterEntry,
};
use nuncio_config::api::protobuf::Any;
use proptest::prelude::*;

use prost::Message;

use super::*;
use crate::Chosen;
use crate::host_set::{LocalityGroup, PriorityOptions};
use crate::lb::members::PassOn;
use crate::lb::{Numbering, PreviousPriorities};
use crate::testing::host;

fn custom(name: &str, kind: &str, value: Vec<u8>) -> Cluster {
    Cluster {
        name: name.into(),
        lb_policy: PolicyKind::ClusterProvided.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
            name: format!("envoy.clusters.{kind}"),
            typed_config: Some(Any {
                type_url: format!(
                    "type.googleapis.com/envoy.extensions.clusters.{kind}.v3.ClusterConfig"
                ),
                value,
            }),
        })),
        ..Cluster::default()
    }
}

fn aggregate(name: &str, members: &[&str]) -> Cluster {
    let clusters = members.iter().map(ToString::to_string).collect();
    let config = AggregateConfig { clusters };
    custom(name, "aggregate", config.encode_to_vec())
}

fn composite(name: &str, members: &[&str]) -> Cluster {
    let entry = |name: &&str| ClusterEntry {
        name: name.to_string(),
    };
    let config = CompositeConfig {
        clusters: members.iter().map(entry).collect(),
    };
    custom(name, "composite", config.encode_to_vec())
}

fn with_port(name: &str, port: u16) -> Cluster {
    static_cluster(name, &[([127, 0, 0, 1], port).into()])
}

fn start(clusters: Vec<Cluster>) -> Arc<ClusterManager> {
    let manager = manager();
    let result = manager.initialize(clusters.into_iter().enumerate(), false);
    result.unwrap();
    manager
}

/// The host for one try, and the cluster it is of.
fn choose(manager: &ClusterManager, name: &str, attempt: u32) -> Option<(u16, String)> {
    let Chosen { host, member } = manager
        .on_this_thread()
        .find(name)?
        .choose_host(&LbContext {
            pass_on: Some(PassOn {
                priorities: None,
                attempt,
                hash: &|_| None,
            }),
            ..LbContext::default()
        })?;
    let member = member.map(|member| member.info().name.to_string());
    Some((port(host.host()), member.unwrap_or_default()))
}

fn chosen(manager: &ClusterManager, name: &str) -> String {
    let chosen = choose(manager, name, 1);
    chosen.map_or_else(String::new, |(port, member)| format!("{member}:{port}"))
}

fn set_flags(manager: &ClusterManager, name: &str, flags: HealthFlags) {
    for host in manager.hosts(name).unwrap().hosts() {
        host.clear_health_flags(HealthFlags::FAILED_ACTIVE_HC);
        host.set_health_flags(flags);
    }
    manager.health_changed(name);
}

#[test]
fn members_of_an_aggregate_cluster_come_change_and_go() {
    let manager = start(vec![aggregate("both", &["a", "b"])]);
    assert_eq!(manager.init_stage(), InitStage::Done, "nothing to wait for");
    assert_eq!(chosen(&manager, "both"), "");
    manager
        .add_or_update_cluster(with_port("b", 2), API)
        .unwrap();
    assert_eq!(chosen(&manager, "both"), "b:2");
    manager
        .add_or_update_cluster(with_port("a", 1), API)
        .unwrap();
    assert_eq!(chosen(&manager, "both"), "a:1");
    set_flags(&manager, "a", HealthFlags::FAILED_ACTIVE_HC);
    assert_eq!(chosen(&manager, "both"), "b:2");
    set_flags(&manager, "a", HealthFlags::NONE);
    assert_eq!(chosen(&manager, "both"), "a:1");
    manager
        .add_or_update_cluster(with_port("a", 3), API)
        .unwrap();
    assert_eq!(chosen(&manager, "both"), "a:3");
    assert!(manager.remove_cluster("a"));
    assert_eq!(chosen(&manager, "both"), "b:2");
    assert!(manager.remove_cluster("b"));
    assert_eq!(chosen(&manager, "both"), "");
    let both = manager.active_info("both").unwrap();
    assert_eq!(both.stats.counter(S::UPSTREAM_CX_NONE_HEALTHY), 2);
}

#[test]
fn an_aggregate_cluster_changes_itself() {
    let manager = start(vec![with_port("a", 1), with_port("b", 2)]);
    let update = |members: &[&str]| {
        manager
            .add_or_update_cluster(aggregate("one", members), API)
            .unwrap();
        chosen(&manager, "one")
    };
    assert_eq!(update(&["a", "b"]), "a:1");
    let before = manager.on_this_thread().find("one").unwrap();
    assert_eq!(update(&["b"]), "b:2");
    let of_old = before.choose_host(&LbContext::default()).unwrap();
    assert_eq!(port(of_old.host.host()), 1, "requests keep their version");
    assert_eq!(update(&["missing"]), "");
    assert_eq!(update(&["missing", "b", "a"]), "b:2");
    assert!(manager.remove_cluster("one"));
    assert_eq!(chosen(&manager, "one"), "");
    assert_eq!(chosen(&manager, "a"), ":1");
}

#[test]
fn only_what_concerns_it_changes_the_view() {
    let manager = start(vec![
        with_port("a", 1),
        with_port("x", 2),
        aggregate("one", &["a", "missing"]),
    ]);
    let one = manager.on_this_thread().find("one").unwrap();
    let before = one.host_sets();
    set_flags(&manager, "x", HealthFlags::FAILED_ACTIVE_HC);
    manager
        .add_or_update_cluster(with_port("y", 3), API)
        .unwrap();
    assert!(Arc::ptr_eq(&one.host_sets(), &before));
    set_flags(&manager, "a", HealthFlags::FAILED_ACTIVE_HC);
    assert!(!Arc::ptr_eq(&one.host_sets(), &before));
}

#[test]
fn hosts_and_pools_are_the_member_s() {
    let manager = start(vec![with_port("a", 1), aggregate("one", &["a"])]);
    let here = manager.on_this_thread();
    let host = |name: &str| {
        let cluster = here.find(name).unwrap();
        cluster.choose_host(&LbContext::default()).unwrap().host
    };
    assert!(Rc::ptr_eq(&host("one"), &host("a")));
    assert!(manager.hosts("one").unwrap().is_empty());
    let one = manager.active_info("one").unwrap();
    assert_eq!(one.stats.gauge(S::MEMBERSHIP_TOTAL), 0);
}

#[test]
fn each_try_goes_to_the_next_cluster_that_has_hosts() {
    let manager = start(vec![
        composite("c", &["a", "missing", "empty", "b"]),
        with_port("a", 1),
        static_cluster("empty", &[]),
        with_port("b", 2),
    ]);
    let tries = |manager: &ClusterManager| -> Vec<_> {
        let tries = (0..6).map(|attempt| choose(manager, "c", attempt));
        tries.map(|it| it.map_or(0, |(port, _)| port)).collect()
    };
    assert_eq!(tries(&manager), [0, 1, 2, 2, 2, 0]);
    manager
        .add_or_update_cluster(with_port("missing", 3), API)
        .unwrap();
    assert_eq!(tries(&manager), [0, 1, 3, 2, 2, 0]);
    assert!(manager.remove_cluster("missing"));
    assert_eq!(tries(&manager), [0, 1, 2, 2, 2, 0]);
}

#[test]
fn clusters_that_name_themselves_are_passed_over() {
    let manager = start(vec![
        composite("self", &["self", "a"]),
        composite("x", &["y", "a"]),
        composite("y", &["x"]),
        aggregate("ring", &["ring", "of_ring", "a"]),
        aggregate("of_ring", &["ring"]),
        composite("mixed", &["ring"]),
        with_port("a", 1),
    ]);
    for name in ["self", "x", "ring", "mixed"] {
        assert_eq!(chosen(&manager, name), "a:1", "{name}");
    }
    // An aggregate cluster asks nobody but clusters with hosts.
    assert_eq!(chosen(&manager, "of_ring"), "");
    assert_eq!(chosen(&manager, "y"), "a:1", "by x");
}

#[test]
fn retries_look_in_priorities_of_all_members() {
    let manager = start(vec![
        with_port("a", 1),
        with_port("b", 2),
        with_port("c", 3),
        aggregate("all", &["a", "b", "c"]),
    ]);
    let all = manager.on_this_thread().find("all").unwrap();
    let mut previous = PreviousPriorities::new(1);
    let ports: Vec<u16> = (0..5)
        .map(|_| {
            let loads = previous
                .loads(&all.host_sets(), Numbering::ByPlace)
                .cloned();
            let cx = LbContext {
                loads: loads.as_ref(),
                ..LbContext::default()
            };
            let host = all.choose_host(&cx).unwrap().host;
            previous.on_host_attempted(host.host());
            port(host.host())
        })
        .collect();
    assert_eq!(ports, [1, 2, 3, 1, 2]);
}

#[test]
fn the_hash_is_asked_for_by_members_that_hash() {
    let mut ring = static_cluster("ring", &[([127, 0, 0, 1], 1).into()]);
    ring.lb_policy = PolicyKind::RingHash.into();
    let manager = start(vec![
        ring,
        with_port("plain", 2),
        aggregate("hashed", &["ring"]),
        aggregate("unhashed", &["plain"]),
    ]);
    for (name, count) in [("hashed", 1), ("unhashed", 0)] {
        let asked = Cell::new(0);
        let cluster = manager.on_this_thread().find(name).unwrap();
        assert!(cluster.passes_on() && !cluster.info().lb.needs_hash());
        let chosen = cluster.choose_host(&LbContext {
            pass_on: Some(PassOn {
                priorities: None,
                attempt: 1,
                hash: &|policy| {
                    assert!(policy.needs_hash());
                    asked.set(asked.get() + 1);
                    Some(7)
                },
            }),
            ..LbContext::default()
        });
        assert!(chosen.is_some());
        assert_eq!(asked.get(), count, "{name}");
    }
}

/// One priority of a cluster: how many hosts are healthy, degraded, unhealthy.
type Counts = (usize, usize, usize);

fn groups(counts: &[Counts]) -> Vec<LocalityGroup> {
    let group = |(priority, &(up, poor, down)): (usize, &Counts)| {
        let all = [
            (HealthFlags::NONE, up),
            (HealthFlags::DEGRADED_EDS_HEALTH, poor),
            (HealthFlags::FAILED_EDS_HEALTH, down),
        ];
        let hosts = all
            .into_iter()
            .flat_map(|(flags, count)| (0..count).map(move |_| host(1, 1, flags)));
        LocalityGroup {
            locality: Arc::default(),
            weight: None,
            priority: priority as u32,
            hosts: hosts.collect(),
        }
    };
    counts.iter().enumerate().map(group).collect()
}

/// Clusters with their priorities, each with its factor of overprovisioning.
fn clusters() -> impl Strategy<Value = Vec<(Vec<Counts>, u32)>> {
    let counts = (0..4_usize, 0..3_usize, 0..4_usize);
    let cluster = (prop::collection::vec(counts, 1..4), 100..200_u32);
    prop::collection::vec(cluster, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn priorities_end_to_end_share_as_those_of_one_cluster(
        clusters in clusters(), same_factor in any::<bool>(), panic_threshold in 0..=100_u32,
    ) {
        let options = |factor: u32| PriorityOptions {
            overprovisioning_factor: if same_factor { 140 } else { factor },
            ..PriorityOptions::default()
        };
        let sets = clusters.iter().flat_map(|(counts, factor)| {
            let hosts = PrioritySet::build(&groups(counts), options(*factor));
            hosts.sets().to_vec()
        });
        let sets: Vec<_> = sets.filter(|set| !set.all.is_empty()).collect();
        let count = sets.len();
        let Some(joined) = PrioritySet::end_to_end(sets, panic_threshold) else {
            prop_assert_eq!(count, 0);
            return Ok(());
        };
        let share = |at| joined.loads().share(at);
        let total: u32 = (0..count).map(|at| u32::from(share(at).healthy) + u32::from(share(at).degraded)).sum();
        prop_assert_eq!(total, 100);
        let mut drawn = vec![0_u32; count];
        for point in 0..100 {
            let (at, degraded) = joined.loads().draw(|| point);
            let share = share(at);
            let load = if degraded { share.degraded } else { share.healthy };
            prop_assert!(load > 0);
            drawn[at] += 1;
        }
        for (at, times) in drawn.into_iter().enumerate() {
            prop_assert_eq!(times, u32::from(share(at).healthy) + u32::from(share(at).degraded));
        }
        if same_factor {
            let all: Vec<Counts> = clusters
                .iter()
                .flat_map(|(counts, _)| counts.iter().copied())
                .filter(|(up, poor, down)| up + poor + down > 0)
                .collect();
            let one = PrioritySet::build(
                &groups(&all),
                PriorityOptions { panic_threshold, ..options(0) },
            );
            for at in 0..count {
                prop_assert_eq!(share(at), one.loads().share(at));
            }
        }
    }
}
