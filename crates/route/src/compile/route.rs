//! `Route`.

use nuncio_config::api;
use nuncio_config::api::route::route::Action as Config;
use nuncio_config::api::route::{FilterAction, NonForwardingAction};
use nuncio_sdk::PerFilterConfig;

use super::{Scope, action, answer, filters, matching, metadata_of, mutations};
use crate::action::{Action, ClusterSpecifier, Forward};
use crate::problems::Problems;
use crate::table::{BodyLimits, Extras, Route};

/// Compiles a route of the virtual host `virtual_host`; `above` are the per-filter configurations of the levels above.
pub(super) fn compile(
    config: &api::route::Route,
    virtual_host: u32,
    above: &[PerFilterConfig],
    scope: &mut Scope<'_>,
    problems: &mut Problems,
) -> Option<Route> {
    #[expect(deprecated, reason = "named so that a new field breaks the build")]
    let api::route::Route {
        name,
        r#match,
        metadata,
        // Both concern tracing only, and that is refused.
        decorator: _,
        tracing: _,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        per_request_buffer_limit_bytes,
        stat_prefix,
        request_body_buffer_limit,
        route_specifiers,
        action,
    } = config;
    problems.refuse(!route_specifiers.is_empty(), "route_specifiers");
    let mutations = mutations(
        (request_headers_to_add, request_headers_to_remove),
        (response_headers_to_add, response_headers_to_remove),
        problems,
    );
    let mut own = filters::compile(typed_per_filter_config, scope.cx.factory, problems);
    if let Some(Config::Route(action)) = action {
        #[expect(deprecated, reason = "older configurations have this field")]
        let cors = action.cors.as_ref();
        let cors = problems.within("route", |problems| {
            filters::cors(cors, scope.cx.factory, problems)
        });
        own.extend(cors);
    }
    let filters = filters::added_to(above, own);
    let matching = match r#match {
        None => {
            problems.add("match", "value is required");
            None
        }
        Some(config) => problems.within("match", |problems| {
            matching::compile(config, &scope.cx.factory.server.runtime(), problems)
        }),
    };
    let levels = filters.as_deref().unwrap_or(above);
    let template = matching::template_of(r#match.as_ref());
    let action = match action {
        None => {
            problems.add("", "an action is required");
            None
        }
        Some(Config::Route(config)) => problems.within("route", |problems| {
            action::forward(config, name, template.as_deref(), levels, scope, problems)
        }),
        Some(Config::Redirect(config)) => problems.within("redirect", |problems| {
            answer::redirect(config, template.is_some(), problems)
        }),
        Some(Config::DirectResponse(config)) => problems.within("direct_response", |problems| {
            answer::direct_response(config, scope, problems)
        }),
        Some(
            Config::NonForwardingAction(NonForwardingAction {})
            // Envoy 1.40 does nothing with what it holds.
            | Config::FilterAction(FilterAction { action: _ }),
        ) => {
            // As in Envoy, the router finds no cluster there.
            Some(Action::Forward(Box::new(Forward::to(
                ClusterSpecifier::None,
            ))))
        }
    };
    let (path, conditions) = matching?;
    let action = action?;
    let choices = match &action {
        Action::Forward(forward) => match &forward.cluster {
            ClusterSpecifier::Weighted(weighted) => weighted.choices.len(),
            ClusterSpecifier::Matcher(matcher) => 1 + matcher.count as usize,
            _ => 1,
        },
        _ => 1,
    };
    let extras = Extras {
        stat_prefix: Some(stat_prefix)
            .filter(|prefix| !prefix.is_empty())
            .map(|prefix| prefix.as_str().into()),
        body_limits: BodyLimits {
            body: request_body_buffer_limit.as_ref().map(|limit| limit.value),
            per_request: per_request_buffer_limit_bytes
                .as_ref()
                .map(|limit| limit.value),
        },
        metadata: metadata_of(metadata.as_ref()),
    };
    let Extras {
        stat_prefix,
        body_limits,
        metadata,
    } = &extras;
    let any_extra =
        stat_prefix.is_some() || *body_limits != BodyLimits::default() || metadata.is_some();
    Some(Route {
        name: name.as_str().into(),
        virtual_host,
        path,
        conditions,
        action,
        mutations,
        filters,
        first_entry: scope.take_entries(choices),
        extras: any_extra.then(|| Box::new(extras)),
    })
}
