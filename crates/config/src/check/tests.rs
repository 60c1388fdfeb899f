use super::*;
use crate::{
    decode::decode,
    front::{Syntax, parse},
};

fn findings(text: &str) -> Findings {
    let tree = parse(Syntax::Yaml, text).unwrap();
    let message = MessageType::find("envoy.config.bootstrap.v3.Bootstrap").unwrap();
    let decoded = decode(message, tree.root(), Syntax::Yaml, false, &[]);
    assert_eq!(decoded.errors, []);
    check(message, &decoded.wire)
}

fn errors(text: &str) -> Vec<String> {
    findings(text)
        .errors
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// The innermost part of the first violation.
fn cause(text: &str) -> String {
    let all = errors(text);
    let violation = all
        .iter()
        .find(|e| e.contains("Proto constraint"))
        .unwrap_or_else(|| panic!("{text}: {all:?}"));
    violation
        .rsplit("caused by ")
        .next()
        .unwrap()
        .rsplit("validation failed (")
        .next()
        .unwrap()
        .to_owned()
}

fn cluster(fields: &str) -> String {
    format!("static_resources: {{clusters: [{{name: a, {fields}}}]}}")
}

#[test]
fn violations_are_told_as_envoy_tells_them() {
    let all = errors(&cluster("connect_timeout: 0s"));
    assert_eq!(
        all,
        [
            "static_resources.clusters[0].connect_timeout: Proto constraint validation failed \
          (BootstrapValidationError.StaticResources: embedded message failed validation | caused by \
          StaticResourcesValidationError.Clusters[0]: embedded message failed validation | caused by \
          ClusterValidationError.ConnectTimeout: value must be greater than 0s)"
        ]
    );
}

#[test]
fn every_kind_of_rule() {
    for (fields, expected) in [
        (
            "lb_subset_config: {fallback_policy: 9}",
            "LbSubsetConfigValidationError.FallbackPolicy: value must be one of the defined enum values)",
        ),
        (
            "lb_policy: 99",
            "ClusterValidationError.LbPolicy: value must be one of the defined enum values)",
        ),
        (
            "outlier_detection: {max_ejection_percent: 101}",
            "OutlierDetectionValidationError.MaxEjectionPercent: value must be less than or equal to 100)",
        ),
        (
            "common_lb_config: {healthy_panic_threshold: {value: 101}}",
            "PercentValidationError.Value: value must be inside range [0, 100])",
        ),
        (
            "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 5}}",
            "ConsistentHashingLbConfigValidationError.HashBalanceFactor: value must be greater than or equal to 100)",
        ),
        (
            "health_checks: [{}]",
            "HealthCheckValidationError.Timeout: value is required)",
        ),
        (
            "health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1}]",
            "field: \"health_checker\", reason: is required) (set one of http_health_check, tcp_health_check, grpc_health_check, custom_health_check)",
        ),
        (
            "load_assignment: {}",
            "ClusterLoadAssignmentValidationError.ClusterName: value length must be at least 1 characters)",
        ),
        (
            "dns_refresh_rate: 0.0005s",
            "ClusterValidationError.DnsRefreshRate: value must be greater than 1ms)",
        ),
        (
            "load_assignment: {cluster_name: a, named_endpoints: {b: {address: {}}}}",
            "field: \"address\", reason: is required) (set one of socket_address, pipe, envoy_internal_address)",
        ),
    ] {
        assert_eq!(cause(&cluster(fields)), expected);
    }
    for (text, expected) in [
        (
            "stats_flush_interval: 0s",
            "BootstrapValidationError.StatsFlushInterval: value must be inside range [1ms, 5m0s))",
        ),
        (
            "admin: {access_log: [{filter: {response_flag_filter: {flags: [LH, XX]}}}]}",
            "ResponseFlagFilterValidationError.Flags[1]: value must be in list [LH UH UT LR UR UF UC UO NR DI FI RL UAEX RLSE DC URX SI IH DPE UMSDR RFCF NFCF DT UPE NC OM DF DO DR UDO])",
        ),
        (
            "admin: {access_log: [{filter: {and_filter: {filters: [{not_health_check_filter: {}}]}}}]}",
            "AndFilterValidationError.Filters: value must contain at least 2 item(s))",
        ),
        (
            "admin: {access_log: [{filter: {header_filter: {header: {name: \"a\\nb\"}}}}]}",
            "HeaderMatcherValidationError.Name: value does not match regex pattern \"^[^\\x00\\n\\r]*$\")",
        ),
        (
            "static_resources: {listeners: [{filter_chains: [{filter_chain_match: {source_ports: [1, 0]}}]}]}",
            "FilterChainMatchValidationError.SourcePorts[1]: value must be inside range [1, 65535])",
        ),
        (
            "static_resources: {listeners: [{filter_chains: [{filter_chain_match: {destination_port: 0}}]}]}",
            "FilterChainMatchValidationError.DestinationPort: value must be inside range [1, 65535])",
        ),
    ] {
        assert_eq!(cause(text), expected);
    }
}

#[test]
fn an_any_is_a_root_of_its_own() {
    let hcm = "'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let all = errors(&format!(
        "static_resources: {{listeners: [{{filter_chains: [{{filters: [{{name: x, typed_config: {{{hcm}}}}}]}}]}}]}}"
    ));
    assert_eq!(
        all[0],
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix: Proto constraint validation failed \
         (HttpConnectionManagerValidationError.StatPrefix: value length must be at least 1 characters)"
    );
}

#[test]
fn what_is_not_supported_is_refused_with_its_path() {
    assert_eq!(
        errors(&cluster(
            "type: STATIC, upstream_http_protocol_options: {}, lb_policy: ROUND_ROBIN"
        )),
        [
            "static_resources.clusters[0].upstream_http_protocol_options: unsupported: Cluster.upstream_http_protocol_options is not supported yet (remove the field)"
        ]
    );
    // The default value of a plain field is no setting.
    assert!(errors("flags_path: ''").is_empty());
    let tls = "transport_socket: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, sni: x}}";
    let all = errors(&cluster(tls));
    assert_eq!(all.len(), 1);
    assert!(all[0].contains("transport_socket.typed_config: unsupported: envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"), "{all:?}");
    assert!(
        all[0]
            .contains("supported here: envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
        "{all:?}"
    );
}

#[test]
fn deprecated_fields_are_warned_of() {
    let found = findings(&cluster("max_requests_per_connection: 5"));
    assert!(found.errors.is_empty());
    assert!(found.warnings[0].message.starts_with(
        "Using deprecated option 'envoy.config.cluster.v3.Cluster.max_requests_per_connection'"
    ));
}
