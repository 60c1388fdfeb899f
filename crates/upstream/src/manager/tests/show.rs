//! What threads, and who looks at the admin interface, are shown.

use super::*;

#[test]
fn health_changes_reach_the_workers() {
    let manager = manager();
    manager
        .initialize([(0, static_cluster("a", &at(&[1, 2, 3, 4])))], false)
        .unwrap();
    let cluster = manager.on_this_thread().find("a").unwrap();
    host_at(&manager, "a", 1).set_health_flags(HealthFlags::FAILED_ACTIVE_HC);
    manager.health_changed("a");
    for _ in 0..8 {
        assert_ne!(
            port(
                cluster
                    .choose_host(&LbContext::default())
                    .unwrap()
                    .host
                    .host()
            ),
            1
        );
    }
    assert_eq!(cluster.info().stats.gauge(S::MEMBERSHIP_HEALTHY), 3);
    assert_eq!(counter(&manager, ManagerStats::CLUSTER_UPDATED), 1);
}

#[test]
fn configured_health_is_shown_as_in_envoy() {
    let manager = manager();
    let with = |port, health: HealthStatus| {
        let mut endpoint = endpoint("127.0.0.1", port);
        endpoint.health_status = health.into();
        endpoint
    };
    let endpoints = vec![
        with(1, HealthStatus::Unhealthy),
        with(2, HealthStatus::Draining),
        with(3, HealthStatus::Degraded),
        with(4, HealthStatus::Timeout),
        with(5, HealthStatus::Healthy),
    ];
    manager
        .initialize([(0, cluster("a", DiscoveryType::Static, endpoints))], false)
        .unwrap();
    let statuses = manager.statuses();
    let flags: Vec<String> = statuses[0]
        .host_statuses()
        .map(|host| host.health_flags.to_string())
        .collect();
    assert_eq!(
        flags,
        [
            "/failed_eds_health",
            "/eds_status_draining",
            "/degraded_eds_health",
            "/failed_eds_health",
            "healthy"
        ]
    );
    let stats = &statuses[0].info.stats;
    assert_eq!(stats.gauge(S::MEMBERSHIP_HEALTHY), 1);
    assert_eq!(stats.gauge(S::MEMBERSHIP_DEGRADED), 1);
    assert_eq!(stats.gauge(S::MEMBERSHIP_EXCLUDED), 1);
    assert_eq!(stats.gauge(S::MAX_HOST_WEIGHT), 0);
}

#[test]
fn a_dump_has_the_messages_as_they_came() {
    let manager = manager();
    let message = static_cluster("a", &at(&[1]));
    manager.initialize([(0, message.clone())], false).unwrap();
    manager
        .add_or_update_cluster(static_cluster("b", &[]), API)
        .unwrap();
    manager.set_version_info("7");
    let dump = manager.config_dump();
    assert_eq!(&*dump.version_info, "7");
    assert_eq!(decode_cluster(&dump.static_clusters[0].config), Ok(message));
    assert_eq!(&*dump.dynamic_active_clusters[0].version_info, "v1");
    assert!(dump.dynamic_warming_clusters.is_empty());
}
