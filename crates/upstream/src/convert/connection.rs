//! How connections are made.

use std::sync::Arc;
use std::time::Duration;

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::UpstreamConnectionOptions;
use nuncio_config::api::core::{
    BindConfig, SocketOption as OptionMessage, TcpKeepalive, TransportSocket, socket_option,
    transport_socket::ConfigType,
};
use nuncio_config::api::raw_buffer::RawBuffer;
use nuncio_config::{any, convert::u32_or};
use nuncio_net::{ConnectOptions, Keepalive, SocketOption, SocketState};

use super::SharedParts;
use super::util::{self, Errors, Target};

/// `upstream_bind_config` and `upstream_connection_options`.
pub(super) fn options(
    bind: Option<BindConfig>,
    connection: Option<UpstreamConnectionOptions>,
    parts: &SharedParts,
    errors: &mut Errors,
) -> Arc<ConnectOptions> {
    let mut options = ConnectOptions::default();
    if let Some(bind) = bind {
        errors.nested("upstream_bind_config", |errors| {
            bind_config(bind, &mut options, errors)
        });
    }
    if let Some(connection) = connection {
        let UpstreamConnectionOptions {
            tcp_keepalive,
            set_local_interface_name_on_upstream_connections,
            happy_eyeballs_config,
        } = connection;
        errors.nested("upstream_connection_options", |errors| {
            errors.refuse_if(
                set_local_interface_name_on_upstream_connections,
                "set_local_interface_name_on_upstream_connections",
            );
            errors.refuse_if(happy_eyeballs_config.is_some(), "happy_eyeballs_config");
        });
        options.keepalive = tcp_keepalive.map(keepalive);
    }
    if options == ConnectOptions::default() {
        parts.connect.clone()
    } else {
        Arc::new(options)
    }
}

fn keepalive(message: TcpKeepalive) -> Keepalive {
    let TcpKeepalive {
        keepalive_probes,
        keepalive_time,
        keepalive_interval,
    } = message;
    // Zero leaves a value to the system, as in Envoy.
    let positive = |value: Option<_>| Some(u32_or(value.as_ref(), 0)).filter(|v| *v > 0);
    let seconds = |value: u32| Duration::from_secs(value.into());
    Keepalive {
        probes: positive(keepalive_probes),
        time: positive(keepalive_time).map(seconds),
        interval: positive(keepalive_interval).map(seconds),
    }
}

fn bind_config(message: BindConfig, options: &mut ConnectOptions, errors: &mut Errors) {
    let BindConfig {
        source_address,
        freebind,
        socket_options,
        extra_source_addresses,
        #[expect(deprecated, reason = "refused")]
        additional_source_addresses,
        local_address_selector,
        validate_network_namespaces,
    } = message;
    errors.refuse_if(!extra_source_addresses.is_empty(), "extra_source_addresses");
    errors.refuse_if(
        !additional_source_addresses.is_empty(),
        "additional_source_addresses",
    );
    errors.refuse_if(local_address_selector.is_some(), "local_address_selector");
    errors.refuse_if(validate_network_namespaces, "validate_network_namespaces");
    if let Some(source) = source_address {
        let source = util::socket_address(source, false).map_err(|e| e.within("source_address"));
        if let Some(Target::Literal(address)) = errors.take(source) {
            options.source = Some(address);
        }
    }
    options.freebind = freebind.map(|freebind| freebind.value);
    for (index, option) in socket_options.into_iter().enumerate() {
        let option = errors.nested(&format!("socket_options[{index}]"), |e| {
            socket_option(option, e)
        });
        options.options.extend(option);
    }
}

fn socket_option(message: OptionMessage, errors: &mut Errors) -> Option<SocketOption> {
    let OptionMessage {
        description,
        level,
        name,
        state,
        r#type,
        ip_version,
        value,
    } = message;
    errors.refuse_if(ip_version != 0, "ip_version");
    // An option for datagram sockets alone is not for these.
    if r#type.is_some_and(|kind| kind.stream.is_none() && kind.datagram.is_some()) {
        return None;
    }
    let state = match state {
        0 => SocketState::PreBind,
        1 => SocketState::Bound,
        2 => SocketState::Listening,
        other => {
            errors.push(ConfigError::new(
                "state",
                format!("unknown enum value {other}"),
            ));
            return None;
        }
    };
    let number = |value: i64, field: &str| {
        i32::try_from(value).map_err(|_| ConfigError::new(field, "value is out of range"))
    };
    let level = errors.take(number(level, "level"))?;
    let name = errors.take(number(name, "name"))?;
    let value = match value {
        None => {
            errors.push(ConfigError::new("value", "value is required"));
            return None;
        }
        Some(socket_option::Value::IntValue(value)) => errors
            .take(number(value, "int_value"))?
            .to_ne_bytes()
            .to_vec(),
        Some(socket_option::Value::BufValue(value)) => value,
    };
    Some(SocketOption {
        description,
        level,
        name,
        value,
        state,
    })
}

/// `transport_socket`: plain text is the only one so far.
pub(super) fn transport_socket(message: Option<TransportSocket>, errors: &mut Errors) {
    let Some(TransportSocket { name, config_type }) = message else {
        return;
    };
    let known = match config_type {
        Some(ConfigType::TypedConfig(config)) => any::unpack::<RawBuffer>(&config).is_ok(),
        None => matches!(
            name.as_str(),
            "envoy.transport_sockets.raw_buffer" | "raw_buffer"
        ),
    };
    if !known {
        errors.refuse_value("transport_socket", &name);
    }
}
