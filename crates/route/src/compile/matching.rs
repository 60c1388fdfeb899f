//! `RouteMatch`.

use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::route::RouteMatch;
use nuncio_config::api::route::route_match::{
    ConnectMatcher, GrpcRouteMatchOptions, PathSpecifier, TlsContextMatchOptions,
};
use nuncio_config::api::uri_template_match::UriTemplateMatchConfig;
use nuncio_config::{any, convert};
use nuncio_sdk::Runtime;

use crate::matchers::{
    CookieMatcher, FilterStateMatcher, HeaderMatcher, MetadataMatcher, QueryParameterMatcher,
};
use crate::path::PathMatcher;
use crate::problems::Problems;
use crate::regex::Regex;
use crate::table::Conditions;
use crate::template::Template;

/// Compiles what a route matches: its path, and what else must hold.
pub(super) fn compile(
    config: &RouteMatch,
    runtime: &Runtime,
    problems: &mut Problems,
) -> Option<(PathMatcher, Option<Box<Conditions>>)> {
    let RouteMatch {
        case_sensitive,
        runtime_fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = config;
    let folded = !convert::bool_or(case_sensitive.as_ref(), true);
    let path = path_matcher(path_specifier.as_ref(), folded, problems);

    let mut conditions = Conditions::default();
    if let Some(share) = runtime_fraction {
        conditions.fraction = problems.take("runtime_fraction", runtime.share(share));
    }
    conditions.headers = problems
        .take_all(HeaderMatcher::all_from_config(headers, "headers"))
        .unwrap_or_default();
    conditions.query = problems.each(
        "query_parameters",
        query_parameters,
        QueryParameterMatcher::from_config,
    );
    conditions.cookies = problems.each("cookies", cookies, CookieMatcher::from_config);
    conditions.metadata = problems.each(
        "dynamic_metadata",
        dynamic_metadata,
        MetadataMatcher::from_config,
    );
    conditions.filter_state = problems.each(
        "filter_state",
        filter_state,
        FilterStateMatcher::from_config,
    );
    conditions.grpc = matches!(grpc, Some(GrpcRouteMatchOptions {}));
    if let Some(TlsContextMatchOptions {
        presented,
        validated,
    }) = tls_context
    {
        conditions.certificate_presented = presented.as_ref().map(|value| value.value);
        conditions.certificate_validated = validated.as_ref().map(|value| value.value);
    }
    let Conditions {
        fraction,
        grpc,
        headers,
        query,
        cookies,
        certificate_presented,
        certificate_validated,
        metadata,
        filter_state,
    } = &conditions;
    let any = fraction.is_some()
        || *grpc
        || !headers.is_empty()
        || !query.is_empty()
        || !cookies.is_empty()
        || certificate_presented.is_some()
        || certificate_validated.is_some()
        || !metadata.is_empty()
        || !filter_state.is_empty();
    Some((path?, any.then(|| Box::new(conditions))))
}

fn path_matcher(
    config: Option<&PathSpecifier>,
    folded: bool,
    problems: &mut Problems,
) -> Option<PathMatcher> {
    let bytes = |text: &str| Box::<[u8]>::from(text.as_bytes());
    Some(match (config, folded) {
        (None, _) => {
            problems.add("", "a path specifier is required");
            return None;
        }
        (Some(PathSpecifier::Prefix(text)), false) => PathMatcher::Prefix(bytes(text)),
        (Some(PathSpecifier::Prefix(text)), true) => PathMatcher::PrefixFolded(bytes(text)),
        (Some(PathSpecifier::Path(text)), false) => PathMatcher::Exact(bytes(text)),
        (Some(PathSpecifier::Path(text)), true) => PathMatcher::ExactFolded(bytes(text)),
        (Some(PathSpecifier::PathSeparatedPrefix(text)), folded) => {
            // Envoy's pattern: ^[^?#]+[^?#/]$
            if text.chars().count() < 2 || text.contains(['?', '#']) || text.ends_with('/') {
                let message = "value does not match regex pattern \"^[^?#]+[^?#/]$\"";
                problems.add("path_separated_prefix", message);
            }
            if folded {
                PathMatcher::SeparatedFolded(bytes(text))
            } else {
                PathMatcher::Separated(bytes(text))
            }
        }
        // Case sensitivity does not concern regexes.
        (Some(PathSpecifier::SafeRegex(regex)), _) => PathMatcher::Regex(Box::new(
            problems.take("safe_regex", Regex::from_config(regex))?,
        )),
        (Some(PathSpecifier::ConnectMatcher(ConnectMatcher {})), _) => PathMatcher::Connect,
        (Some(PathSpecifier::PathMatchPolicy(config)), _) => {
            problems.within("path_match_policy", |problems| template(config, problems))?
        }
    })
}

/// The regex of a template that RE2 would not take: nothing matches it, as in Envoy.
const NOTHING: &str = r"[^\x00-\x{10FFFF}]";

fn template(
    TypedExtensionConfig { name, typed_config }: &TypedExtensionConfig,
    problems: &mut Problems,
) -> Option<PathMatcher> {
    let config = typed_config.clone().unwrap_or_default();
    if !any::is::<UriTemplateMatchConfig>(&config) {
        problems.within("typed_config", |problems| {
            problems.not_registered(name, &config);
        });
        return None;
    }
    let UriTemplateMatchConfig { path_template } =
        problems.take("typed_config", any::unpack(&config))?;
    match Template::new(&path_template) {
        Ok(Template { regex, .. }) => {
            let regex = Regex::new(&regex).or_else(|_| Regex::new(NOTHING));
            Some(PathMatcher::Template(Box::new(regex.ok()?)))
        }
        Err(error) => {
            let message =
                format!("path_match_policy.path_template {path_template} is invalid: {error}");
            problems.add("typed_config.path_template", message);
            None
        }
    }
}

/// The template that a route matches by, if it does.
pub(super) fn template_of(config: Option<&RouteMatch>) -> Option<String> {
    let Some(PathSpecifier::PathMatchPolicy(extension)) = &config?.path_specifier else {
        return None;
    };
    let config: UriTemplateMatchConfig = any::unpack(extension.typed_config.as_ref()?).ok()?;
    Some(config.path_template)
}
