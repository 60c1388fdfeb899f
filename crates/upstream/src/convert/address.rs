//! Addresses: literal ones, and names that are to be resolved.

use nuncio_config::ConfigError;
use nuncio_config::api::core::{
    Address as AddressMessage, EnvoyInternalAddress, Pipe, SocketAddress, address,
    envoy_internal_address::AddressNameSpecifier, socket_address::PortSpecifier,
};
use nuncio_net::Address;

/// Where an address message points.
pub(super) enum Target {
    /// A literal address.
    Literal(Address),
    /// A name to be resolved, and a port.
    Name(String, u16),
}

/// An address message; names are allowed where `names` is true.
pub(super) fn address(message: Option<AddressMessage>, names: bool) -> Result<Target, ConfigError> {
    match message.and_then(|message| message.address) {
        None => Err(ConfigError::new("", "a value is required")),
        Some(address::Address::SocketAddress(socket)) => {
            socket_address(socket, names).map_err(|error| error.within("socket_address"))
        }
        Some(address::Address::Pipe(Pipe { path, mode })) => Address::pipe(&path, mode)
            .map(Target::Literal)
            .map_err(|error| ConfigError::new("pipe", error.to_string())),
        Some(address::Address::EnvoyInternalAddress(EnvoyInternalAddress {
            endpoint_id: _,
            address_name_specifier: None | Some(AddressNameSpecifier::ServerListenerName(_)),
        })) => Err(ConfigError::new(
            "envoy_internal_address",
            "unsupported: internal listeners are not implemented",
        )),
    }
}

/// A socket address message.
pub(super) fn socket_address(message: SocketAddress, names: bool) -> Result<Target, ConfigError> {
    let SocketAddress {
        protocol,
        address,
        resolver_name,
        // Harmless: matters for listening sockets only.
        ipv4_compat: _,
        network_namespace_filepath,
        port_specifier,
    } = message;
    if protocol != 0 {
        return Err(ConfigError::new(
            "protocol",
            "unsupported: only TCP is implemented",
        ));
    }
    if !resolver_name.is_empty() {
        return Err(ConfigError::new(
            "resolver_name",
            "unsupported: this field is not implemented",
        ));
    }
    if !network_namespace_filepath.is_empty() {
        return Err(ConfigError::new(
            "network_namespace_filepath",
            "unsupported: this field is not implemented",
        ));
    }
    let port = match port_specifier {
        None => 0,
        Some(PortSpecifier::PortValue(port)) => u16::try_from(port).map_err(|_| {
            ConfigError::new("port_value", "value must be less than or equal to 65535")
        })?,
        Some(PortSpecifier::NamedPort(_)) => {
            return Err(ConfigError::new(
                "named_port",
                "unsupported: this field is not implemented",
            ));
        }
    };
    match Address::parse_ip(&address, port) {
        Ok(literal) => Ok(Target::Literal(literal)),
        Err(_) if names && !address.is_empty() => Ok(Target::Name(address, port)),
        Err(error) => Err(ConfigError::new("address", error.to_string())
            .with_remedy("a name needs a cluster of type STRICT_DNS or LOGICAL_DNS")),
    }
}
