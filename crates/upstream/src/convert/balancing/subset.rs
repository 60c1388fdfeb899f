//! Subset balancing, as `lb_subset_config` and as a policy of its own.

use std::sync::Arc;

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::cluster::{
    LbPolicy as PolicyKind, LbSubsetConfig,
    lb_subset_config::{
        LbSubsetFallbackPolicy as LegacyFallback, LbSubsetMetadataFallbackPolicy as LegacyList,
        LbSubsetSelector as LegacySelector,
    },
};
use nuncio_config::api::protobuf::Struct;
use nuncio_config::api::subset::{
    Subset as SubsetMessage,
    subset::{LbSubsetMetadataFallbackPolicy as List, LbSubsetSelector},
};

use nuncio_route::MetadataMatch;

use super::super::Errors;
use super::super::SharedParts;
use super::common::Common;
use super::extension::{Made, first_of};
use crate::lb::LbPolicy;
use crate::lb::subset::{Fallback, Selector, SelectorFallback, Subset};

/// `lb_subset_config` around the cluster's policy, if there are any subsets to make.
pub(super) fn legacy(
    message: Option<LbSubsetConfig>,
    child: Arc<dyn LbPolicy>,
    common: &Common,
    kind: Option<PolicyKind>,
    errors: &mut Errors,
) -> Arc<dyn LbPolicy> {
    let Some(message) = message else { return child };
    // As in Envoy, without selectors there is no subset balancing.
    if message.subset_selectors.is_empty() {
        return child;
    }
    let LbSubsetConfig {
        fallback_policy,
        default_subset,
        subset_selectors,
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        metadata_fallback_policy,
    } = message;
    errors.nested("lb_subset_config", |errors| {
        if kind == Some(PolicyKind::ClusterProvided) {
            errors.push(ConfigError::new(
                "",
                "cluster: LB policy CLUSTER_PROVIDED cannot be combined with lb_subset_config",
            ));
        }
        if locality_weight_aware && !common.is_locality_weighted() {
            errors.push(ConfigError::new(
                "locality_weight_aware",
                "Locality weight aware subset LB requires that a locality_weighted_lb_config be set",
            ));
        }
        let selectors = subset_selectors.into_iter().map(|selector| {
            let LegacySelector {
                keys,
                single_host_per_subset,
                fallback_policy,
                fallback_keys_subset,
            } = selector;
            LbSubsetSelector {
                keys,
                single_host_per_subset,
                fallback_policy,
                fallback_keys_subset,
            }
        });
        let subset = Subset {
            fallback: fallback(fallback_policy),
            default_subset: criteria(default_subset),
            selectors: all_selectors(selectors, errors),
            locality_weight_aware,
            scale_locality_weight,
            panic_mode_any,
            list_as_any,
            fallback_list: metadata_fallback_policy == LegacyList::FallbackList as i32,
            allow_redundant_keys: false,
            child,
        };
        Arc::new(subset) as Arc<dyn LbPolicy>
    })
}

/// The policy `envoy.load_balancing_policies.subset`.
pub(super) fn extension(message: SubsetMessage, parts: &SharedParts, errors: &mut Errors) -> Made {
    let SubsetMessage {
        fallback_policy,
        default_subset,
        subset_selectors,
        allow_redundant_keys,
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        metadata_fallback_policy,
        subset_lb_policy,
    } = message;
    let Some(list) = subset_lb_policy else {
        errors.push(ConfigError::new("subset_lb_policy", "value is required"));
        return None;
    };
    let child = errors.nested("subset_lb_policy", |errors| {
        first_of(list, parts, None, errors)
    });
    let selectors = all_selectors(subset_selectors.into_iter(), errors);
    Some(Arc::new(Subset {
        fallback: fallback(fallback_policy),
        default_subset: criteria(default_subset),
        selectors,
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        fallback_list: metadata_fallback_policy == List::FallbackList as i32,
        allow_redundant_keys,
        child: child?,
    }))
}

/// Both messages number these alike; an unknown number was refused before.
fn fallback(number: i32) -> Fallback {
    match LegacyFallback::try_from(number) {
        Ok(LegacyFallback::AnyEndpoint) => Fallback::Any,
        Ok(LegacyFallback::DefaultSubset) => Fallback::Default,
        Ok(LegacyFallback::NoFallback) | Err(_) => Fallback::None,
    }
}

fn criteria(message: Option<Struct>) -> MetadataMatch {
    let fields = message.unwrap_or_default().fields.into_iter();
    let mut criteria: MetadataMatch = fields.map(|(key, value)| (key.into(), value)).collect();
    criteria.sort_by(|a, b| a.0.cmp(&b.0));
    criteria
}

fn all_selectors(
    messages: impl Iterator<Item = LbSubsetSelector>,
    errors: &mut Errors,
) -> Box<[Selector]> {
    // One without keys selects nothing, and Envoy does not look at the rest of it.
    let messages = messages
        .enumerate()
        .filter(|(_, message)| !message.keys.is_empty());
    let selectors = messages.map(|(index, message)| {
        errors.nested(format_args!("subset_selectors[{index}]"), |errors| {
            selector(message, errors)
        })
    });
    let mut selectors: Box<[Selector]> = selectors.collect();
    // Envoy looks for fallbacks in a tree of keys, in which a selector that comes later and leads only to where a longer one has
    // passed already leaves no word.
    for index in 1..selectors.len() {
        let (earlier, rest) = selectors.split_at_mut(index);
        let it = &mut rest[0];
        let passes = |longer: &Selector| {
            longer.keys.len() > it.keys.len() && longer.keys.starts_with(&it.keys)
        };
        if earlier.iter().any(passes) {
            it.fallback = None;
        }
    }
    selectors
}

fn selector(message: LbSubsetSelector, errors: &mut Errors) -> Selector {
    use nuncio_config::api::subset::subset::lb_subset_selector::LbSubsetSelectorFallbackPolicy as Policy;
    let LbSubsetSelector {
        keys,
        single_host_per_subset,
        fallback_policy,
        fallback_keys_subset,
    } = message;
    let keys = sorted(keys);
    let fallback_keys = sorted(fallback_keys_subset);
    let policy = Policy::try_from(fallback_policy).unwrap_or(Policy::NotDefined);
    let mut wrong = |text: &str| errors.push(ConfigError::new("fallback_keys_subset", text));
    if policy == Policy::KeysSubset {
        if fallback_keys.is_empty() {
            wrong("fallback_keys_subset cannot be empty");
        } else if !fallback_keys.iter().all(|key| keys.contains(key)) {
            wrong("fallback_keys_subset must be a subset of selector keys");
        } else if fallback_keys == keys {
            wrong("fallback_keys_subset cannot be equal to keys");
        }
    } else if !fallback_keys.is_empty() {
        wrong("fallback_keys_subset can be set only for KEYS_SUBSET fallback_policy");
    }
    Selector {
        keys,
        single_host: single_host_per_subset,
        fallback: match policy {
            Policy::NotDefined => None,
            Policy::NoFallback => Some(SelectorFallback::To(Fallback::None)),
            Policy::AnyEndpoint => Some(SelectorFallback::To(Fallback::Any)),
            Policy::DefaultSubset => Some(SelectorFallback::To(Fallback::Default)),
            Policy::KeysSubset => Some(SelectorFallback::Keys(fallback_keys)),
        },
    }
}

/// Sorted, each once.
fn sorted(mut keys: Vec<String>) -> Box<[Box<str>]> {
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(String::into_boxed_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_that_begins_an_earlier_one_has_no_fallback() {
        use nuncio_config::api::subset::subset::lb_subset_selector::LbSubsetSelectorFallbackPolicy as Policy;
        let selector = |keys: &[&str]| LbSubsetSelector {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            fallback_policy: Policy::AnyEndpoint.into(),
            ..LbSubsetSelector::default()
        };
        let all = [
            selector(&["b"]),
            selector(&["b", "a"]),
            selector(&["a"]),
            selector(&["b", "c"]),
            selector(&["b"]),
            selector(&["c"]),
        ];
        let selectors = all_selectors(all.into_iter(), &mut Errors::default());
        let has_fallback: Vec<_> = selectors.iter().map(|it| it.fallback.is_some()).collect();
        // The last but one was there before, and the first one counts.
        assert_eq!(has_fallback, [true, true, false, true, false, true]);
    }
}
