//! Clusters are added, replaced and removed while the proxy runs.

use super::*;

#[test]
fn the_same_configuration_is_no_update() {
    let manager = manager();
    manager
        .initialize([(0, static_cluster("fixed", &at(&[1])))], false)
        .unwrap();
    assert_eq!(
        manager.add_or_update_cluster(static_cluster("fixed", &at(&[2])), API),
        Ok(false),
        "static"
    );
    assert_eq!(
        manager.add_or_update_cluster(static_cluster("a", &at(&[1])), API),
        Ok(true)
    );
    assert_eq!(
        manager.add_or_update_cluster(static_cluster("a", &at(&[1])), API),
        Ok(false)
    );
    assert_eq!(
        manager.add_or_update_cluster(static_cluster("a", &at(&[2])), API),
        Ok(true)
    );
    assert_eq!(ports(&manager, "a"), [2]);
    assert_eq!(counter(&manager, ManagerStats::CLUSTER_ADDED), 2);
    assert_eq!(counter(&manager, ManagerStats::CLUSTER_MODIFIED), 1);
    assert!(
        !manager.remove_cluster("fixed")
            && manager.remove_cluster("a")
            && !manager.remove_cluster("a")
    );
    assert_eq!(counter(&manager, ManagerStats::CLUSTER_REMOVED), 1);
    assert_eq!(
        manager.add_or_update_cluster(static_cluster("a", &at(&[3])), API),
        Ok(true)
    );
    assert_eq!(
        manager
            .on_this_thread()
            .find("a")
            .unwrap()
            .host_sets()
            .len(),
        1
    );
}

#[test]
fn hosts_and_their_counts_survive_updates() {
    let manager = manager();
    manager.initialize(NO_CLUSTERS, false).unwrap();
    manager
        .add_or_update_cluster(static_cluster("a", &at(&[1, 2])), API)
        .unwrap();
    let before = manager.on_this_thread().find("a").unwrap();
    let kept = host_at(&manager, "a", 2);
    kept.stats().rq_total.fetch_add(5, Relaxed);
    let mut update = static_cluster("a", &at(&[2, 3]));
    update.circuit_breakers = Some(CircuitBreakers {
        thresholds: vec![ThresholdsMessage {
            max_requests: Some(UInt32Value { value: 7 }),
            ..Default::default()
        }],
        ..Default::default()
    });
    manager.add_or_update_cluster(update, API).unwrap();
    assert_eq!(ports(&manager, "a"), [2, 3]);
    assert!(Arc::ptr_eq(&kept, &host_at(&manager, "a", 2)));
    let after = manager.on_this_thread().find("a").unwrap();
    assert!(
        !Rc::ptr_eq(&before, &after),
        "a new configuration is a new object"
    );
    assert!(
        Arc::ptr_eq(&before.info().breakers, &after.info().breakers),
        "what is in use stays counted"
    );
    assert_eq!(
        after
            .info()
            .breakers
            .max(Priority::Default, crate::Resource::Requests),
        7
    );
    assert_eq!(after.info().thresholds()[0].max_requests, 7);
    assert_eq!(after.info().stats.counter(S::MEMBERSHIP_CHANGE), 2);
    assert_eq!(
        before.info().thresholds()[0].max_requests,
        1024,
        "requests keep the version they began with"
    );
}

#[test]
fn hosts_that_a_worker_used_stay_its_own_over_updates() {
    let manager = manager();
    manager.initialize(NO_CLUSTERS, false).unwrap();
    manager
        .add_or_update_cluster(static_cluster("a", &at(&[1])), API)
        .unwrap();
    let here = manager.on_this_thread();
    let first = here
        .find("a")
        .unwrap()
        .choose_host(&LbContext::default())
        .unwrap()
        .host;
    let mut update = static_cluster("a", &at(&[1]));
    update.per_connection_buffer_limit_bytes = Some(UInt32Value { value: 1 });
    manager.add_or_update_cluster(update.clone(), API).unwrap();
    let second = here
        .find("a")
        .unwrap()
        .choose_host(&LbContext::default())
        .unwrap()
        .host;
    assert!(Rc::ptr_eq(&first, &second), "pools go on");
    update.upstream_connection_options =
        Some(nuncio_config::api::cluster::UpstreamConnectionOptions {
            tcp_keepalive: Some(Default::default()),
            ..Default::default()
        });
    manager.add_or_update_cluster(update, API).unwrap();
    let third = here
        .find("a")
        .unwrap()
        .choose_host(&LbContext::default())
        .unwrap()
        .host;
    assert!(!Rc::ptr_eq(&second, &third), "other connections are needed");
    assert!(Arc::ptr_eq(second.host(), third.host()));
}

#[test]
fn the_old_version_serves_while_the_new_one_warms() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        manager.initialize(NO_CLUSTERS, false).unwrap();
        manager
            .add_or_update_cluster(static_cluster("a", &at(&[1])), API)
            .unwrap();
        let worker = manager.on_this_thread();
        assert_eq!(worker.find("a").unwrap().host_sets().len(), 1);
        manager
            .add_or_update_cluster(dns("a", "a.test"), API)
            .unwrap();
        assert_eq!(manager.stats.gauge(ManagerStats::WARMING_CLUSTERS), 1);
        assert_eq!(ports(&manager, "a"), [1]);
        assert_eq!(manager.config_dump().dynamic_warming_clusters.len(), 1);
        script.answer(&["10.0.0.1"]);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(ports(&manager, "a"), [80]);
        assert_eq!(worker.find("a").unwrap().host_sets().len(), 1);
        assert_eq!(manager.stats.gauge(ManagerStats::WARMING_CLUSTERS), 0);
        // A late answer to a version that is gone changes nothing.
        manager
            .add_or_update_cluster(static_cluster("a", &at(&[2])), API)
            .unwrap();
        script.answer(&["10.0.0.9"]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(ports(&manager, "a"), [2]);
    });
}

#[test]
fn a_removed_cluster_asks_no_more() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        manager.initialize(NO_CLUSTERS, false).unwrap();
        script.answer(&["10.0.0.1"]);
        manager
            .add_or_update_cluster(dns("d", "a.test"), API)
            .unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(manager.remove_cluster("d"));
        let asked = script.count();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(script.count(), asked);
    });
}

#[test]
fn workers_are_told_by_posts() {
    use nuncio_event::{NoObserver, Workers};
    let workers = Workers::start(2, Arc::new(NoObserver), |_| ()).unwrap();
    let manager = ClusterManager::new(crate::testing::server(), workers.dispatchers(), None);
    manager.initialize(NO_CLUSTERS, false).unwrap();
    let count = |manager: &Arc<ClusterManager>| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let slot = manager.worker_slot().clone();
        workers
            .dispatchers()
            .post_all(move |_| {
                let cluster = slot.get().find("a");
                sender
                    .send(cluster.map(|cluster| cluster.host_sets().len()))
                    .unwrap();
            })
            .unwrap();
        let get = || receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        [get(), get()]
    };
    assert_eq!(count(&manager), [None, None]);
    manager
        .add_or_update_cluster(static_cluster("a", &at(&[1])), API)
        .unwrap();
    assert_eq!(count(&manager), [Some(1); 2]);
    manager
        .add_or_update_cluster(static_cluster("a", &at(&[1, 2])), API)
        .unwrap();
    assert_eq!(count(&manager), [Some(2); 2]);
    manager.remove_cluster("a");
    assert_eq!(count(&manager), [None, None]);
    workers.stop(Duration::from_secs(10)).unwrap();
}
