//! `load_balancing_policy`: the first policy of a list that exists here.

use std::sync::Arc;

use nuncio_config::api::client_side_weighted_round_robin::ClientSideWeightedRoundRobin as ClientSideMessage;
use nuncio_config::api::cluster::{LoadBalancingPolicy, load_balancing_policy::Policy};
use nuncio_config::api::cluster_provided::ClusterProvided;
use nuncio_config::api::contrib::PeakEwma as PeakEwmaMessage;
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::least_request::{LeastRequest as LeastRequestMessage, least_request};
use nuncio_config::api::load_aware_locality::LoadAwareLocality as LoadAwareMessage;
use nuncio_config::api::maglev::Maglev as MaglevMessage;
use nuncio_config::api::metadata::{MetadataKey, metadata_key::path_segment::Segment};
use nuncio_config::api::override_host::{
    OverrideHost as OverrideHostMessage, override_host::OverrideHostSource,
};
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::random::Random as RandomMessage;
use nuncio_config::api::ring_hash::{RingHash as RingHashMessage, ring_hash};
use nuncio_config::api::round_robin::RoundRobin as RoundRobinMessage;
use nuncio_config::api::subset::Subset as SubsetMessage;
use nuncio_config::api::wrr_locality::WrrLocality;
use nuncio_config::{ConfigError, any};

use super::super::Errors;
use super::super::SharedParts;
use super::common::{balance_factor, double, hashing, locality, slow_start};
use super::{learning, not_provided, subset};
use crate::lb::LbPolicy;
use crate::lb::hashing::maglev::{Maglev, is_prime};
use crate::lb::hashing::ring::{HashFunction, RingHash};
use crate::lb::least_request::{LeastRequest, Selection};
use crate::lb::listed_hosts::{ListedHosts, Source};
use crate::lb::random::Random;
use crate::lb::round_robin::RoundRobin;

/// What a policy's configuration is made into.
pub(super) type Made = Option<Arc<dyn LbPolicy>>;

/// The first policy of the list that exists here.
pub(super) fn first_of(
    list: LoadBalancingPolicy,
    parts: &SharedParts,
    provided: Option<&Arc<dyn LbPolicy>>,
    errors: &mut Errors,
) -> Made {
    let LoadBalancingPolicy { policies } = list;
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
        let path = format!("policies[{index}].typed_extension_config.typed_config");
        let made = errors.nested(&path, |errors| make(&config, parts, provided, errors));
        match made {
            Some(made) => return made,
            None => tried.push(name),
        }
    }
    errors.push(ConfigError::new(
        "policies",
        format!(
            "cluster: didn't find a registered load balancer factory with names from [{}]",
            tried.join(", ")
        ),
    ));
    None
}

/// `None` when the policy does not exist here; `Some(None)` when its configuration is wrong.
fn make(
    config: &Any,
    parts: &SharedParts,
    provided: Option<&Arc<dyn LbPolicy>>,
    errors: &mut Errors,
) -> Option<Made> {
    Some(if any::is::<RoundRobinMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.map(|message| round_robin(message, parts, errors))
    } else if any::is::<LeastRequestMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.map(|message| least_request(message, parts, errors))
    } else if any::is::<RandomMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.map(
            |RandomMessage { locality_lb_config }| -> Arc<dyn LbPolicy> {
                Arc::new(Random {
                    localities: locality(locality_lb_config, errors),
                })
            },
        )
    } else if any::is::<RingHashMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.map(|message| ring_hash(message, errors))
    } else if any::is::<MaglevMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.map(|message| maglev(message, errors))
    } else if any::is::<SubsetMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.and_then(|message| subset::extension(message, parts, errors))
    } else if any::is::<OverrideHostMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.and_then(|message| override_host(message, parts, errors))
    } else if any::is::<ClientSideMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.and_then(|message| learning::client_side(message, parts, errors))
    } else if any::is::<WrrLocality>(config) {
        let message = errors.take(any::unpack(config));
        message.and_then(|message| learning::wrr_locality(message, parts, errors))
    } else if any::is::<LoadAwareMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.and_then(|message| learning::load_aware(message, parts, errors))
    } else if any::is::<PeakEwmaMessage>(config) {
        let message = errors.take(any::unpack(config));
        message.and_then(|message| learning::peak_ewma(message, errors))
    } else if any::is::<ClusterProvided>(config) {
        if provided.is_none() {
            errors.push(not_provided(""));
        }
        provided.cloned()
    } else {
        return None;
    })
}

fn round_robin(
    message: RoundRobinMessage,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Arc<dyn LbPolicy> {
    let RoundRobinMessage {
        slow_start_config,
        locality_lb_config,
    } = message;
    let policy = RoundRobin {
        localities: locality(locality_lb_config, errors),
        slow_start: slow_start(slow_start_config, &parts.runtime, errors),
    };
    match policy == RoundRobin::default() {
        true => parts.round_robin.clone(),
        false => Arc::new(policy),
    }
}

fn least_request(
    message: LeastRequestMessage,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Arc<dyn LbPolicy> {
    #[expect(deprecated, reason = "Envoy still takes enable_full_scan")]
    let LeastRequestMessage {
        choice_count,
        active_request_bias,
        slow_start_config,
        locality_lb_config,
        enable_full_scan,
        selection_method,
    } = message;
    // Envoy does not check this one: one choice is a random host.
    let count = choice_count.map_or(2, |count| count.value.max(1));
    let scans = enable_full_scan.is_some_and(|on| on.value)
        || selection_method == least_request::SelectionMethod::FullScan as i32;
    Arc::new(LeastRequest {
        selection: match scans {
            true => Selection::FullScan,
            false => Selection::Choices(count),
        },
        active_request_bias: double(active_request_bias, 1.0, &parts.runtime, |bias| bias >= 0.0),
        localities: locality(locality_lb_config, errors),
        slow_start: slow_start(slow_start_config, &parts.runtime, errors),
    })
}

fn ring_hash(message: RingHashMessage, errors: &mut Errors) -> Arc<dyn LbPolicy> {
    #[expect(deprecated, reason = "Envoy still takes the older places of options")]
    let RingHashMessage {
        hash_function,
        minimum_ring_size,
        maximum_ring_size,
        use_hostname_for_hashing,
        hash_balance_factor,
        consistent_hashing_lb_config,
        locality_weighted_lb_config,
    } = message;
    let is_new = consistent_hashing_lb_config.is_some();
    let is_weighted = locality_weighted_lb_config.is_some();
    let (mut hashing, hash_policy) = hashing(consistent_hashing_lb_config, is_weighted, errors);
    if !is_new {
        hashing.use_hostname = use_hostname_for_hashing;
        hashing.balance_factor = balance_factor(hash_balance_factor);
    }
    let defaults = RingHash::default();
    let policy = RingHash {
        min_size: minimum_ring_size.map_or(defaults.min_size, |size| size.value),
        max_size: maximum_ring_size.map_or(defaults.max_size, |size| size.value),
        function: match hash_function == ring_hash::HashFunction::MurmurHash2 as i32 {
            true => HashFunction::Murmur2,
            false => HashFunction::XxHash,
        },
        hashing,
        hash_policy,
    };
    check_ring(&policy, errors);
    Arc::new(policy)
}

fn maglev(message: MaglevMessage, errors: &mut Errors) -> Arc<dyn LbPolicy> {
    let MaglevMessage {
        table_size,
        consistent_hashing_lb_config,
        locality_weighted_lb_config,
    } = message;
    let is_weighted = locality_weighted_lb_config.is_some();
    let (hashing, hash_policy) = hashing(consistent_hashing_lb_config, is_weighted, errors);
    let policy = Maglev {
        table_size: table_size.map_or(Maglev::default().table_size, |size| size.value),
        hashing,
        hash_policy,
    };
    check_maglev(&policy, errors);
    Arc::new(policy)
}

fn override_host(message: OverrideHostMessage, parts: &SharedParts, errors: &mut Errors) -> Made {
    let OverrideHostMessage {
        override_host_sources,
        selected_host_key,
        fallback_policy,
    } = message;
    errors.refuse_if(selected_host_key.is_some(), "selected_host_key");
    let mut sources = Vec::new();
    for (index, OverrideHostSource { header, metadata }) in
        override_host_sources.into_iter().enumerate()
    {
        let mut wrong = |text: &str| {
            errors.push(ConfigError::new(
                format!("override_host_sources[{index}]"),
                text,
            ));
        };
        match (header.is_empty(), metadata) {
            (true, None) => wrong("Empty override source"),
            (false, Some(_)) => wrong("Only one override source must be set"),
            (false, None) => sources.push(Source::Header(header.to_ascii_lowercase().into())),
            (true, Some(MetadataKey { key, path })) => {
                let keys = path
                    .into_iter()
                    .filter_map(|segment| match segment.segment? {
                        Segment::Key(key) => Some(key.into_boxed_str()),
                        // Refused by the support table.
                        _ => None,
                    });
                sources.push(Source::Metadata(key.into(), keys.collect()));
            }
        }
    }
    if sources.is_empty() {
        errors.push(ConfigError::new(
            "override_host_sources",
            "value must contain at least 1 item(s)",
        ));
    }
    let Some(list) = fallback_policy else {
        errors.push(ConfigError::new("fallback_policy", "value is required"));
        return None;
    };
    let fallback = errors.nested("fallback_policy", |errors| {
        first_of(list, parts, None, errors)
    });
    Some(Arc::new(ListedHosts {
        sources: sources.into(),
        fallback: fallback?,
    }))
}

/// What Envoy checks of ring sizes beyond the message's own rules.
pub(super) fn check_ring(policy: &RingHash, errors: &mut Errors) {
    let RingHash {
        min_size, max_size, ..
    } = policy;
    if min_size > max_size {
        errors.push(ConfigError::new(
            "minimum_ring_size",
            format!("ring hash: minimum_ring_size ({min_size}) > maximum_ring_size ({max_size})"),
        ));
    }
}

/// What Envoy checks of table sizes beyond the message's own rules.
pub(super) fn check_maglev(policy: &Maglev, errors: &mut Errors) {
    if !is_prime(policy.table_size) {
        errors.push(ConfigError::new(
            "table_size",
            "The table size of maglev must be prime number",
        ));
    }
}
