use nuncio_config::api::core::{
    Address as AddressMessage, HealthStatus, Locality, Metadata as MetadataMessage, SocketAddress,
    address, socket_address::PortSpecifier,
};
use nuncio_config::api::endpoint::{
    Endpoint, LbEndpoint, LocalityLbEndpoints, cluster_load_assignment::Policy,
    endpoint::HealthCheckConfig, lb_endpoint::HostIdentifier,
};
use nuncio_config::api::protobuf::{Struct, UInt32Value, Value, value::Kind};
use prost::Message;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const NAME: &str = "c";

/// As if there were no other way.
fn checked(bytes: &[u8]) -> Option<Assignment> {
    let message: ClusterLoadAssignment = Pieces::default().read(bytes)?;
    if message.cluster_name != NAME {
        return None;
    }
    assignment(message, PriorityOptions::default()).ok()
}

fn encoded(bytes: &[u8]) -> Option<Assignment> {
    encoded_assignment(bytes, NAME, PriorityOptions::default())
}

fn some<T>(rng: &mut SmallRng, value: impl FnOnce(&mut SmallRng) -> T) -> Option<T> {
    rng.random_ratio(1, 4).then(|| value(rng))
}

fn number(rng: &mut SmallRng) -> UInt32Value {
    let value = match rng.random_ratio(1, 20) {
        true => 0,
        false => rng.random_range(1..1000),
    };
    UInt32Value { value }
}

fn metadata(rng: &mut SmallRng) -> MetadataMessage {
    let value = Value {
        kind: Some(Kind::NumberValue(rng.random_range(0..3).into())),
    };
    let fields = [("a".to_owned(), value)].into();
    MetadataMessage {
        filter_metadata: [("envoy.lb".to_owned(), Struct { fields })].into(),
        ..MetadataMessage::default()
    }
}

fn endpoint(rng: &mut SmallRng) -> LbEndpoint {
    let address = match rng.random_range(0..40) {
        0 => "localhost".to_owned(),
        1 => String::new(),
        2..6 => format!("::{:x}", rng.random_range(1..100)),
        _ => format!("10.0.0.{}", rng.random_range(0..256)),
    };
    let socket = SocketAddress {
        address,
        protocol: rng.random_ratio(1, 40).into(),
        port_specifier: Some(PortSpecifier::PortValue(match rng.random_ratio(1, 40) {
            true => 70_000,
            false => rng.random_range(0..1000),
        })),
        ..SocketAddress::default()
    };
    let endpoint = Endpoint {
        address: Some(AddressMessage {
            address: Some(address::Address::SocketAddress(socket)),
        }),
        hostname: some(rng, |_| "name".to_owned()).unwrap_or_default(),
        health_check_config: some(rng, |rng| HealthCheckConfig {
            port_value: rng.random_range(0..70_000),
            ..HealthCheckConfig::default()
        }),
        ..Endpoint::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
        health_status: some(rng, |rng| rng.random_range(0..7)).unwrap_or_default(),
        load_balancing_weight: some(rng, number),
        metadata: some(rng, metadata),
    }
}

fn message(rng: &mut SmallRng) -> ClusterLoadAssignment {
    let locality = |rng: &mut SmallRng| LocalityLbEndpoints {
        locality: some(rng, |rng| Locality {
            zone: rng.random_range(0..3).to_string(),
            ..Locality::default()
        }),
        lb_endpoints: (0..rng.random_range(0..4)).map(|_| endpoint(rng)).collect(),
        load_balancing_weight: some(rng, number),
        priority: some(rng, |rng| rng.random_range(0..131)).unwrap_or_default(),
        ..LocalityLbEndpoints::default()
    };
    ClusterLoadAssignment {
        cluster_name: NAME.into(),
        endpoints: (0..rng.random_range(0..3)).map(|_| locality(rng)).collect(),
        policy: some(rng, |rng| Policy {
            overprovisioning_factor: some(rng, number),
            weighted_priority_health: rng.random(),
            ..Policy::default()
        }),
        ..ClusterLoadAssignment::default()
    }
}

#[test]
fn bytes_mean_what_the_message_means() {
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..1500 {
        let bytes = message(&mut rng).encode_to_vec();
        let (encoded, checked) = (encoded(&bytes), checked(&bytes));
        // Nothing in these is so unusual that it is not read.
        assert_eq!(format!("{encoded:?}"), format!("{checked:?}"), "{bytes:x?}");
        match encoded {
            Some(_) => read += 1,
            None => refused += 1,
        }
    }
    assert!(read > 200 && refused > 200, "{read} {refused}");
}

#[test]
fn damaged_bytes_are_read_only_if_they_mean_the_same() {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut read = 0;
    for _ in 0..3000 {
        let mut bytes = message(&mut rng).encode_to_vec();
        for _ in 0..rng.random_range(1..3) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] ^= 1 << rng.random_range(0..8),
                1 => bytes[at] = rng.random(),
                2 => bytes.insert(at, rng.random()),
                _ => {
                    // A field twice, perhaps.
                    let piece = bytes[at..].to_vec();
                    bytes.extend(piece);
                }
            }
        }
        let Some(encoded) = encoded(&bytes) else {
            continue;
        };
        read += 1;
        let checked = checked(&bytes);
        assert_eq!(
            format!("{:?}", Some(encoded)),
            format!("{checked:?}"),
            "{bytes:x?}"
        );
    }
    assert!(read > 50, "{read}");
}

#[test]
fn equal_metadata_are_one_object() {
    let mut rng = SmallRng::seed_from_u64(3);
    let metadata = metadata(&mut rng);
    let lb_endpoint = |status: HealthStatus| {
        let mut socket = SocketAddress {
            address: "10.0.0.1".into(),
            ..SocketAddress::default()
        };
        socket.port_specifier = Some(PortSpecifier::PortValue(1));
        LbEndpoint {
            host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                address: Some(AddressMessage {
                    address: Some(address::Address::SocketAddress(socket)),
                }),
                ..Endpoint::default()
            })),
            health_status: status.into(),
            metadata: Some(metadata.clone()),
            ..LbEndpoint::default()
        }
    };
    let message = ClusterLoadAssignment {
        cluster_name: NAME.into(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: [HealthStatus::Healthy, HealthStatus::Degraded]
                .map(lb_endpoint)
                .into(),
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    };
    let read = encoded(&message.encode_to_vec()).unwrap();
    let [first, second] = &*read.localities[0].endpoints else {
        panic!("{read:?}");
    };
    let (Some(first), Some(second)) = (&first.metadata, &second.metadata) else {
        panic!("{read:?}");
    };
    assert!(Arc::ptr_eq(first, second));
}
