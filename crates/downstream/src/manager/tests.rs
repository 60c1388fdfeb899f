use super::*;
use crate::testing::*;

use std::cell::Cell as StdCell;

use nuncio_config::api::bootstrap::{
    LayeredRuntime, RuntimeLayer,
    runtime_layer::{AdminLayer, LayerSpecifier},
};
use nuncio_config::api::listener as proto;
use nuncio_stats::CounterSlot;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::LocalSet;

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
async fn an_update_refuses_nobody_and_drains_the_old_version() {
    local(async {
        let proxy = Proxy::started(SHORT).await;
        let mut current = listener("a", "0:");
        proxy.add(&current);
        let port = proxy.port("a");
        let mut old = proxy.connect("a").await;
        assert_eq!(ask(&mut old, "x").await, "0:x");

        // Connects all the time: each attempt is accepted and answered.
        let answered = Rc::new(StdCell::new(0));
        let count = Rc::clone(&answered);
        let load = tokio::task::spawn_local(async move {
            loop {
                let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let answer = ask(&mut client, "x").await;
                assert!(answer.ends_with(":x"), "{answer:?}");
                count.set(count.get() + 1);
            }
        });
        for version in 1..=4 {
            let before = answered.get();
            until(|| answered.get() >= before + 20 || load.is_finished()).await;
            // More than the chains differs: a new listener takes over.
            current.filter_chains = vec![chain("", &format!("{version}:"))];
            current.traffic_direction = version % 2 + 1;
            proxy.add(&current);
            assert_eq!(proxy.port("a"), port, "the sockets are the same");
            settled(&proxy).await;
            let answer = ask(&mut proxy.connect("a").await, "x").await;
            assert_eq!(answer, format!("{version}:x"));
        }
        assert!(
            !load.is_finished(),
            "an attempt was refused or not answered"
        );
        load.abort();
        assert_eq!(proxy.managed(ManagerStats::LISTENER_MODIFIED), 4);
        assert_eq!(proxy.managed(ManagerStats::LISTENER_IN_PLACE_UPDATED), 0);

        closed(&mut old).await;
        until(|| proxy.managed_now(ManagerStats::TOTAL_LISTENERS_DRAINING) == 0).await;
        assert_eq!(proxy.managed(ManagerStats::LISTENER_CREATE_SUCCESS), 10);
        assert_eq!(proxy.managed_now(ManagerStats::TOTAL_LISTENERS_ACTIVE), 1);
        assert_eq!(ask(&mut proxy.connect("a").await, "x").await, "4:x");
        until(|| proxy.open("a") == 0).await;
    })
    .await;
}

#[tokio::test]
async fn an_update_in_place_keeps_the_connections_of_chains_that_stay() {
    local(async {
        let proxy = Proxy::started(SHORT).await;
        let mut chains = listener("a", "");
        let two = matching(chain("two", "two:"), from("127.0.0.2"));
        let three = matching(chain("three", "three:"), from("127.0.0.3"));
        chains.filter_chains = vec![two, three.clone()];
        proxy.add(&chains);
        let port = proxy.port("a");
        let mut stays = connect_from("127.0.0.3", port).await;
        let mut leaves = connect_from("127.0.0.2", port).await;
        assert_eq!(ask(&mut stays, "x").await, "three:x");
        assert_eq!(ask(&mut leaves, "x").await, "two:x");

        let new = matching(chain("two", "new:"), from("127.0.0.2"));
        chains.filter_chains = vec![three, new];
        proxy.add(&chains);
        settled(&proxy).await;
        let draining = ManagerStats::TOTAL_FILTER_CHAINS_DRAINING;
        assert_eq!(proxy.managed_now(draining), 1);
        assert_eq!(proxy.managed(ManagerStats::LISTENER_IN_PLACE_UPDATED), 1);
        assert_eq!(proxy.managed(ManagerStats::LISTENER_MODIFIED), 1);
        assert_eq!(proxy.managed(ManagerStats::LISTENER_CREATE_SUCCESS), 4);
        assert_eq!(proxy.managed_now(ManagerStats::TOTAL_LISTENERS_DRAINING), 0);
        assert_eq!(
            ask(&mut connect_from("127.0.0.2", port).await, "x").await,
            "new:x"
        );
        closed(&mut leaves).await;
        until(|| proxy.managed_now(draining) == 0).await;
        assert_eq!(ask(&mut stays, "y").await, "three:y");
        assert!(
            !proxy
                .manager
                .add_or_update(chains.clone(), dynamic(), None)
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn a_listener_takes_over_when_it_is_warm() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        proxy.add(&listener("a", "0:"));
        let warm = |text: &str| {
            let (send, receive) = oneshot::channel::<()>();
            let future = Box::pin(async move {
                let _ = receive.await;
            });
            let update = listener("a", text);
            assert!(
                proxy
                    .manager
                    .add_or_update(update.clone(), dynamic(), Some(future))
                    .unwrap()
            );
            send
        };
        let replaced = warm("1:");
        let second = warm("2:");
        let warming = ManagerStats::TOTAL_LISTENERS_WARMING;
        assert_eq!(proxy.managed_now(warming), 1);
        assert!(replaced.is_closed() || replaced.send(()).is_ok());
        assert_eq!(ask(&mut proxy.connect("a").await, "x").await, "0:x");
        let view = proxy.manager.view().snapshot();
        let shown = &view.dynamic_listeners[0];
        assert!(shown.active.is_some() && shown.warming.is_some());
        second.send(()).unwrap();
        until(|| proxy.managed_now(warming) == 0).await;
        settled(&proxy).await;
        assert_eq!(ask(&mut proxy.connect("a").await, "x").await, "2:x");

        let never = warm("3:");
        assert!(proxy.manager.remove("a"));
        assert_eq!(proxy.managed_now(warming), 0);
        until(|| never.is_closed()).await;
    })
    .await;
}

#[tokio::test]
async fn a_removed_listener_closes_its_sockets_at_once_and_its_connections_later() {
    local(async {
        let proxy = Proxy::started(SHORT).await;
        proxy.add(&listener("a", "a:"));
        let port = proxy.port("a");
        let mut client = proxy.connect("a").await;
        assert_eq!(ask(&mut client, "x").await, "a:x");
        assert!(proxy.manager.remove("a"));
        assert!(!proxy.manager.remove("a"));
        let view = proxy.manager.view().snapshot();
        assert!(view.listeners.is_empty());
        assert!(view.dynamic_listeners[0].draining.is_some());
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {}
        // The first may still finish; those of the loop have gone.
        until(|| proxy.open("a") == 1).await;
        closed(&mut client).await;
        until(|| proxy.managed_now(ManagerStats::TOTAL_LISTENERS_DRAINING) == 0).await;
        assert!(proxy.manager.view().snapshot().dynamic_listeners.is_empty());
        assert_eq!(proxy.managed(ManagerStats::LISTENER_REMOVED), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_may_leave_by_itself_while_its_listener_drains() {
    local(async {
        let proxy = Proxy::with(ManagerOptions {
            drain_time: LONG,
            drain_strategy: DrainStrategy::Immediate,
            ..ManagerOptions::default()
        });
        proxy.manager.start_workers().await;
        proxy.add(&listener("a", "a:"));
        let mut client = proxy.connect("a").await;
        assert_eq!(ask(&mut client, "x").await, "a:x");
        proxy.manager.drain_listeners(DrainScope::InboundOnly).await;
        assert_eq!(ask(&mut client, "x").await, "a:x");
        proxy.manager.drain_listeners(DrainScope::All).await;
        assert_eq!(ask(&mut client, "x").await, "a:x");
        closed(&mut client).await;
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
async fn refused_updates_change_nothing_and_are_shown() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let good = listener("a", "a:");
        proxy.add(&good);
        let bad = listener("a", "refuse");
        let error = proxy
            .manager
            .add_or_update(bad.clone(), dynamic(), None)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "filter_chains[0].filters[0].typed_config.text: refused"
        );
        let view = proxy.manager.view().snapshot();
        let shown = &view.dynamic_listeners[0];
        assert_eq!(shown.error.as_ref().unwrap().details, error.to_string());
        assert_eq!(ask(&mut proxy.connect("a").await, "x").await, "a:x");
    })
    .await;
}

#[tokio::test]
async fn addresses_belong_to_one_listener() {
    local(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let proxy = Proxy::started(LONG).await;
        let mut first = listener("a", "");
        first.address = Some(pipe(path.to_str().unwrap()));
        proxy.add(&first);
        let mut second = first.clone();
        second.name = "b".into();
        let error = proxy
            .manager
            .add_or_update(second.clone(), dynamic(), None)
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("'b' has duplicate address"), "{text}");
        second.bind_to_port = Some(nuncio_config::api::protobuf::BoolValue { value: false });
        let unbound = proxy.manager.add_or_update(second.clone(), dynamic(), None);
        assert!(unbound.is_err(), "whether it binds or not");
    })
    .await;
}

#[tokio::test]
async fn static_listeners_stay_and_nameless_ones_get_a_name() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let add = |listener: &proto::Listener, origin| {
            proxy
                .manager
                .add_or_update(listener.clone(), origin, None)
                .unwrap()
        };
        assert!(add(&listener("a", ""), Origin::Static));
        assert!(!add(&listener("a", "other"), dynamic()));
        assert!(!proxy.manager.remove("a"));
        assert!(add(&listener("", ""), Origin::Static));
        let view = proxy.manager.view().snapshot();
        assert_eq!(view.static_listeners.len(), 2);
        assert_eq!(view.listeners[1].name.len(), 36);
        assert!(proxy.manager.active("a").is_some());
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
