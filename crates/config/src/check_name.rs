//! `HealthCheck.name`, which Envoy 1.40 has and the messages of `envoy-types` have not: decoding a cluster there would drop it.
//!
//! While a cluster is a message, the name of a check travels as an entry of its `event_logger`s, in a form that no
//! configuration that passed the checks of this crate can have. Superfluous as soon as `envoy-types` has the field.

use prost::{DecodeError, Message};

use crate::api::cluster::Cluster;
use crate::api::core::{HealthCheck, TypedExtensionConfig};
use crate::wire;

/// `Cluster.health_checks`
const HEALTH_CHECKS: u32 = 8;
/// `HealthCheck.event_logger`
const EVENT_LOGGER: u32 = 25;
/// `HealthCheck.name`
const NAME: u32 = 27;
/// Begins the name of the entry that carries the check's; it has no `typed_config`, which is required of all others.
const CARRIER: &str = "HealthCheck.name=";

/// Decodes a cluster with the names of its health checks, for [`take_health_check_name`].
///
/// # Errors
/// The bytes are no encoded cluster.
pub fn decode_cluster(bytes: &[u8]) -> Result<Cluster, DecodeError> {
    match with_checks(bytes, NAME, carry) {
        Some(bytes) => Cluster::decode(bytes.as_slice()),
        None => Cluster::decode(bytes),
    }
}

/// Encodes a cluster from [`decode_cluster`] as it was.
pub fn encode_cluster(cluster: &Cluster) -> Vec<u8> {
    let bytes = cluster.encode_to_vec();
    with_checks(&bytes, EVENT_LOGGER, deliver).unwrap_or(bytes)
}

/// Takes the name of a check out of a cluster from [`decode_cluster`]; empty without.
pub fn take_health_check_name(check: &mut HealthCheck) -> String {
    let loggers = &mut check.event_logger;
    let carrier = loggers.iter().position(|entry| carried(entry).is_some());
    let entry = carrier.map(|index| loggers.remove(index));
    entry
        .as_ref()
        .and_then(carried)
        .unwrap_or_default()
        .to_owned()
}

fn carried(entry: &TypedExtensionConfig) -> Option<&str> {
    let name = entry.name.strip_prefix(CARRIER);
    name.filter(|_| entry.typed_config.is_none())
}

/// Replaces the fields `number` of all health checks by what `replace` appends; `None` when there are none.
fn with_checks(
    bytes: &[u8],
    number: u32,
    replace: impl Fn(wire::WireField<'_>, &mut Vec<u8>),
) -> Option<Vec<u8>> {
    let checks = wire::fields(bytes).flatten();
    let mut checks = checks.filter(|field| field.number == HEALTH_CHECKS);
    if !checks.any(|check| wire::find(check.value.bytes(), number).is_some()) {
        return None;
    }
    let mut out = Vec::with_capacity(bytes.len() + 64);
    for field in wire::fields(bytes).flatten() {
        if field.number != HEALTH_CHECKS {
            wire::put_field(&mut out, field);
            continue;
        }
        wire::put_nested(&mut out, HEALTH_CHECKS, |out| {
            for field in wire::fields(field.value.bytes()).flatten() {
                match field.number == number {
                    true => replace(field, out),
                    false => wire::put_field(out, field),
                }
            }
        });
    }
    Some(out)
}

fn carry(name: wire::WireField<'_>, out: &mut Vec<u8>) {
    let entry = TypedExtensionConfig {
        name: format!("{CARRIER}{}", String::from_utf8_lossy(name.value.bytes())),
        typed_config: None,
    };
    wire::put_bytes(out, EVENT_LOGGER, &entry.encode_to_vec());
}

fn deliver(logger: wire::WireField<'_>, out: &mut Vec<u8>) {
    let entry = TypedExtensionConfig::decode(logger.value.bytes()).unwrap_or_default();
    match carried(&entry) {
        Some(name) => wire::put_bytes(out, NAME, name.as_bytes()),
        None => wire::put_field(out, logger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_being_a_message() {
        let check = |name: Option<&str>| {
            let mut bytes = HealthCheck {
                interval_jitter_percent: 7,
                event_logger: vec![TypedExtensionConfig {
                    name: "file".into(),
                    typed_config: Some(crate::api::Any::default()),
                }],
                ..HealthCheck::default()
            }
            .encode_to_vec();
            if let Some(name) = name {
                wire::put_bytes(&mut bytes, NAME, name.as_bytes());
            }
            bytes
        };
        let mut bytes = Cluster {
            name: "c".into(),
            ..Cluster::default()
        }
        .encode_to_vec();
        for name in [Some("one"), None] {
            wire::put_bytes(&mut bytes, HEALTH_CHECKS, &check(name));
        }
        let mut cluster = decode_cluster(&bytes).unwrap();
        assert_eq!(encode_cluster(&cluster), bytes);
        let mut names = cluster.health_checks.iter_mut();
        let mut next = || names.next().map(take_health_check_name);
        assert_eq!(next().as_deref(), Some("one"));
        assert_eq!(next().as_deref(), Some(""));
        let loggers = |check: &HealthCheck| check.event_logger.len();
        assert!(
            cluster
                .health_checks
                .iter()
                .all(|check| loggers(check) == 1)
        );
    }
}
