//! Idle connections that change from one worker to another.

use std::sync::mpsc;

use nuncio_config::api::core::Metadata;
use nuncio_config::api::protobuf::{Struct, Value, value::Kind};
use nuncio_event::{NoObserver, Workers};

use super::*;
use crate::info::ClusterInfo;

/// A cluster whose idle connections may change hands, and one whose may not.
const SHARED: &str = "x";
const OWN: &str = "y";

/// Two workers and two clusters of the same host.
struct Two {
    workers: Workers,
    manager: Arc<ClusterManager>,
    upstream: std::net::TcpListener,
}

impl Two {
    fn new() -> Self {
        let workers = Workers::start(2, Arc::new(NoObserver), |_| ()).unwrap();
        let manager = ClusterManager::new(crate::testing::server(), workers.dispatchers(), None);
        let upstream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let cluster = |name, take_over| {
            let mut message = static_cluster(name, &[upstream.local_addr().unwrap()]);
            let kind = Some(Kind::BoolValue(take_over));
            let fields = [("take_over_idle_connections".to_owned(), Value { kind })].into();
            let metadata = [("nuncio".to_owned(), Struct { fields })].into();
            message.metadata = Some(Metadata {
                filter_metadata: metadata,
                ..Default::default()
            });
            message
        };
        let clusters = [(0, cluster(SHARED, true)), (1, cluster(OWN, false))];
        manager.initialize(clusters, false).unwrap();
        Self {
            workers,
            manager,
            upstream,
        }
    }

    /// A request on this worker: the connection's local port, and what was configured.
    fn request(&self, worker: usize) -> (Option<u16>, Arc<ClusterInfo>) {
        self.request_of(SHARED, worker)
    }

    fn request_of(&self, name: &'static str, worker: usize) -> (Option<u16>, Arc<ClusterInfo>) {
        let (sender, receiver) = mpsc::channel();
        let slot = self.manager.worker_slot().clone();
        let dispatcher = self.workers.dispatchers().get(worker).unwrap();
        dispatcher
            .post(move |_| {
                let cluster = slot.get().find(name).unwrap();
                nuncio_event::spawn(async move {
                    let host = cluster.choose_host(&LbContext::default()).unwrap().host;
                    let connection = match cluster.acquire(&host, P, None) {
                        Acquire::Ready(lease) => whole(lease),
                        other => pending(other).get().await.unwrap(),
                    };
                    let port = connection.local_address.port();
                    connection.release(Instant::now());
                    sender.send((port, cluster.info().clone())).unwrap();
                });
            })
            .unwrap();
        receiver.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    fn host(&self) -> Arc<Host> {
        let (sender, receiver) = mpsc::channel();
        let slot = self.manager.worker_slot().clone();
        let dispatcher = self.workers.dispatchers().get(0).unwrap();
        dispatcher
            .post(move |_| {
                let hosts = slot.get().find(SHARED).unwrap().host_sets();
                sender.send(hosts.hosts().next().unwrap().clone()).unwrap();
            })
            .unwrap();
        receiver.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    /// Waits until this worker offers so many connections.
    fn until_offered(&self, worker: usize, count: u32) {
        let host = self.host();
        let offered = || host.idle_of_workers(2)[worker].load(Relaxed);
        let give_up = std::time::Instant::now() + Duration::from_secs(10);
        while offered() != count {
            assert!(std::time::Instant::now() < give_up, "{}", offered());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(self) {
        self.workers.stop(Duration::from_secs(10)).unwrap();
    }
}

#[test]
fn a_worker_takes_over_what_another_does_not_use() {
    let two = Two::new();
    let (port, info) = two.request(0);
    let _peer = two.upstream.accept().unwrap();
    two.until_offered(0, 1);
    let (taken, _) = two.request(1);
    assert_eq!(taken, port);
    two.until_offered(1, 1);
    let (back, _) = two.request(0);
    assert_eq!(back, port);
    let stats = &info.stats;
    assert_eq!(stats.counter(S::UPSTREAM_CX_TOTAL), 1);
    assert_eq!(stats.counter(S::UPSTREAM_CX_DESTROY), 0);
    assert_eq!(stats.gauge(S::UPSTREAM_CX_ACTIVE), 1);
    assert_eq!(stats.gauge(S::UPSTREAM_RQ_PENDING_ACTIVE), 0);
    assert_eq!(stats.counter(S::UPSTREAM_RQ_TOTAL), 3);
    assert_eq!(info.breakers.used(P, Resource::Connections), 1);
    assert_eq!(info.breakers.used(P, Resource::Pending), 0);
    two.stop();
}

#[test]
fn what_has_ended_is_not_taken_over() {
    let two = Two::new();
    let (port, info) = two.request(0);
    let (peer, _) = two.upstream.accept().unwrap();
    two.until_offered(0, 1);
    drop(peer);
    let (fresh, _) = two.request(1);
    assert_ne!(fresh, port);
    let _peer = two.upstream.accept().unwrap();
    let stats = &info.stats;
    assert_eq!(stats.counter(S::UPSTREAM_CX_TOTAL), 2);
    let give_up = std::time::Instant::now() + Duration::from_secs(10);
    while stats.gauge(S::UPSTREAM_CX_ACTIVE) != 1 {
        assert!(std::time::Instant::now() < give_up);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(info.breakers.used(P, Resource::Connections), 1);
    two.stop();
}

#[test]
fn nothing_is_taken_over_unless_it_is_asked_for() {
    let two = Two::new();
    let (port, info) = two.request_of(OWN, 0);
    let _peer = two.upstream.accept().unwrap();
    // What became idle after it is offered: its own time has come, too.
    two.request(0);
    let _other_peer = two.upstream.accept().unwrap();
    two.until_offered(0, 1);
    let (other, _) = two.request_of(OWN, 1);
    assert_ne!(other, port);
    assert_eq!(info.stats.counter(S::UPSTREAM_CX_TOTAL), 2);
    two.stop();
}
