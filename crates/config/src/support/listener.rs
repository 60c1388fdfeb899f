//! Listeners and filter chains.

use super::{Entry, Support::*, message};

pub(super) const HTTP_CONNECTION_MANAGER: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ORIGINAL_DST: &str = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
pub(super) const RAW_BUFFER: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.listener.v3.Listener",
        &[
            ("name", Implemented),
            ("address", Implemented),
            ("additional_addresses", Implemented),
            ("stat_prefix", Implemented),
            ("filter_chains", Implemented),
            ("default_filter_chain", Implemented),
            ("per_connection_buffer_limit_bytes", Implemented),
            ("metadata", Implemented),
            ("drain_type", Implemented),
            ("use_original_dst", Implemented),
            ("listener_filters", Implemented),
            ("listener_filters_timeout", Implemented),
            ("continue_on_listener_filters_timeout", Implemented),
            ("transparent", Implemented),
            ("freebind", Implemented),
            ("socket_options", Implemented),
            ("tcp_fast_open_queue_length", Implemented),
            ("traffic_direction", Implemented),
            ("enable_reuse_port", Implemented),
            ("reuse_port", Refused("use enable_reuse_port")),
            ("access_log", Implemented),
            ("tcp_backlog_size", Implemented),
            ("max_connections_to_accept_per_socket_event", Implemented),
            ("bind_to_port", Implemented),
            ("enable_mptcp", Implemented),
            (
                "ignore_global_conn_limit",
                Harmless("there is no global connection limit: it comes with the overload manager"),
            ),
            (
                "bypass_overload_manager",
                Harmless("there is no overload manager yet"),
            ),
            ("tcp_keepalive", Implemented),
        ],
    ),
    message(
        "envoy.config.listener.v3.ListenerFilter",
        &[
            ("name", Implemented),
            ("typed_config", Extension(&[ORIGINAL_DST])),
            ("filter_disabled", Implemented),
        ],
    ),
    message(ORIGINAL_DST, &[]),
    message(
        "envoy.config.listener.v3.ListenerFilterChainMatchPredicate",
        &[
            ("or_match", Implemented),
            ("and_match", Implemented),
            ("not_match", Implemented),
            ("any_match", Implemented),
            ("destination_port_range", Implemented),
        ],
    ),
    message(
        "envoy.config.listener.v3.ListenerFilterChainMatchPredicate.MatchSet",
        &[("rules", Implemented)],
    ),
    message(
        "envoy.type.v3.Int32Range",
        &[("start", Implemented), ("end", Implemented)],
    ),
    message(
        "envoy.config.listener.v3.AdditionalAddress",
        &[
            ("address", Implemented),
            ("socket_options", Implemented),
            ("tcp_keepalive", Implemented),
        ],
    ),
    message(
        "envoy.config.listener.v3.FilterChain",
        &[
            ("name", Implemented),
            ("filter_chain_match", Implemented),
            ("filters", Implemented),
            ("metadata", Implemented),
            ("transport_socket", Implemented),
            ("transport_socket_connect_timeout", Implemented),
        ],
    ),
    message(
        "envoy.config.listener.v3.FilterChainMatch",
        &[
            ("destination_port", Implemented),
            ("prefix_ranges", Implemented),
            ("direct_source_prefix_ranges", Implemented),
            ("source_type", Implemented),
            ("source_prefix_ranges", Implemented),
            ("source_ports", Implemented),
            ("server_names", Implemented),
            ("transport_protocol", Implemented),
            ("application_protocols", Implemented),
        ],
    ),
    message(
        "envoy.config.listener.v3.Filter",
        &[
            ("name", Implemented),
            ("typed_config", Extension(&[HTTP_CONNECTION_MANAGER])),
        ],
    ),
    message(
        "envoy.config.core.v3.TransportSocket",
        &[
            ("name", Implemented),
            ("typed_config", Extension(&[RAW_BUFFER])),
        ],
    ),
    message(RAW_BUFFER, &[]),
];
