//! `update_merge_window`.

use nuncio_config::api::cluster::cluster::CommonLbConfig;
use nuncio_config::api::protobuf;

use super::*;

fn with_window(mut cluster: Cluster, seconds: i64) -> Cluster {
    cluster.common_lb_config = Some(CommonLbConfig {
        update_merge_window: Some(protobuf::Duration { seconds, nanos: 0 }),
        ..Default::default()
    });
    cluster
}

/// What the manager has counted: updates, updates by merging, cancelled ones, those out of the window.
fn counts(manager: &ClusterManager) -> [u64; 4] {
    [
        ManagerStats::CLUSTER_UPDATED,
        ManagerStats::CLUSTER_UPDATED_VIA_MERGE,
        ManagerStats::UPDATE_MERGE_CANCELLED,
        ManagerStats::UPDATE_OUT_OF_MERGE_WINDOW,
    ]
    .map(|slot| counter(manager, slot))
}

fn fail(manager: &ClusterManager, name: &str, port: u16) {
    host_at(manager, name, port).set_health_flags(HealthFlags::FAILED_ACTIVE_HC);
    manager.health_changed(name);
}

/// The ports of the hosts that the worker takes for healthy.
fn healthy(manager: &ClusterManager, name: &str) -> Vec<u16> {
    let sets = manager.on_this_thread().find(name).unwrap().host_sets();
    sets.sets()[0].healthy.iter().map(|h| port(h)).collect()
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[test]
fn changes_of_health_within_the_window_are_shown_together() {
    run_paused(async {
        let manager = manager();
        let cluster = static_cluster("a", &at(&[1, 2, 3, 4]));
        manager
            .initialize([(0, with_window(cluster, 1))], false)
            .unwrap();
        assert_eq!(healthy(&manager, "a").len(), 4);
        fail(&manager, "a", 1);
        assert_eq!(healthy(&manager, "a"), [2, 3, 4], "the first one at once");
        assert_eq!(counts(&manager), [1, 0, 0, 1]);
        pass(500).await;
        fail(&manager, "a", 2);
        pass(400).await;
        fail(&manager, "a", 3);
        assert_eq!(healthy(&manager, "a"), [2, 3, 4]);
        let stats = &manager.active_info("a").unwrap().stats;
        assert_eq!(stats.gauge(S::MEMBERSHIP_HEALTHY), 1, "the gauge knows");
        assert_eq!(counts(&manager), [1, 0, 0, 1]);
        pass(700).await;
        assert_eq!(healthy(&manager, "a"), [4]);
        assert_eq!(counts(&manager), [1, 1, 0, 1]);
        // The merged update begins the window anew.
        pass(800).await;
        fail(&manager, "a", 4);
        assert_eq!(healthy(&manager, "a"), [4]);
        pass(1100).await;
        assert!(healthy(&manager, "a").is_empty());
        assert_eq!(counts(&manager), [1, 2, 0, 1]);
    });
}

#[test]
fn after_the_window_nothing_waits_for_the_timer() {
    run_paused(async {
        let manager = manager();
        let cluster = with_window(static_cluster("a", &at(&[1, 2, 3, 4])), 1);
        manager.initialize([(0, cluster)], false).unwrap();
        assert_eq!(healthy(&manager, "a").len(), 4);
        fail(&manager, "a", 1);
        pass(800).await;
        fail(&manager, "a", 2);
        // The timer runs until 1.8 s, but the last update is more than a second ago.
        pass(400).await;
        fail(&manager, "a", 3);
        assert_eq!(healthy(&manager, "a"), [4]);
        assert_eq!(counts(&manager), [2, 0, 1, 2]);
        pass(2000).await;
        assert_eq!(counts(&manager), [2, 0, 1, 2]);
    });
}

#[test]
fn without_a_window_everything_is_shown_at_once() {
    for window in [None, Some(0)] {
        let manager = manager();
        let mut cluster = static_cluster("a", &at(&[1, 2, 3]));
        if let Some(seconds) = window {
            cluster = with_window(cluster, seconds);
        }
        manager.initialize([(0, cluster)], false).unwrap();
        for (port, left) in [(1, 2), (2, 1), (3, 0)] {
            fail(&manager, "a", port);
            assert_eq!(healthy(&manager, "a").len(), left);
        }
        assert_eq!(counts(&manager), [3, 0, 0, 0]);
    }
}

#[test]
fn what_discovery_tells_is_shown_at_once_with_what_was_held_back() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        script.answer(&["10.0.0.1", "10.0.0.2"]);
        let cluster = with_window(dns("d", "a.test"), 20);
        manager.initialize([(0, cluster)], false).unwrap();
        manager.initialized().await;
        let count = |manager: &ClusterManager| healthy(manager, "d").len();
        let fail_one = || {
            let hosts = manager.hosts("d").unwrap();
            let healthy = hosts.sets()[0].healthy.iter().next();
            let host = healthy.unwrap().clone();
            host.set_health_flags(HealthFlags::FAILED_ACTIVE_HC);
            manager.health_changed("d");
        };
        assert_eq!(count(&manager), 2);
        fail_one();
        fail_one();
        assert_eq!((count(&manager), counts(&manager)), (1, [1, 0, 0, 1]));
        script.answer(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        pass(6_000).await;
        assert_eq!((count(&manager), counts(&manager)), (1, [2, 0, 1, 1]));
        assert_eq!(
            manager
                .on_this_thread()
                .find("d")
                .unwrap()
                .host_sets()
                .len(),
            3
        );
        pass(30_000).await;
        assert_eq!(counts(&manager), [2, 0, 1, 1], "the timer has ended");
    });
}

#[test]
fn a_new_version_shows_everything() {
    run_paused(async {
        let manager = manager();
        manager.initialize(NO_CLUSTERS, false).unwrap();
        let mut cluster = with_window(static_cluster("a", &at(&[1, 2, 3])), 1);
        manager.add_or_update_cluster(cluster.clone(), API).unwrap();
        assert_eq!(healthy(&manager, "a").len(), 3);
        fail(&manager, "a", 1);
        cluster.alt_stat_name = "b".into();
        host_at(&manager, "a", 2).set_health_flags(HealthFlags::FAILED_EDS_HEALTH);
        manager.health_changed("a");
        assert_eq!(healthy(&manager, "a"), [2, 3]);
        manager.add_or_update_cluster(cluster, API).unwrap();
        let shown = healthy(&manager, "a");
        pass(5_000).await;
        assert_eq!(healthy(&manager, "a"), shown, "nothing is left to be shown");
        assert_eq!(counts(&manager), [1, 0, 0, 1]);
    });
}
