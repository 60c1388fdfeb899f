//! Measures what the crate promises: memory of 10,000 clusters of 4 endpoints, and the time to take an idle connection
//! and to give it back.
//!
//! `cargo run --release -p nuncio-upstream --example footprint`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant as StdInstant;

use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::core::{Address, SocketAddress, address, socket_address::PortSpecifier};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use nuncio_event::{Dispatchers, Instant};
use nuncio_sdk::{ClusterNames, Extensions, LocalInfo, ServerContext, Services};
use nuncio_stats::Store;
use nuncio_upstream::lb::LbContext;
use nuncio_upstream::{Acquire, ClusterManager, Lease, Priority};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0usize) * 4096
}

fn cluster(name: &str, ports: &[u16]) -> Cluster {
    let endpoint = |port: &u16| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(address::Address::SocketAddress(SocketAddress {
                    address: "127.0.0.1".into(),
                    port_specifier: Some(PortSpecifier::PortValue((*port).into())),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        })),
        ..Default::default()
    };
    Cluster {
        name: name.into(),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: ports.iter().map(endpoint).collect(),
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

fn footprint(endpoints: u16) -> (usize, Arc<ClusterManager>) {
    const COUNT: usize = 10_000;
    let manager = manager();
    let before = resident();
    let begun = StdInstant::now();
    let ports: Vec<u16> = (1000..1000 + endpoints).collect();
    let clusters = (0..COUNT).map(|index| (index, cluster(&format!("cluster_{index}"), &ports)));
    manager.initialize(clusters, false).expect("good clusters");
    let each = (resident() - before) / COUNT;
    println!(
        "{COUNT} clusters of {endpoints} endpoints: {each} bytes each, {:?} in all",
        begun.elapsed()
    );
    (each, manager)
}

async fn fast_path() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = upstream.local_addr().expect("bound").port();
    let manager = manager();
    manager
        .initialize([(0, cluster("x", &[port]))], false)
        .expect("a good cluster");
    let id = manager.active_info("x").expect("active").id;
    let clusters = manager.on_this_thread();
    let cluster = clusters.get(id).expect("active");
    let host = cluster
        .choose_host(&LbContext::default())
        .expect("a host")
        .host;
    let Acquire::Pending(mut pending) = cluster.acquire(&host, Priority::Default, None) else {
        panic!("the first connection must be made");
    };
    let first = std::future::poll_fn(|cx| pending.poll(cx))
        .await
        .expect("connected");
    let now = Instant::now();
    release(first, now);
    const ROUNDS: u32 = 1_000_000;
    let begun = StdInstant::now();
    for _ in 0..ROUNDS {
        let cluster = clusters.get(black_box(id)).expect("active");
        let host = cluster
            .choose_host(&LbContext::default())
            .expect("a host")
            .host;
        match cluster.acquire(&host, Priority::Default, None) {
            Acquire::Ready(lease) => release(black_box(lease), now),
            other => panic!("{other:?}"),
        }
    }
    let each = begun.elapsed() / ROUNDS;
    println!("cluster, host, acquire, release: {each:?}");
}

fn release(lease: Lease, now: Instant) {
    match lease {
        Lease::Http1(connection) => connection.release(now),
        Lease::Http2(stream) => stream.finish(now),
        Lease::Tcp(_) => unreachable!("nobody asked for one"),
    }
}

fn main() {
    // Both are kept, so that the second finds no memory of the first.
    let (none, _first) = footprint(0);
    let (four, _second) = footprint(4);
    println!("per endpoint: {} bytes", (four - none) / 4);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .build_local(Default::default())
        .expect("a runtime");
    runtime.block_on(fast_path());
}
