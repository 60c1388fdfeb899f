//! Clusters are added, replaced and removed, as CDS will do, while calls go through them.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_client::{CallError, HttpCall, HttpCallOptions};
use nuncio_config::StaticCluster;
use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::core::{
    Address, HealthCheck, SocketAddress, address,
    health_check::{HealthChecker, HttpHealthCheck},
    socket_address::PortSpecifier,
};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use nuncio_config::api::protobuf;
use nuncio_event::Dispatchers;
use nuncio_http::Message;
use nuncio_sdk::ServerContext;
use nuncio_stats::{Kind, Query, Store, Value};
use nuncio_upstream::{ClusterManager, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers every request with its own name; `/hold` and `/hc` only once [`Peer::release`] was called.
struct Peer {
    address: SocketAddr,
    state: Rc<PeerState>,
}

#[derive(Default)]
struct PeerState {
    name: String,
    /// Connections: all there were, and those that are open.
    total: Cell<usize>,
    open: Cell<usize>,
    /// Paths of all requests.
    requests: RefCell<Vec<String>>,
    released: Cell<bool>,
}

impl Peer {
    async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Rc::new(PeerState {
            name: name.into(),
            ..PeerState::default()
        });
        let shared = state.clone();
        tokio::task::spawn_local(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::task::spawn_local(shared.clone().serve(socket));
            }
        });
        Self { address, state }
    }

    fn release(&self) {
        self.state.released.set(true);
    }

    fn saw(&self, path: &str) -> bool {
        self.state.requests.borrow().iter().any(|seen| seen == path)
    }
}

impl PeerState {
    async fn serve(self: Rc<Self>, mut socket: TcpStream) {
        self.total.set(self.total.get() + 1);
        self.open.set(self.open.get() + 1);
        let mut seen = Vec::new();
        while matches!(socket.read_buf(&mut seen).await, Ok(1..)) {
            if !seen.ends_with(b"\r\n\r\n") {
                continue;
            }
            let head = String::from_utf8_lossy(&seen).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            seen.clear();
            let waits = matches!(&*path, "/hold" | "/hc");
            self.requests.borrow_mut().push(path);
            if waits {
                until(|| self.released.get()).await;
            }
            let (length, name) = (self.name.len(), &self.name);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}");
            if socket.write_all(answer.as_bytes()).await.is_err() {
                break;
            }
        }
        self.open.set(self.open.get() - 1);
    }
}

/// A manager without clusters, and its stats.
struct Fixture {
    server: Arc<ServerContext>,
    manager: Arc<ClusterManager>,
}

impl Fixture {
    fn new() -> Self {
        let server = Arc::new(ServerContext {
            stats: Arc::new(Store::new(1)),
            extensions: Default::default(),
            local_info: Default::default(),
            cluster_names: Default::default(),
            concurrency: 0,
            services: Default::default(),
        });
        let manager = ClusterManager::new(server.clone(), &Dispatchers::none(), None);
        manager.install_here();
        manager
            .initialize(Vec::<StaticCluster>::new(), true)
            .unwrap();
        manager.cds_answered();
        Self { server, manager }
    }

    fn put(&self, cluster: &Cluster, version_info: &str) -> bool {
        let origin = Origin::Api { version_info };
        self.manager
            .add_or_update_cluster(cluster.clone(), origin)
            .unwrap()
    }

    fn start(&self, cluster: &str, path: &str) -> Result<HttpCall, CallError> {
        let clusters = self.manager.on_this_thread();
        let cluster = clusters.find(cluster).expect("a cluster");
        let headers = [
            (":method", "GET"),
            (":path", path),
            (":authority", "a"),
            (":scheme", "http"),
        ];
        let headers = headers.into_iter().collect();
        HttpCall::start(cluster, headers, true, HttpCallOptions::default())
    }

    /// Who answered.
    async fn ask(&self, cluster: &str) -> String {
        finish(self.start(cluster, "/").unwrap()).await.unwrap()
    }

    fn stat(&self, name: &str) -> u64 {
        let mut found = 0;
        let kinds = [Kind::Counter, Kind::Gauge];
        let _ = self.server.stats.visit(&kinds, &Query::default(), |stat| {
            match stat.value {
                Value::Counter(value) | Value::Gauge(value) if stat.name == name => found = value,
                _ => {}
            }
            Ok::<(), ()>(())
        });
        found
    }

    /// Added, modified, removed; active, warming.
    fn counts(&self) -> [u64; 5] {
        [
            "cluster_added",
            "cluster_modified",
            "cluster_removed",
            "active_clusters",
            "warming_clusters",
        ]
        .map(|name| self.stat(&format!("cluster_manager.{name}")))
    }

    /// Versions in `/config_dump`: active, warming.
    fn dumped(&self) -> [Vec<String>; 2] {
        let dump = self.manager.config_dump();
        [dump.dynamic_active_clusters, dump.dynamic_warming_clusters].map(|clusters| {
            let versions = clusters.iter();
            versions.map(|c| c.version_info.to_string()).collect()
        })
    }
}

async fn finish(mut call: HttpCall) -> Result<String, CallError> {
    let mut response = Message::new();
    loop {
        let event = poll_fn(|cx| call.poll(cx, true, &mut response)).await?;
        if event.is_end() {
            assert_eq!(response.headers.status(), Some(200));
            return Ok(String::from_utf8_lossy(&response.data).into_owned());
        }
    }
}

fn cluster(name: &str, peers: &[&Peer]) -> Cluster {
    let endpoint = |peer: &&Peer| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(address::Address::SocketAddress(SocketAddress {
                    address: peer.address.ip().to_string(),
                    port_specifier: Some(PortSpecifier::PortValue(peer.address.port().into())),
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
                lb_endpoints: peers.iter().map(endpoint).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The same, which is not ready before its hosts were asked.
fn checked(mut cluster: Cluster) -> Cluster {
    let seconds = |seconds| Some(protobuf::Duration { seconds, nanos: 0 });
    let once = Some(protobuf::UInt32Value { value: 1 });
    cluster.health_checks = vec![HealthCheck {
        timeout: seconds(100),
        interval: seconds(100),
        unhealthy_threshold: once,
        healthy_threshold: once,
        health_checker: Some(HealthChecker::HttpHealthCheck(HttpHealthCheck {
            path: "/hc".into(),
            ..Default::default()
        })),
        ..Default::default()
    }];
    cluster
}

async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs a test on a worker's kind of runtime, bounded in time.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap();
    runtime.block_on(async {
        let bound = Duration::from_secs(20);
        tokio::time::timeout(bound, test).await.expect("in time");
    });
}

#[test]
fn what_does_not_concern_a_cluster_leaves_its_connections_alone() {
    run(async {
        let (one, two) = (Peer::start("one").await, Peer::start("two").await);
        let fixture = Fixture::new();
        let mut kept = cluster("kept", &[&one]);
        assert!(fixture.put(&kept, "1") && fixture.put(&cluster("other", &[&two]), "1"));
        assert_eq!(fixture.ask("kept").await, "one");
        assert_eq!(fixture.ask("other").await, "two");
        assert!(!fixture.put(&kept, "2"), "the same is no update");
        // Another configuration that needs no other connections.
        kept.per_connection_buffer_limit_bytes = Some(protobuf::UInt32Value { value: 9999 });
        assert!(fixture.put(&kept, "3"));
        assert_eq!(fixture.ask("kept").await, "one");
        assert!(fixture.put(&cluster("other", &[&one]), "3"));
        assert!(fixture.put(&cluster("third", &[&two]), "3"));
        assert!(fixture.manager.remove_cluster("other"));
        assert_eq!(fixture.ask("kept").await, "one");
        assert_eq!(one.state.total.get(), 1, "one connection all the time");
        until(|| two.state.open.get() == 0).await;
        assert_eq!(fixture.counts(), [3, 2, 1, 2, 0]);
        assert_eq!(fixture.dumped(), [vec!["3".to_owned(); 2], vec![]]);
    });
}

#[test]
fn requests_in_flight_end_well_when_their_host_is_gone() {
    run(async {
        let (old, new) = (Peer::start("old").await, Peer::start("new").await);
        let fixture = Fixture::new();
        fixture.put(&cluster("a", &[&old]), "1");
        assert_eq!(fixture.ask("a").await, "old");
        let in_flight = fixture.start("a", "/hold").unwrap();
        let in_flight = tokio::task::spawn_local(finish(in_flight));
        until(|| old.saw("/hold")).await;
        fixture.put(&cluster("a", &[&new]), "2");
        assert_eq!(fixture.ask("a").await, "new");
        assert_eq!(old.state.open.get(), 1, "its connection is still needed");
        old.release();
        assert_eq!(in_flight.await.unwrap().as_deref(), Ok("old"));
        until(|| old.state.open.get() == 0).await;
        assert_eq!(fixture.ask("a").await, "new");
        assert_eq!(new.state.total.get(), 1);
        assert_eq!(fixture.stat("cluster.a.membership_change"), 2);
        assert_eq!(fixture.stat("cluster.a.membership_total"), 1);
    });
}

#[test]
fn a_removed_cluster_lets_its_requests_end() {
    run(async {
        let peer = Peer::start("peer").await;
        let fixture = Fixture::new();
        fixture.put(&cluster("a", &[&peer]), "1");
        let in_flight = fixture.start("a", "/hold").unwrap();
        let in_flight = tokio::task::spawn_local(finish(in_flight));
        until(|| peer.saw("/hold")).await;
        assert!(fixture.manager.remove_cluster("a"));
        assert!(fixture.manager.on_this_thread().find("a").is_none());
        assert_eq!(fixture.counts(), [1, 0, 1, 0, 0]);
        peer.release();
        assert_eq!(in_flight.await.unwrap().as_deref(), Ok("peer"));
        until(|| peer.state.open.get() == 0).await;
        // Of the same name, but another one.
        fixture.put(&cluster("a", &[&peer]), "2");
        assert_eq!(fixture.ask("a").await, "peer");
        assert_eq!(peer.state.total.get(), 2);
    });
}

#[test]
fn the_active_version_serves_until_the_warming_one_is_ready() {
    run(async {
        let (old, new) = (Peer::start("old").await, Peer::start("new").await);
        let fixture = Fixture::new();
        fixture.put(&cluster("a", &[&old]), "1");
        assert_eq!(fixture.ask("a").await, "old");
        let warming = checked(cluster("a", &[&new]));
        assert!(fixture.put(&warming, "2"));
        assert!(!fixture.put(&warming, "3"), "it is on its way");
        until(|| new.saw("/hc")).await;
        for _ in 0..3 {
            assert_eq!(fixture.ask("a").await, "old");
        }
        assert_eq!(fixture.counts(), [1, 1, 0, 1, 1]);
        let one = |version: &str| vec![version.to_owned()];
        assert_eq!(fixture.dumped(), [one("1"), one("2")]);
        let shown = fixture.manager.statuses();
        assert_eq!(shown.len(), 1, "/clusters shows the active one only");
        assert!(
            shown[0]
                .host_statuses()
                .all(|host| { host.host.address().port() == Some(old.address.port()) })
        );
        new.release();
        until(|| fixture.counts()[4] == 0).await;
        assert_eq!(fixture.ask("a").await, "new");
        assert_eq!(fixture.dumped(), [vec!["2".to_owned()], vec![]]);
        until(|| old.state.open.get() == 0).await;
        assert_eq!(fixture.counts(), [1, 1, 0, 1, 0]);
    });
}

#[test]
fn a_new_cluster_is_invisible_until_it_is_ready() {
    run(async {
        let peer = Peer::start("peer").await;
        let fixture = Fixture::new();
        fixture.put(&checked(cluster("a", &[&peer])), "1");
        until(|| peer.saw("/hc")).await;
        let here = fixture.manager.on_this_thread();
        assert!(here.find("a").is_none());
        assert!(fixture.manager.has_cluster("a"), "it is known, though");
        assert_eq!(fixture.counts(), [1, 0, 0, 0, 1]);
        peer.release();
        until(|| here.find("a").is_some()).await;
        assert_eq!(fixture.ask("a").await, "peer");
        assert_eq!(fixture.counts(), [1, 0, 0, 1, 0]);
    });
}

#[test]
fn what_warms_may_be_replaced_or_removed() {
    run(async {
        let (first, second) = (Peer::start("first").await, Peer::start("second").await);
        let fixture = Fixture::new();
        fixture.put(&checked(cluster("a", &[&first])), "1");
        until(|| first.saw("/hc")).await;
        // The newest prevails, and is not delayed by the one before it.
        fixture.put(&cluster("a", &[&second]), "2");
        assert_eq!(fixture.ask("a").await, "second");
        first.release();
        until(|| first.state.open.get() == 0).await;
        assert_eq!(fixture.ask("a").await, "second");
        assert_eq!(fixture.counts()[3..], [1, 0]);
        let held = Peer::start("held").await;
        fixture.put(&checked(cluster("b", &[&held])), "3");
        until(|| held.saw("/hc")).await;
        assert!(fixture.manager.remove_cluster("b"));
        held.release();
        until(|| held.state.open.get() == 0).await;
        assert_eq!(fixture.counts()[2..], [1, 1, 0]);
    });
}

#[test]
fn no_call_fails_while_clusters_change() {
    run(async {
        let (one, two) = (Peer::start("one").await, Peer::start("two").await);
        let fixture = Rc::new(Fixture::new());
        fixture.put(&cluster("steady", &[&one]), "0");
        fixture.put(&cluster("moving", &[&one]), "0");
        let (asking, stop) = (fixture.clone(), Rc::new(Cell::new(false)));
        let stopped = stop.clone();
        let calls = tokio::task::spawn_local(async move {
            let mut calls = 0;
            while !stopped.get() {
                assert_eq!(asking.ask("steady").await, "one");
                let answer = asking.ask("moving").await;
                assert!(["one", "two"].contains(&&*answer), "{answer}");
                calls += 2;
            }
            calls
        });
        for round in 0..50_u32 {
            let peers: &[&Peer] = match round % 3 {
                0 => &[&two],
                1 => &[&one, &two],
                _ => &[&one],
            };
            let mut moving = cluster("moving", peers);
            moving.per_connection_buffer_limit_bytes = Some(protobuf::UInt32Value {
                value: 1000 + round,
            });
            fixture.put(&moving, &round.to_string());
            fixture.put(&cluster("passing", &[&two]), "x");
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(fixture.manager.remove_cluster("passing"));
        }
        stop.set(true);
        assert!(calls.await.unwrap() > 0);
        assert_eq!(fixture.counts(), [52, 50, 50, 2, 0]);
        assert_eq!(fixture.stat("cluster.steady.upstream_cx_total"), 1);
    });
}
