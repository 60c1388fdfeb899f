//! The code behind the paths, a file per subject.

pub(crate) mod actions;
pub(crate) mod clusters;
pub(crate) mod config_dump;
pub(crate) mod listeners;
pub(crate) mod logging;
pub(crate) mod lookups;
pub(crate) mod pages;
pub(crate) mod profiling;
pub(crate) mod runtime;
pub(crate) mod server_info;
pub(crate) mod stats;

use nuncio_config::api::core;
use nuncio_config::api::core::address::Address as Kind;
use nuncio_config::api::core::socket_address::PortSpecifier;
use nuncio_net::Address;
use nuncio_route::regex::Regex;

/// An address as a message.
fn proto_address(address: &Address) -> core::Address {
    let kind = match address {
        Address::Ip(ip) => Kind::SocketAddress(core::SocketAddress {
            address: ip.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(ip.port().into())),
            ..Default::default()
        }),
        // As in Envoy, the mode is the configuration's alone.
        Address::Pipe { path, mode: _ } => Kind::Pipe(core::Pipe {
            path: path.to_string(),
            mode: 0,
        }),
        Address::Internal { listener, endpoint } => {
            Kind::EnvoyInternalAddress(core::EnvoyInternalAddress {
                endpoint_id: endpoint.to_string(),
                address_name_specifier: Some(
                    core::envoy_internal_address::AddressNameSpecifier::ServerListenerName(
                        listener.to_string(),
                    ),
                ),
            })
        }
    };
    core::Address {
        address: Some(kind),
    }
}

/// A pattern in RE2's syntax that may match anywhere (RE2's `PartialMatch`).
///
/// # Errors
/// What is wrong with it, in RE2's words.
fn partial(pattern: &str) -> Result<Regex, String> {
    // Alone first: errors quote the pattern.
    Regex::new(pattern)?;
    Regex::new(&format!("(?s:.*)(?:{pattern})(?s:.*)"))
}
