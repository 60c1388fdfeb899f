use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nuncio_config::api::cluster::{
    CircuitBreakers, circuit_breakers::Thresholds as ThresholdsMessage, cluster::DiscoveryType,
};
use nuncio_config::api::core::HealthStatus;
use nuncio_config::api::protobuf::UInt32Value;

use super::*;
use crate::breaker::Priority;
use crate::host::{HealthFlags, Host};
use crate::lb::LbContext;
use crate::stats::ClusterStats as S;
use crate::testing::{
    Script, cluster, endpoint, manager, manager_with, port, run_paused, static_cluster,
};

const API: Origin<'static> = Origin::Api { version_info: "v1" };

fn at(ports: &[u16]) -> Vec<std::net::SocketAddr> {
    ports
        .iter()
        .map(|port| ([127, 0, 0, 1], *port).into())
        .collect()
}

fn ports(manager: &ClusterManager, name: &str) -> Vec<u16> {
    manager
        .hosts(name)
        .unwrap()
        .hosts()
        .map(|host| port(host))
        .collect()
}

fn host_at(manager: &ClusterManager, name: &str, wanted: u16) -> Arc<Host> {
    let hosts = manager.hosts(name).unwrap();
    hosts
        .hosts()
        .find(|host| port(host) == wanted)
        .unwrap()
        .clone()
}

fn counter(manager: &ClusterManager, slot: nuncio_stats::CounterSlot) -> u64 {
    manager.stats.counter(slot)
}

#[test]
fn static_clusters_are_up_at_once() {
    let manager = manager();
    assert_eq!(manager.init_stage(), InitStage::Loading);
    manager
        .initialize(
            [
                (0, static_cluster("a", &at(&[1, 2]))),
                (1, static_cluster("b", &[])),
            ],
            false,
        )
        .unwrap();
    assert_eq!(manager.init_stage(), InitStage::Done);
    let here = manager.on_this_thread();
    let a = here.find("a").unwrap();
    let id = a.info().id;
    assert!(Rc::ptr_eq(&here.get(id).unwrap(), &a), "made once");
    let chosen = a.choose_host(&LbContext::default()).unwrap();
    assert!([1, 2].contains(&port(chosen.host())));
    assert!(
        here.find("b")
            .unwrap()
            .choose_host(&LbContext::default())
            .is_none()
    );
    assert!(here.find("c").is_none());
    let stats = &a.info().stats;
    assert_eq!(stats.gauge(S::MEMBERSHIP_TOTAL), 2);
    assert_eq!(stats.gauge(S::MEMBERSHIP_HEALTHY), 2);
    assert_eq!(stats.counter(S::MEMBERSHIP_CHANGE), 1);
    assert_eq!(stats.counter(S::TOTAL_MATCH_COUNT), 2);
    assert_eq!(counter(&manager, ManagerStats::CLUSTER_ADDED), 2);
    assert_eq!(manager.stats.gauge(ManagerStats::ACTIVE_CLUSTERS), 2);
    let mut called = false;
    manager.on_initialized(|| ());
    called |= manager.init_stage() == InitStage::Done;
    assert!(called);
}

#[test]
fn all_errors_are_reported_with_their_places() {
    let manager = manager();
    let mut bad = static_cluster("a", &at(&[1]));
    bad.lb_policy = 6;
    bad.queuing_policies = Some(Default::default());
    let twice = static_cluster("b", &[]);
    let name = cluster("c", DiscoveryType::Static, vec![endpoint("a.name", 80)]);
    let errors = manager
        .initialize([(0, bad), (1, twice.clone()), (2, twice), (3, name)], false)
        .unwrap_err();
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 4, "{shown:#?}");
    assert!(
        shown[0].starts_with("static_resources.clusters[0].queuing_policies: unsupported"),
        "{shown:#?}"
    );
    assert!(
        shown[1].starts_with(
            "static_resources.clusters[0].lb_policy: cluster manager: cluster provided LB specified"
        ),
        "{shown:#?}"
    );
    assert_eq!(
        shown[2],
        "static_resources.clusters[2].name: cluster manager: duplicate cluster 'b'"
    );
    let path = "static_resources.clusters[3].load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: ";
    assert!(shown[3].starts_with(path), "{shown:#?}");
    assert!(
        shown[3].contains("malformed IP address: a.name"),
        "{shown:#?}"
    );
}

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
    manager.initialize([], false).unwrap();
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
    manager.initialize([], false).unwrap();
    manager
        .add_or_update_cluster(static_cluster("a", &at(&[1])), API)
        .unwrap();
    let here = manager.on_this_thread();
    let first = here
        .find("a")
        .unwrap()
        .choose_host(&LbContext::default())
        .unwrap();
    let mut update = static_cluster("a", &at(&[1]));
    update.per_connection_buffer_limit_bytes = Some(UInt32Value { value: 1 });
    manager.add_or_update_cluster(update.clone(), API).unwrap();
    let second = here
        .find("a")
        .unwrap()
        .choose_host(&LbContext::default())
        .unwrap();
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
        .unwrap();
    assert!(!Rc::ptr_eq(&second, &third), "other connections are needed");
    assert!(Arc::ptr_eq(second.host(), third.host()));
}

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
            port(cluster.choose_host(&LbContext::default()).unwrap().host()),
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
    assert_eq!(
        Cluster::decode(&*dump.static_clusters[0].config),
        Ok(message)
    );
    assert_eq!(&*dump.dynamic_active_clusters[0].version_info, "v1");
    assert!(dump.dynamic_warming_clusters.is_empty());
}

fn dns(name: &str, host: &str) -> Cluster {
    cluster(name, DiscoveryType::StrictDns, vec![endpoint(host, 80)])
}

#[test]
fn start_up_waits_for_the_first_answer() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        manager
            .initialize([(0, dns("d", "a.test"))], false)
            .unwrap();
        assert_eq!(manager.init_stage(), InitStage::WaitingForPrimary);
        assert!(
            manager.on_this_thread().find("d").is_none(),
            "not shown before"
        );
        script.answer(&["10.0.0.1", "10.0.0.2"]);
        manager.initialized().await;
        assert_eq!(manager.init_stage(), InitStage::Done);
        let cluster = manager.on_this_thread().find("d").unwrap();
        assert_eq!(cluster.host_sets().len(), 2);
        let stats = &cluster.info().stats;
        assert_eq!(stats.counter(S::UPDATE_SUCCESS), 1);
        assert_eq!(stats.counter(S::UPDATE_ATTEMPT), 1);
        assert_eq!(stats.gauge(S::MAX_HOST_WEIGHT), 1);
        let status = &manager.statuses()[0];
        assert!(
            status
                .host_statuses()
                .all(|host| host.host.hostname() == "a.test")
        );
    });
}

#[test]
fn start_up_goes_on_after_a_failure_too() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        script.fail();
        manager
            .initialize([(0, dns("d", "a.test"))], false)
            .unwrap();
        manager.initialized().await;
        let cluster = manager.on_this_thread().find("d").unwrap();
        assert!(cluster.host_sets().is_empty());
        assert_eq!(cluster.info().stats.counter(S::UPDATE_FAILURE), 1);
    });
}

#[test]
fn a_cluster_need_not_be_waited_for() {
    run_paused(async {
        let manager = manager_with(Some(Arc::new(Script::default())));
        let mut message = dns("d", "a.test");
        message.wait_for_warm_on_init =
            Some(nuncio_config::api::protobuf::BoolValue { value: false });
        manager.initialize([(0, message)], false).unwrap();
        assert_eq!(manager.init_stage(), InitStage::Done);
        assert!(manager.on_this_thread().find("d").is_some());
    });
}

#[test]
fn the_old_version_serves_while_the_new_one_warms() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        manager.initialize([], false).unwrap();
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

#[test]
fn a_removed_cluster_asks_no_more() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        manager.initialize([], false).unwrap();
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
    manager.initialize([], false).unwrap();
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
