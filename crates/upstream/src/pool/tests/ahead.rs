//! Connections made before a request waits for them, and pools of downstream connections.

use nuncio_config::api::cluster::cluster::PreconnectPolicy;
use nuncio_config::api::protobuf::DoubleValue;
use nuncio_sdk::ConnectionInfo;

use super::*;

fn ratios(per_host: f64, predictive: f64) -> impl Fn(&mut Cluster) {
    move |cluster| {
        cluster.preconnect_policy = Some(PreconnectPolicy {
            per_upstream_preconnect_ratio: Some(DoubleValue { value: per_host }),
            predictive_preconnect_ratio: Some(DoubleValue { value: predictive }),
            ..Default::default()
        });
    }
}

#[test]
fn a_pool_is_provisioned_for_more_than_there_is() {
    run(async {
        let f = Fixture::new(ratios(2.0, 1.0)).await;
        let (first, _peer) = f.connect().await;
        let _spare = f.upstream.accept().await.unwrap();
        until(|| f.gauge(S::UPSTREAM_CX_ACTIVE) == 2).await;
        settle().await;
        // One serves, one waits: twice what there is. With the second request two more are wanted.
        let second = f.ready();
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 4);
        first.release(Instant::now());
        second.release(Instant::now());
        settle().await;
        f.ready().release(Instant::now());
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 4, "enough");
    });
}

#[test]
fn nothing_is_made_ahead_beyond_a_breaker() {
    run(async {
        let f = Fixture::new(|cluster| {
            ratios(3.0, 3.0)(cluster);
            limits(|t| t.max_connections = max(2))(cluster);
        })
        .await;
        let (busy, _peer) = f.connect().await;
        settle().await;
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 2);
        busy.release(Instant::now());
        settle().await;
        f.assert_at_rest(2);
    });
}

#[test]
fn what_is_refused_is_not_tried_again_without_need() {
    run(async {
        let f = Fixture::new(ratios(3.0, 1.0)).await;
        let (_busy, _peer) = f.connect().await;
        let _spare = f.upstream.accept().await.unwrap();
        let _other = f.upstream.accept().await.unwrap();
        settle().await;
        drop(f.upstream);
        let stats = &f.cluster.info().stats;
        let total = || stats.counter(S::UPSTREAM_CX_TOTAL);
        let before = total();
        let _again = f.cluster.acquire(&f.host, P, None);
        settle().await;
        let after = total();
        assert!(after <= before + 3, "{before} {after}");
        settle().await;
        assert_eq!(total(), after);
    });
}

#[test]
fn the_hosts_next_in_turn_are_connected_to() {
    run(async {
        let sockets = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let manager = manager();
        let addresses = [0, 1, 2].map(|i: usize| sockets[i].local_addr().unwrap());
        let mut message = static_cluster("x", &addresses);
        ratios(1.0, 3.0)(&mut message);
        manager.initialize([(0, message)], false).unwrap();
        let cluster = manager.on_this_thread().find("x").unwrap();
        let stats = cluster.info().stats.clone();
        let host = cluster.choose_host(&LbContext::default()).unwrap().host;
        let _first = pending(cluster.acquire(&host, P, None));
        // Two ahead; the third to come is the first again, whose connection the request takes.
        assert_eq!(stats.counter(S::UPSTREAM_CX_TOTAL), 3);
        let mut peers = Vec::new();
        for socket in &sockets {
            peers.push(socket.accept().await.unwrap());
        }
        settle().await;
        let host = cluster.choose_host(&LbContext::default()).unwrap().host;
        assert!(matches!(cluster.acquire(&host, P, None), Acquire::Ready(_)));
    });
}

impl Fixture {
    /// The workers are shown the hosts anew.
    async fn health_has_changed(&self) {
        self.manager.health_changed(&self.cluster.info().name);
        settle().await;
    }
}

fn downstream(id: u64) -> Rc<ConnectionInfo> {
    let address = Rc::new(nuncio_net::Address::parse_ip("127.0.0.1", 1).unwrap());
    Rc::new(ConnectionInfo {
        id,
        remote_address: address.clone(),
        direct_remote_address: address.clone(),
        local_address: address,
        local_address_restored: false,
        listener_name: "l".into(),
        filter_chain_name: "".into(),
        listener_metadata: None,
        filter_chain_metadata: None,
        tls: false,
        start: Instant::now(),
    })
}

#[test]
fn a_downstream_connection_has_a_pool_of_its_own() {
    run(async {
        let f = Fixture::new(|c| c.connection_pool_per_downstream_connection = true).await;
        let (one, other) = (downstream(1), downstream(2));
        let acquire =
            |of: &Rc<ConnectionInfo>| f.cluster.acquire_for(&f.cluster, of, &f.host, P, None);
        let first = pending(acquire(&one)).get().await.unwrap();
        let id = first.id;
        first.release(Instant::now());
        let second = pending(acquire(&other)).get().await.unwrap();
        assert_ne!(second.id, id);
        second.release(Instant::now());
        let Acquire::Ready(again) = acquire(&one) else {
            panic!("its own is idle");
        };
        let again = whole(again);
        assert_eq!(again.id, id);
        again.release(Instant::now());
        f.assert_at_rest(2);
        // Who is gone needs no connection; noticed when the next one comes.
        drop((one, other));
        drop(acquire(&downstream(3)));
        assert_eq!(f.gauge(S::UPSTREAM_CX_ACTIVE), 1);
    });
}

#[test]
fn a_host_that_fails_ends_tunnels_where_that_is_asked_for() {
    use crate::host::HealthFlags;
    run(async {
        for close in [false, true] {
            let f = Fixture::new(|c| c.close_connections_on_host_health_failure = close).await;
            let mut waiting =
                pending(
                    f.cluster
                        .acquire_tcp(&f.cluster, &downstream(1), &f.host, P),
                );
            let lease = std::future::poll_fn(|cx| waiting.poll(cx)).await.unwrap();
            let Lease::Tcp(mut tunnel) = lease else {
                panic!("{lease:?}");
            };
            let _peer = f.upstream.accept().await.unwrap();
            f.host
                .host()
                .set_health_flags(HealthFlags::FAILED_ACTIVE_HC);
            f.health_has_changed().await;
            settle().await;
            let read = std::future::poll_fn(|cx| Poll::Ready(tunnel.poll_read(cx, 10))).await;
            let ended = matches!(read, Poll::Ready(Ok(0)));
            assert_eq!(ended, close);
            let by = match close {
                true => ClosedBy::Local,
                false => ClosedBy::Remote,
            };
            assert_eq!(tunnel.tunnel_closed_by(), by);
            drop(tunnel);
            f.assert_at_rest(0);
        }
    });
}

#[test]
fn a_change_of_hosts_drains_where_that_is_asked_for() {
    use nuncio_config::api::cluster::cluster::CommonLbConfig;
    run(async {
        for drain in [false, true] {
            let f = Fixture::new(|c| {
                c.common_lb_config = Some(CommonLbConfig {
                    close_connections_on_host_set_change: drain,
                    ..Default::default()
                });
            })
            .await;
            let (connection, _peer) = f.connect().await;
            connection.release(Instant::now());
            f.health_has_changed().await;
            f.assert_at_rest(u64::from(!drain));
        }
    });
}
