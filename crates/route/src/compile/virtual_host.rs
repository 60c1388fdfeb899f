//! `VirtualHost`.

use std::sync::Arc;

use nuncio_config::api::route::virtual_host::TlsRequirementType;
use nuncio_config::{ConfigError, api};
use nuncio_sdk::PerFilterConfig;

use super::{Scope, action, filters, matcher, metadata_of, mutations, route};
use crate::matchers::HeaderMatcher;
use crate::problems::Problems;
use crate::retry::RetryPolicy;
use crate::table::{BodyLimits, RequireTls, VirtualCluster, VirtualHost};

/// Compiles a virtual host; its routes go to `scope`.
pub(super) fn compile(
    config: &api::route::VirtualHost,
    number: u32,
    above: &[PerFilterConfig],
    scope: &mut Scope<'_>,
    problems: &mut Problems,
) -> VirtualHost {
    #[expect(deprecated, reason = "named so that a new field breaks the build")]
    let api::route::VirtualHost {
        name,
        // Read by the caller.
        domains,
        routes,
        matcher: tree,
        require_tls,
        virtual_clusters,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy,
        // As in Envoy, it has no effect.
        retry_policy_typed_config: _,
        hedge_policy,
        include_is_timeout_retry_header,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        request_mirror_policies,
        metadata,
        route_specifiers,
    } = config;
    if tree.is_some() && !routes.is_empty() {
        problems.add(
            "matcher",
            "cannot set both matcher and routes on virtual host",
        );
    }
    problems.refuse(!rate_limits.is_empty(), "rate_limits");
    problems.refuse(!route_specifiers.is_empty(), "route_specifiers");
    if name.is_empty() {
        problems.add("name", "value length must be at least 1 characters");
    }
    if domains.is_empty() {
        problems.add("domains", "value must contain at least 1 item(s)");
    }

    let mutations = mutations(
        (request_headers_to_add, request_headers_to_remove),
        (response_headers_to_add, response_headers_to_remove),
        problems,
    );
    let mut own = filters::compile(typed_per_filter_config, scope.cx.factory, problems);
    own.extend(filters::cors(cors.as_ref(), scope.cx.factory, problems));
    let filters = filters::added_to(above, own).unwrap_or_else(|| above.into());
    let require_tls = match TlsRequirementType::try_from(*require_tls) {
        Ok(TlsRequirementType::None) => RequireTls::None,
        Ok(TlsRequirementType::ExternalOnly) => RequireTls::ExternalOnly,
        Ok(TlsRequirementType::All) => RequireTls::All,
        Err(_) => {
            problems.add(
                "require_tls",
                "value must be one of the defined enum values",
            );
            RequireTls::None
        }
    };
    let virtual_clusters = virtual_clusters
        .iter()
        .enumerate()
        .filter_map(|(index, config)| {
            problems.within(format_args!("virtual_clusters[{index}]"), |problems| {
                virtual_cluster(config, problems)
            })
        });
    let virtual_clusters = virtual_clusters.collect();
    let tls_entry = match require_tls {
        RequireTls::None => 0,
        _ => scope.take_entries(1),
    };
    scope.retry = retry_policy.as_ref().and_then(|message| {
        let policy = RetryPolicy::from_config(message).map_err(|errors| {
            let at = |error: ConfigError| error.within("retry_policy");
            errors.into_iter().map(at).collect()
        });
        problems.take_all(policy).map(Arc::new)
    });
    scope.hedges = hedge_policy.as_ref().is_some_and(action::hedges);
    let of_configuration = scope.mirrors.clone();
    if let Some(mirrors) = action::mirrors(request_mirror_policies, scope, problems) {
        scope.mirrors = mirrors;
    }
    let first = scope.routes.len();
    for (index, config) in routes.iter().enumerate() {
        problems.within(format_args!("routes[{index}]"), |problems| {
            if let Some(route) = route::compile(config, number, &filters, scope, problems) {
                scope.routes.push(route);
            }
        });
    }
    let routes = scope.routes_from(first, problems);
    let matcher = tree
        .as_ref()
        .and_then(|config| matcher::compile(config, number, &filters, scope, problems))
        .map(Box::new);
    scope.mirrors = of_configuration;
    VirtualHost {
        name: name.as_str().into(),
        routes,
        matcher,
        mutations,
        filters,
        virtual_clusters,
        require_tls,
        tls_entry,
        body_limits: BodyLimits {
            body: request_body_buffer_limit.as_ref().map(|limit| limit.value),
            per_request: per_request_buffer_limit_bytes
                .as_ref()
                .map(|limit| limit.value),
        },
        attempt_count_in_request: *include_request_attempt_count,
        attempt_count_in_response: *include_attempt_count_in_response,
        timeout_retry_header: *include_is_timeout_retry_header,
        metadata: metadata_of(metadata.as_ref()),
    }
}

fn virtual_cluster(
    config: &api::route::VirtualCluster,
    problems: &mut Problems,
) -> Option<VirtualCluster> {
    let api::route::VirtualCluster { headers, name } = config;
    if headers.is_empty() {
        problems.add("headers", "virtual clusters must define 'headers'");
    }
    if name.is_empty() {
        problems.add("name", "value length must be at least 1 characters");
    }
    let headers = problems.take_all(HeaderMatcher::all_from_config(headers, "headers"))?;
    Some(VirtualCluster {
        name: name.as_str().into(),
        headers,
    })
}
