//! What a choice costs among 10,000 hosts, by policy, and what rings and tables cost to build.
//!
//! `cargo run --release -p nuncio-upstream --example balancers`; under callgrind, with a policy's name and
//! `--toggle-collect='*measured*'`, it counts instructions.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use nuncio_config::api::cluster::{Cluster, cluster::LbPolicy};
use nuncio_config::api::core::{Address, SocketAddress, address, socket_address::PortSpecifier};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use nuncio_config::api::protobuf::UInt32Value;
use nuncio_event::Dispatchers;
use nuncio_sdk::{ClusterNames, Extensions, LocalInfo, ServerContext, Services};
use nuncio_stats::Store;
use nuncio_upstream::lb::LbContext;
use nuncio_upstream::{ClusterManager, WorkerCluster};

const HOSTS: u32 = 10_000;

fn cluster(policy: LbPolicy, is_weighted: bool) -> Cluster {
    let endpoint = |index: u32| LbEndpoint {
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
    };
    Cluster {
        name: "x".into(),
        lb_policy: policy.into(),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: "x".into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: (0..HOSTS).map(endpoint).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn manager() -> Arc<ClusterManager> {
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

fn main() {
    const PICKS: u64 = 1_000_000;
    let only = std::env::args().nth(1);
    let policies = [
        ("round robin", LbPolicy::RoundRobin, false),
        ("round robin, weighted", LbPolicy::RoundRobin, true),
        ("least request", LbPolicy::LeastRequest, false),
        ("least request, weighted", LbPolicy::LeastRequest, true),
        ("random", LbPolicy::Random, false),
        ("ring hash", LbPolicy::RingHash, false),
        ("maglev", LbPolicy::Maglev, false),
    ];
    for (name, policy, is_weighted) in policies {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let manager = manager();
        let made = manager.initialize([(0, cluster(policy, is_weighted))], false);
        made.expect("a good cluster");
        let clusters = manager.on_this_thread();
        let cluster = clusters.find("x").expect("active");
        let begun = Instant::now();
        cluster.choose_host(&LbContext::default()).expect("a host");
        let first = begun.elapsed();
        // Every host gets its place on this worker.
        measured(&cluster, PICKS / 4);
        let begun = Instant::now();
        measured(&cluster, PICKS);
        let each = begun.elapsed().as_nanos() as f64 / PICKS as f64;
        println!("{name}: first choice {first:?}, then {each:.0} ns each");
    }
}
