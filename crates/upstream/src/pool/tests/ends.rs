//! Which idle connection is used, and how connections end.

use super::*;

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
        let host = cluster.choose_host(&LbContext::default()).unwrap().host;
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
