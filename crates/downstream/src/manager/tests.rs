//! Listeners and their connections, over real sockets.

mod updates;

use std::cell::Cell as StdCell;

use nuncio_config::api::bootstrap::{
    LayeredRuntime, RuntimeLayer,
    runtime_layer::{AdminLayer, LayerSpecifier},
};
use nuncio_config::api::listener as proto;
use nuncio_stats::CounterSlot;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::LocalSet;

use super::*;
use crate::testing::*;

const LONG: Duration = Duration::from_secs(600);
/// Long enough for the steps that come before its end, on a loaded machine too.
const SHORT: Duration = Duration::from_secs(1);

/// Runs a test on a loop like the main thread's.
async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

fn matching(mut chain: proto::FilterChain, wanted: proto::FilterChainMatch) -> proto::FilterChain {
    chain.filter_chain_match = Some(wanted);
    chain
}

fn from(range: &str) -> proto::FilterChainMatch {
    proto::FilterChainMatch {
        source_prefix_ranges: vec![nuncio_config::api::core::CidrRange {
            address_prefix: range.into(),
            prefix_len: Some(nuncio_config::api::protobuf::UInt32Value { value: 32 }),
        }],
        ..Default::default()
    }
}

/// A connection from another address of the loopback network.
async fn connect_from(ip: &str, port: u16) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    socket.connect(to).await.unwrap()
}

/// Waits until the workers have done what was posted to them.
async fn settled(proxy: &Proxy) {
    proxy.manager.inner.on_handlers(|_| ()).all().await;
}

#[tokio::test]
async fn listeners_open_when_the_workers_start() {
    local(async {
        let proxy = Proxy::new(LONG);
        proxy.add(&listener("a", "a:"));
        let refused = TcpStream::connect(("127.0.0.1", proxy.port("a"))).await;
        assert!(refused.is_err(), "bound, not listening");
        proxy.manager.start_workers().await;
        assert_eq!(proxy.managed_now(ManagerStats::WORKERS_STARTED), 1);
        assert_eq!(proxy.managed_now(ManagerStats::TOTAL_LISTENERS_ACTIVE), 1);
        assert_eq!(proxy.managed(ManagerStats::LISTENER_CREATE_SUCCESS), 2);
        let mut client = proxy.connect("a").await;
        assert_eq!(ask(&mut client, "x").await, "a:x");
        assert_eq!(ask(&mut client, "y").await, "a:y");
        assert_eq!(proxy.open("a"), 1);
        drop(client);
        until(|| proxy.open("a") == 0).await;
        let counted = |slot| proxy.counter("a", slot);
        assert_eq!(counted(ListenerStats::DOWNSTREAM_CX_TOTAL), 1);
        assert_eq!(counted(ListenerStats::DOWNSTREAM_CX_DESTROY), 1);
    })
    .await;
}

#[tokio::test]
async fn connections_are_spread_over_workers_and_counted_there() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        proxy.add(&listener("a", ""));
        let mut clients = Vec::new();
        for _ in 0..64 {
            let mut client = proxy.connect("a").await;
            assert_eq!(ask(&mut client, "x").await, "x");
            clients.push(client);
        }
        let total = |worker: usize| {
            let prefix = format!("listener.a.worker_{worker}");
            let group = proxy
                .server
                .stats
                .group(prefix, WorkerListenerStats::SCHEMA);
            let open = group.gauge(WorkerListenerStats::DOWNSTREAM_CX_ACTIVE);
            let total = group.counter(WorkerListenerStats::DOWNSTREAM_CX_TOTAL);
            assert_eq!(open, total);
            total
        };
        assert!(total(0) > 0 && total(1) > 0);
        assert_eq!(total(0) + total(1), 64);
    })
    .await;
}

#[tokio::test]
async fn several_addresses_and_a_path() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket").to_str().unwrap().to_owned();
        let proxy = Proxy::started(LONG).await;
        let mut several = listener("a", "a:");
        for address in [address("::1", 0), pipe(&path)] {
            several.additional_addresses.push(proto::AdditionalAddress {
                address: Some(address),
                ..Default::default()
            });
        }
        proxy.add(&several);
        let snapshot = proxy.manager.view().snapshot();
        let addresses = &snapshot.listeners[0].addresses;
        assert_eq!(addresses[2].to_string(), path);
        let mut v6 = TcpStream::connect(addresses[1].ip().unwrap())
            .await
            .unwrap();
        assert_eq!(ask(&mut v6, "6").await, "a:6");
        for _ in 0..8 {
            // The workers share one socket.
            let mut unix = UnixStream::connect(&path).await.unwrap();
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            unix.write_all(b"u").await.unwrap();
            let mut answer = [0; 3];
            unix.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"a:u");
        }
    })
    .await;
}

#[tokio::test]
async fn chains_are_found_and_a_connection_without_one_is_closed() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let mut chains = listener("a", "");
        chains.filter_chains = vec![
            matching(chain("two", "two:"), from("127.0.0.2")),
            matching(chain("three", "three:"), from("127.0.0.3")),
        ];
        proxy.add(&chains);
        let port = proxy.port("a");
        assert_eq!(
            ask(&mut connect_from("127.0.0.2", port).await, "x").await,
            "two:x"
        );
        assert_eq!(
            ask(&mut connect_from("127.0.0.3", port).await, "x").await,
            "three:x"
        );
        closed(&mut connect_from("127.0.0.4", port).await).await;
        let missed = |proxy: &Proxy| proxy.counter("a", ListenerStats::NO_FILTER_CHAIN_MATCH);
        assert_eq!(missed(&proxy), 1);
        assert_eq!(proxy.counter("a", ListenerStats::DOWNSTREAM_CX_TOTAL), 2);
        chains.default_filter_chain = Some(chain("rest", "rest:"));
        proxy.add(&chains);
        settled(&proxy).await;
        let mut rest = connect_from("127.0.0.4", proxy.port("a")).await;
        assert_eq!(ask(&mut rest, "x").await, "rest:x");
        chains.filter_chains[0].filters.clear();
        proxy.add(&chains);
        settled(&proxy).await;
        closed(&mut connect_from("127.0.0.2", proxy.port("a")).await).await;
    })
    .await;
}

#[tokio::test]
async fn stopped_listeners_accept_no_more_and_serve_on() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let mut inbound = listener("in", "in:");
        inbound.traffic_direction = 1;
        proxy.add(&inbound);
        proxy.add(&listener("out", "out:"));
        let port = proxy.port("in");
        let mut client = proxy.connect("in").await;
        assert_eq!(ask(&mut client, "x").await, "in:x");
        proxy.manager.stop_listeners(DrainScope::InboundOnly).await;
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
        assert_eq!(ask(&mut client, "x").await, "in:x");
        assert_eq!(ask(&mut proxy.connect("out").await, "x").await, "out:x");
        assert_eq!(proxy.managed(ManagerStats::LISTENER_STOPPED), 1);
        let refused = proxy
            .manager
            .add_or_update(inbound.clone(), dynamic(), None);
        assert!(matches!(refused, Err(UpdateError::Stopped)));
    })
    .await;
}

#[tokio::test]
async fn limits_close_what_is_too_much() {
    local(async {
        let proxy = Proxy::with(ManagerOptions {
            global_limit: Some(2),
            ..ManagerOptions::default()
        });
        let runtime = changeable_runtime(&proxy.server);
        proxy.server.services.insert(Arc::clone(&runtime));
        let key = "envoy.resource_limits.listener.a.connection_limit";
        runtime.modify([(key, "1")].into_iter()).unwrap();
        proxy.manager.start_workers().await;
        proxy.add(&listener("a", ""));
        proxy.add(&listener("b", ""));
        let overflow: CounterSlot = ListenerStats::DOWNSTREAM_CX_OVERFLOW;
        let global = ListenerStats::DOWNSTREAM_GLOBAL_CX_OVERFLOW;
        let mut first = proxy.connect("a").await;
        assert_eq!(ask(&mut first, "x").await, "x");
        closed(&mut proxy.connect("a").await).await;
        assert_eq!(proxy.counter("a", overflow), 1);
        let mut second = proxy.connect("b").await;
        assert_eq!(ask(&mut second, "x").await, "x");
        closed(&mut proxy.connect("b").await).await;
        assert_eq!(proxy.counter("b", global), 1);
        drop(first);
        until(|| proxy.open("a") == 0).await;
        let mut first = proxy.connect("a").await;
        assert_eq!(ask(&mut first, "x").await, "x");
        drop(second);
        until(|| proxy.open("b") == 0).await;
        runtime.modify([(key, "2")].into_iter()).unwrap();
        assert_eq!(ask(&mut proxy.connect("a").await, "x").await, "x");
        assert_eq!(proxy.counter("a", overflow), 1);
    })
    .await;
}

/// One whose values can be modified.
fn changeable_runtime(server: &ServerContext) -> Arc<Runtime> {
    let layer = RuntimeLayer {
        name: "admin".into(),
        layer_specifier: Some(LayerSpecifier::AdminLayer(AdminLayer {})),
    };
    let layers = LayeredRuntime {
        layers: vec![layer],
    };
    Runtime::new(Some(layers), "", &server.stats)
}

#[tokio::test]
async fn a_filter_that_panics_costs_its_connection_only() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        proxy.add(&listener("a", ""));
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(proxy.connect("a").await);
        }
        assert_eq!(ask(&mut clients[0], "panic").await, "");
        for client in &mut clients[1..] {
            assert_eq!(ask(client, "x").await, "x");
        }
        until(|| proxy.open("a") == 7).await;
        proxy.add(&listener("b", "panic"));
        for _ in 0..8 {
            closed(&mut proxy.connect("b").await).await;
        }
        until(|| proxy.open("b") == 0).await;
    })
    .await;
}

#[tokio::test]
async fn each_connection_is_logged_at_its_end() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let logged = Arc::new(Logged::default());
        proxy.server.services.insert(Arc::clone(&logged));
        let mut logging = listener("a", "");
        logging.access_log.push(access_log());
        let mut silent = matching(chain("silent", ""), from("127.0.0.2"));
        silent.filters.clear();
        logging.filter_chains = vec![matching(chain("echo", "echo:"), from("127.0.0.1")), silent];
        proxy.add(&logging);
        let port = proxy.port("a");
        let lines = || logged.0.lock().unwrap().clone();
        let mut client = proxy.connect("a").await;
        assert_eq!(ask(&mut client, "xyz").await, "echo:xyz");
        assert!(lines().is_empty());
        drop(client);
        until(|| lines().len() == 1).await;
        closed(&mut connect_from("127.0.0.2", port).await).await;
        until(|| lines().len() == 2).await;
        closed(&mut connect_from("127.0.0.3", port).await).await;
        until(|| lines().len() == 3).await;
        let wanted = [
            "echo 3 8 false -",
            "silent 0 0 false -",
            " 0 0 true filter_chain_not_found",
        ];
        assert_eq!(lines(), wanted);
    })
    .await;
}

/// Two sockets may be bound to one address as long as neither listens.
#[tokio::test]
async fn a_listener_that_cannot_listen_is_not_taken() {
    local(async {
        let proxy = Proxy::new(LONG);
        let mut alone = listener("a", "");
        alone.enable_reuse_port = Some(nuncio_config::api::protobuf::BoolValue { value: false });
        proxy.add(&alone);
        let port = proxy.port("a");
        let options = nuncio_net::ListenOptions {
            reuse_port: false,
            ..Default::default()
        };
        let address = nuncio_net::Address::parse_ip("127.0.0.1", port).unwrap();
        let other = nuncio_net::ListenSocket::bind(&address, &options).unwrap();
        other.listen().unwrap();
        proxy.manager.start_workers().await;
        assert_eq!(proxy.managed(ManagerStats::LISTENER_CREATE_FAILURE), 1);
        assert_eq!(proxy.managed(ManagerStats::LISTENER_CREATE_SUCCESS), 0);
        assert!(proxy.manager.view().snapshot().listeners.is_empty());
    })
    .await;
}
