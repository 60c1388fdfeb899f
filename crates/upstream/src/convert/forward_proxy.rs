//! `envoy.clusters.dynamic_forward_proxy`.

use std::time::Duration;

use nuncio_config::api::cluster::cluster::{CustomClusterType, LbPolicy as PolicyKind};
use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_config::api::forward_proxy_cluster::{
    ClusterConfig, SubClustersConfig,
    cluster_config::ClusterImplementationSpecifier as Implementation,
};
use nuncio_config::{ConfigError, Within, any, convert as value};

use super::Errors;
use crate::forward_proxy::SubClusterSettings;

/// The cluster's fields that concern its type.
pub(super) struct Fields<'a> {
    pub(super) custom: &'a CustomClusterType,
    pub(super) lb_policy: Option<PolicyKind>,
    /// `typed_extension_protocol_options` has HTTP options.
    pub(super) has_http_options: bool,
}

/// Where the cluster's hosts come from.
pub(super) enum Source {
    Cache(DnsCacheConfig),
    SubClusters(SubClusterSettings),
}

/// What the cluster says of that.
pub(super) fn source(fields: Fields<'_>, errors: &mut Errors) -> Option<Source> {
    if let Some(policy) = fields.lb_policy
        && policy != PolicyKind::ClusterProvided
        && policy != PolicyKind::LoadBalancingPolicyConfig
    {
        errors.push(ConfigError::new(
            "lb_policy",
            "cluster manager: cluster provided LB not specified but the cluster's type provides one. Check cluster documentation.",
        ));
    }
    let message = fields.custom.typed_config.as_ref()?;
    errors.nested("cluster_type.typed_config", |errors| {
        let config = errors.take(any::unpack::<ClusterConfig>(message))?;
        let ClusterConfig {
            allow_insecure_cluster_options,
            // Harmless: only TLS connections coalesce, in Envoy too.
            allow_coalesced_connections: _,
            cluster_implementation_specifier,
        } = config;
        if fields.has_http_options && !allow_insecure_cluster_options {
            errors.push(ConfigError::new(
                "allow_insecure_cluster_options",
                "dynamic_forward_proxy cluster must have auto_sni and auto_san_validation true unless allow_insecure_cluster_options is set.",
            ));
        }
        match cluster_implementation_specifier {
            Some(Implementation::DnsCacheConfig(config)) => Some(Source::Cache(config)),
            Some(Implementation::SubClustersConfig(config)) => {
                errors.nested("sub_clusters_config", |errors| sub_clusters(config, errors))
            }
            // A cache of defaults, without a name, as in Envoy.
            None => Some(Source::Cache(DnsCacheConfig::default())),
        }
    })
}

fn sub_clusters(message: SubClustersConfig, errors: &mut Errors) -> Option<Source> {
    let SubClustersConfig {
        lb_policy,
        max_sub_clusters,
        sub_cluster_ttl,
        // Harmless: Envoy makes none of them ahead, either.
        preresolve_clusters: _,
        dns_cluster_config,
    } = message;
    if lb_policy == PolicyKind::ClusterProvided as i32 {
        errors.push(ConfigError::new(
            "lb_policy",
            "unsupported lb_policy 'CLUSTER_PROVIDED' in sub_cluster_config",
        ));
    }
    let ttl = value::opt_duration(sub_cluster_ttl.as_ref()).within("sub_cluster_ttl");
    Some(Source::SubClusters(SubClusterSettings {
        lb_policy,
        max: value::u32_or(max_sub_clusters.as_ref(), 1024) as usize,
        ttl: errors.take(ttl)?.unwrap_or(Duration::from_secs(300)),
        dns: dns_cluster_config,
    }))
}
