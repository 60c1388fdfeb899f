//! Clusters, endpoints, and HTTP options towards the upstream.

use super::{Entry, Support::*, message};

pub(super) const HTTP_PROTOCOL_OPTIONS: &str =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

pub(super) const DYNAMIC_FORWARD_PROXY: &str =
    "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig";
pub(super) const AGGREGATE: &str = "envoy.extensions.clusters.aggregate.v3.ClusterConfig";
pub(super) const COMPOSITE: &str = "envoy.extensions.clusters.composite.v3.ClusterConfig";

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.cluster.v3.Cluster",
        &[
            ("name", Implemented),
            ("alt_stat_name", Implemented),
            (
                "type",
                Only(&["STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"]),
            ),
            ("eds_cluster_config", Implemented),
            ("connect_timeout", Implemented),
            ("per_connection_buffer_limit_bytes", Implemented),
            ("lb_policy", Implemented),
            ("load_assignment", Implemented),
            ("max_requests_per_connection", Implemented),
            ("circuit_breakers", Implemented),
            ("common_http_protocol_options", Implemented),
            ("http_protocol_options", Implemented),
            ("http2_protocol_options", Implemented),
            ("protocol_selection", Implemented),
            (
                "typed_extension_protocol_options",
                Extension(&[HTTP_PROTOCOL_OPTIONS]),
            ),
            ("dns_refresh_rate", Implemented),
            ("dns_jitter", Implemented),
            ("dns_failure_refresh_rate", Implemented),
            ("respect_dns_ttl", Implemented),
            ("dns_lookup_family", Implemented),
            ("dns_resolvers", Implemented),
            ("use_tcp_for_dns_lookups", Implemented),
            ("dns_resolution_config", Implemented),
            ("typed_dns_resolver_config", Implemented),
            ("cluster_type", Implemented),
            ("wait_for_warm_on_init", Implemented),
            ("cleanup_interval", Implemented),
            ("original_dst_lb_config", Implemented),
            ("upstream_bind_config", Implemented),
            ("lb_subset_config", Implemented),
            ("ring_hash_lb_config", Implemented),
            ("maglev_lb_config", Implemented),
            ("least_request_lb_config", Implemented),
            ("round_robin_lb_config", Implemented),
            ("common_lb_config", Implemented),
            ("transport_socket", Implemented),
            ("metadata", Implemented),
            ("upstream_connection_options", Implemented),
            ("close_connections_on_host_health_failure", Implemented),
            ("preconnect_policy", Implemented),
            ("connection_pool_per_downstream_connection", Implemented),
            ("ignore_health_on_host_removal", Implemented),
            ("load_balancing_policy", Implemented),
            ("lrs_report_endpoint_metrics", Implemented),
            ("health_checks", Implemented),
            ("outlier_detection", Implemented),
            ("track_timeout_budgets", Implemented),
            ("track_cluster_stats", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.TrackClusterStats",
        &[
            ("timeout_budgets", Implemented),
            ("request_response_sizes", Implemented),
            ("per_endpoint_stats", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.EdsClusterConfig",
        &[("eds_config", Implemented), ("service_name", Implemented)],
    ),
    message(
        "envoy.config.cluster.v3.OutlierDetection",
        &[
            ("consecutive_5xx", Implemented),
            ("interval", Implemented),
            ("base_ejection_time", Implemented),
            ("max_ejection_percent", Implemented),
            ("enforcing_consecutive_5xx", Implemented),
            ("enforcing_success_rate", Implemented),
            ("success_rate_minimum_hosts", Implemented),
            ("success_rate_request_volume", Implemented),
            ("success_rate_stdev_factor", Implemented),
            ("consecutive_gateway_failure", Implemented),
            ("enforcing_consecutive_gateway_failure", Implemented),
            ("split_external_local_origin_errors", Implemented),
            ("consecutive_local_origin_failure", Implemented),
            ("enforcing_consecutive_local_origin_failure", Implemented),
            ("enforcing_local_origin_success_rate", Implemented),
            ("failure_percentage_threshold", Implemented),
            ("enforcing_failure_percentage", Implemented),
            ("enforcing_failure_percentage_local_origin", Implemented),
            ("failure_percentage_minimum_hosts", Implemented),
            ("failure_percentage_request_volume", Implemented),
            ("max_ejection_time", Implemented),
            ("max_ejection_time_jitter", Implemented),
            ("successful_active_health_check_uneject_host", Implemented),
            (
                "monitors",
                Refused("no extension that watches for other errors exists"),
            ),
            ("always_eject_one_host", Implemented),
            ("detect_degraded_hosts", Implemented),
        ],
    ),
    message(
        DYNAMIC_FORWARD_PROXY,
        &[
            ("dns_cache_config", Implemented),
            ("sub_clusters_config", Implemented),
            ("allow_insecure_cluster_options", Implemented),
            (
                "allow_coalesced_connections",
                Harmless("only TLS connections are shared by hosts, and there is no TLS yet"),
            ),
        ],
    ),
    message(
        "envoy.extensions.clusters.dynamic_forward_proxy.v3.SubClustersConfig",
        &[
            ("lb_policy", Implemented),
            ("max_sub_clusters", Implemented),
            ("sub_cluster_ttl", Implemented),
            (
                "preresolve_clusters",
                Harmless("Envoy 1.40 makes none of these clusters before a request asks for them"),
            ),
            ("dns_cluster_config", Implemented),
        ],
    ),
    message(AGGREGATE, &[("clusters", Implemented)]),
    message(COMPOSITE, &[("clusters", Implemented)]),
    message(
        "envoy.extensions.clusters.composite.v3.ClusterConfig.ClusterEntry",
        &[("name", Implemented)],
    ),
    message(
        "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheConfig",
        &[
            ("name", Implemented),
            ("dns_lookup_family", Implemented),
            ("dns_refresh_rate", Implemented),
            ("dns_min_refresh_rate", Implemented),
            ("host_ttl", Implemented),
            ("max_hosts", Implemented),
            ("disable_dns_refresh_on_failure", Implemented),
            ("dns_failure_refresh_rate", Implemented),
            ("dns_cache_circuit_breaker", Implemented),
            ("preresolve_hostnames", Implemented),
            ("dns_query_timeout", Implemented),
            ("typed_dns_resolver_config", Implemented),
            (
                "key_value_config",
                Refused("what was resolved is not kept over a restart"),
            ),
        ],
    ),
    message(
        "envoy.extensions.common.dynamic_forward_proxy.v3.DnsCacheCircuitBreakers",
        &[("max_pending_requests", Implemented)],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig",
        &[
            ("use_http_header", Implemented),
            ("http_header_name", Implemented),
            ("upstream_port_override", Implemented),
            ("metadata_key", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.RefreshRate",
        &[
            ("base_interval", Implemented),
            ("max_interval", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.UpstreamConnectionOptions",
        &[
            ("tcp_keepalive", Implemented),
            (
                "set_local_interface_name_on_upstream_connections",
                Harmless("nothing shows an interface's name"),
            ),
            ("happy_eyeballs_config", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.UpstreamConnectionOptions.HappyEyeballsConfig",
        &[
            ("first_address_family_version", Implemented),
            ("first_address_family_count", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.PreconnectPolicy",
        &[
            ("per_upstream_preconnect_ratio", Implemented),
            ("predictive_preconnect_ratio", Implemented),
            (
                "preconnect_enabled_metadata",
                Refused("every host is connected to ahead"),
            ),
        ],
    ),
    message(
        "envoy.config.cluster.v3.CircuitBreakers",
        &[
            ("thresholds", Implemented),
            ("per_host_thresholds", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
        &[
            ("priority", Implemented),
            ("max_connections", Implemented),
            ("max_pending_requests", Implemented),
            ("max_requests", Implemented),
            ("max_retries", Implemented),
            ("retry_budget", Implemented),
            ("track_remaining", Implemented),
            ("max_connection_pools", Implemented),
        ],
    ),
    message(
        "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget",
        &[
            ("budget_percent", Implemented),
            ("budget_interval", Implemented),
            ("min_retry_concurrency", Implemented),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        &[
            ("cluster_name", Implemented),
            ("endpoints", Implemented),
            ("policy", Implemented),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
        &[
            ("drop_overloads", Implemented),
            ("overprovisioning_factor", Implemented),
            ("endpoint_stale_after", Implemented),
            ("weighted_priority_health", Implemented),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload",
        &[("category", Implemented), ("drop_percentage", Implemented)],
    ),
    message(
        "envoy.config.endpoint.v3.LocalityLbEndpoints",
        &[
            ("locality", Implemented),
            (
                "metadata",
                Harmless("carried along for extensions that read it; none does yet"),
            ),
            ("lb_endpoints", Implemented),
            ("load_balancing_weight", Implemented),
            ("priority", Implemented),
            ("proximity", Harmless("Envoy does not use it either")),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.LbEndpoint",
        &[
            ("endpoint", Implemented),
            ("health_status", Implemented),
            ("metadata", Implemented),
            ("load_balancing_weight", Implemented),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.Endpoint",
        &[
            ("address", Implemented),
            ("health_check_config", Implemented),
            ("hostname", Implemented),
            ("additional_addresses", Implemented),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.Endpoint.AdditionalAddress",
        &[("address", Implemented)],
    ),
    message(
        "envoy.config.endpoint.v3.Endpoint.HealthCheckConfig",
        &[
            ("port_value", Implemented),
            ("hostname", Implemented),
            ("address", Implemented),
            ("disable_active_health_check", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.HealthCheck",
        &[
            ("timeout", Implemented),
            ("interval", Implemented),
            ("initial_jitter", Implemented),
            ("interval_jitter", Implemented),
            ("interval_jitter_percent", Implemented),
            ("unhealthy_threshold", Implemented),
            ("healthy_threshold", Implemented),
            ("alt_port", Implemented),
            ("reuse_connection", Implemented),
            ("http_health_check", Implemented),
            ("tcp_health_check", Implemented),
            ("grpc_health_check", Implemented),
            ("custom_health_check", Implemented),
            ("no_traffic_interval", Implemented),
            ("no_traffic_healthy_interval", Implemented),
            ("unhealthy_interval", Implemented),
            ("unhealthy_edge_interval", Implemented),
            ("healthy_edge_interval", Implemented),
            ("event_logger", Implemented),
            ("event_log_path", Implemented),
            ("always_log_health_check_failures", Implemented),
            ("always_log_health_check_success", Implemented),
            ("name", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.HealthCheck.CustomHealthCheck",
        &[
            ("name", Implemented),
            (
                "typed_config",
                Extension(&[
                    "envoy.extensions.health_checkers.redis.v3.Redis",
                    "envoy.extensions.health_checkers.udp.v3.UdpHealthCheck",
                ]),
            ),
        ],
    ),
    message(
        "envoy.extensions.health_checkers.redis.v3.Redis",
        &[("key", Implemented)],
    ),
    message(
        "envoy.extensions.health_checkers.udp.v3.UdpHealthCheck",
        &[("send", Implemented), ("receive", Implemented)],
    ),
    message(
        "envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink",
        &[("event_log_path", Implemented)],
    ),
    message(
        "envoy.config.core.v3.HealthCheck.Payload",
        &[("text", Implemented), ("binary", Implemented)],
    ),
    message(
        "envoy.config.core.v3.HealthCheck.HttpHealthCheck",
        &[
            ("host", Implemented),
            ("path", Implemented),
            ("send", Implemented),
            ("receive", Implemented),
            ("response_buffer_size", Implemented),
            ("request_headers_to_add", Implemented),
            ("request_headers_to_remove", Implemented),
            ("expected_statuses", Implemented),
            ("retriable_statuses", Implemented),
            ("codec_client_type", Only(&["HTTP1", "HTTP2"])),
            ("service_name_matcher", Implemented),
            ("method", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.HealthCheck.TcpHealthCheck",
        &[
            ("send", Implemented),
            ("receive", Implemented),
            ("proxy_protocol_config", Implemented),
        ],
    ),
    // What Envoy's TCP health checks make of it: they send no TLVs.
    message(
        "envoy.config.core.v3.ProxyProtocolConfig",
        &[("version", Implemented)],
    ),
    message(
        "envoy.config.core.v3.HealthCheck.GrpcHealthCheck",
        &[
            ("service_name", Implemented),
            ("authority", Implemented),
            ("initial_metadata", Implemented),
        ],
    ),
    message(
        HTTP_PROTOCOL_OPTIONS,
        &[
            ("common_http_protocol_options", Implemented),
            ("explicit_http_config", Implemented),
            ("use_downstream_protocol_config", Implemented),
            (
                "auto_config",
                Refused("there is no transport socket yet that agrees on a protocol (ALPN)"),
            ),
        ],
    ),
    message(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig",
        &[
            ("http_protocol_options", Implemented),
            ("http2_protocol_options", Implemented),
        ],
    ),
    message(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig",
        &[
            ("http_protocol_options", Implemented),
            ("http2_protocol_options", Implemented),
        ],
    ),
];
