//! A worker's view of a route table: matched routes as the connection manager and the router use them.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use nuncio_http::HeaderMap;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{
    AccessLogType, ClusterId, LogContext, PerFilterConfig, RouteView, ServerContext, StreamInfo,
};

use crate::action::{
    Action, Choice, ClusterSpecifier, Forward, HostRewrite, PathRewrite, RedirectPath,
};
use crate::matchers::{HeaderName, all_headers_match};
use crate::redirect::{location, own_location, tls_location};
use crate::rewrite::{format_request, rewrite_host, rewrite_path};
use crate::table::{Found, Route, RouteTable, TableScratch, VirtualCluster, VirtualHost};

static NO_HEADERS: HeaderMap = HeaderMap::new();

/// One worker's hold on a [`RouteTable`]. Entries are made when they are first needed and then shared, so that a
/// request costs no allocation.
pub struct WorkerRouteTable {
    table: Arc<RouteTable>,
    server: Arc<ServerContext>,
    entries: Box<[OnceCell<Rc<RouteEntry>>]>,
    /// Entries of routes whose cluster a request header named. Only names of the configuration get here, so that
    /// clients cannot make it grow.
    by_header: RefCell<HashTable<Rc<RouteEntry>>>,
    hasher: RandomState,
    scratch: RefCell<TableScratch>,
}

/// A matched route: with one of its weighted clusters chosen, and its cluster known.
pub struct RouteEntry {
    table: Arc<RouteTable>,
    found: Found,
    /// Index of the weighted cluster.
    choice: Option<usize>,
    slot: u32,
    cluster: Option<ClusterId>,
    cluster_name: Rc<str>,
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

impl WorkerRouteTable {
    /// A worker's view of `table`.
    pub fn new(table: Arc<RouteTable>, server: Arc<ServerContext>) -> WorkerRouteTable {
        let entries = (0..table.entries).map(|_| OnceCell::new()).collect();
        WorkerRouteTable {
            table,
            server,
            entries,
            by_header: RefCell::default(),
            hasher: RandomState::default(),
            scratch: RefCell::default(),
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<RouteTable> {
        &self.table
    }

    /// The route of a request. `random` is a uniform random number that decides runtime fractions and weighted
    /// clusters; it stays the same over the life of a stream, so that matching again gives the same answer.
    pub fn find(
        &self,
        headers: &HeaderMap,
        info: &StreamInfo,
        random: u64,
    ) -> Option<Rc<RouteEntry>> {
        let found = self
            .table
            .find(headers, info, random, &mut self.scratch.borrow_mut())?;
        let number = match found {
            Found::Route(number) => number,
            Found::TlsRedirect(virtual_host) => {
                let slot = self.table.virtual_hosts[virtual_host as usize].tls_entry;
                return Some(self.entry(slot, found, None, None).clone());
            }
        };
        let route = &self.table.routes[number as usize];
        let Action::Forward(forward) = &route.action else {
            return Some(self.entry(route.first_entry, found, None, None).clone());
        };
        let (slot, choice, specifier) = match &forward.cluster {
            ClusterSpecifier::Weighted(weighted) => {
                let given = weighted
                    .header
                    .as_ref()
                    .and_then(|name| number_in(headers, name));
                let choice = weighted.choose(given.unwrap_or(random));
                (
                    route.first_entry + choice as u32,
                    Some(choice),
                    &weighted.choices[choice].cluster,
                )
            }
            other => (route.first_entry, None, other),
        };
        Some(match specifier {
            ClusterSpecifier::Named(cluster) => self
                .entry(slot, found, choice, Some((cluster.id, &cluster.name)))
                .clone(),
            ClusterSpecifier::Header(name) => {
                let name = headers
                    .get_name(name.as_ref())
                    .and_then(|name| std::str::from_utf8(name).ok());
                self.entry_by_name(slot, found, choice, name.unwrap_or_default())
            }
            ClusterSpecifier::None | ClusterSpecifier::Weighted(_) => {
                self.entry(slot, found, choice, None).clone()
            }
        })
    }

    fn entry(
        &self,
        slot: u32,
        found: Found,
        choice: Option<usize>,
        cluster: Option<(ClusterId, &str)>,
    ) -> &Rc<RouteEntry> {
        self.entries[slot as usize].get_or_init(|| self.new_entry(slot, found, choice, cluster))
    }

    fn new_entry(
        &self,
        slot: u32,
        found: Found,
        choice: Option<usize>,
        cluster: Option<(ClusterId, &str)>,
    ) -> Rc<RouteEntry> {
        Rc::new(RouteEntry {
            table: self.table.clone(),
            found,
            choice,
            slot,
            cluster: cluster.map(|(id, _)| id),
            cluster_name: cluster.map_or_else(Rc::default, |(_, name)| Rc::from(name)),
        })
    }

    /// The entry with the cluster of this name; one without a cluster if there was never one of this name.
    fn entry_by_name(
        &self,
        slot: u32,
        found: Found,
        choice: Option<usize>,
        name: &str,
    ) -> Rc<RouteEntry> {
        let hash = |slot: u32, name: &str| self.hasher.hash_one((slot, name));
        let mut by_header = self.by_header.borrow_mut();
        let known = by_header.find(hash(slot, name), |entry| {
            entry.slot == slot && *entry.cluster_name == *name
        });
        if let Some(entry) = known {
            return entry.clone();
        }
        // The one look-up on the data path that takes a lock (for reading): a name that this worker sees first.
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return self.entry(slot, found, choice, None).clone();
        };
        let entry = self.new_entry(slot, found, choice, Some((id, name)));
        by_header.insert_unique(hash(slot, name), entry.clone(), |entry| {
            hash(entry.slot, &entry.cluster_name)
        });
        entry
    }
}

/// The number in the first value of a header.
fn number_in(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let value = headers.get_name(name.as_ref())?;
    std::str::from_utf8(value).ok()?.trim_ascii().parse().ok()
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
                crate::update_authority(headers, host.as_bytes(), false, keep_original);
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
                        let cx = LogContext {
                            request_headers: headers,
                            response_headers: &NO_HEADERS,
                            response_trailers: &NO_HEADERS,
                            info,
                            log_type: AccessLogType::NotSet,
                        };
                        let mut body = Vec::new();
                        format.formatter.format(&cx, &mut body);
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

    fn per_filter_configs(&self) -> &[PerFilterConfig] {
        let choice = self.choice().and_then(|choice| choice.filters.as_deref());
        let route = || self.route().and_then(|route| route.filters.as_deref());
        choice
            .or_else(route)
            .unwrap_or(&self.virtual_host().filters)
    }
}
