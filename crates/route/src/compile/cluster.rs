//! Which cluster a route sends to.

use nuncio_config::api::route::WeightedCluster;
use nuncio_config::api::route::route_action::ClusterSpecifier as Config;
use nuncio_config::api::route::weighted_cluster::cluster_weight::HostRewriteSpecifier;
use nuncio_config::api::route::weighted_cluster::{ClusterWeight, RandomValueSpecifier};
use nuncio_sdk::runtime::RuntimeInteger;
use nuncio_sdk::{PerFilterConfig, ServerContext};

use super::{Scope, filters, mutations, plugin};
use crate::action::{Choice, Cluster, ClusterSpecifier, Weighted};
use crate::matchers::HeaderName;
use crate::metadata_match::{LB_NAMESPACE, MetadataMatch, merged};
use crate::problems::Problems;

/// Compiles the cluster specifier of a `RouteAction`; `above` are the per-filter configurations of the route and the
/// levels above it.
pub(super) fn compile(
    config: Option<&Config>,
    metadata_match: Option<&MetadataMatch>,
    route_name: &str,
    above: &[PerFilterConfig],
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<ClusterSpecifier> {
    match config {
        None => {
            problems.add("", "a cluster specifier is required");
            None
        }
        Some(Config::Cluster(name)) if name.is_empty() => {
            problems.add("cluster", "value length must be at least 1 characters");
            None
        }
        Some(Config::Cluster(name)) => Some(named(
            name,
            "cluster",
            "route: unknown cluster",
            scope,
            problems,
        )),
        Some(Config::ClusterHeader(name)) if name.is_empty() => {
            problems.add(
                "cluster_header",
                "value length must be at least 1 characters",
            );
            None
        }
        Some(Config::ClusterHeader(name)) => {
            Some(ClusterSpecifier::Header(HeaderName::of_request(name)))
        }
        Some(Config::WeightedClusters(config)) => problems
            .within("weighted_clusters", |problems| {
                weighted(config, metadata_match, route_name, above, scope, problems)
            })
            .map(ClusterSpecifier::Weighted),
        Some(Config::ClusterSpecifierPlugin(name)) => match scope.plugins.get(name) {
            Some(plugin) => plugin.clone().map(ClusterSpecifier::Matcher),
            None => {
                let message =
                    format!("Unknown cluster specifier plugin name: {name} is used in the route");
                problems.add("cluster_specifier_plugin", message);
                None
            }
        },
        Some(Config::InlineClusterSpecifierPlugin(config)) => problems
            .within("inline_cluster_specifier_plugin", |problems| {
                plugin::compile(config, scope.cx.factory.server, problems)
            })
            .map(ClusterSpecifier::Matcher),
    }
}

fn named(
    name: &str,
    field: &str,
    error: &str,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> ClusterSpecifier {
    if scope.validate_clusters && !(scope.cx.known_cluster)(name) {
        problems.add(field, format!("{error} '{name}'"));
    }
    ClusterSpecifier::Named(intern(name, scope.cx.factory.server))
}

/// The cluster of this name, which may be unknown yet.
pub(super) fn intern(name: &str, server: &ServerContext) -> Cluster {
    let names = &server.cluster_names;
    let id = names.intern(name);
    // The interned text is shared by all routes to the cluster.
    let name = names.name(id).unwrap_or_else(|| name.into());
    Cluster { id, name }
}

fn weighted(
    config: &WeightedCluster,
    metadata_match: Option<&MetadataMatch>,
    route_name: &str,
    above: &[PerFilterConfig],
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<Weighted> {
    #[expect(
        deprecated,
        reason = "Envoy takes `total_weight` and has no more use for it"
    )]
    let WeightedCluster {
        clusters,
        total_weight: _,
        runtime_key_prefix,
        random_value_specifier,
    } = config;
    if clusters.is_empty() {
        problems.add("clusters", "value must contain at least 1 item(s)");
        return None;
    }
    let choices = clusters.iter().enumerate().filter_map(|(index, config)| {
        problems.within(format_args!("clusters[{index}]"), |problems| {
            choice(
                config,
                runtime_key_prefix,
                metadata_match,
                above,
                scope,
                problems,
            )
        })
    });
    let choices: Box<[Choice]> = choices.collect();
    let weights = choices.iter().map(|choice| choice.weight.get());
    let sum = weights.fold(0, u64::saturating_add);
    let total = u32::try_from(sum).unwrap_or_default();
    if sum > u64::from(u32::MAX) {
        let message = format!(
            "The sum of weights of all weighted clusters of route {route_name} exceeds {}",
            u32::MAX
        );
        problems.add("", message);
    } else if total == 0 && choices.len() == clusters.len() {
        problems.add(
            "",
            "Sum of weights in the weighted_cluster must be greater than 0.",
        );
    }
    let (header, by_hash) = match random_value_specifier {
        None => (None, false),
        Some(RandomValueSpecifier::HeaderName(name)) => (Some(HeaderName::of_request(name)), false),
        Some(RandomValueSpecifier::UseHashPolicy(use_it)) => (None, use_it.value),
    };
    (total > 0).then_some(Weighted {
        choices,
        total,
        by_runtime: !runtime_key_prefix.is_empty(),
        header,
        by_hash,
    })
}

fn choice(
    config: &ClusterWeight,
    runtime_key_prefix: &str,
    route_match: Option<&MetadataMatch>,
    above: &[PerFilterConfig],
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<Choice> {
    let ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    } = config;
    let metadata_match = metadata_match
        .as_ref()
        .and_then(|metadata| metadata.filter_metadata.get(LB_NAMESPACE))
        .and_then(|fields| merged(route_match, fields));
    let mutations = mutations(
        (request_headers_to_add, request_headers_to_remove),
        (response_headers_to_add, response_headers_to_remove),
        problems,
    );
    let own = filters::compile(typed_per_filter_config, scope.cx.factory, problems);
    let cluster = match (name.is_empty(), cluster_header.is_empty()) {
        (false, true) => named(
            name,
            "name",
            "route: unknown weighted cluster",
            scope,
            problems,
        ),
        (true, false) => ClusterSpecifier::Header(HeaderName::of_request(cluster_header)),
        (true, true) => {
            problems.add(
                "",
                "At least one of name or cluster_header need to be specified",
            );
            return None;
        }
        (false, false) => {
            problems.add("", "Only one of name or cluster_header can be specified");
            return None;
        }
    };
    let Some(weight) = weight else {
        problems.add("weight", "Field 'weight' is missing");
        return None;
    };
    let host_rewrite = match host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) if !host.is_empty() => {
            Some(host.as_str().into())
        }
        _ => None,
    };
    Some(Choice {
        cluster,
        weight: match runtime_key_prefix.is_empty() {
            true => RuntimeInteger::fixed(u64::from(weight.value)),
            false => {
                let key = format!("{runtime_key_prefix}.{name}");
                let runtime = scope.cx.factory.server.runtime();
                runtime.integer(&key, u64::from(weight.value))
            }
        },
        mutations,
        filters: filters::added_to(above, own),
        host_rewrite,
        metadata_match,
    })
}
