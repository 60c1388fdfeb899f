//! Clusters whose endpoints stand in a file.

use std::path::Path;

use nuncio_config::api::cluster::cluster::EdsClusterConfig;
use nuncio_config::api::core::{
    ConfigSource, Locality as LocalityMessage, PathConfigSource,
    config_source::ConfigSourceSpecifier,
};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, cluster_load_assignment::Policy,
    lb_endpoint::HostIdentifier,
};
use nuncio_config::api::protobuf::{self, UInt32Value};

use super::*;
use crate::lb::LbContext;
use crate::stats::{ClusterStats as S, SubscriptionStats};
use crate::testing::{Script, endpoint, manager_with, port, run, run_paused, until};

fn eds_cluster(path: &Path) -> Cluster {
    let source = ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
        path: path.display().to_string(),
        ..Default::default()
    });
    let mut cluster = crate::testing::cluster(
        "c",
        nuncio_config::api::cluster::cluster::DiscoveryType::Eds,
        Vec::new(),
    );
    cluster.load_assignment = None;
    cluster.eds_cluster_config = Some(EdsClusterConfig {
        eds_config: Some(ConfigSource {
            config_source_specifier: Some(source),
            ..Default::default()
        }),
        service_name: "svc".into(),
    });
    cluster
}

fn group(priority: u32, zone: &str, endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        locality: Some(LocalityMessage {
            zone: zone.into(),
            ..Default::default()
        }),
        lb_endpoints: endpoints,
        priority,
        ..Default::default()
    }
}

fn assignment(groups: Vec<LocalityLbEndpoints>) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: "svc".into(),
        endpoints: groups,
        ..Default::default()
    }
}

fn at(port: u16) -> LbEndpoint {
    endpoint("127.0.0.1", port)
}

fn weighing(port: u16, weight: u32) -> LbEndpoint {
    LbEndpoint {
        load_balancing_weight: Some(UInt32Value { value: weight }),
        ..at(port)
    }
}

struct Fixture {
    manager: Arc<ClusterManager>,
    folder: tempfile::TempDir,
}

impl Fixture {
    /// One cluster, whose file has this text.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eds.yaml");
        std::fs::write(&path, text).unwrap();
        let manager = manager_with(Some(Arc::new(Script::default())));
        manager
            .initialize([(0, eds_cluster(&path))], false)
            .unwrap();
        Self { manager, folder }
    }

    fn replace(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder.path().join("eds.yaml")).unwrap();
    }

    fn assign(&self, groups: Vec<LocalityLbEndpoints>) {
        self.manager
            .add_or_update_assignment("c", assignment(groups))
            .unwrap();
    }

    fn hosts(&self) -> Vec<Arc<crate::Host>> {
        let hosts = self.manager.hosts("c").unwrap();
        hosts.hosts().cloned().collect()
    }

    fn ports(&self) -> Vec<u16> {
        self.hosts().iter().map(|host| port(host)).collect()
    }

    fn count(&self, slot: nuncio_stats::CounterSlot) -> u64 {
        self.manager.active_info("c").unwrap().stats.counter(slot)
    }
}

fn text(ports: &[u16]) -> String {
    let mut text = "version_info: v1\nresources:\n- '@type': x/envoy.config.endpoint.v3.ClusterLoadAssignment\n  cluster_name: svc\n  endpoints:\n  - lb_endpoints:\n".to_owned();
    for port in ports {
        text += &format!(
            "    - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}\n"
        );
    }
    text
}

#[test]
fn a_file_is_read_at_once_and_again_when_it_is_replaced() {
    run(async {
        let fixture = Fixture::new(&text(&[1, 2]));
        assert_eq!(fixture.manager.init_stage(), InitStage::Done);
        assert_eq!(fixture.ports(), [1, 2]);
        let kept = fixture.hosts()[1].clone();
        let here = fixture.manager.on_this_thread();
        assert!(
            here.find("c")
                .unwrap()
                .choose_host(&LbContext::default())
                .is_some()
        );
        fixture.replace(&text(&[2, 3]));
        until(|| fixture.ports() == [2, 3]).await;
        assert!(Arc::ptr_eq(&fixture.hosts()[0], &kept));
        assert_eq!(here.find("c").unwrap().host_sets().len(), 2);
        until(|| fixture.count(S::UPDATE_SUCCESS) == 2).await;
        assert_eq!(fixture.count(S::UPDATE_ATTEMPT), 2);
        assert_eq!(fixture.count(S::MEMBERSHIP_CHANGE), 2);
        assert_eq!(fixture.count(S::TOTAL_MATCH_COUNT), 4);
    });
}

#[test]
fn a_bad_file_changes_nothing_and_holds_nobody_up() {
    run(async {
        let fixture = Fixture::new("resources: [");
        assert_eq!(fixture.manager.init_stage(), InitStage::Done);
        assert_eq!(fixture.count(S::UPDATE_FAILURE), 1);
        fixture.replace(&text(&[1]));
        until(|| fixture.ports() == [1]).await;
        let stats =
            (fixture.manager.active_info("c").unwrap().stats).beside(SubscriptionStats::SCHEMA);
        fixture.replace(&text(&[2]).replace("svc", "other"));
        until(|| stats.counter(SubscriptionStats::UPDATE_REJECTED) == 1).await;
        fixture.replace(
            &text(&[2])
                .replace("version_info", "x: 1\nversion_info")
                .replace("127.0.0.1", "a.name"),
        );
        until(|| stats.counter(SubscriptionStats::UPDATE_REJECTED) == 2).await;
        fixture.replace("resources: []");
        until(|| fixture.count(S::UPDATE_EMPTY) == 1).await;
        assert_eq!(fixture.ports(), [1]);
    });
}

#[test]
fn what_changes_in_place_keeps_the_host() {
    run(async {
        let fixture = Fixture::new("resources: []");
        fixture.assign(vec![group(0, "a", vec![at(1), at(2), at(2)])]);
        let before = fixture.hosts();
        assert_eq!(before.len(), 2, "an address counts once");
        fixture.assign(vec![group(0, "a", vec![at(1), at(2)])]);
        assert_eq!(fixture.count(S::UPDATE_NO_REBUILD), 1);
        let mut labelled = weighing(1, 7);
        let value = protobuf::Value {
            kind: Some(protobuf::value::Kind::BoolValue(true)),
        };
        let fields = protobuf::Struct {
            fields: [("canary".to_owned(), value)].into(),
        };
        labelled.metadata = Some(nuncio_config::api::core::Metadata {
            filter_metadata: [("envoy.lb".to_owned(), fields)].into(),
            ..Default::default()
        });
        labelled.health_status = nuncio_config::api::core::HealthStatus::Degraded.into();
        fixture.assign(vec![
            group(0, "a", vec![at(2)]),
            group(1, "a", vec![labelled]),
        ]);
        let hosts = fixture.hosts();
        assert!(Arc::ptr_eq(&hosts[0], &before[1]));
        assert!(Arc::ptr_eq(&hosts[1], &before[0]));
        assert!(hosts[1].is_canary());
        assert_eq!((hosts[1].weight(), hosts[1].priority()), (7, 1));
        assert_eq!(hosts[1].health(), crate::Health::Degraded);
        assert_eq!(
            fixture.count(S::MEMBERSHIP_CHANGE),
            3,
            "a move counts in both priorities"
        );
        fixture.assign(vec![group(0, "b", vec![at(2)])]);
        let moved = fixture.hosts();
        assert!(
            !Arc::ptr_eq(&moved[0], &before[1]),
            "another place is another host"
        );
        assert_eq!(fixture.count(S::MEMBERSHIP_CHANGE), 5);
        let mut named = at(2);
        if let Some(HostIdentifier::Endpoint(endpoint)) = &mut named.host_identifier {
            endpoint.hostname = "a.name".to_owned();
        }
        fixture.assign(vec![group(0, "b", vec![named])]);
        assert!(
            !Arc::ptr_eq(&fixture.hosts()[0], &moved[0]),
            "another name is another host"
        );
    });
}

#[test]
fn the_last_priority_that_there_was_tells_how_heavy_hosts_are() {
    run(async {
        let fixture = Fixture::new("resources: []");
        let heaviest = || {
            let stats = fixture.manager.active_info("c").unwrap().stats.clone();
            stats.gauge(S::MAX_HOST_WEIGHT)
        };
        let first = group(0, "a", vec![weighing(1, 7)]);
        fixture.assign(vec![first.clone()]);
        assert_eq!(heaviest(), 7);
        let second = group(1, "a", vec![weighing(2, 3), weighing(3, 2)]);
        fixture.assign(vec![first.clone(), second]);
        assert_eq!(heaviest(), 3);
        fixture.assign(vec![first]);
        assert_eq!(heaviest(), 1, "it is empty now");
    });
}

#[test]
fn an_assignment_goes_stale() {
    run_paused(async {
        let fixture = Fixture::new("resources: []");
        let mut stale = assignment(vec![group(0, "a", vec![at(1)])]);
        stale.policy = Some(Policy {
            endpoint_stale_after: Some(protobuf::Duration {
                seconds: 5,
                nanos: 0,
            }),
            overprovisioning_factor: Some(UInt32Value { value: 200 }),
            ..Default::default()
        });
        let manager = &fixture.manager;
        manager
            .add_or_update_assignment("c", stale.clone())
            .unwrap();
        assert_eq!(
            manager
                .hosts("c")
                .unwrap()
                .options()
                .overprovisioning_factor,
            200
        );
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        manager.add_or_update_assignment("c", stale).unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(fixture.ports(), [1], "an update begins the time anew");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert!(fixture.ports().is_empty());
        assert_eq!(fixture.count(S::ASSIGNMENT_STALE), 1);
        assert_eq!(fixture.count(S::ASSIGNMENT_TIMEOUT_RECEIVED), 2);
    });
}

#[test]
fn a_new_version_of_the_cluster_goes_on_with_its_hosts() {
    run(async {
        let fixture = Fixture::new(&text(&[1]));
        let path = fixture.folder.path().join("eds.yaml");
        let mut cluster = eds_cluster(&path);
        cluster.name = "d".into();
        let add = |cluster: &Cluster| {
            let origin = Origin::Api { version_info: "1" };
            fixture
                .manager
                .add_or_update_cluster(cluster.clone(), origin)
                .unwrap()
        };
        assert!(add(&cluster));
        let first = fixture.manager.hosts("d").unwrap();
        cluster.connect_timeout = Some(protobuf::Duration {
            seconds: 1,
            nanos: 0,
        });
        assert!(add(&cluster));
        let second = fixture.manager.hosts("d").unwrap();
        let host = |hosts: &PrioritySet| hosts.hosts().next().unwrap().clone();
        assert!(Arc::ptr_eq(&host(&first), &host(&second)));
        let error = fixture
            .manager
            .add_or_update_assignment("nobody", ClusterLoadAssignment::default());
        assert!(error.is_err());
        let path = fixture.folder.path().join("absent.yaml");
        let mut absent = eds_cluster(&path);
        absent.name = "e".into();
        let origin = Origin::Api { version_info: "1" };
        let errors = fixture.manager.add_or_update_cluster(absent, origin);
        let shown = errors.unwrap_err()[0].to_string();
        assert!(shown.starts_with("eds_cluster_config.eds_config.path_config_source.path: paths must refer to an existing path"), "{shown}");
    });
}
