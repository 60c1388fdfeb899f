//! What a choice costs among 10,000 hosts, by policy, and what rings and tables cost to build.
//!
//! `cargo run --release -p nuncio-upstream --example balancers` prints both in nanoseconds. With a policy's name and a number
//! of choices it makes these only, for callgrind (`cargo xtask bench instructions`); with `tables`, only tables.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use nuncio_config::any;
use nuncio_config::api::client_side_weighted_round_robin::ClientSideWeightedRoundRobin;
use nuncio_config::api::cluster::{
    Cluster, LoadBalancingPolicy, cluster::LbPolicy, load_balancing_policy::Policy,
};
use nuncio_config::api::contrib::PeakEwma;
use nuncio_config::api::core::{
    Address, SocketAddress, TypedExtensionConfig, address, socket_address::PortSpecifier,
};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use nuncio_config::api::maglev::Maglev;
use nuncio_config::api::protobuf::{Any, UInt32Value, UInt64Value};
use nuncio_config::api::ring_hash::RingHash;
use nuncio_event::Dispatchers;
use nuncio_sdk::{ClusterNames, Extensions, LocalInfo, ServerContext, Services};
use nuncio_stats::Store;
use nuncio_upstream::lb::LbContext;
use nuncio_upstream::{ClusterManager, WorkerCluster};

/// How a cluster balances.
enum Kind {
    Legacy(LbPolicy),
    Extension(Any),
}

fn endpoint(index: u32, is_weighted: bool) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(address::Address::SocketAddress(SocketAddress {
                    address: format!("10.0.{}.{}", index / 256, index % 256),
                    port_specifier: Some(PortSpecifier::PortValue(80)),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        })),
        load_balancing_weight: is_weighted.then_some(UInt32Value {
            value: index % 7 + 1,
        }),
        ..Default::default()
    }
}

fn cluster(kind: Kind, hosts: u32, is_weighted: bool) -> Cluster {
    let mut cluster = Cluster {
        name: "x".into(),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: "x".into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: (0..hosts).map(|at| endpoint(at, is_weighted)).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    match kind {
        Kind::Legacy(policy) => cluster.lb_policy = policy.into(),
        Kind::Extension(config) => {
            cluster.load_balancing_policy = Some(LoadBalancingPolicy {
                policies: vec![Policy {
                    typed_extension_config: Some(TypedExtensionConfig {
                        name: "x".into(),
                        typed_config: Some(config),
                    }),
                }],
            });
        }
    }
    cluster
}

fn manager(cluster: Cluster) -> Arc<ClusterManager> {
    let server = Arc::new(ServerContext {
        stats: Arc::new(Store::new(1)),
        extensions: Extensions::default(),
        local_info: LocalInfo::default(),
        cluster_names: ClusterNames::default(),
        concurrency: 1,
        services: Services::default(),
    });
    let manager = ClusterManager::new(server, &Dispatchers::none(), None);
    manager.install_here();
    let made = manager.initialize([(0, cluster)], false);
    made.expect("a good cluster");
    manager
}

#[inline(never)]
fn measured(cluster: &WorkerCluster, picks: u64) {
    for pick in 0..picks {
        let cx = LbContext {
            hash: Some(pick.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            ..LbContext::default()
        };
        black_box(cluster.choose_host(black_box(&cx)));
    }
}

fn policies() -> [(&'static str, Kind, bool); 9] {
    let client_side = any::pack(&ClientSideWeightedRoundRobin::default());
    [
        ("round robin", Kind::Legacy(LbPolicy::RoundRobin), false),
        (
            "round robin, weighted",
            Kind::Legacy(LbPolicy::RoundRobin),
            true,
        ),
        ("least request", Kind::Legacy(LbPolicy::LeastRequest), false),
        (
            "least request, weighted",
            Kind::Legacy(LbPolicy::LeastRequest),
            true,
        ),
        ("random", Kind::Legacy(LbPolicy::Random), false),
        ("ring hash", Kind::Legacy(LbPolicy::RingHash), false),
        ("maglev", Kind::Legacy(LbPolicy::Maglev), false),
        ("client-side weighted", Kind::Extension(client_side), true),
        (
            "peak EWMA",
            Kind::Extension(any::pack(&PeakEwma::default())),
            false,
        ),
    ]
}

/// Choices among 10,000 hosts, by the policy of this name or by all.
fn choose(only: Option<&str>, picks: u64) {
    for (name, kind, is_weighted) in policies() {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let manager = manager(cluster(kind, 10_000, is_weighted));
        let clusters = manager.on_this_thread();
        let cluster = clusters.find("x").expect("active");
        // Every host gets its place on this worker.
        for _ in 0..10 * 10_000 {
            cluster.choose_host(&LbContext {
                hash: Some(rand()),
                ..LbContext::default()
            });
        }
        let begun = Instant::now();
        measured(&cluster, picks);
        let each = begun.elapsed().as_nanos() as f64 / picks as f64;
        println!("{name}: {each:.0} ns a choice");
    }
}

/// Hashes that differ from those that are measured.
fn rand() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static STATE: AtomicU64 = AtomicU64::new(1);
    let next = |state: u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        )
    };
    STATE.fetch_update(Relaxed, Relaxed, next).unwrap_or(0)
}

/// CPU time of this thread, in milliseconds.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.unwrap_or(0.0) / 1e6
}

/// What the first choice costs, which makes the table.
fn tables() {
    let ring = RingHash {
        minimum_ring_size: Some(UInt64Value { value: 100_000 }),
        ..Default::default()
    };
    let all = [
        (
            "a Maglev table for 1,000 hosts",
            any::pack(&Maglev::default()),
        ),
        ("a ring of 100,000 entries, 1,000 hosts", any::pack(&ring)),
    ];
    for (name, config) in all {
        let once = || {
            let manager = manager(cluster(Kind::Extension(config.clone()), 1_000, false));
            let clusters = manager.on_this_thread();
            let cluster = clusters.find("x").expect("active");
            let begun = cpu();
            cluster.choose_host(&LbContext::default()).expect("a host");
            cpu() - begun
        };
        let mut times: Vec<f64> = (0..21).map(|_| once()).collect();
        times.sort_unstable_by(f64::total_cmp);
        println!("{name}: {:.2} ms of CPU (median of 21)", times[10]);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            choose(None, 1_000_000);
            tables();
        }
        ["tables"] => tables(),
        [policy, picks] => choose(Some(policy), picks.parse().expect("a number")),
        _ => panic!("nothing, `tables`, or a policy and a number of choices"),
    }
}
