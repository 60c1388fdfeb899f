//! `RouteAction`, `RedirectAction`, `DirectResponseAction`.

use std::time::Duration;

use nuncio_access_log::{Format, Formatter};
use nuncio_config::api::core::{DataSource, RoutingPriority};
use nuncio_config::api::route::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use nuncio_config::api::route::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier as ClusterConfig, HostRewriteSpecifier,
    InternalRedirectAction, UpgradeConfig,
};
use nuncio_config::api::route::weighted_cluster::cluster_weight::HostRewriteSpecifier as WeightHost;
use nuncio_config::api::route::weighted_cluster::{ClusterWeight, RandomValueSpecifier};
use nuncio_config::api::route::{
    DirectResponseAction, RedirectAction, RouteAction, WeightedCluster,
};
use nuncio_config::{api, convert};
use nuncio_sdk::PerFilterConfig;

use super::problems::Problems;
use super::{Scope, filters, mutations};
use crate::action::{
    Action, Choice, Cluster, ClusterSpecifier, DirectResponse, Forward, HostRewrite,
    MaxStreamDuration, PathRewrite, Redirect, RedirectPath, Weighted,
};
use crate::matchers::HeaderName;
use crate::regex::RegexRewrite;

/// `RouteAction.timeout`, unless configured.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

impl Forward {
    /// A route to `cluster` with nothing else configured.
    pub(super) fn to(cluster: ClusterSpecifier) -> Forward {
        Forward {
            cluster,
            cluster_not_found_status: 503,
            timeout: Some(DEFAULT_TIMEOUT),
            idle_timeout: None,
            flush_timeout: None,
            max_stream_duration: None,
            max_grpc_timeout: None,
            grpc_timeout_offset: None,
            high_priority: false,
            upgrades: Box::default(),
            append_x_forwarded_host: false,
            path_rewrite: PathRewrite::None,
            host_rewrite: HostRewrite::None,
        }
    }
}

/// Compiles a `RouteAction`; `above` are the per-filter configurations of the route and the levels above it.
pub(super) fn forward(
    config: &RouteAction,
    route_name: &str,
    above: &[PerFilterConfig],
    scope: &mut Scope<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    #[expect(deprecated, reason = "named so that a new field breaks the build")]
    let RouteAction {
        cluster_not_found_response_code,
        metadata_match,
        prefix_rewrite,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        timeout,
        idle_timeout,
        flush_timeout,
        early_data_policy,
        retry_policy,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits,
        // Only hashing load balancers use it, and those are refused.
        hash_policy: _,
        cors,
        max_grpc_timeout,
        grpc_timeout_offset,
        upgrade_configs,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration,
        cluster_specifier,
        host_rewrite_specifier,
    } = config;
    problems.refuse(metadata_match.is_some(), "metadata_match");
    problems.refuse(path_rewrite_policy.is_some(), "path_rewrite_policy");
    problems.refuse(early_data_policy.is_some(), "early_data_policy");
    problems.refuse(retry_policy.is_some(), "retry_policy");
    problems.refuse(
        retry_policy_typed_config.is_some(),
        "retry_policy_typed_config",
    );
    problems.refuse(
        !request_mirror_policies.is_empty(),
        "request_mirror_policies",
    );
    problems.refuse(!rate_limits.is_empty(), "rate_limits");
    problems.refuse(include_vh_rate_limits.is_some(), "include_vh_rate_limits");
    problems.refuse(cors.is_some(), "cors");
    problems.refuse(
        internal_redirect_policy.is_some(),
        "internal_redirect_policy",
    );
    let pass_through = InternalRedirectAction::PassThroughInternalRedirect as i32;
    problems.refuse(
        *internal_redirect_action != pass_through,
        "internal_redirect_action",
    );
    problems.refuse(max_internal_redirects.is_some(), "max_internal_redirects");
    problems.refuse(hedge_policy.is_some(), "hedge_policy");

    let cluster = cluster_specifier_of(
        cluster_specifier.as_ref(),
        route_name,
        above,
        scope,
        problems,
    );
    let mut forward = Forward::to(cluster.unwrap_or(ClusterSpecifier::None));
    forward.cluster_not_found_status =
        match ClusterNotFoundResponseCode::try_from(*cluster_not_found_response_code) {
            Ok(ClusterNotFoundResponseCode::ServiceUnavailable) => 503,
            Ok(ClusterNotFoundResponseCode::NotFound) => 404,
            Ok(ClusterNotFoundResponseCode::InternalServerError) => 500,
            Err(_) => {
                problems.add(
                    "cluster_not_found_response_code",
                    "value must be one of the defined enum values",
                );
                503
            }
        };
    forward.high_priority = match RoutingPriority::try_from(*priority) {
        Ok(priority) => priority == RoutingPriority::High,
        Err(_) => {
            problems.add("priority", "value must be one of the defined enum values");
            false
        }
    };
    let mut duration = |field: &str, value: Option<&api::protobuf::Duration>| {
        problems.take(field, convert::opt_duration(value)).flatten()
    };
    if let Some(timeout) = duration("timeout", timeout.as_ref()) {
        forward.timeout = (!timeout.is_zero()).then_some(timeout);
    }
    forward.idle_timeout = duration("idle_timeout", idle_timeout.as_ref());
    forward.flush_timeout = duration("flush_timeout", flush_timeout.as_ref());
    forward.max_grpc_timeout = duration("max_grpc_timeout", max_grpc_timeout.as_ref());
    forward.grpc_timeout_offset = duration("grpc_timeout_offset", grpc_timeout_offset.as_ref());
    if let Some(config) = max_stream_duration {
        let api::route::route_action::MaxStreamDuration {
            max_stream_duration: max,
            grpc_timeout_header_max: header_max,
            grpc_timeout_header_offset: header_offset,
        } = config;
        forward.max_stream_duration = Some(MaxStreamDuration {
            max: duration("max_stream_duration.max_stream_duration", max.as_ref()),
            grpc_timeout_header_max: duration(
                "max_stream_duration.grpc_timeout_header_max",
                header_max.as_ref(),
            ),
            grpc_timeout_header_offset: duration(
                "max_stream_duration.grpc_timeout_header_offset",
                header_offset.as_ref(),
            ),
        });
    }
    forward.upgrades = upgrades(upgrade_configs, problems);
    forward.append_x_forwarded_host = *append_x_forwarded_host;
    let rewrites = [
        !prefix_rewrite.is_empty(),
        regex_rewrite.is_some(),
        !path_rewrite.is_empty(),
    ];
    if rewrites.into_iter().filter(|&set| set).count() > 1 {
        problems.add(
            "",
            "Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy",
        );
    }
    if !prefix_rewrite.is_empty() {
        forward.path_rewrite = PathRewrite::Prefix(prefix_rewrite.as_str().into());
    } else if let Some(regex) = regex_rewrite {
        let regex = problems.take("regex_rewrite", RegexRewrite::from_config(regex))?;
        forward.path_rewrite = PathRewrite::Regex(Box::new(regex));
    } else if !path_rewrite.is_empty() {
        let format = problems.take("path_rewrite", Formatter::text(path_rewrite, true))?;
        forward.path_rewrite = PathRewrite::Format(Box::new(format));
    }
    forward.host_rewrite = host_rewrite(host_rewrite_specifier.as_ref(), problems)?;
    Some(Action::Forward(Box::new(forward)))
}

fn host_rewrite(
    config: Option<&HostRewriteSpecifier>,
    problems: &mut Problems,
) -> Option<HostRewrite> {
    Some(match config {
        None => HostRewrite::None,
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) if host.is_empty() => {
            HostRewrite::None
        }
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => {
            HostRewrite::Literal(host.as_str().into())
        }
        Some(HostRewriteSpecifier::AutoHostRewrite(auto)) if auto.value => HostRewrite::Auto,
        Some(HostRewriteSpecifier::AutoHostRewrite(_)) => HostRewrite::None,
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) if name.is_empty() => HostRewrite::None,
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) => {
            HostRewrite::Header(HeaderName::of_request(name))
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(regex)) => {
            let regex =
                problems.take("host_rewrite_path_regex", RegexRewrite::from_config(regex))?;
            HostRewrite::PathRegex(Box::new(regex))
        }
        // A missing value prints as `-` here, unlike in `path_rewrite`.
        Some(HostRewriteSpecifier::HostRewrite(format)) => HostRewrite::Format(Box::new(
            problems.take("host_rewrite", Formatter::text(format, false))?,
        )),
    })
}

fn upgrades(configs: &[UpgradeConfig], problems: &mut Problems) -> Box<[(Box<str>, bool)]> {
    let mut all: Vec<(Box<str>, bool)> = Vec::with_capacity(configs.len());
    for (
        index,
        UpgradeConfig {
            upgrade_type,
            enabled,
            connect_config,
        },
    ) in configs.iter().enumerate()
    {
        problems.within(format_args!("upgrade_configs[{index}]"), |problems| {
            let name: Box<str> = upgrade_type.to_ascii_lowercase().into();
            if connect_config.is_some() {
                if matches!(&*name, "connect" | "connect-udp") {
                    problems.refuse(true, "connect_config");
                } else {
                    let message =
                        format!("Non-CONNECT upgrade type {upgrade_type} has ConnectConfig");
                    problems.add("connect_config", message);
                }
            }
            if all.iter().any(|(other, _)| *other == name) {
                problems.add("upgrade_type", format!("Duplicate upgrade {upgrade_type}"));
            }
            all.push((name, convert::bool_or(enabled.as_ref(), true)));
        });
    }
    all.into()
}

fn cluster_specifier_of(
    config: Option<&ClusterConfig>,
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
        Some(ClusterConfig::Cluster(name)) if name.is_empty() => {
            problems.add("cluster", "value length must be at least 1 characters");
            None
        }
        Some(ClusterConfig::Cluster(name)) => Some(named(
            name,
            "cluster",
            "route: unknown cluster",
            scope,
            problems,
        )),
        Some(ClusterConfig::ClusterHeader(name)) if name.is_empty() => {
            problems.add(
                "cluster_header",
                "value length must be at least 1 characters",
            );
            None
        }
        Some(ClusterConfig::ClusterHeader(name)) => {
            Some(ClusterSpecifier::Header(HeaderName::of_request(name)))
        }
        Some(ClusterConfig::WeightedClusters(config)) => problems
            .within("weighted_clusters", |problems| {
                weighted(config, route_name, above, scope, problems)
            })
            .map(ClusterSpecifier::Weighted),
        Some(ClusterConfig::ClusterSpecifierPlugin(_)) => {
            problems.refuse(true, "cluster_specifier_plugin");
            None
        }
        Some(ClusterConfig::InlineClusterSpecifierPlugin(_)) => {
            problems.refuse(true, "inline_cluster_specifier_plugin");
            None
        }
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
    let names = &scope.cx.factory.server.cluster_names;
    let id = names.intern(name);
    // The interned text is shared by all routes to the cluster.
    let name = names.name(id).unwrap_or_else(|| name.into());
    ClusterSpecifier::Named(Cluster { id, name })
}

fn weighted(
    config: &WeightedCluster,
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
        // There is no runtime layer that could set the keys.
        runtime_key_prefix: _,
        random_value_specifier,
    } = config;
    if clusters.is_empty() {
        problems.add("clusters", "value must contain at least 1 item(s)");
        return None;
    }
    let choices = clusters.iter().enumerate().filter_map(|(index, config)| {
        problems.within(format_args!("clusters[{index}]"), |problems| {
            choice(config, above, scope, problems)
        })
    });
    let choices: Box<[Choice]> = choices.collect();
    let sum: u64 = choices.iter().map(|choice| u64::from(choice.weight)).sum();
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
    let header = match random_value_specifier {
        None => None,
        Some(RandomValueSpecifier::HeaderName(name)) => Some(HeaderName::of_request(name)),
        Some(RandomValueSpecifier::UseHashPolicy(use_it)) => {
            problems.refuse(use_it.value, "use_hash_policy");
            None
        }
    };
    (total > 0).then_some(Weighted {
        choices,
        total,
        header,
    })
}

fn choice(
    config: &ClusterWeight,
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
    problems.refuse(metadata_match.is_some(), "metadata_match");
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
        Some(WeightHost::HostRewriteLiteral(host)) if !host.is_empty() => {
            Some(host.as_str().into())
        }
        _ => None,
    };
    Some(Choice {
        cluster,
        weight: weight.value,
        mutations,
        filters: filters::added_to(above, own),
        host_rewrite,
    })
}

/// Compiles a `RedirectAction`.
pub(super) fn redirect(config: &RedirectAction, problems: &mut Problems) -> Option<Action> {
    let RedirectAction {
        host_redirect,
        port_redirect,
        response_code,
        strip_query,
        scheme_rewrite_specifier,
        path_rewrite_specifier,
    } = config;
    let status = match RedirectResponseCode::try_from(*response_code) {
        Ok(RedirectResponseCode::MovedPermanently) => 301,
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        Err(_) => {
            problems.add(
                "response_code",
                "value must be one of the defined enum values",
            );
            301
        }
    };
    let scheme = match scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https"),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) if !scheme.is_empty() => {
            Some(scheme.as_str())
        }
        _ => None,
    };
    let path = match path_rewrite_specifier {
        None => RedirectPath::Same,
        Some(PathRewriteSpecifier::PathRedirect(path)) if path.is_empty() => RedirectPath::Same,
        Some(PathRewriteSpecifier::PathRedirect(path)) => {
            RedirectPath::Replace(path.as_str().into())
        }
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) if prefix.is_empty() => {
            RedirectPath::Same
        }
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            RedirectPath::Rewrite(PathRewrite::Prefix(prefix.as_str().into()))
        }
        Some(PathRewriteSpecifier::RegexRewrite(regex)) => {
            let regex = problems.take("regex_rewrite", RegexRewrite::from_config(regex))?;
            RedirectPath::Rewrite(PathRewrite::Regex(Box::new(regex)))
        }
        Some(PathRewriteSpecifier::PathRewrite(format)) => {
            let format = problems.take("path_rewrite", Formatter::text(format, true))?;
            RedirectPath::Rewrite(PathRewrite::Format(Box::new(format)))
        }
    };
    Some(Action::Redirect(Box::new(Redirect {
        status,
        scheme: scheme.map(Into::into),
        host: host_redirect.as_str().into(),
        port: (*port_redirect != 0).then_some(*port_redirect),
        path,
        strip_query: *strip_query,
    })))
}

/// Compiles a `DirectResponseAction`.
pub(super) fn direct_response(
    config: &DirectResponseAction,
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<Action> {
    let DirectResponseAction {
        status,
        body,
        body_format,
    } = config;
    if !(200..600).contains(status) {
        problems.add("status", "value must be inside range [200, 600)");
    }
    let body = match body {
        None => Vec::new(),
        // Envoy leaves the body empty when nothing is specified.
        Some(DataSource {
            specifier: None,
            watched_directory: None,
        }) => Vec::new(),
        Some(source) => problems.take("body", convert::data_source(source))?,
    };
    if body.len() > scope.max_body as usize {
        let message = format!(
            "response body size is {} bytes; maximum is {}",
            body.len(),
            scope.max_body
        );
        problems.add("body", message);
    }
    let format = match body_format {
        None => None,
        Some(config) => Some(Box::new(problems.take("body_format", Format::new(config))?)),
    };
    Some(Action::DirectResponse(Box::new(DirectResponse {
        status: *status as u16,
        body: body.into(),
        format,
    })))
}
