//! The bootstrap's clusters come up.

use super::*;

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
    assert!([1, 2].contains(&port(chosen.host.host())));
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
fn the_stages_come_in_order_whatever_fails() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let manager = manager_with(Some(script.clone()));
        let primary = [(0, dns("one", "a.test")), (1, dns("two", "b.test"))];
        manager.initialize(primary, true).unwrap();
        assert_eq!(manager.init_stage(), InitStage::WaitingForPrimary);
        script.fail();
        pass().await;
        assert_eq!(manager.init_stage(), InitStage::WaitingForPrimary);
        assert_eq!(
            script.count(),
            2,
            "both are asked at once, and a failure is an answer"
        );
        script.fail();
        pass().await;
        assert_eq!(manager.init_stage(), InitStage::WaitingForCds);
        let here = manager.on_this_thread();
        assert!(here.find("one").unwrap().host_sets().is_empty());

        // What CDS tells first belongs to start-up, and is waited for.
        manager
            .add_or_update_cluster(dns("three", "c.test"), API)
            .unwrap();
        manager
            .add_or_update_cluster(static_cluster("four", &at(&[1])), API)
            .unwrap();
        manager.cds_answered();
        assert_eq!(manager.init_stage(), InitStage::WaitingForCds);
        assert!(here.find("three").is_none());
        assert_eq!(here.find("four").unwrap().host_sets().len(), 1);
        script.answer(&["10.0.0.1"]);
        manager.initialized().await;
        assert_eq!(manager.init_stage(), InitStage::Done);
        assert_eq!(here.find("three").unwrap().host_sets().len(), 1);
        assert_eq!(manager.stats.gauge(ManagerStats::ACTIVE_CLUSTERS), 4);
        assert_eq!(manager.stats.gauge(ManagerStats::WARMING_CLUSTERS), 0);
    });
}

#[test]
fn who_is_removed_during_start_up_is_not_waited_for() {
    run_paused(async {
        let manager = manager_with(Some(Arc::new(Script::default())));
        manager.initialize(NO_CLUSTERS, true).unwrap();
        manager
            .add_or_update_cluster(dns("d", "a.test"), API)
            .unwrap();
        manager.cds_answered();
        assert_eq!(manager.init_stage(), InitStage::WaitingForCds);
        assert!(manager.remove_cluster("d"));
        assert_eq!(manager.init_stage(), InitStage::Done);
    });
}

/// Until all that is asked was answered, but not until anything is asked again.
async fn pass() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
