//! Pools over real sockets, with upstreams that misbehave in one way each.

mod ahead;
mod ends;
mod http2;
mod line;
mod take_over;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::cluster::{CircuitBreakers, Cluster, circuit_breakers::Thresholds};
use nuncio_config::api::core::HttpProtocolOptions;
use nuncio_config::api::protobuf;
use nuncio_event::Instant;
use nuncio_stats::{CounterSlot, GaugeSlot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::lb::LbContext;
use crate::manager::{ClusterManager, Origin};
use crate::testing::{full_socket, manager, run, run_paused, static_cluster, until};
use crate::worker::{WorkerCluster, WorkerHost};

const P: Priority = Priority::Default;

/// An upstream that the test itself plays, and the cluster in front of it.
struct Fixture {
    manager: Arc<ClusterManager>,
    upstream: TcpListener,
    cluster: Rc<WorkerCluster>,
    host: Rc<WorkerHost>,
}

impl Fixture {
    async fn new(change: impl FnOnce(&mut Cluster)) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        let manager = manager();
        let (cluster, host) = add(&manager, address, change);
        Self {
            manager,
            upstream,
            cluster,
            host,
        }
    }

    async fn plain() -> Self {
        Self::new(|_| ()).await
    }

    fn acquire(&self) -> Acquire {
        self.cluster.acquire(&self.host, P, None)
    }

    /// A connection that is made now, and the upstream's end.
    async fn connect(&self) -> (PooledConnection, TcpStream) {
        let connection = pending(self.acquire()).get().await.unwrap();
        (connection, self.upstream.accept().await.unwrap().0)
    }

    fn ready(&self) -> PooledConnection {
        match self.acquire() {
            Acquire::Ready(Lease::Http1(connection)) => connection,
            other => panic!("{other:?}"),
        }
    }

    fn counter(&self, slot: CounterSlot) -> u64 {
        self.cluster.info().stats.counter(slot)
    }

    fn gauge(&self, slot: GaugeSlot) -> u64 {
        self.cluster.info().stats.gauge(slot)
    }

    /// Nothing is left of any budget or gauge but `connections`.
    fn assert_at_rest(&self, connections: u64) {
        let breakers = &self.cluster.info().breakers;
        assert_eq!(
            u64::from(breakers.used(P, Resource::Connections)),
            connections
        );
        assert_eq!(breakers.used(P, Resource::Requests), 0);
        assert_eq!(breakers.used(P, Resource::Pending), 0);
        assert_eq!(self.gauge(S::UPSTREAM_CX_ACTIVE), connections);
        assert_eq!(self.gauge(S::UPSTREAM_RQ_ACTIVE), 0);
        assert_eq!(self.gauge(S::UPSTREAM_RQ_PENDING_ACTIVE), 0);
        if connections == 0 {
            assert_eq!(self.gauge(S::UPSTREAM_CX_RX_BYTES_BUFFERED), 0);
            assert_eq!(self.gauge(S::UPSTREAM_CX_TX_BYTES_BUFFERED), 0);
        }
        let stats = self.host.host().stats();
        assert_eq!(u64::from(stats.cx_active.load(Relaxed)), connections);
        assert_eq!(stats.rq_active.load(Relaxed), 0);
        assert_eq!(stats.rq_pending_active.load(Relaxed), 0);
    }
}

fn add(
    manager: &ClusterManager,
    address: SocketAddr,
    change: impl FnOnce(&mut Cluster),
) -> (Rc<WorkerCluster>, Rc<WorkerHost>) {
    let mut message = static_cluster("x", &[address]);
    change(&mut message);
    manager.initialize([(0, message)], false).unwrap();
    let cluster = manager.on_this_thread().find("x").unwrap();
    let host = cluster.choose_host(&LbContext::default()).unwrap().host;
    (cluster, host)
}

fn pending(acquire: Acquire) -> PendingConnection {
    match acquire {
        Acquire::Pending(pending) => pending,
        other => panic!("{other:?}"),
    }
}

/// A connection of its own.
fn whole(lease: Lease) -> PooledConnection {
    match lease {
        Lease::Http1(connection) => connection,
        other => panic!("{other:?}"),
    }
}

impl PendingConnection {
    async fn get(mut self) -> Result<PooledConnection, ConnectFailure> {
        let lease = std::future::poll_fn(|cx| self.poll(cx)).await?;
        Ok(whole(lease))
    }
}

fn limits(change: impl FnOnce(&mut Thresholds)) -> impl FnOnce(&mut Cluster) {
    move |cluster| {
        let mut thresholds = Thresholds::default();
        change(&mut thresholds);
        cluster.circuit_breakers = Some(CircuitBreakers {
            thresholds: vec![thresholds],
            ..Default::default()
        });
    }
}

#[expect(deprecated, reason = "the short way to set these options")]
fn http(change: impl FnOnce(&mut HttpProtocolOptions)) -> impl FnOnce(&mut Cluster) {
    move |cluster| {
        change(cluster.common_http_protocol_options.get_or_insert_default());
    }
}

fn max(value: u32) -> Option<protobuf::UInt32Value> {
    Some(protobuf::UInt32Value { value })
}

fn time(millis: i64) -> Option<protobuf::Duration> {
    Some(protobuf::Duration {
        seconds: millis / 1000,
        nanos: (millis % 1000 * 1_000_000) as i32,
    })
}

/// Lets the loop turn until it has heard of what the upstream did: what one end of a connection on loopback does is known at the
/// other one at once, but for a kernel that is busy.
async fn settle() {
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_connection_is_made_used_and_used_again() {
    run(async {
        let f = Fixture::plain().await;
        let (mut first, mut peer) = f.connect().await;
        let id = first.id;
        let mut body = Buffer::from("body");
        first.write.append_slice(b"head ");
        let sent = std::future::poll_fn(|cx| first.poll_write(cx, &mut body))
            .await
            .unwrap();
        assert_eq!(sent, 9);
        let mut seen = [0; 9];
        peer.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"head body");
        peer.write_all(b"answer").await.unwrap();
        assert_eq!(
            std::future::poll_fn(|cx| first.poll_read(cx, 100))
                .await
                .unwrap(),
            6
        );
        first.read.clear();
        first.release(Instant::now());
        f.assert_at_rest(1);
        let second = f.ready();
        assert_eq!((second.id, second.requests), (id, 2));
        assert_eq!(
            second.local_address.to_string(),
            peer.peer_addr().unwrap().to_string()
        );
        second.release(Instant::now());
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_HTTP1_TOTAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_RQ_TOTAL), 2);
        assert_eq!(f.counter(S::UPSTREAM_RQ_PENDING_TOTAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_TX_BYTES_TOTAL), 9);
        assert_eq!(f.counter(S::UPSTREAM_CX_RX_BYTES_TOTAL), 6);
        assert_eq!(f.gauge(S::UPSTREAM_CX_RX_BYTES_BUFFERED), 6);
        assert_eq!(f.gauge(S::UPSTREAM_CX_TX_BYTES_BUFFERED), 0);
        assert_eq!(f.host.host().stats().rq_total.load(Relaxed), 2);
    });
}
