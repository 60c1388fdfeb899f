//! `lb_policy` and its options in the cluster itself.

use std::sync::Arc;

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::cluster::{
    LbConfig, LbPolicy as PolicyKind, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig,
    RoundRobinLbConfig, ring_hash_lb_config::HashFunction as LegacyHashFunction,
};

use super::super::Errors;
use super::super::SharedParts;
use super::common::{Common, at_least, double, legacy_slow_start};
use super::extension::{check_maglev, check_ring};
use super::not_provided;
use crate::lb::LbPolicy;
use crate::lb::hashing::maglev::Maglev;
use crate::lb::hashing::ring::{HashFunction, RingHash};
use crate::lb::least_request::{LeastRequest, Selection};
use crate::lb::random::Random;
use crate::lb::round_robin::RoundRobin;

/// The policy of these fields; options of other policies than `lb_policy` do not count, as in Envoy.
pub(super) fn policy(
    kind: Option<PolicyKind>,
    config: Option<LbConfig>,
    common: &Common,
    provided: Option<Arc<dyn LbPolicy>>,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Option<Arc<dyn LbPolicy>> {
    match kind {
        None => {
            errors.push(ConfigError::new("lb_policy", "unknown enum value"));
            None
        }
        Some(PolicyKind::RoundRobin) => Some(round_robin(config, common, parts, errors)),
        Some(PolicyKind::LeastRequest) => {
            Some(Arc::new(least_request(config, common, parts, errors)))
        }
        Some(PolicyKind::Random) => Some(Arc::new(Random {
            localities: common.locality.unwrap_or_default(),
        })),
        Some(PolicyKind::RingHash) => Some(Arc::new(ring_hash(config, common, errors))),
        Some(PolicyKind::Maglev) => Some(Arc::new(maglev(config, common, errors))),
        Some(PolicyKind::ClusterProvided) => {
            if provided.is_none() {
                errors.push(not_provided("lb_policy"));
            }
            provided
        }
        Some(PolicyKind::LoadBalancingPolicyConfig) => {
            errors.push(ConfigError::new(
                "load_balancing_policy",
                "cluster: field load_balancing_policy need to be set",
            ));
            None
        }
    }
}

fn round_robin(
    config: Option<LbConfig>,
    common: &Common,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Arc<dyn LbPolicy> {
    let slow_start = match config {
        Some(LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config })) => errors
            .nested("round_robin_lb_config", |errors| {
                legacy_slow_start(slow_start_config, &parts.runtime, errors)
            }),
        _ => None,
    };
    let policy = RoundRobin {
        localities: common.locality.unwrap_or_default(),
        slow_start,
    };
    // Most clusters are like this and share one object.
    match policy == RoundRobin::default() {
        true => parts.round_robin.clone(),
        false => Arc::new(policy),
    }
}

fn least_request(
    config: Option<LbConfig>,
    common: &Common,
    parts: &SharedParts,
    errors: &mut Errors,
) -> LeastRequest {
    let runtime = &parts.runtime;
    let mut policy = LeastRequest {
        localities: common.locality.unwrap_or_default(),
        ..LeastRequest::default()
    };
    if let Some(LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
        choice_count,
        active_request_bias,
        slow_start_config,
    })) = config
    {
        errors.nested("least_request_lb_config", |errors| {
            if let Some(count) = choice_count {
                policy.selection = Selection::Choices(count.value);
                if count.value < 2 {
                    errors.push(at_least("choice_count", 2));
                }
            }
            policy.active_request_bias =
                double(active_request_bias, 1.0, runtime, |bias| bias >= 0.0);
            policy.slow_start = legacy_slow_start(slow_start_config, runtime, errors);
        });
    }
    policy
}

fn ring_hash(config: Option<LbConfig>, common: &Common, errors: &mut Errors) -> RingHash {
    let mut policy = RingHash {
        hashing: common.hashing(),
        ..RingHash::default()
    };
    if let Some(LbConfig::RingHashLbConfig(RingHashLbConfig {
        minimum_ring_size,
        hash_function,
        maximum_ring_size,
    })) = config
    {
        if let Some(size) = minimum_ring_size {
            policy.min_size = size.value;
        }
        if let Some(size) = maximum_ring_size {
            policy.max_size = size.value;
        }
        if hash_function == LegacyHashFunction::MurmurHash2 as i32 {
            policy.function = HashFunction::Murmur2;
        }
        errors.nested("ring_hash_lb_config", |errors| check_ring(&policy, errors));
    }
    policy
}

fn maglev(config: Option<LbConfig>, common: &Common, errors: &mut Errors) -> Maglev {
    let mut policy = Maglev {
        hashing: common.hashing(),
        ..Maglev::default()
    };
    if let Some(LbConfig::MaglevLbConfig(MaglevLbConfig { table_size })) = config {
        if let Some(size) = table_size {
            policy.table_size = size.value;
        }
        errors.nested("maglev_lb_config", |errors| check_maglev(&policy, errors));
    }
    policy
}
