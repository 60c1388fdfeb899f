//! `BindConfig`: where connections come from, and the socket options to make them with.

use std::sync::Arc;

use nuncio_config::api::core::{
    BindConfig, ExtraSourceAddress, SocketAddress, SocketOption as OptionMessage,
    SocketOptionsOverride, socket_option,
};
use nuncio_config::{ConfigError, any};
use nuncio_net::{Address, ConnectOptions, OtherSource, SocketOption, SocketState};

use super::Errors;
use super::address::{self, Target};

/// The type of the one local address selector that there is.
const DEFAULT_SELECTOR: &str =
    "envoy.config.upstream.local_address_selector.v3.DefaultLocalAddressSelector";

/// `cluster_manager.upstream_bind_config`
#[derive(Debug)]
pub(crate) struct BootstrapBind {
    /// For clusters without one of their own.
    pub(super) options: Arc<ConnectOptions>,
}

impl BootstrapBind {
    /// Checks and compiles it.
    ///
    /// # Errors
    /// Everything that is wrong, with paths relative to the message.
    pub(crate) fn new(message: BindConfig) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Errors::default();
        let options = bind_config("Bootstrap", message, None, &mut errors);
        errors.finish()?;
        Ok(Self {
            options: Arc::new(options),
        })
    }
}

/// The options that a message says; what it leaves open is as in `bootstrap`. `whose`: `Bootstrap`, or `Cluster x`, for
/// errors in Envoy's words.
pub(super) fn bind_config(
    whose: &str,
    message: BindConfig,
    bootstrap: Option<&BootstrapBind>,
    errors: &mut Errors,
) -> ConnectOptions {
    let BindConfig {
        source_address,
        freebind,
        socket_options: option_messages,
        extra_source_addresses,
        #[expect(deprecated, reason = "still read, as in Envoy")]
        additional_source_addresses,
        local_address_selector,
        validate_network_namespaces,
    } = message;
    // Harmless: an address in a network namespace is refused.
    let _ = validate_network_namespaces;
    if let Some(selector) = local_address_selector {
        let config = selector.typed_config.unwrap_or_default();
        if any::type_name(&config.type_url) != DEFAULT_SELECTOR {
            errors.refuse_value("local_address_selector", &selector.name);
        }
    }
    let both = !extra_source_addresses.is_empty() && !additional_source_addresses.is_empty();
    if both {
        errors.push(ConfigError::new(
            "extra_source_addresses",
            format!(
                "Can't specify both `extra_source_addresses` and `additional_source_addresses` in the {whose}'s upstream binding config"
            ),
        ));
    }
    let source = source_address.and_then(|it| source(it, "source_address", errors));
    let shared = bootstrap.map(|it| &*it.options);
    let options = match option_messages.is_empty() {
        true => shared.map(|it| it.options.clone()).unwrap_or_default(),
        false => socket_options(option_messages, errors),
    };
    let mut others = Vec::new();
    for (index, extra) in extra_source_addresses.into_iter().enumerate() {
        let path = format!("extra_source_addresses[{index}]");
        others.extend(errors.nested(&path, |errors| other_source(extra, &options, errors)));
    }
    for (index, address) in additional_source_addresses.into_iter().enumerate() {
        let path = format!("additional_source_addresses[{index}]");
        others.extend(
            self::source(address, &path, errors).map(|address| OtherSource {
                address,
                options: options.clone(),
            }),
        );
    }
    if let Some(error) = wrong_addresses(source.as_ref(), &others) {
        errors.push(ConfigError::new(
            "extra_source_addresses",
            format!("{whose}'s upstream binding config has {error}"),
        ));
    }
    ConnectOptions {
        source,
        other_source: others.pop().map(Box::new),
        freebind: freebind
            .map(|it| it.value)
            .or(shared.and_then(|it| it.freebind)),
        options,
        ..ConnectOptions::default()
    }
}

/// What the default selector has against these addresses.
fn wrong_addresses(source: Option<&Address>, others: &[OtherSource]) -> Option<&'static str> {
    let family = |address: &Address| address.ip().map(|ip| ip.is_ipv6());
    match (source, others) {
        (_, []) => None,
        (None, _) => Some(
            "extra/additional source addresses but no source_address. Extra/additional addresses cannot be specified if source_address is not set.",
        ),
        (Some(source), [other]) if family(source) == family(&other.address) => Some(
            "two same IP version source addresses. Only two different IP version source addresses can be supported in BindConfig's source_address and extra_source_addresses/additional_source_addresses fields",
        ),
        (Some(_), [_]) => None,
        _ => Some(
            "more than one extra/additional source addresses. Only one extra/additional source can be supported in BindConfig's extra_source_addresses/additional_source_addresses field",
        ),
    }
}

fn source(message: SocketAddress, path: &str, errors: &mut Errors) -> Option<Address> {
    let source = address::socket_address(message, false).map_err(|e| e.within(path));
    match errors.take(source) {
        Some(Target::Literal(address)) => Some(address),
        _ => None,
    }
}

fn other_source(
    message: ExtraSourceAddress,
    options: &[SocketOption],
    errors: &mut Errors,
) -> Option<OtherSource> {
    let ExtraSourceAddress {
        address,
        socket_options: replaced,
    } = message;
    let address = source(address?, "address", errors)?;
    let options = match replaced {
        None => options.to_vec(),
        Some(SocketOptionsOverride {
            socket_options: messages,
        }) => errors.nested("socket_options", |errors| socket_options(messages, errors)),
    };
    Some(OtherSource { address, options })
}

fn socket_options(messages: Vec<OptionMessage>, errors: &mut Errors) -> Vec<SocketOption> {
    let mut options = Vec::new();
    for (index, message) in messages.into_iter().enumerate() {
        let path = format!("socket_options[{index}]");
        options.extend(errors.nested(&path, |errors| socket_option(message, errors)));
    }
    options
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
    #[expect(
        clippy::cast_possible_truncation,
        reason = "Envoy hands these bits to the system, too"
    )]
    let number = |value: i64| value as i32;
    let value = match value {
        None => {
            errors.push(ConfigError::new("value", "value is required"));
            return None;
        }
        Some(socket_option::Value::IntValue(value)) => number(value).to_ne_bytes().to_vec(),
        Some(socket_option::Value::BufValue(value)) => value,
    };
    Some(SocketOption {
        description,
        level: number(level),
        name: number(name),
        value,
        state,
    })
}
