//! `envoy.clusters.aggregate` and `envoy.clusters.composite`.

use nuncio_config::api::aggregate::ClusterConfig as Aggregate;
use nuncio_config::api::cluster::cluster::{CustomClusterType, LbPolicy as PolicyKind};
use nuncio_config::api::composite::{ClusterConfig as Composite, cluster_config::ClusterEntry};
use nuncio_config::{ConfigError, any};

use super::Errors;
use crate::lb::members::{Members, Rule};

/// To which clusters requests are passed on.
pub(super) fn members(
    custom: &CustomClusterType,
    lb_policy: Option<PolicyKind>,
    errors: &mut Errors,
) -> Option<Members> {
    if let Some(policy) = lb_policy
        && policy != PolicyKind::ClusterProvided
        && policy != PolicyKind::LoadBalancingPolicyConfig
    {
        errors.push(ConfigError::new(
            "lb_policy",
            "cluster manager: cluster provided LB not specified but the cluster's type provides one. Check cluster documentation.",
        ));
    }
    let message = custom.typed_config.as_ref()?;
    errors.nested("cluster_type.typed_config", |errors| {
        if any::is::<Aggregate>(message) {
            let Aggregate { clusters } = errors.take(any::unpack(message))?;
            return Some(Members {
                names: clusters.into_iter().map(Into::into).collect(),
                rule: Rule::ByPriority,
            });
        }
        let Composite { clusters } = errors.take(any::unpack(message))?;
        let names = clusters
            .into_iter()
            .map(|ClusterEntry { name }| name.into());
        Some(Members {
            names: names.collect(),
            rule: Rule::ByAttempt,
        })
    })
}
