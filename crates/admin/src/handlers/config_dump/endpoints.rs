//! `include_eds`: the endpoints that clusters have now, as assignments.

use std::sync::Arc;

use nuncio_config::any;
use nuncio_config::api::admin::endpoints_config_dump::{
    DynamicEndpointConfig, StaticEndpointConfig,
};
use nuncio_config::api::core::{HealthStatus, Metadata};
use nuncio_config::api::endpoint::lb_endpoint::HostIdentifier;
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
    cluster_load_assignment::{Policy, policy::DropOverload},
    endpoint::{AdditionalAddress, HealthCheckConfig},
};
use nuncio_config::api::protobuf::UInt32Value;
use nuncio_config::api::types::{FractionalPercent, fractional_percent::DenominatorType};
use nuncio_upstream::{ClusterKind, ClusterStatus, Health, Host, PriorityOptions};

use super::section::{List, Section};
use crate::handlers::{clusters, proto_address};
use crate::thread::Admin;

/// `passes`: whether the assignment of this name is wanted.
pub(super) fn endpoints(admin: &Admin, passes: impl Fn(&str) -> bool) -> Section {
    let mut all = admin.context.clusters.statuses();
    all.retain(|cluster| passes(cluster.assignment_name()));
    // Whatever told the endpoints: what counts is where the cluster comes from.
    let (dynamic, fixed): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|cluster| cluster.info.added_via_api);
    Section {
        lists: vec![
            List::of("static_endpoint_configs", fixed, |cluster| {
                StaticEndpointConfig {
                    endpoint_config: Some(any::pack(&load_assignment(cluster))),
                    last_updated: None,
                }
            }),
            List::of("dynamic_endpoint_configs", dynamic, |cluster| {
                DynamicEndpointConfig {
                    endpoint_config: Some(any::pack(&load_assignment(cluster))),
                    ..Default::default()
                }
            }),
        ],
        ..Section::empty("envoy.admin.v3.EndpointsConfigDump")
    }
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn load_assignment(cluster: &ClusterStatus) -> ClusterLoadAssignment {
    let info = &cluster.info;
    // As in Envoy, hosts of names have metadata, if only empty ones.
    let by_name = matches!(info.kind, ClusterKind::StrictDns | ClusterKind::LogicalDns);
    let mut localities = Vec::new();
    for (priority, set) in cluster.hosts.sets().iter().enumerate() {
        for group in set.localities.iter().filter(|group| !group.all.is_empty()) {
            let hosts = group.all.iter();
            localities.push(LocalityLbEndpoints {
                locality: Some(clusters::locality(&group.locality)),
                lb_endpoints: hosts.map(|host| endpoint(host, by_name)).collect(),
                load_balancing_weight: number(group.weight.unwrap_or(0)),
                priority: u32::try_from(priority).unwrap_or(u32::MAX),
                ..Default::default()
            });
        }
    }
    // Envoy shows shares by the million, whatever was configured.
    let drop_overload = info.drop_overload.as_ref().map(|drop| DropOverload {
        category: drop.category.to_string(),
        drop_percentage: Some(FractionalPercent {
            numerator: drop.share.per_million(),
            denominator: DenominatorType::Million.into(),
        }),
    });
    // It is that of Envoy's sets of hosts, which have none but the default before they have hosts.
    let overprovisioning_factor = match cluster.hosts.is_empty() {
        true => PriorityOptions::default().overprovisioning_factor,
        false => info.priorities.overprovisioning_factor,
    };
    ClusterLoadAssignment {
        cluster_name: cluster.assignment_name().to_owned(),
        endpoints: localities,
        policy: Some(Policy {
            drop_overloads: drop_overload.into_iter().collect(),
            overprovisioning_factor: number(overprovisioning_factor),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn endpoint(host: &Arc<Host>, by_name: bool) -> LbEndpoint {
    let health = match host.health() {
        Health::Healthy => HealthStatus::Healthy,
        Health::Degraded => HealthStatus::Degraded,
        Health::Unhealthy => HealthStatus::Unhealthy,
    };
    let metadata = host.metadata().map(|metadata| Metadata {
        filter_metadata: (metadata.iter())
            .map(|(name, fields)| (name.to_owned(), fields.clone()))
            .collect(),
        ..Default::default()
    });
    let own = host.health_check();
    let additional = host.addresses().iter().skip(1);
    LbEndpoint {
        health_status: health.into(),
        metadata: metadata.or_else(|| by_name.then(Metadata::default)),
        load_balancing_weight: number(host.weight()),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(proto_address(host.address())),
            health_check_config: Some(HealthCheckConfig {
                port_value: own.and_then(|own| own.other_port()).map_or(0, u32::from),
                hostname: own.map_or_else(String::new, |own| own.hostname.to_string()),
                ..Default::default()
            }),
            hostname: host.hostname().to_owned(),
            additional_addresses: additional
                .map(|address| AdditionalAddress {
                    address: Some(proto_address(address)),
                })
                .collect(),
            ..Default::default()
        })),
    }
}
