//! `envoy.clusters.dynamic_forward_proxy`.

use nuncio_config::api::cluster::cluster::{CustomClusterType, LbPolicy as PolicyKind};
use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_config::api::forward_proxy_cluster::{
    ClusterConfig, cluster_config::ClusterImplementationSpecifier as Implementation,
};
use nuncio_config::{ConfigError, any};

use super::util::Errors;

/// The cluster's fields that concern its type.
pub(super) struct Fields<'a> {
    pub(super) custom: &'a CustomClusterType,
    pub(super) lb_policy: Option<PolicyKind>,
    /// `typed_extension_protocol_options` has HTTP options.
    pub(super) has_http_options: bool,
}

/// Which DNS cache the cluster has.
pub(super) fn cache(fields: Fields<'_>, errors: &mut Errors) -> Option<DnsCacheConfig> {
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
            // Refused by the support table: connections coalesce where certificates allow it.
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
            Some(Implementation::DnsCacheConfig(config)) => Some(config),
            // Refused by the support table.
            Some(Implementation::SubClustersConfig(_)) => None,
            // A cache of defaults, without a name, as in Envoy.
            None => Some(DnsCacheConfig::default()),
        }
    })
}
