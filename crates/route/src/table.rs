//! The compiled route configuration, shared by all workers.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use nuncio_http::grpc::is_grpc_request;
use nuncio_http::{HeaderMap, Known, NameRef};
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::runtime::RuntimeFraction;
use nuncio_sdk::{PerFilterConfig, StreamInfo};

use crate::action::{Action, Mutations};
use crate::hosts::{HostIndex, without_port};
use crate::index::{PathIndex, Scratch};
use crate::matchers::{
    CookieMatcher, FilterStateMatcher, HeaderMatcher, HeaderName, MetadataMatcher,
    QueryParameterMatcher, all_headers_match,
};
use crate::matching::{HttpData, HttpInput, MatchTree, Outcome};
use crate::path::{PathMatcher, is_connect, matchable, without_query};

/// A `RouteConfiguration`, compiled. Immutable; made by [`compile`](crate::compile).
pub struct RouteTable {
    pub(crate) name: Box<str>,
    pub(crate) hosts: HostIndex,
    pub(crate) virtual_hosts: Box<[VirtualHost]>,
    /// Routes of all virtual hosts, in order.
    pub(crate) routes: Box<[Route]>,
    /// Slots of entries that workers make: [`Route::first_entry`], [`VirtualHost::tls_entry`].
    pub(crate) entries: u32,
    pub(crate) mutations: Mutations,
    pub(crate) most_specific_mutations_win: bool,
    pub(crate) ignore_port: bool,
    pub(crate) host_header: Option<HeaderName>,
    pub(crate) ignore_path_parameters: bool,
    pub(crate) internal_only_headers: Box<[HeaderName]>,
    pub(crate) metadata: Option<Box<DynamicMetadata>>,
}

/// `VirtualHost`.
pub(crate) struct VirtualHost {
    pub(crate) name: Box<str>,
    pub(crate) routes: RouteList,
    /// What takes the place of the list of routes.
    pub(crate) matcher: Option<Box<MatchTree<HttpInput, RouteList>>>,
    pub(crate) mutations: Option<Box<Mutations>>,
    /// Per-filter configurations of the route configuration and of this virtual host.
    pub(crate) filters: Arc<[PerFilterConfig]>,
    pub(crate) virtual_clusters: Box<[VirtualCluster]>,
    pub(crate) require_tls: RequireTls,
    /// Slot of the entry that redirects to TLS.
    pub(crate) tls_entry: u32,
    pub(crate) body_limits: BodyLimits,
    pub(crate) attempt_count_in_request: bool,
    pub(crate) attempt_count_in_response: bool,
    pub(crate) timeout_retry_header: bool,
    pub(crate) metadata: Option<Box<DynamicMetadata>>,
}

/// Routes that are tried one after the other.
pub(crate) struct RouteList {
    /// Where they lie in [`RouteTable::routes`].
    pub(crate) routes: Range<u32>,
    /// Absent where there are few routes.
    pub(crate) index: Option<Box<PathIndex>>,
}

/// `VirtualHost.require_tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequireTls {
    None,
    ExternalOnly,
    All,
}

/// `VirtualCluster`: a name for requests with certain headers, for stats.
pub struct VirtualCluster {
    pub(crate) name: Box<str>,
    pub(crate) headers: Box<[HeaderMatcher]>,
}

impl VirtualCluster {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// `Route`.
pub(crate) struct Route {
    pub(crate) name: Box<str>,
    pub(crate) virtual_host: u32,
    pub(crate) path: PathMatcher,
    /// What must hold beyond the path.
    pub(crate) conditions: Option<Box<Conditions>>,
    pub(crate) action: Action,
    pub(crate) mutations: Option<Box<Mutations>>,
    /// Per-filter configurations of all levels; those of the virtual host if absent.
    pub(crate) filters: Option<Arc<[PerFilterConfig]>>,
    /// Slot of this route's entry; entries of weighted clusters follow.
    pub(crate) first_entry: u32,
    /// What few routes have.
    pub(crate) extras: Option<Box<Extras>>,
}

#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) stat_prefix: Option<Box<str>>,
    pub(crate) body_limits: BodyLimits,
    pub(crate) metadata: Option<Box<DynamicMetadata>>,
}

/// How much of a request's body may be held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodyLimits {
    /// `request_body_buffer_limit`.
    pub(crate) body: Option<u64>,
    /// `per_request_buffer_limit_bytes`.
    pub(crate) per_request: Option<u32>,
}

/// What a route asks of a request beside its path.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) fraction: Option<RuntimeFraction>,
    pub(crate) grpc: bool,
    pub(crate) headers: Box<[HeaderMatcher]>,
    pub(crate) query: Box<[QueryParameterMatcher]>,
    pub(crate) cookies: Box<[CookieMatcher]>,
    /// Whether a client certificate must be there, and whether it must be a valid one.
    pub(crate) certificate_presented: Option<bool>,
    pub(crate) certificate_validated: Option<bool>,
    pub(crate) metadata: Box<[MetadataMatcher]>,
    pub(crate) filter_state: Box<[FilterStateMatcher]>,
}

impl Conditions {
    fn hold(&self, headers: &HeaderMap, info: &StreamInfo, random: u64) -> bool {
        // No transport socket of this proxy asks for a client certificate yet.
        const NO_CERTIFICATE: bool = false;
        (self.fraction.as_ref()).is_none_or(|fraction| fraction.hit(random))
            && (!self.grpc || is_grpc_request(headers))
            && all_headers_match(&self.headers, headers)
            && self
                .query
                .iter()
                .all(|query| query.matches(headers.path().unwrap_or_default()))
            && self.cookies.iter().all(|cookie| cookie.matches(headers))
            && self
                .certificate_presented
                .is_none_or(|wanted| wanted == NO_CERTIFICATE)
            && self
                .certificate_validated
                .is_none_or(|wanted| wanted == NO_CERTIFICATE)
            && self
                .metadata
                .iter()
                .all(|matcher| matcher.matches(info.metadata.as_deref()))
            && self
                .filter_state
                .iter()
                .all(|matcher| matcher.matches(info.filter_state.as_deref()))
    }
}

/// What serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Route(u32),
    /// A redirect to TLS of this virtual host.
    TlsRedirect(u32),
}

impl RouteTable {
    /// `RouteConfiguration.name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `RouteConfiguration.internal_only_headers`: the connection manager removes them from external requests.
    pub fn internal_only_headers(&self) -> impl Iterator<Item = NameRef<'_>> {
        self.internal_only_headers.iter().map(HeaderName::as_ref)
    }

    /// `RouteConfiguration.metadata`.
    pub fn metadata(&self) -> Option<&DynamicMetadata> {
        self.metadata.as_deref()
    }

    /// Number of routes of all virtual hosts.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    fn virtual_host(&self, headers: &HeaderMap, lower: &mut Vec<u8>) -> Option<u32> {
        if self.hosts.only_catch_all() {
            return self.hosts.catch_all();
        }
        let host = match &self.host_header {
            None => headers.authority()?,
            Some(name) => headers.get_name(name.as_ref())?,
        };
        let host = if self.ignore_port {
            without_port(host)
        } else {
            host
        };
        if !host.iter().any(u8::is_ascii_uppercase) {
            return self.hosts.find(host);
        }
        lower.clear();
        lower.extend(host.iter().map(u8::to_ascii_lowercase));
        self.hosts.find(lower)
    }

    /// The first route that matches.
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        info: &StreamInfo,
        random: u64,
        scratch: &mut TableScratch,
    ) -> Option<Found> {
        let number = self.virtual_host(headers, &mut scratch.host)?;
        let virtual_host = &self.virtual_hosts[number as usize];
        if virtual_host.require_tls != RequireTls::None {
            // The protocol of the client's connection, which may differ from that of the URL.
            let protocol = headers
                .get(Known::XForwardedProto)
                .filter(|protocol| !protocol.is_empty())?;
            let internal = || headers.get(Known::XEnvoyInternal) == Some(b"true");
            if protocol != b"https" && (virtual_host.require_tls == RequireTls::All || !internal())
            {
                return Some(Found::TlsRedirect(number));
            }
        }
        let path = headers
            .path()
            .map(|path| matchable(path, self.ignore_path_parameters));
        let path = path.as_deref();
        let connect = is_connect(headers);
        let RouteList { routes, index } = match &virtual_host.matcher {
            None => &virtual_host.routes,
            Some(tree) => match tree.find(HttpData { headers, info }, &mut |_| {}) {
                Outcome::Matched(list) => list,
                Outcome::NoMatch | Outcome::Pending => return None,
            },
        };
        let first = routes.start;
        let route = |number: u32| &self.routes[(first + number) as usize];
        let accept = |number: u32| match &route(number).conditions {
            None => true,
            Some(conditions) => conditions.hold(headers, info, random),
        };
        let found = match index {
            Some(index) => index.find(
                path,
                connect,
                &mut scratch.index,
                |number| &route(number).path,
                accept,
            ),
            None => (0..routes.end - first).find(|&number| {
                let path_matches = match (&route(number).path, path) {
                    (PathMatcher::Connect, _) => connect,
                    (_, None) => false,
                    (PathMatcher::Template(regex), _) => headers
                        .path()
                        .is_some_and(|path| regex.is_match(without_query(path))),
                    (matcher, Some(path)) => matcher.matches(path),
                };
                path_matches && accept(number)
            }),
        };
        found.map(|number| Found::Route(first + number))
    }
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteTable")
            .field("name", &self.name)
            .field("virtual_hosts", &self.virtual_hosts.len())
            .field("routes", &self.routes.len())
            .finish_non_exhaustive()
    }
}

/// Memory of look-ups, kept by the worker.
#[derive(Default)]
pub(crate) struct TableScratch {
    host: Vec<u8>,
    index: Scratch,
}
