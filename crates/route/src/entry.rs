//! A matched route, as the connection manager and the router use it.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_http::HeaderMap;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{ClusterId, PerFilterConfig, RouteView, StreamInfo};

use crate::action::{
    Action, Choice, ClusterSpecifier, Forward, HostRewrite, PathRewrite, RedirectPath,
};
use crate::matchers::all_headers_match;
use crate::metadata_match::MetadataMatch;
use crate::redirect::{location, own_location, tls_location};
use crate::rewrite::{format_request, rewrite_host, rewrite_path};
use crate::table::{Found, Route, RouteTable, VirtualCluster, VirtualHost};

/// A matched route: with one of its weighted clusters chosen, and its cluster known.
pub struct RouteEntry {
    pub(crate) table: Arc<RouteTable>,
    pub(crate) found: Found,
    /// Index of the weighted cluster.
    pub(crate) choice: Option<usize>,
    pub(crate) slot: u32,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) cluster_name: Rc<str>,
}

/// What a route answers without an upstream.
pub struct DirectReply<'r> {
    /// HTTP status.
    pub status: u16,
    /// `location` header.
    pub location: Option<Vec<u8>>,
    /// Body; may be empty.
    pub body: Cow<'r, [u8]>,
    /// `content-type` of a formatted body; otherwise a body is `text/plain`.
    pub content_type: Option<&'r str>,
}

impl RouteEntry {
    fn route(&self) -> Option<&Route> {
        match self.found {
            Found::Route(number) => Some(&self.table.routes[number as usize]),
            Found::TlsRedirect(_) => None,
        }
    }

    fn virtual_host(&self) -> &VirtualHost {
        let number = match self.found {
            Found::Route(number) => self.table.routes[number as usize].virtual_host,
            Found::TlsRedirect(number) => number,
        };
        &self.table.virtual_hosts[number as usize]
    }

    fn choice(&self) -> Option<&Choice> {
        match &self.forward()?.cluster {
            ClusterSpecifier::Weighted(weighted) => weighted.choices.get(self.choice?),
            _ => None,
        }
    }

    /// What the route does.
    pub fn action(&self) -> &Action {
        self.route()
            .map_or(&Action::TlsRedirect, |route| &route.action)
    }

    /// The settings of a route that goes upstream.
    pub fn forward(&self) -> Option<&Forward> {
        match self.action() {
            Action::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    /// The cluster to send the request to; absent when the route has none, or none of the name that a request
    /// header gave was ever configured. The cluster may be gone all the same.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    /// Name of [`RouteEntry::cluster`]; empty without one.
    pub fn cluster_name(&self) -> &Rc<str> {
        &self.cluster_name
    }

    /// Which hosts subset load balancers choose among: `metadata_match` of the route, and of the weighted cluster.
    pub fn metadata_match(&self) -> Option<&MetadataMatch> {
        let choice = self
            .choice()
            .and_then(|choice| choice.metadata_match.as_deref());
        choice.or_else(|| self.forward()?.metadata_match.as_deref())
    }

    /// Whether this upgrade (any case) is switched on or off for this route.
    pub fn upgrade_enabled(&self, upgrade: &str) -> Option<bool> {
        self.forward()?.upgrade_enabled(upgrade)
    }

    /// Whether the HTTP filter of this name is switched off or on for this route; the most specific level that names
    /// it decides.
    pub fn filter_disabled(&self, filter: &str) -> Option<bool> {
        self.per_filter_configs()
            .iter()
            .rev()
            .filter(|entry| *entry.filter == *filter)
            .find_map(|entry| entry.disabled)
    }

    /// Most bytes of a request's body to hold: `request_body_buffer_limit` of the route, else of the virtual host;
    /// else the smaller of `per_request_buffer_limit_bytes`, found likewise, and the connection's own limit.
    pub fn body_buffer_limit(&self, connection_limit: u32) -> u64 {
        let extras = self.route().and_then(|route| route.extras.as_ref());
        let route = extras.map(|extras| extras.body_limits).unwrap_or_default();
        let virtual_host = self.virtual_host().body_limits;
        let per_request = route
            .per_request
            .or(virtual_host.per_request)
            .unwrap_or(u32::MAX);
        route
            .body
            .or(virtual_host.body)
            .unwrap_or(u64::from(per_request.min(connection_limit)))
    }

    /// `VirtualHost.include_request_attempt_count`: the request gets an `x-envoy-attempt-count`.
    pub fn include_attempt_count_in_request(&self) -> bool {
        self.virtual_host().attempt_count_in_request
    }

    /// `VirtualHost.include_attempt_count_in_response`.
    pub fn include_attempt_count_in_response(&self) -> bool {
        self.virtual_host().attempt_count_in_response
    }

    /// `VirtualHost.include_is_timeout_retry_header`: a request that is tried again tells whether a timeout was the reason.
    pub fn include_is_timeout_retry_header(&self) -> bool {
        self.virtual_host().timeout_retry_header
    }

    /// `Route.stat_prefix`: requests are counted under `vhost.<virtual host>.route.<prefix>.`.
    pub fn stat_prefix(&self) -> Option<&str> {
        self.route()?.extras.as_ref()?.stat_prefix.as_deref()
    }

    /// The virtual cluster of a request, counted under `vhost.<virtual host>.vcluster.<name>.`: `None` when the
    /// virtual host has none at all, `Some(None)` for requests that fall to the catch-all, which is named `other`.
    pub fn virtual_cluster(&self, headers: &HeaderMap) -> Option<Option<&VirtualCluster>> {
        let clusters = &self.virtual_host().virtual_clusters;
        if clusters.is_empty() {
            return None;
        }
        Some(
            clusters
                .iter()
                .find(|cluster| all_headers_match(&cluster.headers, headers)),
        )
    }

    /// `Route.metadata`.
    pub fn metadata(&self) -> Option<&DynamicMetadata> {
        self.route()?.extras.as_ref()?.metadata.as_deref()
    }

    /// `VirtualHost.metadata`.
    pub fn virtual_host_metadata(&self) -> Option<&DynamicMetadata> {
        self.virtual_host().metadata.as_deref()
    }

    /// Changes the headers of a request that goes upstream: header mutations of all levels, host, path.
    /// `keep_original` records what was rewritten in `x-envoy-original-host` and `-path`
    /// (the router's `suppress_envoy_headers` turns it off).
    pub fn finalize_request_headers(
        &self,
        headers: &mut HeaderMap,
        info: &StreamInfo,
        keep_original: bool,
    ) {
        let Some(Route {
            path,
            action: Action::Forward(forward),
            mutations,
            ..
        }) = self.route()
        else {
            return;
        };
        if let Some(choice) = self.choice() {
            if let Some(mutations) = &choice.mutations {
                mutations.request.apply_to_request(headers, info);
            }
            if let Some(host) = &choice.host_rewrite {
                // As in Envoy, only the host rewrite of the route itself keeps the original.
                crate::update_authority(headers, host.as_bytes(), false, false);
            }
        }
        let mut levels = [
            mutations.as_deref(),
            self.virtual_host().mutations.as_deref(),
            Some(&self.table.mutations),
        ];
        if self.table.most_specific_mutations_win {
            levels.reverse();
        }
        for mutations in levels.into_iter().flatten() {
            mutations.request.apply_to_request(headers, info);
        }
        let Forward {
            path_rewrite,
            host_rewrite,
            append_x_forwarded_host,
            ..
        } = &**forward;
        if !matches!(host_rewrite, HostRewrite::None) {
            rewrite_host(
                host_rewrite,
                *append_x_forwarded_host,
                headers,
                info,
                keep_original,
            );
        }
        if !matches!(path_rewrite, PathRewrite::None) {
            rewrite_path(path_rewrite, path, headers, info, keep_original);
        }
    }

    /// Changes the headers of a response, the upstream's or a direct one, by the mutations of all levels.
    pub fn finalize_response_headers(
        &self,
        headers: &mut HeaderMap,
        request_headers: &HeaderMap,
        info: &StreamInfo,
    ) {
        // A redirect to TLS is no route of the configuration: nothing is added to it.
        let Some(route) = self.route() else { return };
        let mut levels = [
            route.mutations.as_deref(),
            self.virtual_host().mutations.as_deref(),
            Some(&self.table.mutations),
        ];
        if self.table.most_specific_mutations_win {
            levels.reverse();
        }
        let choice = self.choice().and_then(|choice| choice.mutations.as_deref());
        for mutations in choice.into_iter().chain(levels.into_iter().flatten()) {
            mutations
                .response
                .apply_to_response(headers, request_headers, info);
        }
    }

    /// The answer of a redirect or a direct response; none for a route that goes upstream. A redirect that
    /// rewrites the path does so in the request's headers.
    pub fn direct_reply(
        &self,
        headers: &mut HeaderMap,
        info: &mut StreamInfo,
        keep_original: bool,
    ) -> Option<DirectReply<'_>> {
        let bare = |status, location| DirectReply {
            status,
            location,
            body: Cow::Borrowed(&[]),
            content_type: None,
        };
        match self.action() {
            Action::Forward(_) => None,
            Action::TlsRedirect => Some(bare(301, Some(tls_location(headers)))),
            Action::Redirect(redirect) => {
                let mut computed = Vec::new();
                let replacement = match &redirect.path {
                    RedirectPath::Same => None,
                    RedirectPath::Replace(path) => Some(path.as_bytes()),
                    RedirectPath::Rewrite(PathRewrite::Format(formatter)) => {
                        format_request(formatter, headers, info, &mut computed);
                        Some(computed.as_slice()).filter(|path| !path.is_empty())
                    }
                    RedirectPath::Rewrite(rewrite) => {
                        let route = self.route()?;
                        rewrite_path(rewrite, &route.path, headers, info, keep_original);
                        None
                    }
                };
                // A CONNECT without a path has no place to be sent to.
                let location = headers
                    .path()
                    .is_some()
                    .then(|| location(redirect, headers, replacement));
                Some(bare(redirect.status, location))
            }
            Action::DirectResponse(response) => {
                let with_location = response.status == 201 || response.status / 100 == 3;
                let location =
                    (with_location && headers.path().is_some()).then(|| own_location(headers));
                let mut reply = bare(response.status, location);
                match &response.format {
                    None => reply.body = Cow::Borrowed(&response.body),
                    Some(format) => {
                        info.local_reply_body =
                            String::from_utf8_lossy(&response.body).into_owned().into();
                        let mut body = Vec::new();
                        format_request(&format.formatter, headers, info, &mut body);
                        info.local_reply_body = Cow::Borrowed("");
                        reply.body = Cow::Owned(body);
                        reply.content_type = Some(&format.content_type);
                    }
                }
                Some(reply)
            }
        }
    }
}

impl RouteView for RouteEntry {
    fn route_name(&self) -> &str {
        self.route().map_or("", |route| &route.name)
    }

    fn virtual_host_name(&self) -> &str {
        &self.virtual_host().name
    }

    fn cluster_name(&self) -> &str {
        &self.cluster_name
    }

    fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster
    }

    fn is_forwarding(&self) -> bool {
        self.forward().is_some()
    }

    fn per_filter_configs(&self) -> &[PerFilterConfig] {
        let choice = self.choice().and_then(|choice| choice.filters.as_deref());
        let route = || self.route().and_then(|route| route.filters.as_deref());
        choice
            .or_else(route)
            .unwrap_or(&self.virtual_host().filters)
    }

    fn metadata(&self) -> Option<&DynamicMetadata> {
        self.metadata()
    }

    fn virtual_host_metadata(&self) -> Option<&DynamicMetadata> {
        self.virtual_host_metadata()
    }
}
