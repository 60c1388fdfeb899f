//! What the manager's tests share.

mod discovery;
mod eds;
mod members;
mod merge;
mod resolved;
mod show;
mod start_up;
mod update;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nuncio_config::api::cluster::{
    CircuitBreakers, circuit_breakers::Thresholds as ThresholdsMessage, cluster::DiscoveryType,
};
use nuncio_config::api::core::HealthStatus;
use nuncio_config::api::protobuf::UInt32Value;

use nuncio_config::api::cluster::Cluster;
use nuncio_config::decode_cluster;

use super::*;
use crate::breaker::Priority;
use crate::host::{HealthFlags, Host};
use crate::lb::LbContext;
use crate::stats::ClusterStats as S;
use crate::testing::{
    NO_CLUSTERS, Script, cluster, endpoint, manager, manager_with, port, run_paused,
    static_cluster, until,
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

fn dns(name: &str, host: &str) -> Cluster {
    cluster(name, DiscoveryType::StrictDns, vec![endpoint(host, 80)])
}
