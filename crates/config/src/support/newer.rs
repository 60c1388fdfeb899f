//! What Envoy 1.40 knows and the descriptor set of `envoy-types` does not: refused as unsupported rather than as a slip of
//! the pen. An entry becomes superfluous when a later `envoy-types` brings it.

/// Messages that arrive in an `Any`.
const MESSAGES: &[&str] = &[
    "envoy.extensions.http.ai_filters.schema_validation.v3.SchemaValidation",
    "envoy.extensions.http.ai_filters.transcoder.v3.Transcoder",
    "envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier",
    "envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupsOverride",
    "envoy.extensions.router.route_specifiers.dynamic_modules.v3.DynamicModuleRouteSpecifier",
    "envoy.extensions.transport_sockets.tls.handshakers.dynamic_modules.v3.DynamicModuleTlsHandshaker",
    "xds.type.matcher.v3.CelMatcher",
    "xds.type.matcher.v3.DomainMatcher",
    "xds.type.matcher.v3.HttpAttributesCelMatchInput",
];

/// Fields, as `message.field`.
const FIELDS: &[&str] = &[
    "envoy.config.core.v3.HealthCheck.HttpHealthCheck.use_alpn_protocol",
    "envoy.config.metrics.v3.DogStatsdSink.scale_histogram_units_to_milliseconds",
    "envoy.config.metrics.v3.StatsdSink.scale_histogram_units_to_milliseconds",
    "envoy.extensions.clusters.mcp_multicluster.v3.ClusterConfig.McpBackend.header_forwarding",
    "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.RateLimitOverride.unit_multiplier",
    "envoy.extensions.filters.http.ai_protocol_manager.v3.RequestHandling.reserialize_body",
    "envoy.extensions.filters.http.ai_protocol_manager.v3.RequestPerRoute.llm_protocol",
    "envoy.extensions.filters.http.ai_protocol_manager.v3.ResponsePerRoute.llm_protocol",
    "envoy.extensions.filters.http.ai_protocol_manager.v3.TokenUsageExtraction.default_llm_protocol",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuth.realm",
    "envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute.realm",
    "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.clear_route_cache_headers",
    "envoy.extensions.filters.http.gcp_authn.v3.Audience.AccessToken.scopes",
    "envoy.extensions.filters.http.gcp_authn.v3.Audience.BoundAccessToken.scopes",
    "envoy.extensions.filters.http.header_mutation.v3.Mutations.formatters",
    "envoy.extensions.filters.http.lua.v3.Lua.shared_vm_id",
    "envoy.extensions.filters.http.lua.v3.LuaPerRoute.shared_vm_id",
    "envoy.extensions.filters.http.mcp.v3.Mcp.max_supported_protocol_version",
    "envoy.extensions.filters.http.mcp_json_rest_bridge.v3.ServerInfo.server_discovery_cache_config",
    "envoy.extensions.filters.http.mcp_router.v3.McpRouter.McpBackend.header_forwarding",
    "envoy.extensions.filters.http.oauth2.v3.OAuth2Config.token_cookie_chunking",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.record_route_resolution_stats",
    "envoy.extensions.filters.network.reverse_tunnel.v3.ReverseTunnel.handshake_timeout",
    "envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig.UdpTunnelingConfig.formatters",
    "envoy.extensions.http.ai_filters.request_info.v3.RequestInfo.token_estimation",
    "envoy.extensions.load_balancing_policies.load_aware_locality.v3.LoadAwareLocality.oob_reporting_config",
    "envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink.scale_histogram_units_to_milliseconds",
    "envoy.type.tracing.v3.CustomTag.value_type",
];

/// Whether Envoy 1.40 knows a message that the schema lacks.
pub(crate) fn is_newer_message(name: &str) -> bool {
    MESSAGES.contains(&name)
}

/// Whether Envoy 1.40 knows a field that the schema lacks, by its proto name.
pub(crate) fn is_newer_field(message: &str, field: &str) -> bool {
    FIELDS.iter().any(|known| {
        known
            .strip_prefix(message)
            .and_then(|rest| rest.strip_prefix('.'))
            == Some(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::MessageType;

    #[test]
    fn no_entry_is_superfluous() {
        for name in MESSAGES {
            assert!(MessageType::find(name).is_none(), "{name}");
        }
        for path in FIELDS {
            let (message, field) = path.rsplit_once('.').unwrap();
            let message = MessageType::find(message).unwrap_or_else(|| panic!("{path}"));
            assert!(message.field_by_name(field).is_none(), "{path}");
            assert!(is_newer_field(message.name(), field));
        }
    }
}
