//! `RedirectAction` and `DirectResponseAction`.

use nuncio_access_log::{Format, Formatter};
use nuncio_config::api::core::DataSource;
use nuncio_config::api::route::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use nuncio_config::api::route::{DirectResponseAction, RedirectAction};
use nuncio_config::convert;

use super::Scope;
use crate::action::{Action, DirectResponse, PathRewrite, Redirect, RedirectPath};
use crate::problems::Problems;
use crate::regex::RegexRewrite;

/// Compiles a `RedirectAction`; `with_template` says whether the route matches by a path template.
pub(super) fn redirect(
    config: &RedirectAction,
    with_template: bool,
    problems: &mut Problems,
) -> Option<Action> {
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
            if with_template {
                problems.add(
                    "prefix_rewrite",
                    "Cannot use redirect.prefix_rewrite with path_match_policy",
                );
            }
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
    // A limit of 0 is none, as in Envoy.
    if scope.max_body > 0 && body.len() > scope.max_body as usize {
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
