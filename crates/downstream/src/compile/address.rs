//! Addresses and what is set on their sockets.

use std::time::Duration;

use nuncio_config::api::core::address::Address as ProtoAddress;
use nuncio_config::api::core::socket_address::{PortSpecifier, Protocol};
use nuncio_config::api::core::socket_option::{
    SocketIpVersion, SocketState as ProtoState, SocketType, Value,
};
use nuncio_config::api::{core, listener as proto};
use nuncio_config::{ConfigError, Within, convert};
use nuncio_net::{Address, Keepalive, ListenOptions, SocketOption, SocketState};

use crate::spec::ListenAddress;

/// Every address of a listener with its options.
pub(super) fn addresses(
    listener: &proto::Listener,
) -> Result<Vec<ListenAddress>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut all = Vec::with_capacity(1 + listener.additional_addresses.len());
    let mut add = |result: Result<ListenAddress, ConfigError>| match result {
        Ok(address) => all.push(address),
        Err(error) => errors.push(error),
    };
    add(one(
        listener,
        listener.address.as_ref(),
        &listener.socket_options,
        "socket_options",
        listener.tcp_keepalive.as_ref(),
    ));
    for (index, additional) in listener.additional_addresses.iter().enumerate() {
        let proto::AdditionalAddress {
            address,
            socket_options,
            tcp_keepalive,
        } = additional;
        let options = socket_options
            .as_ref()
            .map_or(&listener.socket_options, |own| &own.socket_options);
        let keepalive = tcp_keepalive.as_ref().or(listener.tcp_keepalive.as_ref());
        let made = one(
            listener,
            address.as_ref(),
            options,
            "socket_options.socket_options",
            keepalive,
        );
        add(made.within_index("additional_addresses", index));
    }
    if errors.is_empty() {
        Ok(all)
    } else {
        Err(errors)
    }
}

fn one(
    listener: &proto::Listener,
    address: Option<&core::Address>,
    options: &[core::SocketOption],
    options_path: &str,
    keepalive: Option<&core::TcpKeepalive>,
) -> Result<ListenAddress, ConfigError> {
    let address = address.ok_or_else(|| {
        let message = format!(
            "error adding listener named '{}': address is necessary",
            listener.name
        );
        ConfigError::new("address", message)
    })?;
    let (address, ipv4_compat) = listen_address(address).within("address")?;
    let is_ip = address.ip().is_some();
    if listener.enable_mptcp && !is_ip {
        let message = format!(
            "listener {}: enable_mptcp can only be used with IP addresses",
            listener.name
        );
        return Err(ConfigError::new("enable_mptcp", message));
    }
    let backlog = convert::u32_or(listener.tcp_backlog_size.as_ref(), i32::MAX as u32);
    let options = ListenOptions {
        // A path has one socket; the workers share it.
        reuse_port: is_ip && convert::bool_or(listener.enable_reuse_port.as_ref(), true),
        backlog: i32::try_from(backlog).unwrap_or(i32::MAX),
        ipv4_compat,
        freebind: listener.freebind.as_ref().map(|on| on.value),
        transparent: listener.transparent.as_ref().map(|on| on.value),
        fast_open_queue: listener
            .tcp_fast_open_queue_length
            .as_ref()
            .map(|length| length.value),
        keepalive: keepalive.and_then(tcp_keepalive),
        mptcp: listener.enable_mptcp,
        options: socket_options(options, &address).within(options_path)?,
    };
    Ok(ListenAddress { address, options })
}

/// The address that a listening socket is to be bound to, and whether an IPv6 one takes IPv4 too
/// (`ipv4_compat`).
///
/// # Errors
/// What Envoy refuses for a listener; paths are relative to the address.
pub fn listen_address(address: &core::Address) -> Result<(Address, bool), ConfigError> {
    let core::Address { address } = address;
    match address {
        Some(ProtoAddress::SocketAddress(socket)) => {
            socket_address(socket).within("socket_address")
        }
        Some(ProtoAddress::Pipe(core::Pipe { path, mode })) => {
            let address = Address::pipe(path, *mode);
            let address = address.map_err(|error| ConfigError::new("pipe", error.to_string()))?;
            Ok((address, false))
        }
        Some(ProtoAddress::EnvoyInternalAddress(_)) => Err(ConfigError::new(
            "envoy_internal_address",
            "use internal_listener field instead of address for internal listeners",
        )),
        None => Err(ConfigError::new("", "address is necessary")),
    }
}

fn socket_address(socket: &core::SocketAddress) -> Result<(Address, bool), ConfigError> {
    let core::SocketAddress {
        protocol,
        address,
        resolver_name,
        ipv4_compat,
        network_namespace_filepath,
        port_specifier,
    } = socket;
    if *protocol != Protocol::Tcp as i32 {
        return Err(ConfigError::new("protocol", "unsupported: UDP listeners"));
    }
    if !resolver_name.is_empty() {
        let message = format!("Unknown address resolver: {resolver_name}");
        return Err(ConfigError::new("resolver_name", message));
    }
    if !network_namespace_filepath.is_empty() {
        return Err(ConfigError::new(
            "network_namespace_filepath",
            "unsupported: sockets are made in the network namespace of the process",
        ));
    }
    let port = match port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(*port).map_err(|_| {
            ConfigError::new("port_value", "value must be less than or equal to 65535")
        })?,
        Some(PortSpecifier::NamedPort(_)) => {
            let message = "IP resolver can't handle port specifier type 4";
            return Err(ConfigError::new("named_port", message));
        }
        None => return Err(ConfigError::new("port_specifier", "is required")),
    };
    let address = Address::parse_ip(address, port)
        .map_err(|error| ConfigError::new("address", error.to_string()))?;
    if *ipv4_compat && !can_be_compatible(&address) {
        let message = format!(
            "Only IPv6 address '::' or valid IPv4-mapped IPv6 address can set ipv4_compat: {address}"
        );
        return Err(ConfigError::new("ipv4_compat", message));
    }
    Ok((address, *ipv4_compat))
}

fn can_be_compatible(address: &Address) -> bool {
    match address.ip() {
        Some(std::net::SocketAddr::V6(v6)) => {
            v6.ip().is_unspecified() || v6.ip().to_ipv4_mapped().is_some()
        }
        _ => false,
    }
}

/// The options for a stream socket at `address`; those for other kinds of socket are left out, as in Envoy.
///
/// # Errors
/// Paths begin with the index of the option.
pub fn socket_options(
    options: &[core::SocketOption],
    address: &Address,
) -> Result<Vec<SocketOption>, ConfigError> {
    let mut all = Vec::new();
    for (index, option) in options.iter().enumerate() {
        if let Some(option) = socket_option(option, address).within_index("", index)? {
            all.push(option);
        }
    }
    Ok(all)
}

fn socket_option(
    option: &core::SocketOption,
    address: &Address,
) -> Result<Option<SocketOption>, ConfigError> {
    let core::SocketOption {
        description,
        level,
        name,
        state,
        r#type,
        ip_version,
        value,
    } = option;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Envoy hands these bits to the system, too"
    )]
    let number = |value: i64| value as i32;
    let made = SocketOption {
        description: description.clone(),
        level: number(*level),
        name: number(*name),
        value: match value {
            Some(Value::IntValue(value)) => number(*value).to_ne_bytes().to_vec(),
            Some(Value::BufValue(bytes)) => bytes.clone(),
            None => return Err(ConfigError::new("value", "is required")),
        },
        state: match ProtoState::try_from(*state) {
            Ok(ProtoState::StatePrebind) => SocketState::PreBind,
            Ok(ProtoState::StateBound) => SocketState::Bound,
            Ok(ProtoState::StateListening) => SocketState::Listening,
            Err(_) => {
                return Err(ConfigError::new(
                    "state",
                    format!("unknown enum value {state}"),
                ));
            }
        },
    };
    let fits_type = match r#type {
        Some(SocketType { stream, datagram }) => stream.is_some() || datagram.is_none(),
        None => true,
    };
    let fits_version = match SocketIpVersion::try_from(*ip_version) {
        Ok(SocketIpVersion::Unspecified) => true,
        Ok(SocketIpVersion::Ipv4) => address.ip().is_some_and(|ip| ip.is_ipv4()),
        Ok(SocketIpVersion::Ipv6) => address.ip().is_some_and(|ip| ip.is_ipv6()),
        Err(_) => {
            let message = format!("unknown enum value {ip_version}");
            return Err(ConfigError::new("ip_version", message));
        }
    };
    Ok((fits_type && fits_version).then_some(made))
}

/// Keep-alive as configured; `None` when one of its values is 0, which switches it off.
pub fn tcp_keepalive(keepalive: &core::TcpKeepalive) -> Option<Keepalive> {
    let core::TcpKeepalive {
        keepalive_probes,
        keepalive_time,
        keepalive_interval,
    } = keepalive;
    let given = [keepalive_probes, keepalive_time, keepalive_interval];
    if given.into_iter().flatten().any(|given| given.value == 0) {
        return None;
    }
    let seconds = |given: Option<u32>| given.map(|value| Duration::from_secs(value.into()));
    Some(Keepalive {
        probes: keepalive_probes.as_ref().map(|given| given.value),
        time: seconds(keepalive_time.as_ref().map(|given| given.value)),
        interval: seconds(keepalive_interval.as_ref().map(|given| given.value)),
    })
}
