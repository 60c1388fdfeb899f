//! `RouteConfiguration` → [`RouteTable`]. All errors are collected, each with its proto path.
//!
//! Every message is taken apart field by field, so that a new field breaks the build. A field that nothing here
//! carries out is refused when it is set.

mod action;
mod answer;
mod cluster;
mod filters;
mod matcher;
mod matching;
mod plugin;
mod route;
mod virtual_host;

use std::sync::Arc;

use nuncio_config::api::core::{HeaderValueOption, Metadata};
use nuncio_config::api::route::RouteConfiguration;
use nuncio_config::{ConfigError, convert};
use nuncio_sdk::FactoryContext;
use nuncio_sdk::metadata::DynamicMetadata;

use crate::action::Mutations;
use crate::hosts::{Duplicate, HostIndex};
use crate::index::{MIN_ROUTES, PathIndex};
use crate::matchers::HeaderName;
use crate::mirror::MirrorPolicy;
use crate::mutations::HeaderMutations;
use crate::path::PathMatcher;
use crate::problems::Problems;
use crate::retry::RetryPolicy;
use crate::table::{Route, RouteList, RouteTable};

/// Most bytes of a direct response's body, unless configured.
const MAX_DIRECT_RESPONSE_BODY: u32 = 4096;

/// What compiling needs to know beside the configuration.
#[derive(Clone, Copy)]
pub struct CompileContext<'a> {
    /// For per-filter configurations and the interning of cluster names.
    pub factory: &'a FactoryContext<'a>,
    /// Whether a cluster of this name exists.
    pub known_cluster: &'a dyn Fn(&str) -> bool,
    /// Whether a route to an unknown cluster is an error when `validate_clusters` does not say: true for
    /// configurations in the bootstrap, false for those from a control plane.
    pub validate_clusters: bool,
}

/// What all levels of one compilation share.
struct Scope<'a> {
    cx: CompileContext<'a>,
    validate_clusters: bool,
    max_body: u32,
    ignore_path_parameters: bool,
    plugins: plugin::Plugins,
    /// The retry policy of the virtual host at hand.
    retry: Option<Arc<RetryPolicy>>,
    /// The mirror policies of the virtual host at hand, or of the route configuration.
    mirrors: Arc<[MirrorPolicy]>,
    /// `hedge_policy.hedge_on_per_try_timeout` of the virtual host at hand.
    hedges: bool,
    /// Routes of all virtual hosts so far.
    routes: Vec<Route>,
    /// Slots for entries given out so far.
    entries: u32,
}

impl Scope<'_> {
    /// Reserves slots for entries.
    fn take_entries(&mut self, count: usize) -> u32 {
        let first = self.entries;
        self.entries += count as u32;
        first
    }

    /// The routes from number `first` on as one list. Its index is left out where errors make it useless.
    fn routes_from(&self, first: usize, problems: &Problems) -> RouteList {
        let compiled = &self.routes[first..];
        // The index sees paths without their parameters.
        let sees_too_little = self.ignore_path_parameters
            && compiled
                .iter()
                .any(|route| matches!(route.path, PathMatcher::Template(_)));
        let index = (compiled.len() >= MIN_ROUTES && problems.is_empty() && !sees_too_little)
            .then(|| Box::new(PathIndex::new(compiled.iter().map(|route| &route.path))));
        RouteList {
            routes: first as u32..self.routes.len() as u32,
            index,
        }
    }
}

/// Compiles a route configuration.
///
/// # Errors
/// Everything that is wrong with it; paths are relative to the message.
pub fn compile(
    config: &RouteConfiguration,
    cx: CompileContext<'_>,
) -> Result<Arc<RouteTable>, Vec<ConfigError>> {
    let RouteConfiguration {
        name,
        virtual_hosts: configs,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        most_specific_header_mutations_wins,
        validate_clusters,
        max_direct_response_body_size_bytes,
        cluster_specifier_plugins,
        request_mirror_policies,
        ignore_port_in_host_matching,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        metadata,
        route_specifiers,
    } = config;
    let mut problems = Problems::default();
    problems.refuse(vhds.is_some(), "vhds");
    problems.refuse(!route_specifiers.is_empty(), "route_specifiers");

    if vhost_header.contains(['\0', '\r', '\n']) {
        problems.add("vhost_header", "a header name may not have such characters");
    }
    let mut scope = Scope {
        cx,
        validate_clusters: convert::bool_or(validate_clusters.as_ref(), cx.validate_clusters),
        max_body: convert::u32_or(
            max_direct_response_body_size_bytes.as_ref(),
            MAX_DIRECT_RESPONSE_BODY,
        ),
        plugins: plugin::compile_all(cluster_specifier_plugins, cx.factory.server, &mut problems),
        ignore_path_parameters: *ignore_path_parameters_in_path_matching,
        retry: None,
        mirrors: Arc::default(),
        hedges: false,
        routes: Vec::with_capacity(configs.len()),
        entries: 0,
    };
    if let Some(mirrors) = action::mirrors(request_mirror_policies, &scope, &mut problems) {
        scope.mirrors = mirrors;
    }
    let mutations = mutations(
        (request_headers_to_add, request_headers_to_remove),
        (response_headers_to_add, response_headers_to_remove),
        &mut problems,
    );
    let filters = filters::compile(typed_per_filter_config, cx.factory, &mut problems);
    let mut hosts = HostIndex::new();
    let mut virtual_hosts = Vec::with_capacity(configs.len());
    for (number, config) in configs.iter().enumerate() {
        problems.within(format_args!("virtual_hosts[{number}]"), |problems| {
            for (index, domain) in config.domains.iter().enumerate() {
                let Err(duplicate) = hosts.insert(domain, number as u32) else { continue };
                let message = match duplicate {
                    Duplicate::CatchAll => format!("Only a single wildcard domain is permitted in route {name}"),
                    Duplicate::Domain => format!(
                        "Only unique values for domains are permitted. Duplicate entry of domain {} in route {name}",
                        domain.to_ascii_lowercase()
                    ),
                };
                problems.add(format!("domains[{index}]"), message);
            }
            virtual_hosts.push(virtual_host::compile(config, number as u32, &filters, &mut scope, problems));
        });
    }
    hosts.shrink();
    problems.finish()?;
    scope.routes.shrink_to_fit();
    Ok(Arc::new(RouteTable {
        name: name.as_str().into(),
        hosts,
        virtual_hosts: virtual_hosts.into(),
        routes: scope.routes.into(),
        entries: scope.entries,
        mutations: mutations.map(|mutations| *mutations).unwrap_or_default(),
        most_specific_mutations_win: *most_specific_header_mutations_wins,
        ignore_port: *ignore_port_in_host_matching,
        host_header: Some(vhost_header)
            .filter(|name| !name.is_empty())
            .map(|name| HeaderName::of_request(name)),
        ignore_path_parameters: *ignore_path_parameters_in_path_matching,
        internal_only_headers: internal_only_headers
            .iter()
            .map(|name| HeaderName::of_request(name))
            .collect(),
        metadata: metadata_of(metadata.as_ref()),
    }))
}

/// A level's header changes; none if there are none.
fn mutations(
    (request_add, request_remove): (&[HeaderValueOption], &[String]),
    (response_add, response_remove): (&[HeaderValueOption], &[String]),
    problems: &mut Problems,
) -> Option<Box<Mutations>> {
    let request = HeaderMutations::from_config(
        request_add,
        "request_headers_to_add",
        request_remove,
        "request_headers_to_remove",
    );
    let response = HeaderMutations::from_config(
        response_add,
        "response_headers_to_add",
        response_remove,
        "response_headers_to_remove",
    );
    let request = problems.take_all(request).unwrap_or_default();
    let response = problems.take_all(response).unwrap_or_default();
    (!request.is_empty() || !response.is_empty()).then(|| Box::new(Mutations { request, response }))
}

/// `filter_metadata`; typed metadata is for extensions that know their type, and there are none.
fn metadata_of(config: Option<&Metadata>) -> Option<Box<DynamicMetadata>> {
    let Metadata {
        filter_metadata,
        typed_filter_metadata: _,
    } = config?;
    let mut metadata = DynamicMetadata::default();
    for (namespace, fields) in filter_metadata {
        for (key, value) in &fields.fields {
            metadata.set(namespace, key, value.clone());
        }
    }
    (!metadata.is_empty()).then(|| Box::new(metadata))
}
