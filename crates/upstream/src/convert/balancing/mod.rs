//! Load-balancing policies: the older fields of a cluster, `load_balancing_policy`, and what all policies share.

mod common;
mod extension;
mod learning;
mod legacy;
mod subset;

use std::sync::Arc;

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::{
    LoadBalancingPolicy,
    cluster::{CommonLbConfig, LbConfig, LbPolicy as PolicyKind, LbSubsetConfig},
};

use super::Errors;
use super::SharedParts;
use crate::host_set::PriorityOptions;
use crate::info::ClusterKind;
use crate::lb::{LbPolicy, OverrideStatuses};

/// The fields that name a policy or options of one.
pub(super) struct Fields {
    pub(super) lb_policy: Option<PolicyKind>,
    pub(super) lb_config: Option<LbConfig>,
    pub(super) load_balancing_policy: Option<LoadBalancingPolicy>,
    pub(super) common: Option<CommonLbConfig>,
    pub(super) subset: Option<LbSubsetConfig>,
    pub(super) kind: Option<ClusterKind>,
    /// The cluster's type has a balancer of its own, for `CLUSTER_PROVIDED`.
    pub(super) provided: Option<Arc<dyn LbPolicy>>,
}

/// What they come to.
pub(super) struct Balancing {
    pub(super) policy: Arc<dyn LbPolicy>,
    pub(super) priorities: PriorityOptions,
    pub(super) override_statuses: OverrideStatuses,
}

/// The policy; on an error, any.
pub(super) fn balancing(fields: Fields, parts: &SharedParts, errors: &mut Errors) -> Balancing {
    let Fields {
        lb_policy,
        lb_config,
        load_balancing_policy,
        common,
        subset,
        kind,
        provided,
    } = fields;
    let common = errors.nested("common_lb_config", |errors| common::common(common, errors));
    if common.hashing.is_some_and(|hashing| hashing.use_hostname)
        && kind == Some(ClusterKind::Static)
    {
        errors.push(ConfigError::new(
            "common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing",
            "Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.static'",
        ));
    }
    let policy = match load_balancing_policy {
        // Wins over lb_policy, as in Envoy.
        Some(list) => {
            if subset.is_some() {
                errors.push(ConfigError::new(
                    "lb_subset_config",
                    "cluster: load_balancing_policy cannot be combined with lb_subset_config",
                ));
            }
            if common.is_partial() {
                errors.push(ConfigError::new(
                    "common_lb_config",
                    "cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, locality_weighted_lb_config, consistent_hashing_lb_config) of common_lb_config",
                ));
            }
            let policy = errors.nested("load_balancing_policy", |errors| {
                extension::first_of(list, parts, provided.as_ref(), errors)
            });
            if let (Some(provided), Some(policy)) = (&provided, &policy)
                && !Arc::ptr_eq(provided, policy)
            {
                errors.push(ConfigError::new(
                    "load_balancing_policy",
                    "cluster manager: cluster provided LB not specified but the cluster's type provides one. Check cluster documentation.",
                ));
            }
            policy
        }
        None => legacy::policy(lb_policy, lb_config, &common, provided, parts, errors)
            .map(|policy| subset::legacy(subset, policy, &common, lb_policy, errors)),
    };
    Balancing {
        policy: policy.unwrap_or_else(|| parts.round_robin.clone()),
        priorities: common.priorities,
        override_statuses: common.override_statuses,
    }
}

/// Envoy's answer to `CLUSTER_PROVIDED` where the cluster's type provides nothing.
fn not_provided(path: &str) -> ConfigError {
    ConfigError::new(
        path,
        "cluster manager: cluster provided LB specified but cluster did not provide one. Check cluster documentation.",
    )
}
