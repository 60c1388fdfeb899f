//! From the `Listener` message to a [`ListenerSpec`]: the configuration boundary.
//!
//! Each message is taken apart field by field, without `..`: a new field breaks the build until
//! somebody decides what becomes of it.

mod address;
mod chain;
mod listener_filters;

use std::sync::Arc;

use nuncio_access_log::create_loggers;
use nuncio_config::api::{core, listener as proto};
use nuncio_config::{ConfigError, convert};
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{FactoryContext, ServerContext};

use crate::chain_match::ChainIndex;
use crate::spec::{DrainType, FilterChain, ListenAddress, ListenerSpec, TrafficDirection};

pub use address::{listen_address, socket_options, tcp_keepalive};

/// `per_connection_buffer_limit_bytes` when it is not given.
const DEFAULT_BUFFER_LIMIT: u32 = 1024 * 1024;

/// Checks a listener and builds its filters.
///
/// `previous` is the version that the new one may replace in place: filter chains that both have are
/// taken over from it, filters included.
///
/// # Errors
/// Everything that is wrong; paths are relative to the listener.
#[expect(
    deprecated,
    reason = "deprecated fields are decided on like the others"
)]
pub fn compile(
    listener: &Arc<proto::Listener>,
    server: &Arc<ServerContext>,
    previous: Option<&ListenerSpec>,
) -> Result<ListenerSpec, Vec<ConfigError>> {
    let proto::Listener {
        name,
        // This and the other fields that concern sockets are read in `address::addresses`.
        address: _,
        additional_addresses: _,
        stat_prefix,
        stats_matcher,
        filter_chains,
        fcds_config,
        filter_chain_matcher,
        // These three are read in `listener_filters::listener_filters`.
        use_original_dst: _,
        default_filter_chain,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        metadata,
        deprecated_v1,
        drain_type,
        listener_filters: _,
        listener_filters_timeout: _,
        continue_on_listener_filters_timeout: _,
        transparent: _,
        freebind: _,
        socket_options: _,
        tcp_fast_open_queue_length: _,
        traffic_direction,
        udp_listener_config,
        api_listener,
        connection_balance_config,
        // Deprecated: `true` is the default of `enable_reuse_port`, which wins when both are set.
        reuse_port: _,
        enable_reuse_port: _,
        access_log,
        tcp_backlog_size: _,
        max_connections_to_accept_per_socket_event,
        bind_to_port,
        enable_mptcp: _,
        ignore_global_conn_limit,
        // There is no overload manager that could be bypassed.
        bypass_overload_manager: _,
        tcp_keepalive: _,
        listener_specifier,
    } = &**listener;
    let unsupported = [
        (
            stats_matcher.is_some(),
            "stats_matcher",
            "stats are chosen for the whole server",
        ),
        (
            fcds_config.is_some(),
            "fcds_config",
            "filter chain discovery needs xDS",
        ),
        (
            filter_chain_matcher.is_some(),
            "filter_chain_matcher",
            "use filter_chain_match",
        ),
        (
            per_connection_buffer_high_watermark_timeout.is_some(),
            "per_connection_buffer_high_watermark_timeout",
            "a full buffer has no time limit",
        ),
        (
            udp_listener_config.is_some(),
            "udp_listener_config",
            "UDP listeners",
        ),
        (api_listener.is_some(), "api_listener", "API listeners"),
        (
            connection_balance_config.is_some(),
            "connection_balance_config",
            "the kernel balances connections",
        ),
        (
            listener_specifier.is_some(),
            "internal_listener",
            "internal listeners",
        ),
    ];
    let unsupported = unsupported.into_iter().filter(|(set, ..)| *set);
    let mut errors: Vec<_> = unsupported
        .map(|(_, field, what)| ConfigError::new(field, format!("unsupported: {what}")))
        .collect();

    let addresses = collect(&mut errors, address::addresses(listener));
    let first = addresses.as_ref().and_then(|all| all.first());
    let stat_prefix = stat_prefix_of(stat_prefix, first);
    let context = FactoryContext {
        server,
        stat_prefix: &format!("{stat_prefix}."),
        name: "",
    };
    let access_logs = create_loggers(access_log, &context)
        .map_err(|errors| errors.into_iter().map(|e| e.within("access_log")).collect());
    let access_logs = collect(&mut errors, access_logs);
    let filters = listener_filters::listener_filters(listener, context);
    let filters = collect(&mut errors, filters);
    let maker = chain::Maker {
        context,
        previous: previous.filter(|previous| previous.differs_in_chains_only(listener)),
    };
    let chains = maker.make(filter_chains, default_filter_chain.as_ref());
    let chains = collect(&mut errors, chains);
    let drain_type = match proto::listener::DrainType::try_from(*drain_type) {
        Ok(proto::listener::DrainType::Default) => Some(DrainType::Default),
        Ok(proto::listener::DrainType::ModifyOnly) => Some(DrainType::ModifyOnly),
        Err(_) => unknown(&mut errors, "drain_type", *drain_type),
    };
    let direction = match core::TrafficDirection::try_from(*traffic_direction) {
        Ok(core::TrafficDirection::Unspecified) => Some(TrafficDirection::Unspecified),
        Ok(core::TrafficDirection::Inbound) => Some(TrafficDirection::Inbound),
        Ok(core::TrafficDirection::Outbound) => Some(TrafficDirection::Outbound),
        Err(_) => unknown(&mut errors, "traffic_direction", *traffic_direction),
    };
    let (Some(addresses), Some(access_logs), Some(chains), Some(listener_filters)) =
        (addresses, access_logs, chains, filters)
    else {
        return Err(errors);
    };
    let (Some(drain_type), Some(direction), true) = (drain_type, direction, errors.is_empty())
    else {
        return Err(errors);
    };
    let deprecated_bind = deprecated_v1
        .as_ref()
        .and_then(|v1| v1.bind_to_port.as_ref());
    Ok(ListenerSpec {
        name: name.as_str().into(),
        metadata: DynamicMetadata::of_message(metadata.as_ref()),
        addresses,
        stat_prefix,
        bind_to_port: convert::bool_or(bind_to_port.as_ref(), true)
            && convert::bool_or(deprecated_bind, true),
        // As in Envoy, zero is no limit.
        buffer_limit: match per_connection_buffer_limit_bytes
            .as_ref()
            .map(|it| it.value)
        {
            None => DEFAULT_BUFFER_LIMIT,
            Some(0) => u32::MAX,
            Some(limit) => limit,
        },
        // Zero is refused by the field's own rule.
        max_accepts: convert::u32_or(
            max_connections_to_accept_per_socket_event.as_ref(),
            u32::MAX,
        )
        .max(1),
        drain_type,
        direction,
        ignore_global_limit: *ignore_global_conn_limit,
        listener_filters,
        access_logs,
        chains: chains.chains,
        default_chain: chains.default,
        index: chains.index,
        proto: Arc::clone(listener),
    })
}

/// `listener.<stat_prefix>`, or of the first address as it is configured: port 0 stays 0.
fn stat_prefix_of(configured: &str, first: Option<&ListenAddress>) -> String {
    match first {
        Some(first) if configured.is_empty() => format!("listener.{}", first.address),
        _ => format!("listener.{configured}"),
    }
}

fn collect<T>(errors: &mut Vec<ConfigError>, result: Result<T, Vec<ConfigError>>) -> Option<T> {
    result.map_err(|more| errors.extend(more)).ok()
}

fn unknown<T>(errors: &mut Vec<ConfigError>, field: &str, value: i32) -> Option<T> {
    errors.push(ConfigError::new(
        field,
        format!("unknown enum value {value}"),
    ));
    None
}

/// The chains of a listener, made.
struct Chains {
    chains: Vec<Arc<FilterChain>>,
    default: Option<Arc<FilterChain>>,
    index: ChainIndex,
}

#[cfg(test)]
mod tests;
