//! Start-up and clusters beside a source that discovers: ADS, EDS and CDS, without their wire.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

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
use nuncio_config::{ConfigError, any, encode_cluster, take_health_check_name};

use super::*;
use crate::testing::{below, seeded};

/// What a source was told, in order, and to what it is subscribed.
#[derive(Debug, Default)]
struct Source {
    log: Mutex<Vec<String>>,
    live: Arc<Mutex<BTreeSet<String>>>,
    carriers: Vec<String>,
    /// Something must come before secondary clusters.
    holds: AtomicBool,
}

/// Leaves the list when it is dropped.
struct Live(Arc<Mutex<BTreeSet<String>>>, String);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(&self.1);
    }
}

impl Source {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    fn live(&self) -> Vec<String> {
        self.live.lock().unwrap().iter().cloned().collect()
    }
}

impl Discovery for Source {
    fn set_up(&self, manager: &ClusterManager) -> Result<(), Vec<ConfigError>> {
        self.note("set up");
        let kind = "envoy.config.core.v3.ApiConfigSource";
        for name in &self.carriers {
            let check = manager.check_primary(name, kind);
            check.map_err(|error| vec![error.within("dynamic_resources.ads_config")])?;
        }
        Ok(())
    }

    fn ads_clusters(&self) -> Vec<String> {
        self.carriers.clone()
    }

    fn start_ads(&self) {
        self.note("ads");
    }

    fn on_primary_ready(&self, manager: &ClusterManager) {
        self.note("primary");
        if !self.holds.load(SeqCst) {
            manager.initialize_secondary();
        }
    }

    fn check_source(&self, source: &ConfigSource) -> Result<(), ConfigError> {
        match source.config_source_specifier {
            Some(ConfigSourceSpecifier::Ads(_)) => Ok(()),
            _ => Err(ConfigError::new("api_config_source", "no such service")),
        }
    }

    fn subscribe(&self, _: &ConfigSource, cluster: &str, service: &str) -> Subscription {
        self.note(format!("eds {cluster}={service}"));
        self.live.lock().unwrap().insert(service.to_owned());
        Box::new(Live(self.live.clone(), service.to_owned()))
    }

    fn start_cds(&self) {
        self.note("cds");
    }
}

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

use nuncio_config::api::Any;

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

/// Start-ups of random clusters, whose answers come in random order: whatever comes when, the stages keep their order, and the
/// end is reached exactly when everybody was answered. `NUNCIO_SEED` chooses one run, which a failure names.
#[test]
fn start_up_ends_when_everybody_was_answered() {
    seeded(300, |random, seed| {
        run_paused(async move {
            let it = Fixture::new(&[]);
            let mut model = Model::default();
            let make = |name: String, model: &mut Model| match below(&random, 3) {
                0 => static_cluster(&name, &at(&[1])),
                1 => {
                    model.primary += 1;
                    dns(&name, "a.test")
                }
                _ => {
                    model.secondary.push(name.clone());
                    eds(&name, &name)
                }
            };
            let of_bootstrap: Vec<_> = (0..below(&random, 6))
                .map(|number| make(format!("s{number}"), &mut model))
                .collect();
            it.initialize(of_bootstrap);
            let mut by_cds = Vec::new();
            let mut rounds = 0;
            loop {
                let what = format!("seed {seed}, {model:?}");
                model.step();
                let log = it.source.taken();
                let asked = log.iter().filter(|line| line.starts_with("eds ")).count();
                model.asked += asked;
                let begun = model.may_ask();
                assert_eq!(model.asked, begun, "{what}: {log:?}");
                model.cds_asked |= log.iter().any(|line| line == "cds");
                assert_eq!(model.cds_asked, model.stage >= 3, "{what}: {log:?}");
                let done = it.manager.init_stage() == InitStage::Done;
                assert_eq!(done, model.stage == 5, "{what}");
                if done {
                    break;
                }
                // Something happens.
                match below(&random, 3) {
                    0 if model.primary > 0 => {
                        match below(&random, 2) {
                            0 => it.names.answer(&["10.0.0.1"]),
                            _ => it.names.fail(),
                        }
                        model.primary -= 1;
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                    1 if model.asked > model.answered => {
                        let name = model.secondary[model.answered].clone();
                        model.answered += 1;
                        match below(&random, 2) {
                            0 => it.manager.assignment_failed(&name),
                            _ => {
                                let hosts = assignment(&name, 5);
                                it.manager.add_or_update_assignment(&name, hosts).unwrap();
                            }
                        }
                    }
                    2 if model.stage == 3 || model.stage == 4 && rounds < 3 => {
                        // Each answer adds some to those before.
                        for _ in 0..below(&random, 4) {
                            let name = format!("c{}", by_cds.len());
                            by_cds.push(make(name, &mut model));
                        }
                        rounds += 1;
                        model.cds_answered = true;
                        let applied = it.apply(&by_cds, "1");
                        assert_eq!(applied.errors, [], "{what}");
                    }
                    _ => {}
                }
            }
            assert!(it.source.live().len() <= model.secondary.len());
        });
    });
}

/// Envoy's order, told in another way: who was answered, and what may be next.
#[derive(Debug, Default)]
struct Model {
    /// Names that were not answered yet.
    primary: usize,
    /// All clusters that are discovered, in the order in which they ask.
    secondary: Vec<String>,
    asked: usize,
    answered: usize,
    cds_asked: bool,
    cds_answered: bool,
    /// Secondary ones that may ask: all there were when a stage was reached.
    begun: usize,
    /// 1: primary, 2: secondary, 3: CDS, 4: secondary of CDS, 5: the end.
    stage: u8,
}

impl Model {
    fn step(&mut self) {
        loop {
            let next = match self.stage {
                0 => 1,
                1 if self.primary == 0 => 2,
                2 if self.answered == self.secondary.len() => 3,
                3 if self.cds_answered && self.primary == 0 => 4,
                4 if self.primary == 0 && self.answered == self.secondary.len() => 5,
                _ => return,
            };
            self.stage = next;
        }
    }

    fn may_ask(&mut self) -> usize {
        if self.stage == 2 || self.stage >= 4 {
            self.begun = self.secondary.len();
        }
        self.begun
    }
}
