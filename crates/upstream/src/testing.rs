//! What the tests of this crate share.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nuncio_config::api::bootstrap::{LayeredRuntime, RuntimeLayer, runtime_layer::LayerSpecifier};
use nuncio_config::api::cluster::{
    Cluster,
    cluster::{ClusterDiscoveryType, DiscoveryType},
};
use nuncio_config::api::core::{
    Address, Locality, SocketAddress, address, socket_address::PortSpecifier,
};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use nuncio_config::api::protobuf;
use nuncio_event::Dispatchers;
use nuncio_sdk::{ClusterNames, Extensions, LocalInfo, Runtime, ServerContext, Services};
use nuncio_stats::Store;

use crate::dns::{DnsResolver, LookupFamily, Resolution, ResolveError, Resolved, Resolvers};
use crate::host::{HealthFlags, Host, HostConfig};
use crate::manager::ClusterManager;
use crate::random::Random;

/// For managers whose bootstrap has none.
pub(crate) const NO_CLUSTERS: [(usize, Cluster); 0] = [];

/// A server without anything.
pub(crate) fn server() -> Arc<ServerContext> {
    Arc::new(ServerContext {
        stats: Arc::new(Store::new(1)),
        extensions: Extensions::default(),
        local_info: LocalInfo {
            node_id: "node".into(),
            cluster: "cluster".into(),
            ..LocalInfo::default()
        },
        cluster_names: ClusterNames::default(),
        concurrency: 1,
        services: Services::default(),
    })
}

/// A manager without workers; the calling thread sees its clusters.
pub(crate) fn manager() -> Arc<ClusterManager> {
    manager_with(None)
}

/// The same, with names.
pub(crate) fn manager_with(resolver: Option<Arc<dyn DnsResolver>>) -> Arc<ClusterManager> {
    let resolvers = resolver.map(|resolver| Arc::new(Resolvers::only(resolver)));
    let manager = ClusterManager::new(server(), &Dispatchers::none(), resolvers);
    manager.install_here();
    manager
}

/// A runtime with these values, which never change.
pub(crate) fn runtime(values: &[(&str, f64)]) -> Arc<Runtime> {
    let value = |&(key, number): &(&str, f64)| {
        let kind = Some(protobuf::value::Kind::NumberValue(number));
        (key.to_owned(), protobuf::Value { kind })
    };
    let fields = values.iter().map(value).collect();
    let layer = RuntimeLayer {
        name: "test".into(),
        layer_specifier: Some(LayerSpecifier::StaticLayer(protobuf::Struct { fields })),
    };
    let layers = LayeredRuntime {
        layers: vec![layer],
    };
    Runtime::new(Some(layers), "", &Store::new(1))
}

/// An endpoint message.
pub(crate) fn endpoint(host: &str, port: u16) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(address::Address::SocketAddress(SocketAddress {
                    address: host.into(),
                    port_specifier: Some(PortSpecifier::PortValue(port.into())),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// A cluster message of this type.
pub(crate) fn cluster(name: &str, kind: DiscoveryType, endpoints: Vec<LbEndpoint>) -> Cluster {
    Cluster {
        name: name.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind.into())),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.into(),
            endpoints: vec![LocalityLbEndpoints {
                locality: Some(Locality {
                    zone: "z".into(),
                    ..Default::default()
                }),
                lb_endpoints: endpoints,
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A static cluster with these endpoints.
pub(crate) fn static_cluster(name: &str, endpoints: &[SocketAddr]) -> Cluster {
    let endpoints = endpoints
        .iter()
        .map(|at| endpoint(&at.ip().to_string(), at.port()))
        .collect();
    cluster(name, DiscoveryType::Static, endpoints)
}

/// A host with this weight and these flags.
pub(crate) fn host(port: u16, weight: u32, health: HealthFlags) -> Arc<Host> {
    Arc::new(Host::new(HostConfig {
        address: nuncio_net::Address::parse_ip("127.0.0.1", port).unwrap(),
        additional: None,
        hostname: Arc::from(""),
        locality: Arc::default(),
        metadata: None,
        weight,
        priority: 0,
        health,
        health_check: None,
    }))
}

/// The port by which [`host`] made a host.
pub(crate) fn port(host: &Host) -> u16 {
    match host.address() {
        nuncio_net::Address::Ip(ip) => ip.port(),
        other => panic!("{other} has no port"),
    }
}

/// Runs a simulation with so many seeds, or only with that of the variable `NUNCIO_SEED`. What fails names its seed.
pub(crate) fn seeded(runs: u64, mut simulate: impl FnMut(Random, u64)) {
    for seed in seeds(runs) {
        // Neighbours would begin with numbers that look alike.
        simulate(Random::seeded(Random::seeded(seed).next()), seed);
    }
}

/// The numbers of so many runs, or only that of the variable `NUNCIO_SEED`.
pub(crate) fn seeds(runs: u64) -> std::ops::RangeInclusive<u64> {
    let wanted = std::env::var("NUNCIO_SEED").ok();
    let wanted = wanted.map(|text| text.parse().expect("NUNCIO_SEED is a number"));
    match wanted {
        Some(seed) => seed..=seed,
        None => 1..=runs,
    }
}

/// A number from 0 up to, and without, `limit`; 0 when there is none.
pub(crate) fn below(random: &Random, limit: u64) -> u64 {
    random.next() % limit.max(1)
}

/// Runs a test on a worker's kind of runtime, bounded in time.
pub(crate) fn run(test: impl Future<Output = ()>) {
    block_on(false, test);
}

/// The same with a clock that jumps to the next deadline when nothing is to be done.
pub(crate) fn run_paused(test: impl Future<Output = ()>) {
    block_on(true, test);
}

fn block_on(paused: bool, test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(paused);
    let runtime = builder.build_local(Default::default()).unwrap();
    runtime.block_on(async {
        // With a paused clock this is no bound on real time, which the test runner gives.
        let bound = if paused {
            Duration::from_secs(1_000_000)
        } else {
            Duration::from_secs(20)
        };
        tokio::time::timeout(bound, test).await.expect("in time");
    });
}

/// Waits until `condition` holds; the test's bound ends it otherwise.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A resolver with an answer per question, in order; without one the question stays open until there is.
#[derive(Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Result<Resolved, ResolveError>>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    /// Adds an answer with these addresses.
    pub(crate) fn answer(&self, addresses: &[&str]) {
        self.answers.lock().unwrap().push_back(Ok(Resolved {
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ttl: None,
        }));
    }

    /// Adds a failure.
    pub(crate) fn fail(&self) {
        self.answers
            .lock()
            .unwrap()
            .push_back(Err(ResolveError("no answer".into())));
    }

    /// How often anything was asked.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl DnsResolver for Script {
    fn resolve(&self, name: &str, family: LookupFamily) -> Resolution {
        self.asked.lock().unwrap().push(name.into());
        let answers = self.answers.clone();
        Box::pin(async move {
            loop {
                if let Some(answer) = answers.lock().unwrap().pop_front() {
                    return answer.map(|resolved| Resolved {
                        addresses: family.choose(resolved.addresses),
                        ..resolved
                    });
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }
}

/// A socket whose queue of connections is full, so that the next one hangs.
pub(crate) fn full_socket() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    use std::net::{TcpListener, TcpStream};
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY-free way to a backlog of 0: listen again through the same descriptor.
    rustix_listen(&socket);
    let address = socket.local_addr().unwrap();
    let wait = Duration::from_millis(50);
    let streams = std::iter::from_fn(|| TcpStream::connect_timeout(&address, wait).ok());
    let streams = streams.take(10).collect();
    (socket, streams)
}

fn rustix_listen(socket: &std::net::TcpListener) {
    socket2::SockRef::from(socket).listen(0).unwrap();
}
