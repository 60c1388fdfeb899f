//! How many streams and connections there may be.

use super::peer::{HEADERS, MAX_CONCURRENT_STREAMS};
use super::*;

#[test]
fn one_connection_is_made_for_many_who_wait() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let waiting: Vec<_> = (0..50).map(|_| pending(f.acquire())).collect();
        let _peer = f.peer(&[]).await;
        let mut streams = Vec::new();
        for waits in waiting {
            streams.push(stream(waits).await.unwrap());
        }
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_RQ_PENDING_TOTAL), 50);
        assert_eq!(f.gauge(S::UPSTREAM_RQ_ACTIVE), 50);
        drop(streams);
        f.assert_at_rest(1);
    });
}

#[test]
fn full_connections_make_the_pool_grow() {
    run(async {
        let f = Fixture::new(h2(|o| o.max_concurrent_streams = max(2))).await;
        let waiting: Vec<_> = (0..5).map(|_| pending(f.acquire())).collect();
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(f.peer(&[]).await);
        }
        let mut streams = Vec::new();
        for waits in waiting {
            streams.push(stream(waits).await.unwrap());
        }
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 3);
        // The third has room for one more.
        streams.push(f.stream());
        assert!(matches!(f.acquire(), Acquire::Pending(_)));
        drop(streams);
        settle().await;
        assert_eq!(f.gauge(S::UPSTREAM_RQ_ACTIVE), 0);
    });
}

#[test]
fn the_peers_limit_counts_when_it_is_known() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (first, _peer) = f.first_with(&[(MAX_CONCURRENT_STREAMS, 1)]).await;
        until(|| f.counter(S::UPSTREAM_CX_RX_BYTES_TOTAL) >= 15).await;
        let waiting = pending(f.acquire());
        let _other = f.peer(&[(MAX_CONCURRENT_STREAMS, 1)]).await;
        let second = stream(waiting).await.unwrap();
        assert_ne!(first.connection_id(), second.connection_id());
        until(|| f.counter(S::UPSTREAM_CX_RX_BYTES_TOTAL) >= 30).await;
        // The next one in line gets the first place that becomes free.
        let waiting = pending(f.acquire());
        let id = first.connection_id();
        drop(first);
        let third = stream(waiting).await.unwrap();
        assert_eq!(third.connection_id(), id);
    });
}

#[test]
fn without_a_free_connection_requests_wait_for_a_stream() {
    run(async {
        let f = Fixture::new(|cluster| {
            h2(|o| o.max_concurrent_streams = max(1))(cluster);
            limits(|t| t.max_connections = max(1))(cluster);
        })
        .await;
        let (first, mut peer) = f.first().await;
        let second = pending(f.acquire());
        assert_eq!(f.counter(S::UPSTREAM_CX_OVERFLOW), 1);
        let serve = async {
            for id in [1, 3] {
                peer.expect(HEADERS, id).await;
                peer.respond(id).await;
            }
        };
        let both = async {
            exchange(first).await.unwrap();
            exchange(stream(second).await.unwrap()).await.unwrap();
        };
        tokio::join!(serve, both);
        f.assert_at_rest(1);
    });
}

#[test]
fn breakers_limit_requests() {
    run(async {
        let f = Fixture::new(|cluster| {
            h2(plain)(cluster);
            limits(|t| t.max_requests = max(1))(cluster);
        })
        .await;
        let (first, _peer) = f.first().await;
        assert!(matches!(f.acquire(), Acquire::Overflow));
        assert_eq!(f.counter(S::UPSTREAM_RQ_ACTIVE_OVERFLOW), 1);
        assert_eq!(f.gauge(S::DEFAULT_RQ_OPEN), 1);
        drop(first);
        f.assert_at_rest(1);
        drop(f.stream());

        let f = Fixture::new(|cluster| {
            h2(plain)(cluster);
            limits(|t| t.max_pending_requests = max(2))(cluster);
        })
        .await;
        let waiting = [pending(f.acquire()), pending(f.acquire())];
        assert!(matches!(f.acquire(), Acquire::PendingOverflow));
        drop(waiting);
        let _peer = f.peer(&[]).await;
        settle().await;
        f.assert_at_rest(1);
    });
}

#[test]
fn who_waits_can_meet_the_breaker_of_requests() {
    run(async {
        let f = Fixture::new(|cluster| {
            h2(plain)(cluster);
            limits(|t| t.max_requests = max(1))(cluster);
        })
        .await;
        let [first, second] = [pending(f.acquire()), pending(f.acquire())];
        let _peer = f.peer(&[]).await;
        let first = stream(first).await.unwrap();
        let refused = stream(second).await.unwrap_err();
        assert_eq!(refused.kind, FailureKind::Overflow);
        drop(first);
        f.assert_at_rest(1);
    });
}

#[test]
fn a_connection_serves_so_many_requests() {
    run(async {
        let f = Fixture::new(|cluster| {
            h2(plain)(cluster);
            http(|o| o.max_requests_per_connection = max(2))(cluster);
        })
        .await;
        let (first, mut peer) = f.first().await;
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_REQUESTS), 0);
        let second = f.stream();
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_REQUESTS), 1);
        assert!(matches!(f.acquire(), Acquire::Pending(_)));
        drop((first, second));
        peer.end().await;
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
    });
}

#[test]
fn who_leaves_gives_the_place_back() {
    run(async {
        let f = Fixture::new(|cluster| {
            h2(|o| o.max_concurrent_streams = max(1))(cluster);
            limits(|t| t.max_connections = max(1))(cluster);
        })
        .await;
        let leaving = pending(f.acquire());
        let staying = pending(f.acquire());
        let _peer = f.peer(&[]).await;
        settle().await;
        drop(leaving);
        assert_eq!(f.counter(S::UPSTREAM_RQ_CANCELLED), 1);
        drop(stream(staying).await.unwrap());
        f.assert_at_rest(1);
    });
}

#[test]
fn a_place_that_is_gone_is_looked_for_again() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let waiting = pending(f.acquire());
        let mut peer = f.peer(&[]).await;
        // It has a place on this connection, and has not taken it yet.
        peer.go_away(0).await;
        until(|| f.counter(S::UPSTREAM_CX_CLOSE_NOTIFY) == 1).await;
        let (stream, _peer) = tokio::join!(stream(waiting), f.peer(&[]));
        drop(stream.unwrap());
        f.assert_at_rest(1);
    });
}

#[test]
fn a_host_that_goes_drains_its_connections() {
    run(async {
        let f = Fixture::new(h2(|o| o.max_concurrent_streams = max(1))).await;
        let (busy, mut busy_peer) = f.first().await;
        let waiting = pending(f.acquire());
        f.host.drain();
        assert_eq!(f.gauge(S::UPSTREAM_CX_ACTIVE), 2);
        // Who waits is still served.
        let (late, mut late_peer) = tokio::join!(stream(waiting), f.peer(&[]));
        drop(busy);
        busy_peer.end().await;
        drop(late.unwrap());
        late_peer.end().await;
        f.assert_at_rest(0);
        let breakers = &f.cluster.info().breakers;
        assert_eq!(breakers.used(P, Resource::Pools), 0);
    });
}

#[test]
fn each_downstream_protocol_has_its_pool() {
    use nuncio_config::api::http_protocol_options::{
        HttpProtocolOptions as Typed,
        http_protocol_options::{UpstreamProtocolOptions, UseDownstreamHttpConfig},
    };
    run(async {
        let f = Fixture::new(|cluster| {
            let config = UseDownstreamHttpConfig::default();
            let options = Typed {
                upstream_protocol_options: Some(
                    UpstreamProtocolOptions::UseDownstreamProtocolConfig(config),
                ),
                ..Default::default()
            };
            cluster.typed_extension_protocol_options.insert(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".into(),
                nuncio_config::any::pack(&options),
            );
        })
        .await;
        let acquire = |protocol| f.cluster.acquire(&f.host, P, Some(protocol));
        let by_h2 = pending(acquire(nuncio_sdk::Protocol::Http2));
        let _peer = f.peer(&[]).await;
        let by_h2 = stream(by_h2).await.unwrap();
        let mut by_h1 = pending(acquire(nuncio_sdk::Protocol::Http11));
        let lease = poll_fn(|cx| by_h1.poll(cx)).await.unwrap();
        assert!(matches!(lease, Lease::Http1(_)));
        assert_eq!(f.counter(S::UPSTREAM_CX_HTTP1_TOTAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_HTTP2_TOTAL), 1);
        drop(by_h2);
    });
}
