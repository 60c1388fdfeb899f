//! Load balancing policies and what all of them share.

use std::sync::Arc;

use nuncio_config::api::cluster::{
    LoadBalancingPolicy,
    cluster::{
        CommonLbConfig, LbConfig, LbPolicy as PolicyKind, RoundRobinLbConfig,
        common_lb_config::LocalityConfigSpecifier,
    },
    load_balancing_policy::Policy,
};
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::round_robin::RoundRobin as RoundRobinMessage;
use nuncio_config::{ConfigError, Within, any, convert as value};

use super::SharedParts;
use super::util::Errors;
use crate::host_set::PriorityOptions;
use crate::lb::LbPolicy;

/// The three places that name a policy.
pub(super) struct Fields {
    pub(super) lb_policy: Option<PolicyKind>,
    pub(super) lb_config: Option<LbConfig>,
    pub(super) load_balancing_policy: Option<LoadBalancingPolicy>,
}

/// The policy; on an error, any.
pub(super) fn policy(
    fields: Fields,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Arc<dyn LbPolicy> {
    let Fields {
        lb_policy,
        lb_config,
        load_balancing_policy,
    } = fields;
    match lb_config {
        None => {}
        Some(LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config })) => {
            errors.refuse_if(
                slow_start_config.is_some(),
                "round_robin_lb_config.slow_start_config",
            );
        }
        Some(LbConfig::LeastRequestLbConfig(_)) => {
            errors.refuse_if(true, "least_request_lb_config")
        }
        Some(LbConfig::RingHashLbConfig(_)) => errors.refuse_if(true, "ring_hash_lb_config"),
        Some(LbConfig::MaglevLbConfig(_)) => errors.refuse_if(true, "maglev_lb_config"),
        Some(LbConfig::OriginalDstLbConfig(_)) => errors.refuse_if(true, "original_dst_lb_config"),
    }
    if let Some(LoadBalancingPolicy { policies }) = load_balancing_policy {
        // Wins over lb_policy, as in Envoy.
        return errors.nested("load_balancing_policy", |errors| {
            extension(policies, parts, errors)
        });
    }
    match lb_policy {
        Some(PolicyKind::RoundRobin) => {}
        Some(PolicyKind::LoadBalancingPolicyConfig) => errors.push(ConfigError::new(
            "load_balancing_policy",
            "cluster: field load_balancing_policy need to be set",
        )),
        Some(other) => errors.refuse_value("lb_policy", other.as_str_name()),
        None => errors.push(ConfigError::new("lb_policy", "unknown enum value")),
    }
    parts.round_robin.clone()
}

/// The first policy of the list that exists here.
fn extension(policies: Vec<Policy>, parts: &SharedParts, errors: &mut Errors) -> Arc<dyn LbPolicy> {
    let mut tried = Vec::new();
    for (
        index,
        Policy {
            typed_extension_config,
        },
    ) in policies.into_iter().enumerate()
    {
        let Some(TypedExtensionConfig {
            name,
            typed_config: Some(config),
        }) = typed_extension_config
        else {
            errors.push(ConfigError::new(
                format!("policies[{index}].typed_extension_config"),
                "value is required",
            ));
            continue;
        };
        if any::is::<RoundRobinMessage>(&config) {
            let path = format!("policies[{index}].typed_extension_config.typed_config");
            errors.nested(&path, |errors| round_robin(&config, errors));
            return parts.round_robin.clone();
        }
        tried.push(name);
    }
    let names = tried.join(", ");
    errors.push(
        ConfigError::new(
            "policies",
            format!(
                "cluster: didn't find a registered load balancer factory with names from [{names}]"
            ),
        )
        .with_remedy("envoy.load_balancing_policies.round_robin is implemented"),
    );
    parts.round_robin.clone()
}

fn round_robin(config: &Any, errors: &mut Errors) {
    let Some(message) = errors.take(any::unpack::<RoundRobinMessage>(config)) else {
        return;
    };
    let RoundRobinMessage {
        slow_start_config,
        locality_lb_config,
    } = message;
    errors.refuse_if(slow_start_config.is_some(), "slow_start_config");
    errors.refuse_if(locality_lb_config.is_some(), "locality_lb_config");
}

/// `common_lb_config`
pub(super) fn common(message: Option<CommonLbConfig>, errors: &mut Errors) -> PriorityOptions {
    let mut options = PriorityOptions::default();
    let Some(CommonLbConfig {
        healthy_panic_threshold,
        update_merge_window,
        ignore_new_hosts_until_first_hc,
        close_connections_on_host_set_change,
        consistent_hashing_lb_config,
        override_host_status,
        locality_config_specifier,
    }) = message
    else {
        return options;
    };
    errors.nested("common_lb_config", |errors| {
        if let Some(percent) = &healthy_panic_threshold
            && let Some(percent) =
                errors.take(value::percent(percent).within("healthy_panic_threshold"))
        {
            options.panic_threshold = percent.round() as u32;
        }
        // Harmless: what the window merges (changes of health, weight and metadata by discovery) does not happen in
        // STATIC and STRICT_DNS clusters without health checks.
        let _ = update_merge_window;
        // Harmless: without health checks no host waits for its first one.
        let _ = ignore_new_hosts_until_first_hc;
        for (set, field) in [
            (
                close_connections_on_host_set_change,
                "close_connections_on_host_set_change",
            ),
            (
                consistent_hashing_lb_config.is_some(),
                "consistent_hashing_lb_config",
            ),
            (override_host_status.is_some(), "override_host_status"),
        ] {
            errors.refuse_if(set, field);
        }
        match locality_config_specifier {
            None => {}
            Some(LocalityConfigSpecifier::ZoneAwareLbConfig(_)) => {
                errors.refuse_if(true, "zone_aware_lb_config");
            }
            Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => {
                errors.refuse_if(true, "locality_weighted_lb_config");
            }
        }
    });
    options
}
