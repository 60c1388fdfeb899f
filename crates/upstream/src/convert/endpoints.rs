//! `load_assignment`: endpoints by locality and priority.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use nuncio_config::api::core::{HealthStatus, Locality as LocalityMessage};
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
    cluster_load_assignment::{Policy, policy::DropOverload},
    endpoint::{AdditionalAddress, HealthCheckConfig},
    lb_endpoint::HostIdentifier,
};
use nuncio_config::convert::{Fraction, fraction, opt_duration, u32_or};
use nuncio_config::{ConfigError, Within};
use nuncio_net::Address;
use nuncio_sdk::metadata::DynamicMetadata;

use super::Errors;
use super::address::{self, Target};
use super::metadata;
use crate::host::{HealthCheckTarget, HealthFlags, Locality};
use crate::host_set::PriorityOptions;
use crate::info::{self, ClusterKind};

/// Endpoints of one locality.
#[derive(Debug)]
pub(crate) struct LocalitySpec {
    pub(crate) locality: Arc<Locality>,
    pub(crate) weight: Option<u32>,
    pub(crate) priority: u32,
    pub(crate) endpoints: Vec<EndpointSpec>,
}

/// One endpoint as configured.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSpec {
    pub(crate) address: EndpointAddress,
    /// `additional_addresses`
    pub(crate) additional: Option<Arc<[Address]>>,
    /// `Endpoint.hostname`; empty when not given.
    pub(crate) hostname: Arc<str>,
    pub(crate) metadata: Option<Arc<DynamicMetadata>>,
    pub(crate) weight: u32,
    pub(crate) health: HealthFlags,
    pub(crate) health_check: Option<Arc<HealthCheckTarget>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointAddress {
    Literal(Address),
    /// To be resolved.
    Name(Arc<str>, u16),
}

/// What an assignment says beside its endpoints.
#[derive(Debug)]
pub(crate) struct AssignmentOptions {
    pub(crate) priorities: PriorityOptions,
    /// The share of requests to be dropped.
    pub(crate) drop_overload: Option<info::DropOverload>,
    /// After which the endpoints count as gone.
    pub(crate) stale_after: Option<Duration>,
}

/// The most priorities that Envoy allows (PGV: `priority` at most 128).
const MAX_PRIORITY: u32 = 128;

pub(super) fn localities(
    message: ClusterLoadAssignment,
    kind: Option<ClusterKind>,
    options: &mut AssignmentOptions,
    errors: &mut Errors,
) -> Vec<LocalitySpec> {
    let ClusterLoadAssignment {
        // Harmless: a static assignment belongs to the cluster around it, whatever it is called.
        cluster_name: _,
        endpoints,
        named_endpoints,
        policy,
    } = message;
    errors.refuse_if(!named_endpoints.is_empty(), "named_endpoints");
    if let Some(policy) = policy {
        errors.nested("policy", |errors| read_policy(policy, options, errors));
    }
    let names = matches!(kind, Some(ClusterKind::StrictDns | ClusterKind::LogicalDns));
    let mut shared = Shared::default();
    endpoints
        .into_iter()
        .enumerate()
        .map(|(index, group)| {
            errors.nested(format_args!("endpoints[{index}]"), |errors| {
                locality(group, names, &mut shared, errors)
            })
        })
        .collect()
}

/// A `LOGICAL_DNS` cluster has just one endpoint.
pub(super) fn check_single(localities: &[LocalitySpec], errors: &mut Errors) {
    let wrong = match localities {
        [one] if one.endpoints.len() == 1 => return,
        [] => "LOGICAL_DNS clusters must have a single host",
        _ => {
            "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"
        }
    };
    let remedy = "several names are STRICT_DNS";
    errors.push(ConfigError::new("load_assignment.endpoints", wrong).with_remedy(remedy));
}

/// One object for localities of the same place.
#[derive(Default)]
pub(super) struct Shared {
    places: Vec<Arc<Locality>>,
}

impl Shared {
    pub(super) fn locality(&mut self, message: Option<LocalityMessage>) -> Arc<Locality> {
        let LocalityMessage {
            region,
            zone,
            sub_zone,
        } = message.unwrap_or_default();
        let locality = Locality {
            region: region.into(),
            zone: zone.into(),
            sub_zone: sub_zone.into(),
        };
        if let Some(known) = self.places.iter().find(|known| ***known == locality) {
            return known.clone();
        }
        let locality = if locality.is_empty() {
            nowhere()
        } else {
            Arc::new(locality)
        };
        self.places.push(locality.clone());
        locality
    }
}

/// The one empty locality of the process: most endpoints have none.
fn nowhere() -> Arc<Locality> {
    use std::sync::LazyLock;
    static NOWHERE: LazyLock<Arc<Locality>> = LazyLock::new(Arc::default);
    NOWHERE.clone()
}

/// The one empty name of the process, for the same reason.
pub(super) fn no_name() -> Arc<str> {
    use std::sync::LazyLock;
    static NO_NAME: LazyLock<Arc<str>> = LazyLock::new(Arc::default);
    NO_NAME.clone()
}

pub(super) fn read_policy(message: Policy, options: &mut AssignmentOptions, errors: &mut Errors) {
    let Policy {
        drop_overloads,
        overprovisioning_factor,
        endpoint_stale_after,
        weighted_priority_health,
    } = message;
    read_drop_overloads(&drop_overloads, options, errors);
    let priorities = &mut options.priorities;
    priorities.overprovisioning_factor = u32_or(overprovisioning_factor.as_ref(), 140);
    if priorities.overprovisioning_factor == 0 {
        errors.push(ConfigError::new(
            "overprovisioning_factor",
            "value must be greater than 0",
        ));
    }
    priorities.weighted_priority_health = weighted_priority_health;
    options.stale_after = errors
        .take(opt_duration(endpoint_stale_after.as_ref()).within("endpoint_stale_after"))
        .flatten()
        .filter(|after| !after.is_zero());
}

fn read_drop_overloads(
    overloads: &[DropOverload],
    options: &mut AssignmentOptions,
    errors: &mut Errors,
) {
    if overloads.len() > 1 {
        errors.push(ConfigError::new(
            "drop_overloads",
            format!(
                "Cluster drop_overloads config has {} categories. Envoy only support one.",
                overloads.len()
            ),
        ));
    }
    let Some(DropOverload {
        category,
        drop_percentage,
    }) = overloads.first()
    else {
        return;
    };
    if let Some(percentage) = drop_percentage {
        let fraction = fraction(percentage).within("drop_overloads[0].drop_percentage");
        let share = errors.take(fraction).filter(|share| share.numerator > 0);
        if let Some(Fraction {
            numerator,
            denominator,
        }) = share
            && numerator > denominator
        {
            errors.push(ConfigError::new(
                "drop_overloads[0].drop_percentage",
                format!(
                    "Cluster drop_overloads config is invalid. drop_ratio={} (Numerator {numerator} / Denominator {denominator}). The valid range is 0~1.",
                    f64::from(numerator) / f64::from(denominator)
                ),
            ));
        }
        options.drop_overload = share.map(|share| info::DropOverload {
            share,
            category: category.as_str().into(),
            dropped: AtomicU64::new(0),
        });
    }
}

fn locality(
    message: LocalityLbEndpoints,
    names: bool,
    shared: &mut Shared,
    errors: &mut Errors,
) -> LocalitySpec {
    let LocalityLbEndpoints {
        locality,
        // Harmless: carried along for extensions that read it; none does.
        metadata: _,
        lb_endpoints,
        load_balancing_weight,
        priority,
        // Harmless: Envoy does not read it.
        proximity: _,
        lb_config,
    } = message;
    errors.refuse_if(lb_config.is_some(), "lb_config");
    if priority > MAX_PRIORITY {
        errors.push(ConfigError::new(
            "priority",
            "value must be less than or equal to 128",
        ));
    }
    let weight = load_balancing_weight.map(|weight| weight.value);
    if weight == Some(0) {
        errors.push(ConfigError::new(
            "load_balancing_weight",
            "value must be greater than or equal to 1",
        ));
    }
    let endpoints = lb_endpoints
        .into_iter()
        .enumerate()
        .filter_map(|(index, message)| {
            errors.nested(format_args!("lb_endpoints[{index}]"), |errors| {
                endpoint(message, names, errors)
            })
        })
        .collect();
    LocalitySpec {
        locality: shared.locality(locality),
        weight,
        priority: priority.min(MAX_PRIORITY),
        endpoints,
    }
}

pub(super) fn endpoint(
    message: LbEndpoint,
    names: bool,
    errors: &mut Errors,
) -> Option<EndpointSpec> {
    let LbEndpoint {
        health_status,
        metadata,
        load_balancing_weight,
        host_identifier,
    } = message;
    let weight = load_balancing_weight.map_or(1, |weight| weight.value);
    if weight == 0 {
        errors.push(ConfigError::new(
            "load_balancing_weight",
            "value must be greater than or equal to 1",
        ));
    }
    let health = health_flags(health_status).unwrap_or_else(|| {
        errors.push(ConfigError::new(
            "health_status",
            format!("unknown enum value {health_status}"),
        ));
        HealthFlags::NONE
    });
    let metadata = errors.nested("metadata", |errors| metadata::metadata(metadata, errors));
    let endpoint = match host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint,
        Some(HostIdentifier::EndpointName(_)) => {
            errors.refuse_if(true, "endpoint_name");
            return None;
        }
        None => {
            errors.push(ConfigError::new("endpoint", "value is required"));
            return None;
        }
    };
    let Endpoint {
        address,
        health_check_config,
        hostname,
        additional_addresses,
        observability_name,
    } = endpoint;
    errors.nested("endpoint", |errors| {
        let health_check = health_check_config
            .map(|message| errors.nested("health_check_config", |errors| check(message, errors)));
        let additional = additional(additional_addresses, errors);
        errors.refuse_if(!observability_name.is_empty(), "observability_name");
        let address = match errors.take(address::address(address, names).within("address"))? {
            Target::Literal(address) => EndpointAddress::Literal(address),
            Target::Name(name, port) => EndpointAddress::Name(name.into(), port),
        };
        let asks_port = health_check.as_ref().is_some_and(|check| check.port != 0);
        if asks_port && matches!(&address, EndpointAddress::Literal(Address::Pipe { .. })) {
            errors.push(ConfigError::new(
                "health_check_config.port_value",
                "Invalid host configuration: non-zero port for non-IP address",
            ));
        }
        let hostname = if hostname.is_empty() {
            no_name()
        } else {
            hostname.into()
        };
        Some(EndpointSpec {
            address,
            additional,
            hostname,
            metadata,
            weight,
            health,
            health_check: health_check.map(Arc::new),
        })
    })
}

/// What a `HealthStatus` says; `None` when it is no such number.
pub(super) fn health_flags(status: i32) -> Option<HealthFlags> {
    Some(match HealthStatus::try_from(status).ok()? {
        HealthStatus::Unknown => HealthFlags::NONE,
        HealthStatus::Healthy => HealthFlags::EDS_SAYS_HEALTHY,
        HealthStatus::Unhealthy => HealthFlags::FAILED_EDS_HEALTH,
        HealthStatus::Timeout => HealthFlags::FAILED_EDS_HEALTH.with(HealthFlags::EDS_SAYS_TIMEOUT),
        HealthStatus::Draining => HealthFlags::EDS_STATUS_DRAINING,
        HealthStatus::Degraded => HealthFlags::DEGRADED_EDS_HEALTH,
    })
}

/// `None` without any.
fn additional(messages: Vec<AdditionalAddress>, errors: &mut Errors) -> Option<Arc<[Address]>> {
    let read = |(index, message): (usize, AdditionalAddress)| {
        let AdditionalAddress { address } = message;
        let path = format!("additional_addresses[{index}].address");
        match errors.take(address::address(address, false).within(&path))? {
            Target::Literal(address) => Some(address),
            // Not asked for.
            Target::Name(..) => None,
        }
    };
    let all: Arc<[Address]> = messages.into_iter().enumerate().filter_map(read).collect();
    (!all.is_empty()).then_some(all)
}

fn check(message: HealthCheckConfig, errors: &mut Errors) -> HealthCheckTarget {
    let HealthCheckConfig {
        port_value,
        hostname,
        address,
        disable_active_health_check,
    } = message;
    let port = u16::try_from(port_value).unwrap_or_else(|_| {
        errors.push(ConfigError::new(
            "port_value",
            "value must be less than or equal to 65535",
        ));
        0
    });
    let address = address.and_then(|address| {
        match errors.take(address::address(Some(address), false).within("address"))? {
            Target::Literal(address) => Some(address),
            // Not asked for.
            Target::Name(..) => None,
        }
    });
    HealthCheckTarget {
        address,
        port,
        hostname: hostname.into(),
        disabled: disable_active_health_check,
    }
}
