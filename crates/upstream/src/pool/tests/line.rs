//! Requests in line: connections that cannot be made, leaving, order, budgets.

use super::*;

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
