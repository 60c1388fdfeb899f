use crate::api::{
    core::{Address, HealthStatus, Metadata, SocketAddress, address, socket_address},
    endpoint::{ClusterLoadAssignment, Endpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    protobuf::{Struct, UInt32Value},
};

use super::*;

fn endpoint(address: &str, port: u32) -> LbEndpoint {
    let socket = SocketAddress {
        address: address.into(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(address::Address::SocketAddress(socket)),
            }),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    }
}

fn assignment(endpoints: Vec<LbEndpoint>) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: "c".into(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: endpoints,
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

/// Whether each endpoint was plain.
fn shapes(bytes: &[u8]) -> Option<Vec<bool>> {
    let read = read(bytes, |endpoint| {
        Some(matches!(endpoint, ReadEndpoint::Plain(_)))
    })?;
    let localities = read.localities.into_iter();
    Some(localities.flat_map(|l| l.endpoints).collect())
}

#[test]
fn usual_endpoints_are_read_in_place() {
    let mut full = endpoint("10.0.0.1", 80);
    full.load_balancing_weight = Some(UInt32Value { value: 300 });
    full.health_status = HealthStatus::Draining as i32;
    full.metadata = Some(Metadata {
        filter_metadata: [("envoy.lb".to_owned(), Struct::default())].into(),
        ..Metadata::default()
    });
    if let Some(HostIdentifier::Endpoint(endpoint)) = &mut full.host_identifier {
        endpoint.hostname = "h".into();
    }
    let mut message = assignment(vec![full.clone(), endpoint("::1", 1)]);
    message.endpoints[0].priority = 2;
    message.endpoints[0].load_balancing_weight = Some(UInt32Value { value: 7 });
    message.endpoints[0].locality = Some(Locality {
        zone: "z".into(),
        ..Locality::default()
    });
    message.policy = Some(Policy {
        overprovisioning_factor: Some(UInt32Value { value: 200 }),
        ..Policy::default()
    });
    let bytes = message.encode_to_vec();
    let read = read(&bytes, |endpoint| match endpoint {
        ReadEndpoint::Plain(endpoint) => Some(endpoint),
        ReadEndpoint::Other(other) => panic!("{other:?}"),
    });
    let read = read.unwrap();
    assert_eq!(read.cluster_name, "c");
    assert_eq!(read.policy, message.policy);
    let [locality] = read.localities.as_slice() else {
        panic!("{read:?}");
    };
    assert_eq!(locality.locality, message.endpoints[0].locality);
    assert_eq!((locality.weight, locality.priority), (Some(7), 2));
    let [first, second] = locality.endpoints.as_slice() else {
        panic!("{read:?}");
    };
    assert_eq!(
        (first.address, first.port, first.hostname),
        ("10.0.0.1", 80, "h")
    );
    assert_eq!((first.weight, first.health_status), (Some(300), 3));
    let metadata = first
        .metadata
        .map(|bytes| Pieces::default().read::<Metadata>(bytes).unwrap());
    assert_eq!(metadata, full.metadata);
    let expected = PlainEndpoint {
        address: "::1",
        port: 1,
        hostname: "",
        health_status: 0,
        weight: None,
        metadata: None,
    };
    assert_eq!(*second, expected);
}

#[test]
fn unusual_endpoints_are_checked_one_by_one() {
    let mut checked = endpoint("10.0.0.1", 80);
    if let Some(HostIdentifier::Endpoint(endpoint)) = &mut checked.host_identifier {
        endpoint.health_check_config = Some(Default::default());
    }
    let mut newer = endpoint("10.0.0.1", 80);
    // An enum is open: what it means is for the caller to say.
    newer.health_status = 6;
    let message = assignment(vec![endpoint("10.0.0.2", 80), checked, newer]);
    let expected = Some(vec![true, false, false]);
    assert_eq!(shapes(&message.encode_to_vec()), expected);
}

#[test]
fn what_is_wrong_is_not_read() {
    let good = assignment(vec![endpoint("10.0.0.1", 80)]);
    let bytes = good.encode_to_vec();
    assert_eq!(shapes(&bytes), Some(vec![true]));
    let refused = |change: fn(&mut ClusterLoadAssignment)| {
        let mut message = good.clone();
        change(&mut message);
        assert_eq!(shapes(&message.encode_to_vec()), None, "{message:?}");
    };
    refused(|m| m.cluster_name.clear());
    refused(|m| m.endpoints[0].priority = 129);
    refused(|m| m.endpoints[0].load_balancing_weight = Some(UInt32Value::default()));
    refused(|m| {
        m.endpoints[0].lb_endpoints[0].load_balancing_weight = Some(UInt32Value::default());
    });
    refused(|m| m.endpoints[0].lb_endpoints.push(endpoint("", 1)));
    refused(|m| _ = m.named_endpoints.insert("a".into(), Endpoint::default()));
    for tail in [&b"\xf8\x7f\x01"[..], b"\x0a", b"\x0a\x01d"] {
        let bytes = [&bytes[..], tail].concat();
        assert_eq!(shapes(&bytes), None, "{tail:x?}");
    }
}
