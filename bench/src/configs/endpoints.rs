//! Endpoints that a file tells (EDS): the same list as binary protobuf and as YAML.

use std::fmt::Write as _;

/// One endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Of a loopback address.
    pub(crate) number: u32,
    pub(crate) port: u16,
    pub(crate) weight: Option<u32>,
    pub(crate) asked: Asked,
}

/// Where health checks ask an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Where requests go.
    There,
    Nowhere,
    /// At this port of 127.0.0.1.
    Elsewhere(u16),
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Binary,
    Yaml,
}

impl Format {
    pub(crate) const ALL: [Self; 2] = [Self::Binary, Self::Yaml];

    /// By which Envoy knows it.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Binary => "pb",
            Self::Yaml => "yaml",
        }
    }

    /// A `DiscoveryResponse` with one assignment, of the cluster `cluster`.
    pub(crate) fn write(self, cluster: &str, version: u32, endpoints: &[Endpoint]) -> Vec<u8> {
        match self {
            Self::Binary => binary(cluster, version, endpoints),
            Self::Yaml => yaml(cluster, version, endpoints).into_bytes(),
        }
    }
}

/// An endpoint of this number at a port where nobody listens.
pub(crate) fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        number,
        port: 1,
        weight: None,
        asked: Asked::There,
    }
}

/// The loopback address of this number, one of some millions.
pub(crate) fn address(number: u32) -> String {
    let (high, middle, low) = (number / 62_500, number / 250 % 250, number % 250);
    format!("127.{}.{middle}.{}", 1 + high, 1 + low)
}

const TYPE: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

fn yaml(cluster: &str, version: u32, endpoints: &[Endpoint]) -> String {
    let mut out = format!(
        "version_info: \"{version}\"\nresources:\n- \"@type\": {TYPE}\n  cluster_name: {cluster}\n  endpoints:\n  - lb_endpoints:\n"
    );
    for endpoint in endpoints {
        let checks = match endpoint.asked {
            Asked::There => String::new(),
            Asked::Nowhere => {
                ", health_check_config: { disable_active_health_check: true }".to_owned()
            }
            Asked::Elsewhere(port) => format!(
                ", health_check_config: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}"
            ),
        };
        let _ = writeln!(
            out,
            "    - endpoint: {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }}{checks} }}",
            address(endpoint.number),
            endpoint.port,
        );
        if let Some(weight) = endpoint.weight {
            let _ = writeln!(out, "      load_balancing_weight: {weight}");
        }
    }
    out
}

fn binary(cluster: &str, version: u32, endpoints: &[Endpoint]) -> Vec<u8> {
    // LocalityLbEndpoints.lb_endpoints
    let list: Vec<u8> = endpoints
        .iter()
        .flat_map(|e| message(2, &lb_endpoint(e)))
        .collect();
    let assignment = [message(1, cluster.as_bytes()), message(2, &list)].concat();
    let any = [message(1, TYPE.as_bytes()), message(2, &assignment)].concat();
    [message(1, version.to_string().as_bytes()), message(2, &any)].concat()
}

fn lb_endpoint(endpoint: &Endpoint) -> Vec<u8> {
    let Endpoint {
        number,
        port,
        weight,
        asked,
    } = *endpoint;
    let mut inner = message(1, &socket_address(&address(number), port));
    match asked {
        Asked::There => {}
        Asked::Nowhere => inner.extend(message(2, &varint(4, 1))),
        Asked::Elsewhere(port) => {
            inner.extend(message(2, &message(3, &socket_address("127.0.0.1", port))));
        }
    }
    let mut out = message(1, &inner);
    if let Some(weight) = weight {
        out.extend(message(4, &varint(1, weight)));
    }
    out
}

/// A `core.v3.Address`.
fn socket_address(address: &str, port: u16) -> Vec<u8> {
    let socket = [message(2, address.as_bytes()), varint(3, port.into())].concat();
    message(1, &socket)
}

/// A length-delimited field.
fn message(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 6);
    put(&mut out, number << 3 | 2);
    put(&mut out, bytes.len() as u32);
    out.extend_from_slice(bytes);
    out
}

fn varint(number: u32, value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, number << 3);
    put(&mut out, value);
    out
}

fn put(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ() {
        let all: std::collections::HashSet<_> = (0..200_000).map(address).collect();
        assert_eq!(all.len(), 200_000);
        assert_eq!(address(0), "127.1.0.1");
        assert_eq!(address(199_999), "127.4.49.250");
    }

    #[test]
    fn one_endpoint_in_protobufs_wire_format() {
        let endpoint = Endpoint {
            weight: Some(300),
            asked: Asked::Nowhere,
            ..endpoint(0)
        };
        let expected = [
            &b"\x0a\x15\x0a\x0f\x0a\x0d\x12\x09127.1.0.1\x18\x01\x12\x02\x20\x01"[..],
            b"\x22\x03\x08\xac\x02",
        ];
        assert_eq!(lb_endpoint(&endpoint), expected.concat());
    }
}
