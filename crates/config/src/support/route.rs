//! Route configuration and its matchers.

use super::{
    Entry,
    Support::*,
    filters::{
        BUFFER_PER_ROUTE, CORS_POLICY, DYNAMIC_FORWARD_PROXY_PER_ROUTE, FAULT,
        HEADER_MUTATION_PER_ROUTE, SET_FILTER_STATE, STATEFUL_SESSION_PER_ROUTE,
    },
    message,
};

const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// What `typed_per_filter_config` may hold, at every level.
const PER_FILTER: &[&str] = &[
    BUFFER_PER_ROUTE,
    CORS_POLICY,
    DYNAMIC_FORWARD_PROXY_PER_ROUTE,
    STATEFUL_SESSION_PER_ROUTE,
    FAULT,
    HEADER_MUTATION_PER_ROUTE,
    SET_FILTER_STATE,
    FILTER_CONFIG,
];

const PREVIOUS_HOSTS: &str = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const OMIT_CANARY_HOSTS: &str =
    "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate";

const PREVIOUS_PRIORITIES: &str =
    "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";

const OMIT_HOST_METADATA: &str =
    "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig";

const ALLOW_LISTED_ROUTES: &str =
    "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig";
const PREVIOUS_ROUTES: &str =
    "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig";
const SAFE_CROSS_SCHEME: &str =
    "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig";

const TEMPLATE_MATCH: &str = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
const TEMPLATE_REWRITE: &str =
    "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";
const MATCHER_CLUSTER: &str =
    "envoy.extensions.router.cluster_specifiers.matcher.v3.MatcherClusterSpecifier";

const EARLY_DATA: &str = "envoy.extensions.early_data.v3.DefaultEarlyDataPolicy";

/// What `path_match_policy`, `path_rewrite_policy`, `early_data_policy` and cluster specifiers may hold.
pub(super) const ROUTE_POLICIES: [&str; 4] = [
    TEMPLATE_MATCH,
    TEMPLATE_REWRITE,
    MATCHER_CLUSTER,
    EARLY_DATA,
];

/// What `InternalRedirectPolicy.predicates` may hold.
pub(super) const REDIRECT_PREDICATES: [&str; 3] =
    [ALLOW_LISTED_ROUTES, PREVIOUS_ROUTES, SAFE_CROSS_SCHEME];

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.route.v3.RouteConfiguration",
        &[
            ("name", Implemented),
            ("virtual_hosts", Implemented),
            ("internal_only_headers", Implemented),
            ("response_headers_to_add", Implemented),
            ("response_headers_to_remove", Implemented),
            ("request_headers_to_add", Implemented),
            ("request_headers_to_remove", Implemented),
            ("most_specific_header_mutations_wins", Implemented),
            ("validate_clusters", Implemented),
            ("max_direct_response_body_size_bytes", Implemented),
            ("ignore_port_in_host_matching", Implemented),
            ("vhost_header", Implemented),
            ("ignore_path_parameters_in_path_matching", Implemented),
            ("typed_per_filter_config", Extension(PER_FILTER)),
            ("metadata", Implemented),
            ("request_mirror_policies", Implemented),
            ("cluster_specifier_plugins", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.ClusterSpecifierPlugin",
        &[
            ("extension", Implemented),
            (
                "is_optional",
                Harmless("concerns types that are not built in, and those are refused"),
            ),
        ],
    ),
    message(
        "envoy.config.route.v3.VirtualHost",
        &[
            ("name", Implemented),
            ("domains", Implemented),
            ("routes", Implemented),
            ("matcher", Implemented),
            ("require_tls", Implemented),
            ("virtual_clusters", Implemented),
            ("request_headers_to_add", Implemented),
            ("request_headers_to_remove", Implemented),
            ("response_headers_to_add", Implemented),
            ("response_headers_to_remove", Implemented),
            ("typed_per_filter_config", Extension(PER_FILTER)),
            ("include_request_attempt_count", Implemented),
            ("include_attempt_count_in_response", Implemented),
            ("include_is_timeout_retry_header", Implemented),
            ("retry_policy", Implemented),
            (
                "retry_policy_typed_config",
                Harmless("Envoy 1.40 does not implement it either"),
            ),
            ("per_request_buffer_limit_bytes", Implemented),
            ("request_body_buffer_limit", Implemented),
            ("metadata", Implemented),
            ("request_mirror_policies", Implemented),
            ("hedge_policy", Implemented),
            ("cors", Implemented),
        ],
    ),
    message(
        FILTER_CONFIG,
        &[
            (
                "config",
                Extension(&[
                    BUFFER_PER_ROUTE,
                    CORS_POLICY,
                    DYNAMIC_FORWARD_PROXY_PER_ROUTE,
                    FAULT,
                    HEADER_MUTATION_PER_ROUTE,
                    SET_FILTER_STATE,
                    STATEFUL_SESSION_PER_ROUTE,
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
        "envoy.config.route.v3.Route",
        &[
            ("name", Implemented),
            ("match", Implemented),
            ("route", Implemented),
            ("redirect", Implemented),
            ("direct_response", Implemented),
            ("non_forwarding_action", Implemented),
            ("filter_action", Implemented),
            ("metadata", Implemented),
            (
                "decorator",
                Harmless("names spans; there is no tracing yet"),
            ),
            ("typed_per_filter_config", Extension(PER_FILTER)),
            ("request_headers_to_add", Implemented),
            ("request_headers_to_remove", Implemented),
            ("response_headers_to_add", Implemented),
            ("response_headers_to_remove", Implemented),
            ("tracing", Harmless("there is no tracing yet")),
            ("per_request_buffer_limit_bytes", Implemented),
            ("request_body_buffer_limit", Implemented),
            ("stat_prefix", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RouteMatch",
        &[
            ("prefix", Implemented),
            ("path", Implemented),
            ("safe_regex", Implemented),
            ("connect_matcher", Implemented),
            ("path_separated_prefix", Implemented),
            ("path_match_policy", Implemented),
            ("case_sensitive", Implemented),
            ("runtime_fraction", Implemented),
            ("headers", Implemented),
            ("query_parameters", Implemented),
            ("cookies", Implemented),
            ("grpc", Implemented),
            ("tls_context", Implemented),
            ("dynamic_metadata", Implemented),
            ("filter_state", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions",
        &[],
    ),
    message("envoy.config.route.v3.RouteMatch.ConnectMatcher", &[]),
    message(
        "envoy.config.route.v3.RouteMatch.TlsContextMatchOptions",
        &[("presented", Implemented), ("validated", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction",
        &[
            ("cluster", Implemented),
            ("cluster_header", Implemented),
            ("weighted_clusters", Implemented),
            ("cluster_specifier_plugin", Implemented),
            ("inline_cluster_specifier_plugin", Implemented),
            ("cluster_not_found_response_code", Implemented),
            ("prefix_rewrite", Implemented),
            ("regex_rewrite", Implemented),
            ("path_rewrite", Implemented),
            ("path_rewrite_policy", Implemented),
            ("host_rewrite_literal", Implemented),
            ("auto_host_rewrite", Implemented),
            ("host_rewrite_header", Implemented),
            ("host_rewrite_path_regex", Implemented),
            ("host_rewrite", Implemented),
            ("append_x_forwarded_host", Implemented),
            ("timeout", Implemented),
            ("idle_timeout", Implemented),
            ("flush_timeout", Implemented),
            ("priority", Implemented),
            ("max_grpc_timeout", Implemented),
            ("grpc_timeout_offset", Implemented),
            ("upgrade_configs", Implemented),
            ("max_stream_duration", Implemented),
            ("retry_policy", Implemented),
            (
                "retry_policy_typed_config",
                Harmless("Envoy 1.40 does not implement it either"),
            ),
            ("hash_policy", Implemented),
            ("metadata_match", Implemented),
            ("request_mirror_policies", Implemented),
            ("internal_redirect_policy", Implemented),
            ("internal_redirect_action", Implemented),
            ("max_internal_redirects", Implemented),
            ("early_data_policy", Implemented),
            ("hedge_policy", Implemented),
            ("cors", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
        &[
            ("cluster", Implemented),
            ("cluster_header", Implemented),
            ("runtime_fraction", Implemented),
            ("trace_sampled", Harmless("there is no tracing yet")),
            ("disable_shadow_host_suffix_append", Implemented),
            ("request_headers_mutations", Implemented),
            ("host_rewrite_literal", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.InternalRedirectPolicy",
        &[
            ("max_internal_redirects", Implemented),
            ("redirect_response_codes", Implemented),
            ("predicates", Implemented),
            ("allow_cross_scheme_redirect", Implemented),
            ("response_headers_to_copy", Implemented),
        ],
    ),
    message(ALLOW_LISTED_ROUTES, &[("allowed_route_names", Implemented)]),
    message(PREVIOUS_ROUTES, &[]),
    message(SAFE_CROSS_SCHEME, &[]),
    message(
        "envoy.config.route.v3.HedgePolicy",
        &[
            (
                "initial_requests",
                Harmless("Envoy 1.40 does not implement it either"),
            ),
            (
                "additional_request_chance",
                Harmless("Envoy 1.40 does not implement it either"),
            ),
            ("hedge_on_per_try_timeout", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RetryPolicy",
        &[
            ("retry_on", Implemented),
            ("num_retries", Implemented),
            ("per_try_timeout", Implemented),
            ("per_try_idle_timeout", Implemented),
            ("retry_host_predicate", Implemented),
            ("host_selection_retry_max_attempts", Implemented),
            ("retriable_status_codes", Implemented),
            ("retry_back_off", Implemented),
            ("rate_limited_retry_back_off", Implemented),
            ("retriable_headers", Implemented),
            ("retriable_request_headers", Implemented),
            ("retry_priority", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RetryPolicy.RetryPriority",
        &[
            ("name", Harmless("the type of `typed_config` decides")),
            ("typed_config", Extension(&[PREVIOUS_PRIORITIES])),
        ],
    ),
    message(PREVIOUS_PRIORITIES, &[("update_frequency", Implemented)]),
    message(
        "envoy.config.route.v3.RetryPolicy.RetryHostPredicate",
        &[
            ("name", Harmless("the type of `typed_config` decides")),
            (
                "typed_config",
                Extension(&[PREVIOUS_HOSTS, OMIT_CANARY_HOSTS, OMIT_HOST_METADATA]),
            ),
        ],
    ),
    message(TEMPLATE_MATCH, &[("path_template", Implemented)]),
    message(TEMPLATE_REWRITE, &[("path_template_rewrite", Implemented)]),
    message(MATCHER_CLUSTER, &[("cluster_matcher", Implemented)]),
    message(PREVIOUS_HOSTS, &[]),
    message(OMIT_CANARY_HOSTS, &[]),
    message(OMIT_HOST_METADATA, &[("metadata_match", Implemented)]),
    message(
        "envoy.config.route.v3.RetryPolicy.RetryBackOff",
        &[
            ("base_interval", Implemented),
            ("max_interval", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff",
        &[
            ("reset_headers", Implemented),
            ("max_interval", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RetryPolicy.ResetHeader",
        &[("name", Implemented), ("format", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.UpgradeConfig",
        &[
            ("upgrade_type", Implemented),
            ("enabled", Implemented),
            ("connect_config", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig",
        &[("allow_post", Implemented)],
    ),
    message(
        "envoy.config.route.v3.RouteAction.MaxStreamDuration",
        &[
            ("max_stream_duration", Implemented),
            ("grpc_timeout_header_max", Implemented),
            ("grpc_timeout_header_offset", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.WeightedCluster",
        &[
            ("clusters", Implemented),
            (
                "total_weight",
                Harmless("Envoy ignores it too: the sum of the weights counts"),
            ),
            ("runtime_key_prefix", Implemented),
            ("header_name", Implemented),
            ("use_hash_policy", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.WeightedCluster.ClusterWeight",
        &[
            ("name", Implemented),
            ("cluster_header", Implemented),
            ("weight", Implemented),
            ("metadata_match", Implemented),
            ("request_headers_to_add", Implemented),
            ("request_headers_to_remove", Implemented),
            ("response_headers_to_add", Implemented),
            ("response_headers_to_remove", Implemented),
            ("typed_per_filter_config", Extension(PER_FILTER)),
            ("host_rewrite_literal", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.RedirectAction",
        &[
            ("https_redirect", Implemented),
            ("scheme_redirect", Implemented),
            ("host_redirect", Implemented),
            ("port_redirect", Implemented),
            ("path_redirect", Implemented),
            ("prefix_rewrite", Implemented),
            ("regex_rewrite", Implemented),
            ("path_rewrite", Implemented),
            ("response_code", Implemented),
            ("strip_query", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.DirectResponseAction",
        &[
            ("status", Implemented),
            ("body", Implemented),
            ("body_format", Implemented),
        ],
    ),
    message("envoy.config.route.v3.NonForwardingAction", &[]),
    message(
        "envoy.config.route.v3.FilterAction",
        &[("action", Harmless("Envoy 1.40 does nothing with it either"))],
    ),
    message(EARLY_DATA, &[]),
    message(
        "envoy.config.route.v3.VirtualCluster",
        &[("headers", Implemented), ("name", Implemented)],
    ),
    message(
        "envoy.config.route.v3.HeaderMatcher",
        &[
            ("name", Implemented),
            ("exact_match", Implemented),
            ("safe_regex_match", Implemented),
            ("range_match", Implemented),
            ("present_match", Implemented),
            ("prefix_match", Implemented),
            ("suffix_match", Implemented),
            ("contains_match", Implemented),
            ("string_match", Implemented),
            ("invert_match", Implemented),
            ("treat_missing_header_as_empty", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.QueryParameterMatcher",
        &[
            ("name", Implemented),
            ("string_match", Implemented),
            ("present_match", Implemented),
        ],
    ),
    message(
        "envoy.config.route.v3.CookieMatcher",
        &[
            ("name", Implemented),
            ("string_match", Implemented),
            ("invert_match", Implemented),
        ],
    ),
];
