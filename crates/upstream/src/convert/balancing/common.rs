//! `common_lb_config`, and options that several policies have alike.

use std::time::Duration;

use nuncio_config::api::cluster::cluster::{
    CommonLbConfig, SlowStartConfig as LegacySlowStart,
    common_lb_config::{
        ConsistentHashingLbConfig as LegacyHashing, LocalityConfigSpecifier as LegacyLocality,
        LocalityWeightedLbConfig, ZoneAwareLbConfig as LegacyZoneAware,
    },
};
use nuncio_config::api::core::{HealthStatus, HealthStatusSet, RuntimeDouble};
use nuncio_config::api::lb_common::{
    ConsistentHashingLbConfig, LocalityLbConfig, SlowStartConfig,
    locality_lb_config::{
        LocalityConfigSpecifier, LocalityWeightedLbConfig as Weighted, ZoneAwareLbConfig,
        zone_aware_lb_config::{ForceLocalZone, LocalityBasis},
    },
};
use nuncio_config::api::protobuf;
use nuncio_config::api::types::Percent;
use nuncio_config::{ConfigError, Within, convert as value};
use nuncio_route::HashPolicy;
use nuncio_sdk::Runtime;
use prost::Message;
use std::sync::Arc;

use super::super::Errors;
use crate::host_set::PriorityOptions;
use crate::lb::hashing::{HashingOptions, OwnHashPolicy};
use crate::lb::{LocalityOptions, OverrideStatuses, SlowStart, ZoneAwareOptions};

/// `common_lb_config`
#[derive(Default)]
pub(super) struct Common {
    pub(super) priorities: PriorityOptions,
    pub(super) override_statuses: OverrideStatuses,
    pub(super) locality: Option<LocalityOptions>,
    pub(super) hashing: Option<HashingOptions>,
}

impl Common {
    /// Whether there are fields that `load_balancing_policy` has in places of its own.
    pub(super) fn is_partial(&self) -> bool {
        self.locality.is_some() || self.hashing.is_some()
    }

    pub(super) fn is_locality_weighted(&self) -> bool {
        self.locality == Some(LocalityOptions::Weighted)
    }

    /// Options of ring hash and Maglev as older fields.
    pub(super) fn hashing(&self) -> HashingOptions {
        HashingOptions {
            locality_weighted: self.is_locality_weighted(),
            ..self.hashing.unwrap_or_default()
        }
    }
}

pub(super) fn common(message: Option<CommonLbConfig>, errors: &mut Errors) -> Common {
    let mut common = Common::default();
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
        return common;
    };
    if let Some(percent) = percent(healthy_panic_threshold, "healthy_panic_threshold", errors) {
        common.priorities.panic_threshold = percent.round() as u32;
    }
    // Read beside the health checks and the connections, which they are about.
    let _ = (
        update_merge_window,
        ignore_new_hosts_until_first_hc,
        close_connections_on_host_set_change,
    );
    common.hashing = consistent_hashing_lb_config.map(|message| {
        let LegacyHashing {
            use_hostname_for_hashing,
            hash_balance_factor,
        } = message;
        HashingOptions {
            use_hostname: use_hostname_for_hashing,
            balance_factor: balance_factor(hash_balance_factor),
            locality_weighted: false,
        }
    });
    if let Some(HealthStatusSet { statuses }) = override_host_status {
        common.override_statuses = OverrideStatuses::of(
            statuses
                .into_iter()
                .filter_map(|status| HealthStatus::try_from(status).ok()),
        );
    }
    common.locality = match locality_config_specifier {
        None => None,
        Some(LegacyLocality::LocalityWeightedLbConfig(LocalityWeightedLbConfig {})) => {
            Some(LocalityOptions::Weighted)
        }
        Some(LegacyLocality::ZoneAwareLbConfig(LegacyZoneAware {
            routing_enabled,
            min_cluster_size,
            fail_traffic_on_panic,
        })) => errors.nested("zone_aware_lb_config", |errors| {
            Some(LocalityOptions::ZoneAware(zone_aware(
                routing_enabled,
                min_cluster_size,
                fail_traffic_on_panic,
                errors,
            )))
        }),
    };
    common
}

fn percent(message: Option<Percent>, field: &str, errors: &mut Errors) -> Option<f64> {
    errors.take(value::percent(&message?).within(field))
}

fn zone_aware(
    routing_enabled: Option<Percent>,
    min_cluster_size: Option<protobuf::UInt64Value>,
    fail_traffic_on_panic: bool,
    errors: &mut Errors,
) -> ZoneAwareOptions {
    let defaults = ZoneAwareOptions::default();
    ZoneAwareOptions {
        routing_enabled: percent(routing_enabled, "routing_enabled", errors)
            .map_or(defaults.routing_enabled, |percent| percent.round() as u32),
        min_cluster_size: min_cluster_size.map_or(defaults.min_cluster_size, |size| size.value),
        fail_traffic_on_panic,
        ..defaults
    }
}

/// `locality_lb_config` of a policy.
pub(super) fn locality(message: Option<LocalityLbConfig>, errors: &mut Errors) -> LocalityOptions {
    let specifier = message.and_then(|message| {
        let LocalityLbConfig {
            locality_config_specifier,
        } = message;
        locality_config_specifier
    });
    match specifier {
        None => LocalityOptions::default(),
        Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(Weighted {})) => {
            LocalityOptions::Weighted
        }
        Some(LocalityConfigSpecifier::ZoneAwareLbConfig(message)) => {
            errors.nested("locality_lb_config.zone_aware_lb_config", |errors| {
                #[expect(deprecated, reason = "Envoy still takes this field")]
                let ZoneAwareLbConfig {
                    routing_enabled,
                    min_cluster_size,
                    fail_traffic_on_panic,
                    force_locality_direct_routing,
                    force_local_zone,
                    locality_basis,
                } = message;
                let zones = zone_aware(
                    routing_enabled,
                    min_cluster_size,
                    fail_traffic_on_panic,
                    errors,
                );
                let force = force_local_zone
                    .map(|ForceLocalZone { min_size }| value::u32_or(min_size.as_ref(), 1));
                LocalityOptions::ZoneAware(ZoneAwareOptions {
                    force_local_zone: force.or(force_locality_direct_routing.then_some(1)),
                    by_weight: locality_basis == LocalityBasis::HealthyHostsWeight as i32,
                    ..zones
                })
            })
        }
    }
}

/// `consistent_hashing_lb_config` of a policy.
pub(super) fn hashing(
    message: Option<ConsistentHashingLbConfig>,
    is_locality_weighted: bool,
    errors: &mut Errors,
) -> (HashingOptions, Option<Arc<OwnHashPolicy>>) {
    let ConsistentHashingLbConfig {
        use_hostname_for_hashing,
        hash_balance_factor,
        hash_policy,
    } = message.unwrap_or_default();
    let options = HashingOptions {
        use_hostname: use_hostname_for_hashing,
        balance_factor: balance_factor(hash_balance_factor),
        locality_weighted: is_locality_weighted,
    };
    let config = hash_policy
        .iter()
        .flat_map(Message::encode_to_vec)
        .collect();
    let policy = match HashPolicy::from_config(&hash_policy) {
        Ok(policy) => policy.map(|policy| Arc::new(OwnHashPolicy::new(policy, config))),
        Err(found) => {
            for error in found {
                errors.push(error.within("consistent_hashing_lb_config.hash_policy"));
            }
            None
        }
    };
    (options, policy)
}

/// Envoy's 0 and absence: no bound.
pub(super) fn balance_factor(message: Option<protobuf::UInt32Value>) -> Option<u32> {
    message
        .map(|factor| factor.value)
        .filter(|factor| *factor > 0)
}

/// `slow_start_config` of the older fields.
pub(super) fn legacy_slow_start(
    message: Option<LegacySlowStart>,
    runtime: &Runtime,
    errors: &mut Errors,
) -> Option<SlowStart> {
    let LegacySlowStart {
        slow_start_window,
        aggression,
        min_weight_percent,
    } = message?;
    slow_start(
        Some(SlowStartConfig {
            slow_start_window,
            aggression,
            min_weight_percent,
        }),
        runtime,
        errors,
    )
}

/// `slow_start_config`; `None` without a window.
pub(super) fn slow_start(
    message: Option<SlowStartConfig>,
    runtime: &Runtime,
    errors: &mut Errors,
) -> Option<SlowStart> {
    let SlowStartConfig {
        slow_start_window,
        aggression,
        min_weight_percent,
    } = message?;
    errors.nested("slow_start_config", |errors| {
        let window = value::opt_duration(slow_start_window.as_ref()).within("slow_start_window");
        let window = errors
            .take(window)?
            .filter(|window| window.as_millis() > 0)?;
        let least = percent(min_weight_percent, "min_weight_percent", errors).unwrap_or(10.0);
        Some(SlowStart {
            window: Duration::from_millis(window.as_millis() as u64),
            aggression: double(aggression, 1.0, runtime, |aggression| aggression > 0.0),
            min_weight: least / 100.0,
        })
    })
}

/// A number, which the runtime may have; `default` if it makes no sense.
pub(super) fn double(
    message: Option<RuntimeDouble>,
    default: f64,
    runtime: &Runtime,
    makes_sense: impl FnOnce(f64) -> bool,
) -> f64 {
    let Some(RuntimeDouble {
        default_value,
        runtime_key,
    }) = message
    else {
        return default;
    };
    let value = runtime.pinned_double(&runtime_key, default_value);
    match makes_sense(value) {
        true => value,
        false => default,
    }
}

/// An error for a value that is out of range.
pub(super) fn at_least(field: &str, least: u32) -> ConfigError {
    ConfigError::new(
        field,
        format!("value must be greater than or equal to {least}"),
    )
}
