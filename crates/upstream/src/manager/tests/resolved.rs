//! Names are resolved again.

use super::*;

#[test]
fn names_are_resolved_again_and_hosts_follow() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        script.answer(&["10.0.0.1", "10.0.0.2"]);
        manager
            .initialize([(0, dns("d", "a.test"))], false)
            .unwrap();
        manager.initialized().await;
        let cluster = manager.on_this_thread().find("d").unwrap();
        let first = cluster.host_sets().hosts().next().unwrap().clone();
        script.answer(&["10.0.0.1", "10.0.0.3"]);
        tokio::time::sleep(Duration::from_millis(5100)).await;
        let stats = &cluster.info().stats;
        assert_eq!(stats.counter(S::MEMBERSHIP_CHANGE), 2);
        let hosts = cluster.host_sets();
        assert!(
            hosts.hosts().any(|host| Arc::ptr_eq(host, &first)),
            "the same host stays the same object"
        );
        assert_eq!(hosts.len(), 2);
        // The same answer is no change, a failure neither, an empty answer is one.
        script.answer(&["10.0.0.3", "10.0.0.1"]);
        script.fail();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(stats.counter(S::UPDATE_NO_REBUILD), 1);
        assert_eq!(stats.counter(S::UPDATE_FAILURE), 1);
        assert_eq!(cluster.host_sets().len(), 2);
        script.answer(&[]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(cluster.host_sets().is_empty());
        assert_eq!(counter(&manager, ManagerStats::CLUSTER_UPDATED), 2);
    });
}

#[test]
fn the_one_host_of_a_logical_cluster_is_replaced() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        script.answer(&["10.0.0.1", "10.0.0.2"]);
        let logical = cluster("d", DiscoveryType::LogicalDns, vec![endpoint("a.test", 80)]);
        manager.initialize([(0, logical)], false).unwrap();
        manager.initialized().await;
        let lists = || -> Vec<String> {
            let hosts = manager.hosts("d").unwrap();
            let list = |host: &Arc<Host>| format!("{:?}", host.addresses());
            hosts.hosts().map(list).collect()
        };
        let before = manager.hosts("d").unwrap();
        assert_eq!(lists(), ["[Ip(10.0.0.1:80), Ip(10.0.0.2:80)]"]);
        // The same; no address, which counts as a failure; another list.
        script.answer(&["10.0.0.1", "10.0.0.2"]);
        script.answer(&[]);
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(Arc::ptr_eq(&before, &manager.hosts("d").unwrap()));
        script.answer(&["10.0.0.1"]);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(lists(), ["[Ip(10.0.0.1:80)]"]);
        let stats = &manager.active_info("d").unwrap().stats;
        assert_eq!(stats.counter(S::UPDATE_FAILURE), 1);
        assert_eq!(stats.counter(S::UPDATE_NO_REBUILD), 1);
        assert_eq!(stats.counter(S::MEMBERSHIP_CHANGE), 2);
        assert_eq!(stats.gauge(S::MAX_HOST_WEIGHT), 0);
    });
}
