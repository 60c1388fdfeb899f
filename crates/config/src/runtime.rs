//! The layered runtime: what Envoy refuses of it at load, and keys that Envoy reads and Nuncio does not.

use std::{collections::HashSet, path::Path};

use crate::{
    ConfigError, Within,
    api::{
        bootstrap::{Bootstrap, LayeredRuntime, runtime_layer::LayerSpecifier},
        protobuf::{Struct, value::Kind},
    },
};

/// Keys, and beginnings of keys (with a dot at their end), that Envoy reads and nothing here does.
const NOT_READ: &[&str] = &[
    "envoy.disallow_global_stats",
    "envoy.do_not_validate_alpn_config",
    "envoy.features.enable_all_deprecated_features",
    "envoy.features.fail_on_any_deprecated_feature",
    "envoy.reloadable_features.max_request_headers_count",
    "envoy.reloadable_features.max_request_headers_size_kb",
    "envoy.reloadable_features.max_response_headers_count",
    "envoy.reloadable_features.max_response_headers_size_kb",
    "envoy.uhv.",
    "http_connection_manager.",
    "ip_tagging.",
    "overload.global_downstream_max_connections",
    "ratelimit.",
    "redis.",
    "tracing.",
    "upstream.use_http3",
];

/// Guards of Envoy 1.40 that are off unless a layer turns them on; all others are on.
const OFF: &[&str] = &[
    "envoy.reloadable_features.abort_when_accessing_dead_decoder",
    "envoy.reloadable_features.allow_multiplexed_upstream_half_close",
    "envoy.reloadable_features.connection_close_through_filter_manager",
    "envoy.reloadable_features.dns_cache_filter_unusable_ip_version",
    "envoy.reloadable_features.dns_cache_set_ip_version_to_remove",
    "envoy.reloadable_features.drain_pools_on_network_change",
    "envoy.reloadable_features.enable_new_dns_implementation",
    "envoy.reloadable_features.enable_universal_header_validator",
    "envoy.reloadable_features.ext_proc_graceful_grpc_close",
    "envoy.reloadable_features.fixed_heap_use_allocated",
    "envoy.reloadable_features.getaddrinfo_no_ai_flags",
    "envoy.reloadable_features.google_grpc_disable_tls_13",
    "envoy.reloadable_features.http3_happy_eyeballs",
    "envoy.reloadable_features.http_11_proxy_connect_legacy_format",
    "envoy.reloadable_features.http_inspector_use_balsa_parser",
    "envoy.reloadable_features.log_ip_families_on_network_error",
    "envoy.reloadable_features.quic_no_tcp_delay",
    "envoy.reloadable_features.quic_reject_all",
    "envoy.reloadable_features.reject_early_connect_data",
    "envoy.reloadable_features.remove_legacy_route_formatter",
    "envoy.reloadable_features.reresolve_if_no_connections",
    "envoy.reloadable_features.reresolve_null_addresses",
    "envoy.reloadable_features.reverse_conn_force_local_reply",
    "envoy.reloadable_features.runtime_initialized",
    "envoy.reloadable_features.test_feature_false",
    "envoy.reloadable_features.unified_mux",
    "envoy.reloadable_features.always_use_v6",
    "envoy.reloadable_features.use_canonical_suffix_for_initial_rtt_estimate",
    "envoy.reloadable_features.use_canonical_suffix_for_quic_brokenness",
    "envoy.reloadable_features.use_canonical_suffix_for_srtt",
    "envoy.reloadable_features.xdstp_based_config_singleton_subscriptions",
    "envoy.restart_features.upstream_http_filters_with_tcp_proxy",
    "envoy.restart_features.use_cached_grpc_client_for_xds",
    "envoy.restart_features.xds_failover_support",
];

/// Refuses what Envoy refuses, and values that would be ignored.
pub(crate) fn check(bootstrap: &Bootstrap) -> Vec<ConfigError> {
    let Some(LayeredRuntime { layers }) = &bootstrap.layered_runtime else {
        return Vec::new();
    };
    let mut names = HashSet::new();
    let mut errors = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let mut found = Vec::new();
        if !names.insert(&layer.name) {
            found.push(ConfigError::new(
                "name",
                format!("Duplicate layer name: {}", layer.name),
            ));
        }
        match &layer.layer_specifier {
            Some(LayerSpecifier::StaticLayer(values)) => values_of("", values, &mut found),
            Some(LayerSpecifier::DiskLayer(disk)) => found.extend(watched(&disk.symlink_root)),
            _ => {}
        }
        errors.extend(found.into_iter().map(|error| {
            Err::<(), _>(error)
                .within_index("layers", index)
                .within("layered_runtime")
                .unwrap_err()
        }));
    }
    if layers
        .iter()
        .filter(|l| matches!(l.layer_specifier, Some(LayerSpecifier::AdminLayer(_))))
        .count()
        > 1
    {
        errors.push(ConfigError::new(
            "layered_runtime",
            "Too many admin layers specified in LayeredRuntime, at most one may be specified",
        ));
    }
    errors
}

/// What stands against watching this link: the directory that it is in must exist.
fn watched(link: &str) -> Option<ConfigError> {
    let problem = match link.rsplit_once('/') {
        None => format!("invalid file path {link}"),
        Some((directory, _)) if directory.is_empty() || Path::new(directory).is_dir() => {
            return None;
        }
        Some(_) => {
            format!("unable to add filesystem watch for file {link}: No such file or directory")
        }
    };
    let remedy = "the path of a link (or directory) in a directory that exists";
    Some(ConfigError::new("disk_layer.symlink_root", problem).with_remedy(remedy))
}

fn values_of(prefix: &str, message: &Struct, errors: &mut Vec<ConfigError>) {
    let mut values: Vec<_> = message.fields.iter().collect();
    values.sort_by_key(|(key, _)| *key);
    for (key, value) in values {
        let key = format!("{prefix}{key}");
        let is_value = |fields: &Struct| {
            let has = |name| fields.fields.contains_key(name);
            fields.fields.is_empty() || has("numerator") || has("denominator")
        };
        let problem = match &value.kind {
            Some(Kind::StructValue(nested)) if !is_value(nested) => {
                values_of(&format!("{key}."), nested, errors);
                None
            }
            Some(Kind::ListValue(_) | Kind::NullValue(_)) | None => Some(ConfigError::new(
                "",
                format!("Invalid runtime entry value for {key}"),
            )),
            kind => not_read(&key, kind.as_ref()),
        };
        errors.extend(problem.map(|error| error.within(format_args!("static_layer[{key:?}]"))));
    }
}

/// Whether Envoy reads this runtime key, and nothing here does.
pub fn is_unread_runtime_key(key: &str) -> bool {
    let known = |known: &&str| key == *known || known.ends_with('.') && key.starts_with(*known);
    NOT_READ.iter().any(known)
}

/// Why a value of this key would be ignored, if it would.
fn not_read(key: &str, value: Option<&Kind>) -> Option<ConfigError> {
    if is_unread_runtime_key(key) {
        return Some(
            ConfigError::new("", "unsupported: nothing reads this runtime key yet")
                .with_remedy("remove the value; what it sets then has its default"),
        );
    }
    let is_guard =
        key.starts_with("envoy.reloadable_features.") || key.starts_with("envoy.restart_features.");
    let set = match value {
        Some(Kind::BoolValue(set)) => *set,
        Some(Kind::NumberValue(number)) => *number != 0.0,
        _ => return None,
    };
    (is_guard && set == OFF.contains(&key)).then(|| {
        ConfigError::new(
            "",
            "unsupported: only the default of this guard is implemented",
        )
        .with_remedy(format!("remove the value; the default is {}", !set))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        bootstrap::RuntimeLayer,
        protobuf::{Struct, Value},
    };

    type Layer<'a> = (&'a str, &'a [(&'a str, Option<Kind>)]);

    fn errors(layers: &[Layer<'_>]) -> Vec<String> {
        let layers = layers.iter().map(|(name, values)| {
            let mut fields = Struct::default();
            fields.fields.extend(
                values
                    .iter()
                    .map(|(key, kind)| ((*key).to_owned(), Value { kind: kind.clone() })),
            );
            RuntimeLayer {
                name: (*name).into(),
                layer_specifier: Some(LayerSpecifier::StaticLayer(fields)),
            }
        });
        let layered_runtime = Some(LayeredRuntime {
            layers: layers.collect(),
        });
        check(&Bootstrap {
            layered_runtime,
            ..Default::default()
        })
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    #[test]
    fn layers_must_be_named_apart() {
        assert!(errors(&[("a", &[]), ("b", &[])]).is_empty());
        assert_eq!(
            errors(&[("a", &[]), ("a", &[])]),
            ["layered_runtime.layers[1].name: Duplicate layer name: a"]
        );
        assert_eq!(
            errors(&[("a", &[("foo", Some(Kind::NullValue(0)))])]),
            [
                "layered_runtime.layers[0].static_layer[\"foo\"]: Invalid runtime entry value for foo"
            ]
        );
    }

    #[test]
    fn what_nothing_would_read_is_refused() {
        let of = |key, kind| errors(&[("a", &[(key, Some(kind))])]);
        assert!(of("foo", Kind::BoolValue(true)).is_empty());
        assert!(of("upstream.use_retry", Kind::NumberValue(5.0)).is_empty());
        assert!(of("tracing.random_sampling", Kind::NumberValue(5.0))[0].contains("nothing reads"));
        let guard = "envoy.reloadable_features.use_connection_event_drain";
        assert!(of(guard, Kind::BoolValue(true)).is_empty());
        assert!(of(guard, Kind::BoolValue(false))[0].contains("only the default"));
        let off = "envoy.restart_features.xds_failover_support";
        assert!(of(off, Kind::BoolValue(false)).is_empty());
        assert!(of(off, Kind::BoolValue(true))[0].contains("static_layer[\"envoy.restart"));
    }
}
