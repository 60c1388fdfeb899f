//! The HTTP connection manager and the protocol options that it shares with clusters.

use super::{
    Entry,
    Support::*,
    filters::{
        BUFFER, CORS, DYNAMIC_FORWARD_PROXY, FAULT, GRPC_HTTP1_BRIDGE, GRPC_STATS, GRPC_WEB,
        HEADER_MUTATION, HEALTH_CHECK, PRESERVE_CASE, ROUTER, SET_FILTER_STATE, STATEFUL_SESSION,
        UUID_REQUEST_ID,
    },
    listener::HTTP_CONNECTION_MANAGER,
    message,
};

const XFF: &str = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig";
const CUSTOM_HEADER: &str =
    "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig";
const EARLY_HEADER_MUTATION: &str =
    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
/// What the extensions of a connection manager may be.
pub(super) const HCM_EXTENSIONS: [&str; 3] = [XFF, CUSTOM_HEADER, EARLY_HEADER_MUTATION];

pub(super) const MESSAGES: &[Entry] = &[
    message(
        HTTP_CONNECTION_MANAGER,
        &[
            ("codec_type", Only(&["AUTO", "HTTP1", "HTTP2"])),
            ("stat_prefix", Implemented),
            ("route_config", Implemented),
            ("rds", Refused("use route_config; xDS comes later")),
            ("http_filters", Implemented),
            ("add_user_agent", Implemented),
            ("common_http_protocol_options", Implemented),
            ("http1_safe_max_connection_duration", Implemented),
            ("http_protocol_options", Implemented),
            ("http2_protocol_options", Implemented),
            (
                "http3_protocol_options",
                Harmless("options of HTTP/3, which codec_type cannot choose yet"),
            ),
            ("server_name", Implemented),
            ("server_header_transformation", Implemented),
            ("scheme_header_transformation", Implemented),
            ("max_request_headers_kb", Implemented),
            ("stream_idle_timeout", Implemented),
            ("stream_flush_timeout", Implemented),
            ("request_timeout", Implemented),
            ("request_headers_timeout", Implemented),
            ("drain_timeout", Implemented),
            ("drain_timeout_jitter", Implemented),
            ("delayed_close_timeout", Implemented),
            ("access_log", Implemented),
            ("access_log_options", Implemented),
            // The older places of what is in `access_log_options`.
            ("access_log_flush_interval", Implemented),
            ("flush_access_log_on_new_request", Implemented),
            ("use_remote_address", Implemented),
            ("xff_num_trusted_hops", Implemented),
            ("original_ip_detection_extensions", Implemented),
            ("early_header_mutation_extensions", Implemented),
            ("proxy_status_config", Implemented),
            ("internal_address_config", Implemented),
            ("skip_xff_append", Implemented),
            ("via", Implemented),
            ("generate_request_id", Implemented),
            ("preserve_external_request_id", Implemented),
            ("always_set_request_id_in_response", Implemented),
            ("forward_client_cert_details", Implemented),
            (
                "set_current_client_cert_details",
                Harmless("details of a client certificate, which no connection has without TLS"),
            ),
            ("proxy_100_continue", Implemented),
            (
                "represent_ipv4_remote_address_as_ipv4_mapped_ipv6",
                Implemented,
            ),
            ("upgrade_configs", Implemented),
            ("normalize_path", Implemented),
            (
                "path_normalization_options",
                Harmless("Envoy 1.40 reads it and does nothing with it"),
            ),
            (
                "typed_header_validation_config",
                Refused("no build of Envoy 1.40 that is published takes it either"),
            ),
            ("merge_slashes", Implemented),
            ("path_with_escaped_slashes_action", Implemented),
            ("request_id_extension", Implemented),
            ("local_reply_config", Implemented),
            ("strip_matching_host_port", Implemented),
            ("strip_any_host_port", Implemented),
            ("stream_error_on_invalid_http_message", Implemented),
            ("strip_trailing_host_dot", Implemented),
            ("append_x_forwarded_port", Implemented),
            ("forward_proto_config", Implemented),
            (
                "append_local_overload",
                Harmless(
                    "a header of replies made under overload; there is no overload manager yet",
                ),
            ),
            (
                "add_proxy_protocol_connection_state",
                Harmless("state of the PROXY protocol listener filter, which is refused"),
            ),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.ForwardProtoConfig",
        &[
            ("https_destination_ports", Implemented),
            ("http_destination_ports", Implemented),
        ],
    ),
    message(
        XFF,
        &[
            ("xff_num_trusted_hops", Implemented),
            ("xff_trusted_cidrs", Implemented),
            ("skip_xff_append", Implemented),
        ],
    ),
    message(
        "envoy.extensions.http.original_ip_detection.xff.v3.XffTrustedCidrs",
        &[("cidrs", Implemented)],
    ),
    message(
        CUSTOM_HEADER,
        &[
            ("header_name", Implemented),
            ("allow_extension_to_set_address_as_trusted", Implemented),
            ("reject_with_status", Implemented),
        ],
    ),
    message("envoy.type.v3.HttpStatus", &[("code", Implemented)]),
    message(EARLY_HEADER_MUTATION, &[("mutations", Implemented)]),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ProxyStatusConfig",
        &[
            ("remove_details", Implemented),
            ("remove_connection_termination_details", Implemented),
            ("remove_response_flags", Implemented),
            ("set_recommended_response_code", Implemented),
            ("use_node_id", Implemented),
            ("literal_proxy_name", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig",
        &[("unix_sockets", Implemented), ("cidr_ranges", Implemented)],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig",
        &[
            ("upgrade_type", Implemented),
            ("filters", Implemented),
            ("enabled", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.HcmAccessLogOptions",
        &[
            ("access_log_flush_interval", Implemented),
            ("flush_access_log_on_new_request", Implemented),
            ("flush_log_on_tunnel_successfully_established", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig",
        &[("mappers", Implemented), ("body_format", Implemented)],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper",
        &[
            ("filter", Implemented),
            ("status_code", Implemented),
            ("body", Implemented),
            ("body_format_override", Implemented),
            ("headers_to_add", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension",
        &[("typed_config", Extension(&[UUID_REQUEST_ID]))],
    ),
    message(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
        &[
            ("name", Implemented),
            (
                "typed_config",
                Extension(&[
                    ROUTER,
                    BUFFER,
                    CORS,
                    DYNAMIC_FORWARD_PROXY,
                    FAULT,
                    GRPC_HTTP1_BRIDGE,
                    GRPC_STATS,
                    GRPC_WEB,
                    HEADER_MUTATION,
                    HEALTH_CHECK,
                    SET_FILTER_STATE,
                    STATEFUL_SESSION,
                ]),
            ),
            (
                "is_optional",
                Harmless("concerns filters that are not built in, and those are refused"),
            ),
            ("disabled", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.HttpProtocolOptions",
        &[
            ("idle_timeout", Implemented),
            ("max_connection_duration", Implemented),
            ("max_connection_duration_jitter", Implemented),
            ("max_headers_count", Implemented),
            ("max_response_headers_kb", Implemented),
            ("max_stream_duration", Implemented),
            ("headers_with_underscores_action", Implemented),
            ("max_requests_per_connection", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Http1ProtocolOptions",
        &[
            ("allow_absolute_url", Implemented),
            ("accept_http_10", Implemented),
            ("default_host_for_http_10", Implemented),
            ("header_key_format", Implemented),
            ("enable_trailers", Implemented),
            ("allow_chunked_length", Implemented),
            ("override_stream_error_on_invalid_http_message", Implemented),
            ("send_fully_qualified_url", Implemented),
            (
                "use_balsa_parser",
                Harmless("chooses between two parsers of Envoy's"),
            ),
            ("allow_custom_methods", Implemented),
            ("ignore_http_11_upgrade", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat",
        &[
            ("proper_case_words", Implemented),
            ("stateful_formatter", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords",
        &[],
    ),
    message(
        "envoy.config.core.v3.Http2ProtocolOptions",
        &[
            ("hpack_table_size", Implemented),
            ("max_concurrent_streams", Implemented),
            ("initial_stream_window_size", Implemented),
            ("initial_connection_window_size", Implemented),
            ("allow_connect", Implemented),
            (
                "allow_metadata",
                Refused("METADATA frames are ignored, as RFC 9113 asks of unknown frames"),
            ),
            ("max_outbound_frames", Implemented),
            ("max_outbound_control_frames", Implemented),
            (
                "max_consecutive_inbound_frames_with_empty_payload",
                Implemented,
            ),
            ("max_inbound_priority_frames_per_stream", Implemented),
            (
                "max_inbound_window_update_frames_per_data_frame_sent",
                Implemented,
            ),
            ("stream_error_on_invalid_http_messaging", Implemented),
            ("override_stream_error_on_invalid_http_message", Implemented),
            ("custom_settings_parameters", Implemented),
            ("connection_keepalive", Implemented),
            (
                "use_oghttp2_codec",
                Harmless("chooses between two codecs of Envoy's"),
            ),
            (
                "max_metadata_size",
                Harmless("a limit of METADATA frames, which are refused"),
            ),
            ("enable_huffman_encoding", Implemented),
            ("max_header_field_size_kb", Implemented),
            ("disallow_obs_text", Implemented),
            ("stream_reset_burst", Implemented),
            ("stream_reset_rate", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.Http2ProtocolOptions.SettingsParameter",
        &[("identifier", Implemented), ("value", Implemented)],
    ),
    message(
        "envoy.config.core.v3.KeepaliveSettings",
        &[
            ("interval", Implemented),
            ("timeout", Implemented),
            ("interval_jitter", Implemented),
            ("connection_idle_interval", Implemented),
        ],
    ),
    message(
        PRESERVE_CASE,
        &[
            ("forward_reason_phrase", Implemented),
            ("formatter_type_on_envoy_headers", Implemented),
        ],
    ),
    message(
        UUID_REQUEST_ID,
        &[
            ("pack_trace_reason", Implemented),
            (
                "use_request_id_for_trace_sampling",
                Harmless("there is no tracing yet"),
            ),
        ],
    ),
    message(
        "envoy.config.core.v3.SchemeHeaderTransformation",
        &[
            ("scheme_to_overwrite", Implemented),
            ("match_upstream", Implemented),
        ],
    ),
];
