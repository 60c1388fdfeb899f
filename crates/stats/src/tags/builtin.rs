//! Envoy's own rules, in its order (`source/common/config/well_known_names.cc`, as of 1.40).
//!
//! What is a regular expression there is a function of [`patterns`](super::patterns) here.

use super::patterns::*;
use super::tokens::Token::{self, Any, Rest, Value, Word};
use crate::config::TagSpan;

/// Tag, fixed first token, and how it is found.
type CodeRule = (
    &'static str,
    Option<&'static str>,
    fn(&str) -> Option<TagSpan>,
);

/// What regular expressions find in Envoy.
pub(super) const CODE: &[CodeRule] = &[
    ("envoy.response_code", None, response_code),
    ("envoy.response_code_class", None, response_code_class),
    (
        "envoy.dynamo_partition_id",
        Some("http"),
        dynamo_partition_id,
    ),
    ("envoy.dynamo_operation", Some("http"), dynamo_operation),
    ("envoy.dynamo_table", Some("http"), dynamo_table),
    ("envoy.ssl_cipher", Some("listener"), |name| {
        last_word(name, &["listener"], ".ssl.ciphers")
    }),
    ("envoy.ssl_curve", None, |name| {
        last_word(name, EITHER, ".ssl.curves")
    }),
    ("envoy.ssl_sigalg", None, |name| {
        last_word(name, EITHER, ".ssl.sigalgs")
    }),
    ("envoy.ssl_version", None, last_tls_version),
    ("cipher_suite", Some("cluster"), cipher_suite),
    (
        "envoy.health_check_name",
        Some("cluster"),
        health_check_name,
    ),
    (
        "envoy.http_conn_manager_prefix",
        Some("listener"),
        listener_http_prefix,
    ),
    ("envoy.worker_id", None, worker_id),
    ("envoy.listener_address", Some("listener"), listener_address),
    ("envoy.rds_route_config", Some("http"), |name| {
        route_config(name, "rds", "/")
    }),
    ("envoy.scoped_rds_config", Some("http"), |name| {
        route_config(name, "scoped_rds", "")
    }),
    ("envoy.rbac_policy_name", Some("http"), rbac_policy_name),
    ("envoy.rbac_http_prefix", Some("http"), rbac_http_prefix),
    (
        "envoy.proxy_protocol_prefix",
        Some("proxy_proto"),
        proxy_protocol_prefix,
    ),
    (
        "envoy.proxy_protocol_version",
        Some("proxy_proto"),
        proxy_protocol_version,
    ),
    ("envoy.tls_certificate", None, tls_certificate),
    ("envoy.xds_resource_name", Some("sds"), xds_resource_name),
];

/// What token patterns find in Envoy.
pub(super) const TOKENS: &[(&str, &[Token])] = &[
    (
        "envoy.mongo_callsite",
        &[
            Word("mongo"),
            Any,
            Word("collection"),
            Any,
            Word("callsite"),
            Value,
            Word("query"),
            Rest,
        ],
    ),
    (
        "envoy.mongo_collection",
        &[
            Word("mongo"),
            Any,
            Word("collection"),
            Value,
            Rest,
            Word("query"),
            Any,
        ],
    ),
    (
        "envoy.mongo_cmd",
        &[Word("mongo"), Any, Word("cmd"), Value, Rest],
    ),
    (
        "envoy.grpc_bridge_method",
        &[Word("cluster"), Any, Word("grpc"), Any, Value, Rest],
    ),
    (
        "envoy.http_user_agent",
        &[Word("http"), Any, Word("user_agent"), Value, Rest],
    ),
    (
        "envoy.virtual_cluster",
        &[Word("vhost"), Any, Word("vcluster"), Value, Rest],
    ),
    (
        "envoy.fault_downstream_cluster",
        &[Word("http"), Any, Word("fault"), Value, Rest],
    ),
    (
        "envoy.grpc_bridge_service",
        &[Word("cluster"), Any, Word("grpc"), Value, Rest],
    ),
    ("envoy.tcp_prefix", &[Word("tcp"), Value, Rest]),
    ("envoy.udp_prefix", &[Word("udp"), Value, Rest]),
    (
        "envoy.clientssl_prefix",
        &[Word("auth"), Word("clientssl"), Value, Rest],
    ),
    ("envoy.ratelimit_prefix", &[Word("ratelimit"), Value, Rest]),
    ("envoy.cluster_name", &[Word("cluster"), Value, Rest]),
    (
        "envoy.ext_authz_prefix",
        &[Word("cluster"), Any, Word("ext_authz"), Value, Rest],
    ),
    (
        "envoy.ext_authz_prefix",
        &[Word("http"), Any, Word("ext_authz"), Value, Rest],
    ),
    (
        "envoy.http_conn_manager_prefix",
        &[Word("http"), Value, Rest],
    ),
    ("envoy.virtual_host", &[Word("vhost"), Value, Rest]),
    ("envoy.mongo_prefix", &[Word("mongo"), Value, Rest]),
    (
        "envoy.route",
        &[Word("vhost"), Any, Word("route"), Value, Rest],
    ),
    ("envoy.thrift_prefix", &[Word("thrift"), Value, Rest]),
    ("envoy.redis_prefix", &[Word("redis"), Value, Rest]),
    (
        "envoy.local_http_ratelimit_prefix",
        &[Value, Word("http_local_rate_limit"), Rest],
    ),
    (
        "envoy.local_network_ratelimit_prefix",
        &[Word("local_rate_limit"), Value, Rest],
    ),
    (
        "envoy.local_listener_ratelimit_prefix",
        &[Word("listener_local_ratelimit"), Value, Rest],
    ),
    (
        "envoy.dns_filter_prefix",
        &[Word("dns_filter"), Value, Rest],
    ),
    (
        "envoy.connection_limit_prefix",
        &[Word("connection_limit"), Value, Rest],
    ),
    ("envoy.rbac_prefix", &[Value, Word("rbac"), Rest]),
    (
        "envoy.google_grpc_client_prefix",
        &[Word("grpc"), Value, Rest],
    ),
];
