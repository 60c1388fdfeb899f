//! Listeners are added, replaced and removed while others serve.

use super::*;

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
