//! Pools over real sockets, with upstreams that misbehave in one way each.

mod ahead;
mod http2;
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
    let host = cluster.choose_host(&LbContext::default()).unwrap();
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

/// Waits until the loop has heard of what the upstream did.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(2)).await;
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

#[test]
fn the_connection_used_last_is_used_first() {
    run(async {
        let f = Fixture::plain().await;
        let (a, _peer_a) = f.connect().await;
        let (b, _peer_b) = f.connect().await;
        let (a_id, b_id) = (a.id, b.id);
        b.release(Instant::now());
        a.release(Instant::now());
        let first = f.ready();
        let second = f.ready();
        assert_eq!((first.id, second.id), (a_id, b_id));
    });
}

#[test]
fn a_refused_connection_fails_all_who_wait() {
    run(async {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let manager = manager();
        let (cluster, host) = add(&manager, address, |_| ());
        let first = pending(cluster.acquire(&host, P, None));
        let second = pending(cluster.acquire(&host, P, None));
        let failure = first.get().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::RemoteConnectionFailure);
        assert_eq!(failure.reason, "delayed connect error: Connection refused");
        second.get().await.unwrap_err();
        let stats = &cluster.info().stats;
        until(|| stats.counter(S::UPSTREAM_CX_CONNECT_FAIL) == 2).await;
        assert_eq!(stats.counter(S::UPSTREAM_RQ_PENDING_FAILURE_EJECT), 2);
        assert_eq!(stats.counter(S::UPSTREAM_CX_DESTROY_REMOTE), 2);
        assert_eq!(stats.counter(S::UPSTREAM_CX_DESTROY), 2);
        assert_eq!(stats.gauge(S::UPSTREAM_CX_ACTIVE), 0);
        assert_eq!(host.host().stats().cx_connect_fail.load(Relaxed), 2);
    });
}

#[test]
fn connecting_takes_no_longer_than_the_timeout() {
    let (socket, _streams) = full_socket();
    let address = socket.local_addr().unwrap();
    run_paused(async move {
        let manager = manager();
        let (cluster, host) = add(&manager, address, |c| c.connect_timeout = time(300));
        let before = Instant::now();
        let failure = pending(cluster.acquire(&host, P, None))
            .get()
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Timeout);
        let took = before.elapsed();
        assert!(
            took >= Duration::from_millis(300) && took < Duration::from_millis(310),
            "{took:?}"
        );
        let stats = &cluster.info().stats;
        assert_eq!(stats.counter(S::UPSTREAM_CX_CONNECT_TIMEOUT), 1);
        assert_eq!(stats.counter(S::UPSTREAM_CX_CONNECT_FAIL), 1);
        assert_eq!(stats.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
        assert_eq!(stats.gauge(S::UPSTREAM_CX_ACTIVE), 0);
    });
}

#[test]
fn a_source_address_that_is_not_ours_is_a_local_failure() {
    run(async {
        let f = Fixture::new(|c| {
            c.upstream_bind_config = Some(nuncio_config::api::core::BindConfig {
                source_address: Some(nuncio_config::api::core::SocketAddress {
                    address: "192.0.2.1".into(),
                    ..Default::default()
                }),
                ..Default::default()
            });
        })
        .await;
        let failure = pending(f.acquire()).get().await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::LocalConnectionFailure);
        assert!(
            failure.reason.starts_with("failed to bind to 192.0.2.1:0"),
            "{failure}"
        );
        assert_eq!(f.counter(S::BIND_ERRORS), 1);
    });
}

#[test]
fn who_leaves_the_line_leaves_the_connection_to_the_pool() {
    run(async {
        let f = Fixture::plain().await;
        drop(pending(f.acquire()));
        assert_eq!(f.counter(S::UPSTREAM_RQ_CANCELLED), 1);
        let (_peer, _) = f.upstream.accept().await.unwrap();
        settle().await;
        f.assert_at_rest(1);
        let connection = f.ready();
        assert_eq!(connection.requests, 1);
    });
}

#[test]
fn who_leaves_after_the_connection_came_leaves_it_too() {
    run(async {
        let f = Fixture::plain().await;
        let waiting = pending(f.acquire());
        let (_peer, _) = f.upstream.accept().await.unwrap();
        settle().await;
        drop(waiting);
        f.assert_at_rest(1);
        f.ready().release(Instant::now());
    });
}

#[test]
fn the_line_is_served_in_order() {
    run(async {
        let f = Fixture::new(limits(|t| t.max_connections = max(1))).await;
        let (busy, _peer) = f.connect().await;
        let mut first = pending(f.acquire());
        let mut second = pending(f.acquire());
        assert_eq!(f.counter(S::UPSTREAM_CX_OVERFLOW), 2);
        assert_eq!(f.gauge(S::UPSTREAM_RQ_PENDING_ACTIVE), 2);
        assert_eq!(f.gauge(S::DEFAULT_CX_OPEN), 1);
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(second.poll(&mut nobody).is_pending());
        busy.release(Instant::now());
        // As on the real Envoy: it tries again for who still waits.
        assert_eq!(f.counter(S::UPSTREAM_CX_OVERFLOW), 3);
        assert!(second.poll(&mut nobody).is_pending());
        let Poll::Ready(Ok(connection)) = first.poll(&mut nobody) else {
            panic!()
        };
        whole(connection).release(Instant::now());
        let Poll::Ready(Ok(connection)) = second.poll(&mut nobody) else {
            panic!()
        };
        whole(connection).release(Instant::now());
        f.assert_at_rest(1);
    });
}

#[test]
fn breakers_limit_waiting_and_running_requests() {
    run(async {
        let f = Fixture::new(limits(|t| {
            t.max_connections = max(1);
            t.max_pending_requests = max(1);
        }))
        .await;
        let (busy, _peer) = f.connect().await;
        let waiting = pending(f.acquire());
        assert!(matches!(f.acquire(), Acquire::PendingOverflow));
        assert_eq!(f.counter(S::UPSTREAM_RQ_PENDING_OVERFLOW), 1);
        assert_eq!(f.gauge(S::DEFAULT_RQ_PENDING_OPEN), 1);
        drop((busy, waiting));
        settle().await;

        let f = Fixture::new(limits(|t| t.max_requests = max(1))).await;
        let (running, _peer) = f.connect().await;
        let other = pending(f.acquire()).get().await.unwrap_err();
        assert_eq!(other.kind, FailureKind::Overflow);
        assert_eq!(f.counter(S::UPSTREAM_RQ_ACTIVE_OVERFLOW), 1);
        // The connection that was made for it waits for better times.
        assert!(matches!(f.acquire(), Acquire::Overflow));
        assert_eq!(f.counter(S::UPSTREAM_RQ_ACTIVE_OVERFLOW), 2);
        running.release(Instant::now());
        f.assert_at_rest(2);
    });
}

#[test]
fn a_host_without_connections_gets_one_beyond_the_limit() {
    run(async {
        let f = Fixture::new(limits(|t| t.max_connections = max(0))).await;
        let (connection, _peer) = f.connect().await;
        assert_eq!(f.counter(S::UPSTREAM_CX_OVERFLOW), 1);
        connection.release(Instant::now());
        f.assert_at_rest(1);
    });
}

#[test]
fn pools_are_limited_and_a_pool_without_connections_does_not_count() {
    run(async {
        let f = Fixture::new(limits(|t| t.max_connection_pools = max(0))).await;
        assert!(matches!(f.acquire(), Acquire::NoPool));
        assert_eq!(f.counter(S::UPSTREAM_CX_POOL_OVERFLOW), 1);

        let f = Fixture::new(limits(|t| t.max_connection_pools = max(1))).await;
        let (connection, _peer) = f.connect().await;
        assert_eq!(f.gauge(S::DEFAULT_CX_POOL_OPEN), 1);
        drop(connection);
        assert_eq!(f.gauge(S::DEFAULT_CX_POOL_OPEN), 0);
    });
}

#[test]
fn an_idle_connection_that_the_upstream_closed_is_not_used() {
    run(async {
        let f = Fixture::plain().await;
        let (connection, peer) = f.connect().await;
        let id = connection.id;
        connection.release(Instant::now());
        drop(peer);
        settle().await;
        let fresh = pending(f.acquire()).get().await.unwrap();
        assert_ne!(fresh.id, id);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_REMOTE), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ), 0);
    });
}

#[test]
fn an_upstream_that_half_closes_has_closed() {
    run(async {
        let f = Fixture::plain().await;
        let (connection, mut peer) = f.connect().await;
        connection.release(Instant::now());
        peer.shutdown().await.unwrap();
        settle().await;
        assert!(matches!(f.acquire(), Acquire::Pending(_)));
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_REMOTE), 1);
    });
}

#[test]
fn what_nobody_asked_for_closes_the_connection() {
    run(async {
        for (text, errors) in [
            ("HTTP/1.1 200 OK\r\n\r\n", 1),
            ("HTTP/1.1 408 Timeout\r\n\r\n", 0),
        ] {
            let f = Fixture::plain().await;
            let (connection, mut peer) = f.connect().await;
            connection.release(Instant::now());
            peer.write_all(text.as_bytes()).await.unwrap();
            settle().await;
            assert!(matches!(f.acquire(), Acquire::Pending(_)));
            assert_eq!(f.counter(S::UPSTREAM_CX_PROTOCOL_ERROR), errors);
            assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
        }
    });
}

#[test]
fn bytes_behind_a_response_close_the_connection() {
    run(async {
        let f = Fixture::plain().await;
        let (mut connection, _peer) = f.connect().await;
        connection.read.append_slice(b"surplus");
        connection.release(Instant::now());
        assert_eq!(f.counter(S::UPSTREAM_CX_PROTOCOL_ERROR), 1);
        f.assert_at_rest(0);
    });
}

#[test]
fn the_end_of_an_idle_connection_is_noticed_at_once_after_a_while() {
    run(async {
        let f = Fixture::plain().await;
        let (connection, peer) = f.connect().await;
        connection.release(Instant::now());
        tokio::time::sleep(sweep::TICK * 3).await;
        let before = Instant::now();
        drop(peer);
        until(|| f.counter(S::UPSTREAM_CX_DESTROY_REMOTE) == 1).await;
        assert!(
            before.elapsed() < Duration::from_millis(500),
            "not by the next sweep"
        );
        f.assert_at_rest(0);
    });
}

#[test]
fn idle_connections_are_closed_in_time() {
    run_paused(async {
        let f = Fixture::new(http(|o| o.idle_timeout = time(2500))).await;
        let (connection, _peer) = f.connect().await;
        let released = Instant::now();
        connection.release(released);
        until(|| f.counter(S::UPSTREAM_CX_IDLE_TIMEOUT) == 1).await;
        let after = released.elapsed();
        assert!(
            after >= Duration::from_millis(2500) && after < Duration::from_millis(2520),
            "{after:?}"
        );
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
        f.assert_at_rest(0);
        // The sweeper sleeps now, and wakes for the next one.
        let (connection, _peer) = f.connect().await;
        connection.release(Instant::now());
        until(|| f.counter(S::UPSTREAM_CX_IDLE_TIMEOUT) == 2).await;
    });
}

#[test]
fn a_connection_in_use_does_not_idle_out() {
    run_paused(async {
        let f = Fixture::new(http(|o| o.idle_timeout = time(100))).await;
        let (connection, _peer) = f.connect().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        connection.release(Instant::now());
        tokio::time::sleep(Duration::from_millis(50)).await;
        f.ready().release(Instant::now());
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(f.counter(S::UPSTREAM_CX_IDLE_TIMEOUT), 0);
        until(|| f.counter(S::UPSTREAM_CX_IDLE_TIMEOUT) == 1).await;
    });
}

#[test]
fn a_connection_serves_so_many_requests() {
    run(async {
        let f = Fixture::new(http(|o| o.max_requests_per_connection = max(2))).await;
        let (connection, _peer) = f.connect().await;
        connection.release(Instant::now());
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_REQUESTS), 0);
        f.ready().release(Instant::now());
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_REQUESTS), 1);
        f.assert_at_rest(0);
    });
}

#[test]
fn a_connection_lives_so_long() {
    run_paused(async {
        let f = Fixture::new(http(|o| o.max_connection_duration = time(500))).await;
        let (idle, _peer) = f.connect().await;
        let (busy, _peer) = f.connect().await;
        idle.release(Instant::now());
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_DURATION_REACHED), 1);
        f.assert_busy(1);
        busy.release(Instant::now());
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_DURATION_REACHED), 2);
        f.assert_at_rest(0);
    });
}

impl Fixture {
    fn assert_busy(&self, connections: u64) {
        assert_eq!(self.gauge(S::UPSTREAM_CX_ACTIVE), connections);
        assert_eq!(self.gauge(S::UPSTREAM_RQ_ACTIVE), connections);
    }
}

#[test]
fn a_dropped_connection_counts_as_ended_with_its_request() {
    run(async {
        let f = Fixture::plain().await;
        let (connection, _peer) = f.connect().await;
        drop(connection);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL_WITH_ACTIVE_RQ), 1);
        let (connection, _peer) = f.connect().await;
        connection.close_with_active_request(ClosedBy::Remote);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_REMOTE_WITH_ACTIVE_RQ), 1);
        let (connection, _peer) = f.connect().await;
        connection.close_after_response(ClosedBy::Local);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ), 2);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY), 3);
        f.assert_at_rest(0);
    });
}

#[test]
fn a_removed_cluster_lets_requests_end() {
    run(async {
        let f = Fixture::plain().await;
        // Discovery may remove only what it has added.
        let mut message = static_cluster("api", &[f.upstream.local_addr().unwrap()]);
        message.connect_timeout = time(1000);
        f.manager
            .add_or_update_cluster(message, Origin::Api { version_info: "1" })
            .unwrap();
        let cluster = f.manager.on_this_thread().find("api").unwrap();
        let host = cluster.choose_host(&LbContext::default()).unwrap();
        let busy = pending(cluster.acquire(&host, P, None))
            .get()
            .await
            .unwrap();
        let idle = pending(cluster.acquire(&host, P, None))
            .get()
            .await
            .unwrap();
        idle.release(Instant::now());
        let stats = cluster.info().stats.clone();
        assert!(f.manager.remove_cluster("api"));
        assert!(f.manager.on_this_thread().find("api").is_none());
        assert_eq!(
            stats.gauge(S::UPSTREAM_CX_ACTIVE),
            1,
            "the idle one is closed"
        );
        busy.release(Instant::now());
        assert_eq!(stats.gauge(S::UPSTREAM_CX_ACTIVE), 0);
    });
}

#[test]
fn buffers_of_idle_connections_own_no_memory() {
    run(async {
        let f = Fixture::plain().await;
        let (mut connection, _peer) = f.connect().await;
        connection.read.append_slice(b"x");
        connection.read.consume(1);
        connection.write.append_slice(b"x");
        connection.write.consume(1);
        connection.release(Instant::now());
        let connection = f.ready();
        assert_eq!(connection.read.capacity() + connection.write.capacity(), 0);
    });
}
