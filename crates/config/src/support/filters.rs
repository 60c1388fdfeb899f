//! HTTP filters and what they share.

use super::{Entry, Support::*, message};

pub(super) const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
pub(super) const BUFFER: &str = "envoy.extensions.filters.http.buffer.v3.Buffer";
pub(super) const BUFFER_PER_ROUTE: &str = "envoy.extensions.filters.http.buffer.v3.BufferPerRoute";
pub(super) const CORS: &str = "envoy.extensions.filters.http.cors.v3.Cors";
pub(super) const CORS_POLICY: &str = "envoy.extensions.filters.http.cors.v3.CorsPolicy";
pub(super) const DYNAMIC_FORWARD_PROXY: &str =
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig";
pub(super) const DYNAMIC_FORWARD_PROXY_PER_ROUTE: &str =
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig";
pub(super) const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
pub(super) const HEALTH_CHECK: &str = "envoy.extensions.filters.http.health_check.v3.HealthCheck";
pub(super) const GRPC_HTTP1_BRIDGE: &str =
    "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config";
pub(super) const SET_FILTER_STATE: &str =
    "envoy.extensions.filters.http.set_filter_state.v3.Config";
pub(super) const GRPC_STATS: &str = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig";
pub(super) const GRPC_WEB: &str = "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb";
pub(super) const HEADER_MUTATION: &str =
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
pub(super) const HEADER_MUTATION_PER_ROUTE: &str =
    "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute";
pub(super) const STATEFUL_SESSION: &str =
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSession";
pub(super) const STATEFUL_SESSION_PER_ROUTE: &str =
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";
const SESSION_COOKIE: &str =
    "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";
const SESSION_HEADER: &str =
    "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";
const SESSION_ENVELOPE: &str =
    "envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState";
/// What `StatefulSession.session_state` may hold.
pub(super) const SESSION_STATES: [&str; 3] = [SESSION_COOKIE, SESSION_HEADER, SESSION_ENVELOPE];
pub(super) const PRESERVE_CASE: &str =
    "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";
pub(super) const UUID_REQUEST_ID: &str = "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";

const CORS_FIELDS: &[(&str, super::Support)] = &[
    ("allow_origin_string_match", Implemented),
    ("allow_methods", Implemented),
    ("allow_headers", Implemented),
    ("expose_headers", Implemented),
    ("max_age", Implemented),
    ("allow_credentials", Implemented),
    ("filter_enabled", Implemented),
    ("shadow_enabled", Implemented),
    ("allow_private_network_access", Implemented),
    ("forward_not_matching_preflights", Implemented),
];

pub(super) const MESSAGES: &[Entry] = &[
    message(
        ROUTER,
        &[
            ("dynamic_stats", Implemented),
            ("start_child_span", Harmless("there is no tracing yet")),
            ("suppress_envoy_headers", Implemented),
            ("strict_check_headers", Implemented),
            ("respect_expected_rq_timeout", Implemented),
            ("reject_connect_request_early_data", Implemented),
        ],
    ),
    message(
        DYNAMIC_FORWARD_PROXY,
        &[
            ("dns_cache_config", Implemented),
            ("sub_cluster_config", Implemented),
            ("save_upstream_address", Implemented),
            ("allow_dynamic_host_from_filter_state", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.http.dynamic_forward_proxy.v3.SubClusterConfig",
        &[("cluster_init_timeout", Implemented)],
    ),
    message(
        DYNAMIC_FORWARD_PROXY_PER_ROUTE,
        &[
            ("host_rewrite_literal", Implemented),
            ("host_rewrite_header", Implemented),
        ],
    ),
    message(
        STATEFUL_SESSION,
        &[
            ("session_state", Implemented),
            ("strict", Implemented),
            ("stat_prefix", Implemented),
            ("status_on_strict_destination_not_found", Implemented),
        ],
    ),
    message(
        STATEFUL_SESSION_PER_ROUTE,
        &[("disabled", Implemented), ("stateful_session", Implemented)],
    ),
    message(SESSION_COOKIE, &[("cookie", Implemented)]),
    message(
        "envoy.type.http.v3.Cookie",
        &[
            ("name", Implemented),
            ("ttl", Implemented),
            ("path", Implemented),
            ("attributes", Implemented),
        ],
    ),
    message(
        "envoy.type.http.v3.CookieAttribute",
        &[("name", Implemented), ("value", Implemented)],
    ),
    message(SESSION_HEADER, &[("name", Implemented)]),
    message(SESSION_ENVELOPE, &[("header", Implemented)]),
    message(
        "envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState.Header",
        &[("name", Implemented)],
    ),
    message(BUFFER, &[("max_request_bytes", Implemented)]),
    message(
        BUFFER_PER_ROUTE,
        &[("disabled", Implemented), ("buffer", Implemented)],
    ),
    message(CORS, &[]),
    message(CORS_POLICY, CORS_FIELDS),
    // The same in the older fields of virtual hosts and routes.
    message("envoy.config.route.v3.CorsPolicy", CORS_FIELDS),
    message(
        HEALTH_CHECK,
        &[
            ("pass_through_mode", Implemented),
            ("cache_time", Implemented),
            ("cluster_min_healthy_percentages", Implemented),
            ("headers", Implemented),
        ],
    ),
    message(
        FAULT,
        &[
            ("delay", Implemented),
            ("abort", Implemented),
            ("upstream_cluster", Implemented),
            ("headers", Implemented),
            ("downstream_nodes", Implemented),
            ("max_active_faults", Implemented),
            ("response_rate_limit", Implemented),
            ("delay_percent_runtime", Implemented),
            ("abort_percent_runtime", Implemented),
            ("delay_duration_runtime", Implemented),
            ("abort_http_status_runtime", Implemented),
            ("max_active_faults_runtime", Implemented),
            ("response_rate_limit_percent_runtime", Implemented),
            ("abort_grpc_status_runtime", Implemented),
            ("disable_downstream_cluster_stats", Implemented),
            ("filter_metadata", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.http.fault.v3.FaultAbort",
        &[
            ("http_status", Implemented),
            ("grpc_status", Implemented),
            ("header_abort", Implemented),
            ("percentage", Implemented),
            ("response_body", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.http.fault.v3.FaultAbort.HeaderAbort",
        &[],
    ),
    message(
        "envoy.extensions.filters.common.fault.v3.FaultDelay",
        &[
            ("fixed_delay", Implemented),
            ("header_delay", Implemented),
            ("percentage", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay",
        &[],
    ),
    message(
        "envoy.extensions.filters.common.fault.v3.FaultRateLimit",
        &[
            ("fixed_limit", Implemented),
            ("header_limit", Implemented),
            ("percentage", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.common.fault.v3.FaultRateLimit.FixedLimit",
        &[("limit_kbps", Implemented)],
    ),
    message(
        "envoy.extensions.filters.common.fault.v3.FaultRateLimit.HeaderLimit",
        &[],
    ),
    message(
        GRPC_HTTP1_BRIDGE,
        &[
            ("upgrade_protobuf_to_grpc", Implemented),
            ("ignore_query_parameters", Implemented),
        ],
    ),
    message(
        GRPC_STATS,
        &[
            ("emit_filter_state", Implemented),
            ("individual_method_stats_allowlist", Implemented),
            ("stats_for_all_methods", Implemented),
            ("enable_upstream_stats", Implemented),
            ("replace_dots_in_grpc_service_name", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.GrpcMethodList",
        &[("services", Implemented)],
    ),
    message(
        "envoy.config.core.v3.GrpcMethodList.Service",
        &[("name", Implemented), ("method_names", Implemented)],
    ),
    message(
        SET_FILTER_STATE,
        &[
            ("on_request_headers", Implemented),
            ("clear_route_cache", Implemented),
        ],
    ),
    message(
        "envoy.extensions.filters.common.set_filter_state.v3.FilterStateValue",
        &[
            ("object_key", Implemented),
            ("factory_key", Implemented),
            ("format_string", Implemented),
            ("skip_if_empty", Implemented),
        ],
    ),
    message(GRPC_WEB, &[]),
    message(
        HEADER_MUTATION,
        &[
            ("mutations", Implemented),
            ("most_specific_header_mutations_wins", Implemented),
        ],
    ),
    message(HEADER_MUTATION_PER_ROUTE, &[("mutations", Implemented)]),
    message(
        "envoy.extensions.filters.http.header_mutation.v3.Mutations",
        &[
            ("request_mutations", Implemented),
            ("query_parameter_mutations", Implemented),
            ("response_mutations", Implemented),
            ("response_trailers_mutations", Implemented),
            ("request_trailers_mutations", Implemented),
        ],
    ),
    message(
        "envoy.config.common.mutation_rules.v3.HeaderMutation",
        &[
            ("remove", Implemented),
            ("append", Implemented),
            ("remove_on_match", Implemented),
        ],
    ),
    message(
        "envoy.config.common.mutation_rules.v3.HeaderMutation.RemoveOnMatch",
        &[("key_matcher", Implemented)],
    ),
    message(
        "envoy.config.core.v3.KeyValueMutation",
        &[("append", Implemented), ("remove", Implemented)],
    ),
    message(
        "envoy.config.core.v3.KeyValueAppend",
        &[
            ("record", Implemented),
            ("entry", Implemented),
            ("action", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.KeyValue",
        &[("key", Implemented), ("value", Implemented)],
    ),
    message(
        "envoy.config.core.v3.KeyValuePair",
        &[("key", Implemented), ("value", Implemented)],
    ),
];
