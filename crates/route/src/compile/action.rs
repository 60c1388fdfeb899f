//! `RouteAction`.

use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::Formatter;
use nuncio_config::api::core::RoutingPriority;
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::early_data::DefaultEarlyDataPolicy;
use nuncio_config::api::route::route_action::upgrade_config::ConnectConfig;
use nuncio_config::api::route::route_action::{
    ClusterNotFoundResponseCode, HostRewriteSpecifier, InternalRedirectAction, RequestMirrorPolicy,
    UpgradeConfig,
};
use nuncio_config::api::route::{HedgePolicy, RouteAction};
use nuncio_config::api::uri_template_rewrite::UriTemplateRewriteConfig;
use nuncio_config::{ConfigError, any, api, convert};
use nuncio_sdk::PerFilterConfig;

use super::{Scope, cluster};
use crate::action::{
    Action, ClusterSpecifier, Forward, HostRewrite, MaxStreamDuration, PathRewrite, Special,
};
use crate::hash_policy::HashPolicy;
use crate::internal_redirect::InternalRedirect;
use crate::matchers::HeaderName;
use crate::metadata_match;
use crate::mirror::MirrorPolicy;
use crate::problems::Problems;
use crate::regex::RegexRewrite;
use crate::retry::RetryPolicy;
use crate::template::Template;

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
            terminates_connect: false,
            terminates_post: false,
            append_x_forwarded_host: false,
            retry: None,
            metadata_match: None,
            hash_policy: None,
            special: None,
            path_rewrite: PathRewrite::None,
            host_rewrite: HostRewrite::None,
        }
    }
}

/// Compiles a `RouteAction`; `template` is the route's path template, `above` are the per-filter configurations of the
/// route and the levels above it.
pub(super) fn forward(
    config: &RouteAction,
    route_name: &str,
    template: Option<&str>,
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
        // As in Envoy, it has no effect.
        retry_policy_typed_config: _,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits,
        hash_policy,
        // Compiled with the filters' configurations of the route.
        cors: _,
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
    early_data(early_data_policy.as_ref(), problems);
    problems.refuse(!rate_limits.is_empty(), "rate_limits");
    problems.refuse(include_vh_rate_limits.is_some(), "include_vh_rate_limits");

    let metadata_match = metadata_match::from_config(metadata_match.as_ref());
    let cluster = cluster::compile(
        cluster_specifier.as_ref(),
        metadata_match.as_deref(),
        route_name,
        above,
        scope,
        problems,
    );
    let mut forward = Forward::to(cluster.unwrap_or(ClusterSpecifier::None));
    forward.metadata_match = metadata_match;
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
    let hash_policy = HashPolicy::from_config(hash_policy).map_err(|errors| {
        let at = |error: ConfigError| error.within("hash_policy");
        errors.into_iter().map(at).collect()
    });
    forward.retry = match retry_policy {
        Some(message) => {
            let policy = RetryPolicy::from_config(message).map_err(|errors| {
                let at = |error: ConfigError| error.within("retry_policy");
                errors.into_iter().map(at).collect()
            });
            problems.take_all(policy).map(Arc::new)
        }
        None => scope.retry.clone(),
    };
    forward.hash_policy = problems.take_all(hash_policy).flatten().map(Box::new);
    forward.upgrades = upgrades(upgrade_configs, problems);
    // Only CONNECT may have it.
    let connect = (upgrade_configs.iter()).find_map(|upgrade| upgrade.connect_config.as_ref());
    forward.terminates_connect = connect.is_some();
    forward.terminates_post = connect.is_some_and(|connect| connect.allow_post);
    forward.append_x_forwarded_host = *append_x_forwarded_host;
    let internal_redirect = match internal_redirect_policy {
        Some(policy) => {
            let policy = InternalRedirect::from_config(policy).map_err(|errors| {
                let at = |error: ConfigError| error.within("internal_redirect_policy");
                errors.into_iter().map(at).collect()
            });
            problems.take_all(policy)
        }
        // The older way to say it.
        None if *internal_redirect_action
            == InternalRedirectAction::HandleInternalRedirect as i32 =>
        {
            let max = max_internal_redirects.as_ref().map(|max| max.value);
            Some(InternalRedirect::of_action(max))
        }
        None => None,
    };
    let own_mirrors = mirrors(request_mirror_policies, scope, problems);
    let special = Special {
        mirrors: own_mirrors.unwrap_or_else(|| scope.mirrors.clone()),
        internal_redirect,
        hedge_on_per_try_timeout: hedge_policy.as_ref().map_or(scope.hedges, hedges),
    };
    let any_special = !special.mirrors.is_empty()
        || special.internal_redirect.is_some()
        || special.hedge_on_per_try_timeout;
    forward.special = any_special.then(|| Box::new(special));
    let rewrites = [
        !prefix_rewrite.is_empty(),
        regex_rewrite.is_some(),
        !path_rewrite.is_empty(),
        path_rewrite_policy.is_some(),
    ];
    if rewrites.into_iter().filter(|&set| set).count() > 1 {
        problems.add(
            "",
            "Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy",
        );
    }
    if !prefix_rewrite.is_empty() && template.is_some() {
        problems.add(
            "prefix_rewrite",
            "Cannot use prefix_rewrite with matcher extension",
        );
    }
    if let Some(config) = path_rewrite_policy {
        let rewrite = problems.within("path_rewrite_policy", |problems| {
            template_rewrite(config, template, problems)
        })?;
        forward.path_rewrite = PathRewrite::Regex(Box::new(rewrite));
    } else if !prefix_rewrite.is_empty() {
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

/// `early_data_policy` says which requests may be sent to HTTP/3 upstreams before the handshake is over: there are no
/// such upstreams.
fn early_data(config: Option<&TypedExtensionConfig>, problems: &mut Problems) {
    let Some(TypedExtensionConfig { name, typed_config }) = config else {
        return;
    };
    let config = typed_config.clone().unwrap_or_default();
    if !any::is::<DefaultEarlyDataPolicy>(&config) {
        problems.within("early_data_policy.typed_config", |problems| {
            problems.not_registered(name, &config);
        });
    }
}

/// `path_rewrite_policy`: what the groups of the route's template become.
fn template_rewrite(
    TypedExtensionConfig { name, typed_config }: &TypedExtensionConfig,
    template: Option<&str>,
    problems: &mut Problems,
) -> Option<RegexRewrite> {
    let config = typed_config.clone().unwrap_or_default();
    if !any::is::<UriTemplateRewriteConfig>(&config) {
        problems.within("typed_config", |problems| {
            problems.not_registered(name, &config);
        });
        return None;
    }
    let UriTemplateRewriteConfig {
        path_template_rewrite: rewrite,
    } = problems.take("typed_config", any::unpack(&config))?;
    let Some(text) = template else {
        problems.add(
            "",
            "unable to use envoy.path.rewrite.uri_template.uri_template_rewriter extension without \
             envoy.path.match.uri_template.uri_template_matcher extension",
        );
        return None;
    };
    // What is wrong with it was said where it stands.
    let template = Template::new(text).ok()?;
    let Ok(substitution) = template.substitution(&rewrite) else {
        let message = format!("path_rewrite_policy.path_template_rewrite {rewrite} is invalid");
        problems.add("typed_config.path_template_rewrite", message);
        return None;
    };
    let regex = format!("^{}$", template.regex);
    let rewriter =
        substitution.and_then(|substitution| RegexRewrite::new(&regex, &substitution).ok());
    if rewriter.is_none() {
        let message = format!(
            "mismatch between variables in path_match_policy {text} and path_rewrite_policy {rewrite}"
        );
        problems.add("typed_config.path_template_rewrite", message);
    }
    rewriter
}

/// `request_mirror_policies` of one level; `None` if there are none.
pub(super) fn mirrors(
    configs: &[RequestMirrorPolicy],
    scope: &Scope<'_>,
    problems: &mut Problems,
) -> Option<Arc<[MirrorPolicy]>> {
    let intern = |name: &str| {
        if scope.validate_clusters && !(scope.cx.known_cluster)(name) {
            let message = format!("route: unknown shadow cluster '{name}'");
            return Err(ConfigError::new("", message));
        }
        Ok(scope.cx.factory.server.cluster_names.intern(name))
    };
    if configs.is_empty() {
        return None;
    }
    let runtime = scope.cx.factory.server.runtime();
    let mirrors = problems.take_all(MirrorPolicy::all_from_config(configs, &runtime, &intern))?;
    (!mirrors.is_empty()).then_some(mirrors)
}

/// `hedge_policy`: as in Envoy, nothing but `hedge_on_per_try_timeout` has an effect.
pub(super) fn hedges(config: &HedgePolicy) -> bool {
    let HedgePolicy {
        initial_requests: _,
        additional_request_chance: _,
        hedge_on_per_try_timeout,
    } = config;
    *hedge_on_per_try_timeout
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
            if let Some(config) = connect_config {
                let ConnectConfig {
                    proxy_protocol_config,
                    // Read by the caller.
                    allow_post: _,
                } = config;
                if &*name == "connect" {
                    problems.refuse(
                        proxy_protocol_config.is_some(),
                        "connect_config.proxy_protocol_config",
                    );
                } else if &*name == "connect-udp" {
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
