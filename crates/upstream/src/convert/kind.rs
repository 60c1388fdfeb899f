//! `type` and `cluster_type`: where a cluster's hosts come from.

use nuncio_config::api::aggregate::ClusterConfig as AggregateConfig;
use nuncio_config::api::cluster::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType,
};
use nuncio_config::api::composite::ClusterConfig as CompositeConfig;
use nuncio_config::api::dns_cluster::DnsCluster;
use nuncio_config::api::forward_proxy_cluster::ClusterConfig;
use nuncio_config::{ConfigError, any};

use super::{DnsSpec, Errors, dns};
use crate::info::ClusterKind;

/// The kind of a cluster, if it is known, and what a cluster of the DNS extension says of its names.
pub(super) fn kind(
    field: Option<&ClusterDiscoveryType>,
    errors: &mut Errors,
) -> (Option<ClusterKind>, Option<DnsSpec>) {
    let mut dns_cluster = None;
    let kind = match field {
        None => Some(ClusterKind::Static),
        Some(ClusterDiscoveryType::Type(number)) => match DiscoveryType::try_from(*number) {
            Ok(DiscoveryType::Static) => Some(ClusterKind::Static),
            Ok(DiscoveryType::StrictDns) => Some(ClusterKind::StrictDns),
            Ok(DiscoveryType::LogicalDns) => Some(ClusterKind::LogicalDns),
            Ok(DiscoveryType::OriginalDst) => Some(ClusterKind::OriginalDst),
            Ok(DiscoveryType::Eds) => Some(ClusterKind::Eds),
            Err(_) => {
                errors.push(ConfigError::new(
                    "type",
                    format!("unknown enum value {number}"),
                ));
                None
            }
        },
        Some(ClusterDiscoveryType::ClusterType(custom)) => errors
            .nested("cluster_type", |errors| {
                custom_type(custom, &mut dns_cluster, errors)
            }),
    };
    (kind, dns_cluster)
}

/// `cluster_type`. Envoy goes by the type of the configuration, and without one by the name.
fn custom_type(
    custom: &CustomClusterType,
    dns_cluster: &mut Option<DnsSpec>,
    errors: &mut Errors,
) -> Option<ClusterKind> {
    let CustomClusterType { name, typed_config } = custom;
    match typed_config {
        Some(config) if any::is::<DnsCluster>(config) => errors.nested("typed_config", |errors| {
            let spec = dns::extension(errors.take(any::unpack(config))?, errors);
            let kind = match spec.options.single_host {
                true => ClusterKind::LogicalDns,
                false => ClusterKind::StrictDns,
            };
            *dns_cluster = Some(spec);
            Some(kind)
        }),
        Some(config) if any::is::<ClusterConfig>(config) => Some(ClusterKind::ForwardProxy),
        Some(config) if any::is::<AggregateConfig>(config) => Some(ClusterKind::Aggregate),
        Some(config) if any::is::<CompositeConfig>(config) => Some(ClusterKind::Composite),
        None => match name.as_str() {
            "envoy.cluster.static" => Some(ClusterKind::Static),
            "envoy.cluster.strict_dns" => Some(ClusterKind::StrictDns),
            "envoy.cluster.logical_dns" => Some(ClusterKind::LogicalDns),
            name => {
                errors.refuse_value("name", name);
                None
            }
        },
        Some(_) => {
            errors.refuse_value("typed_config", name);
            None
        }
    }
}
