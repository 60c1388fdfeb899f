//! Start-up and clusters beside a source that discovers: ADS, EDS and CDS, without their wire.

mod simulation;
mod source;

use std::sync::atomic::Ordering::SeqCst;

use nuncio_config::api::Any;
use nuncio_config::api::cluster::cluster::{
    ClusterDiscoveryType, CustomClusterType, EdsClusterConfig, LbPolicy,
};
use nuncio_config::api::core::{
    AggregatedConfigSource, ConfigSource, HealthCheck, TypedExtensionConfig,
    config_source::ConfigSourceSpecifier,
    health_check::{HealthChecker, TcpHealthCheck},
};
use nuncio_config::api::endpoint::{ClusterLoadAssignment, LocalityLbEndpoints};
use nuncio_config::api::forward_proxy_cluster::{
    ClusterConfig, SubClustersConfig,
    cluster_config::ClusterImplementationSpecifier as Implementation,
};
use nuncio_config::api::protobuf;
use nuncio_config::{any, encode_cluster, take_health_check_name};

use super::*;
use source::Source;

/// A cluster whose endpoints come by ADS.
fn eds(name: &str, service: &str) -> Cluster {
    let mut message = cluster(name, DiscoveryType::Eds, Vec::new());
    message.load_assignment = None;
    let ads = ConfigSourceSpecifier::Ads(AggregatedConfigSource::default());
    message.eds_cluster_config = Some(EdsClusterConfig {
        eds_config: Some(ConfigSource {
            config_source_specifier: Some(ads),
            ..ConfigSource::default()
        }),
        service_name: service.into(),
    });
    message
}

fn assignment(service: &str, port: u16) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: service.into(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![endpoint("127.0.0.1", port)],
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

struct Fixture {
    manager: Arc<ClusterManager>,
    source: Arc<Source>,
    names: Arc<Script>,
}

impl Fixture {
    fn new(carriers: &[&str]) -> Self {
        let names = Arc::new(Script::default());
        let source = Arc::new(Source {
            carriers: carriers.iter().map(ToString::to_string).collect(),
            ..Source::default()
        });
        let manager = manager_with(Some(names.clone()));
        manager.set_discovery(source.clone());
        Self {
            manager,
            source,
            names,
        }
    }

    fn initialize(&self, clusters: Vec<Cluster>) {
        let clusters = clusters.into_iter().enumerate();
        self.manager.initialize(clusters, true).unwrap();
    }

    /// Until the log holds something.
    async fn told(&self) -> Vec<String> {
        until(|| !self.source.log.lock().unwrap().is_empty()).await;
        self.source.taken()
    }

    fn apply(&self, clusters: &[Cluster], version: &str) -> AppliedClusters {
        with_resources(clusters, version, |all| {
            self.manager
                .apply_clusters(ClusterUpdate::All(all), version)
        })
    }
}

fn with_resources<T>(
    clusters: &[Cluster],
    version: &str,
    call: impl FnOnce(&[ClusterResource<'_>]) -> T,
) -> T {
    let packed: Vec<Any> = clusters
        .iter()
        .map(|cluster| Any {
            value: encode_cluster(cluster),
            ..any::pack(&Cluster::default())
        })
        .collect();
    let resources: Vec<_> = packed
        .iter()
        .map(|resource| ClusterResource { resource, version })
        .collect();
    call(&resources)
}

#[test]
fn everything_comes_in_envoys_order() {
    run_paused(async {
        let it = Fixture::new(&["carrier"]);
        it.source.holds.store(true, SeqCst);
        it.initialize(vec![
            eds("found", ""),
            dns("carrier", "a.test"),
            static_cluster("fixed", &at(&[1])),
            dns("slow", "b.test"),
        ]);
        assert_eq!(it.source.taken(), ["set up"]);
        let here = it.manager.on_this_thread();
        assert!(here.find("fixed").is_some(), "what is ready is shown");
        assert_eq!(it.manager.init_stage(), InitStage::WaitingForPrimary);
        it.names.answer(&["10.0.0.1"]);
        assert_eq!(it.told().await, ["ads"], "though a primary one is missing");
        it.names.answer(&["10.0.0.2"]);
        assert_eq!(it.told().await, ["primary"]);
        let stage = it.manager.init_stage();
        assert_eq!(stage, InitStage::WaitingToStartSecondary);
        it.manager.initialize_secondary();
        assert_eq!(it.source.taken(), ["eds found=found"]);
        assert!(here.find("found").is_none());
        it.manager
            .add_or_update_assignment("found", assignment("found", 7))
            .unwrap();
        assert_eq!(it.source.taken(), ["cds"]);
        assert_eq!(here.find("found").unwrap().host_sets().len(), 1);

        // What CDS adds: primary ones first, then those that are discovered.
        let answer = [
            eds("late", "svc"),
            dns("later", "c.test"),
            static_cluster("last", &at(&[2])),
        ];
        let applied = it.apply(&answer, "1");
        assert_eq!((applied.changed, applied.errors), (3, vec![]));
        assert!(it.source.taken().is_empty());
        assert_eq!(it.manager.init_stage(), InitStage::WaitingForCds);
        it.names.fail();
        assert_eq!(it.told().await, ["eds late=svc"]);
        // A second answer adds one that need not wait for others.
        let more = [answer.to_vec(), vec![eds("more", "more")]].concat();
        assert_eq!(it.apply(&more, "2").changed, 1);
        assert_eq!(it.source.taken(), ["eds more=more"]);
        it.manager.assignment_failed("late");
        assert_eq!(it.manager.init_stage(), InitStage::WaitingForCds);
        let wrong = assignment("other", 7);
        let errors = it.manager.add_or_update_assignment("more", wrong);
        assert!(
            errors.unwrap_err()[0]
                .to_string()
                .contains("expecting more")
        );
        assert_eq!(it.manager.init_stage(), InitStage::WaitingForCds);
        it.manager.assignment_failed("more");
        assert_eq!(it.manager.init_stage(), InitStage::Done);
        assert_eq!(it.manager.config_dump().version_info.as_ref(), "2");
        assert_eq!(it.source.live(), ["found", "more", "svc"]);

        // Nobody waits any more, and subscriptions end with their clusters.
        assert_eq!(it.apply(&[eds("new", "")], "3").removed, 4);
        assert_eq!(it.source.taken(), ["eds new=new"]);
        assert_eq!(it.source.live(), ["found", "new"]);
        assert!(here.find("new").is_none());
        let hosts = assignment("new", 9);
        it.manager.add_or_update_assignment("new", hosts).unwrap();
        assert_eq!(ports(&it.manager, "new"), [9]);
        // The next version asks anew, and the one before serves until there is an answer.
        it.apply(&[eds("new", "other")], "4");
        assert_eq!(it.source.live(), ["found", "new", "other"]);
        it.manager.assignment_failed("new");
        assert_eq!(it.source.live(), ["found", "other"]);
    });
}

#[test]
fn ads_needs_a_static_cluster_of_its_own() {
    let refused = |carrier: &str, clusters: Vec<Cluster>| {
        let it = Fixture::new(&[carrier]);
        let clusters = clusters.into_iter().enumerate();
        let errors = it.manager.initialize(clusters, true).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors[0].to_string()
    };
    let shown = refused("found", vec![eds("found", "")]);
    assert_eq!(
        shown,
        "dynamic_resources.ads_config: envoy.config.core.v3.ApiConfigSource must have a statically defined non-EDS cluster: \
         'found' does not exist, was added via api, or is an EDS cluster"
    );
    assert!(refused("none", vec![static_cluster("a", &[])]).contains("'none' does not exist"));
    let mut other = eds("found", "");
    let source = other.eds_cluster_config.as_mut().unwrap();
    source.eds_config.as_mut().unwrap().config_source_specifier =
        Some(ConfigSourceSpecifier::ApiConfigSource(Default::default()));
    let it = Fixture::new(&[]);
    let errors = it.manager.initialize([(0, other)], true).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "static_resources.clusters[0].eds_cluster_config.eds_config.api_config_source: no such service"
    );
}

#[test]
fn without_a_source_nothing_is_discovered() {
    let errors = manager().initialize([(0, eds("found", ""))], true);
    let shown = errors.unwrap_err()[0].to_string();
    assert!(shown.contains("eds_config.ads: unsupported"), "{shown}");
}

#[test]
fn a_cluster_that_was_never_ready_may_be_replaced_during_start_up() {
    run_paused(async {
        let it = Fixture::new(&[]);
        it.initialize(Vec::new());
        assert_eq!(it.source.taken(), ["set up", "ads", "primary", "cds"]);
        it.apply(&[dns("d", "a.test")], "1");
        assert_eq!(it.manager.init_stage(), InitStage::WaitingForCds);
        it.apply(&[static_cluster("d", &at(&[1]))], "2");
        assert_eq!(it.manager.init_stage(), InitStage::Done);
        assert_eq!(ports(&it.manager, "d"), [1]);
    });
}

#[test]
fn good_clusters_of_an_answer_are_taken_though_others_are_wrong() {
    run_paused(async {
        let it = Fixture::new(&[]);
        it.initialize(vec![static_cluster("fixed", &at(&[1]))]);
        it.apply(&[static_cluster("bad", &at(&[3]))], "1");
        let mut bad = static_cluster("bad", &at(&[4]));
        bad.lb_policy = 6;
        let answer = [
            static_cluster("a", &at(&[1])),
            bad,
            static_cluster("a", &at(&[2])),
            static_cluster("fixed", &at(&[2])),
        ];
        let applied = it.apply(&answer, "2");
        assert_eq!(
            (applied.changed, applied.unchanged, applied.removed),
            (1, 1, 0)
        );
        let errors: Vec<String> = applied.errors.iter().map(ToString::to_string).collect();
        assert!(
            errors[0].starts_with("resources[1].lb_policy"),
            "{errors:?}"
        );
        assert_eq!(errors[1], "resources[2].name: duplicate cluster a found");
        assert_eq!(errors.len(), 2);
        assert_eq!(ports(&it.manager, "a"), [1]);
        assert_eq!(ports(&it.manager, "bad"), [3], "stays as it was");
        assert_eq!(ports(&it.manager, "fixed"), [1]);
        // Another type is no cluster.
        let other = any::pack(&ClusterLoadAssignment::default());
        let resources = [ClusterResource {
            resource: &other,
            version: "",
        }];
        let changed = ClusterUpdate::Some {
            changed: &resources,
            removed: &["a".into(), "fixed".into(), "nobody".into()],
        };
        let applied = it.manager.apply_clusters(changed, "3");
        assert_eq!((applied.removed, applied.errors.len()), (1, 1));
        assert!(it.manager.hosts("a").is_none() && it.manager.hosts("fixed").is_some());
        assert_eq!(it.manager.config_dump().version_info.as_ref(), "3");
    });
}

/// A dynamic forward proxy whose hosts have clusters of their own, with two checks that need their names.
fn forward_proxy(name: &str) -> Cluster {
    let config = ClusterConfig {
        cluster_implementation_specifier: Some(Implementation::SubClustersConfig(
            SubClustersConfig::default(),
        )),
        ..ClusterConfig::default()
    };
    let check = |name: &str| HealthCheck {
        timeout: Some(protobuf::Duration {
            seconds: 1,
            nanos: 0,
        }),
        interval: Some(protobuf::Duration {
            seconds: 10,
            nanos: 0,
        }),
        unhealthy_threshold: Some(UInt32Value { value: 1 }),
        healthy_threshold: Some(UInt32Value { value: 1 }),
        health_checker: Some(HealthChecker::TcpHealthCheck(TcpHealthCheck::default())),
        // As the decoder of `nuncio-config` has the name.
        event_logger: vec![TypedExtensionConfig {
            name: format!("HealthCheck.name={name}"),
            typed_config: None,
        }],
        ..HealthCheck::default()
    };
    let mut message = cluster(name, DiscoveryType::Static, Vec::new());
    message.load_assignment = None;
    message.lb_policy = LbPolicy::ClusterProvided.into();
    message.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: "forward".into(),
        typed_config: Some(any::pack(&config)),
    }));
    message.health_checks = vec![check("one"), check("two")];
    message
}

#[test]
fn clusters_that_a_forward_proxy_has_made_are_its_own() {
    run_paused(async {
        let it = Fixture::new(&[]);
        it.initialize(vec![forward_proxy("forward")]);
        it.apply(&[static_cluster("a", &at(&[1]))], "1");
        assert_eq!(it.manager.init_stage(), InitStage::Done);
        let forward = it.manager.on_this_thread().find("forward").unwrap();
        let name = "DFPCluster:b.test:80";
        assert!(forward.prepare_host("b.test:80", 80).is_some());
        until(|| it.manager.has_cluster(name)).await;
        // Their checks have the names that the message gave them, without which there could not be two.
        let names = || -> Vec<String> {
            let dump = it.manager.config_dump();
            let warming = dump.dynamic_warming_clusters;
            let all = warming.iter().chain(&dump.dynamic_active_clusters);
            let messages = all.map(|cluster| decode_cluster(&cluster.config).unwrap());
            let mut made = messages.filter(|message| message.name == name);
            let mut made = made.next().unwrap();
            let checks = made.health_checks.iter_mut();
            checks.map(take_health_check_name).collect()
        };
        assert_eq!(names(), ["one", "two"]);
        // CDS does not know of it.
        let applied = it.apply(&[], "2");
        assert_eq!(applied.removed, 1, "only what it has told of");
        assert!(it.manager.has_cluster(name) && !it.manager.has_cluster("a"));
        assert!(!it.manager.remove_cluster(name));
        // Unless it tells of one of that name, which is then its own, also when the host's time is over.
        it.apply(&[static_cluster(name, &at(&[2]))], "3");
        assert_eq!(ports(&it.manager, name), [2]);
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(it.manager.has_cluster(name));
        assert_eq!(it.apply(&[], "4").removed, 1);
        // And one that nobody has told of ends with its time.
        assert!(forward.prepare_host("c.test:80", 80).is_some());
        let other = "DFPCluster:c.test:80";
        until(|| it.manager.has_cluster(other)).await;
        tokio::time::sleep(Duration::from_secs(1000)).await;
        assert!(!it.manager.has_cluster(other));
    });
}
