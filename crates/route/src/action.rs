//! What a route does with a request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nuncio_access_log::{Format, Formatter};
use nuncio_http::HeaderMap;
use nuncio_sdk::runtime::RuntimeInteger;
use nuncio_sdk::{ClusterId, PerFilterConfig, StreamInfo};

use crate::hash_policy::HashPolicy;
use crate::internal_redirect::InternalRedirect;
use crate::matchers::HeaderName;
use crate::matching::{HttpData, HttpInput, MatchTree, Outcome};
use crate::metadata_match::MetadataMatch;
use crate::mirror::MirrorPolicy;
use crate::mutations::HeaderMutations;
use crate::regex::RegexRewrite;
use crate::retry::RetryPolicy;

/// `Route.action`.
#[derive(Debug)]
pub enum Action {
    /// Send the request upstream (`RouteAction`; a `NonForwardingAction` is one without a cluster).
    Forward(Box<Forward>),
    /// Answer with a `location` (`RedirectAction`).
    Redirect(Box<Redirect>),
    /// Answer (`DirectResponseAction`).
    DirectResponse(Box<DirectResponse>),
    /// Answer with the same location under `https` (`VirtualHost.require_tls`).
    TlsRedirect,
}

/// `RouteAction`.
#[derive(Debug)]
pub struct Forward {
    pub(crate) cluster: ClusterSpecifier,
    /// Status of the answer when the cluster does not exist (503 unless configured).
    pub cluster_not_found_status: u16,
    /// Time for the whole response, from the end of the request on; 15 s unless configured, none when disabled.
    pub timeout: Option<Duration>,
    /// Replaces the connection manager's `stream_idle_timeout`; zero disables it.
    pub idle_timeout: Option<Duration>,
    /// Replaces the connection manager's `stream_flush_timeout`; zero disables it.
    pub flush_timeout: Option<Duration>,
    /// Limits of the whole stream; present, it replaces `max_grpc_timeout` and the connection manager's own limit.
    pub max_stream_duration: Option<MaxStreamDuration>,
    /// `max_grpc_timeout`: the `grpc-timeout` header replaces the timeout, up to this one (zero: without limit).
    pub max_grpc_timeout: Option<Duration>,
    /// `grpc_timeout_offset`: what is taken off a `grpc-timeout` header's time, unless that leaves nothing.
    pub grpc_timeout_offset: Option<Duration>,
    /// Requests take the circuit breakers of priority `HIGH`.
    pub high_priority: bool,
    /// Upgrades that are switched on or off for this route, by lower-case name.
    pub upgrades: Box<[(Box<str>, bool)]>,
    /// `upgrade_configs[].connect_config`: a CONNECT request ends here, its bytes go to the upstream as they are.
    pub terminates_connect: bool,
    /// `connect_config.allow_post`: a POST request, too.
    pub terminates_post: bool,
    /// The original host is appended to `x-forwarded-host` when the host is rewritten.
    pub append_x_forwarded_host: bool,
    /// When the request is tried again; the virtual host's unless the route has one.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Which hosts subset load balancers choose among; weighted clusters may have more of it
    /// (see [`RouteEntry::metadata_match`](crate::RouteEntry::metadata_match)).
    pub(crate) metadata_match: Option<Box<MetadataMatch>>,
    /// What hashing load balancers are told.
    pub hash_policy: Option<Box<HashPolicy>>,
    /// What few routes have.
    pub special: Option<Box<Special>>,
    pub(crate) path_rewrite: PathRewrite,
    pub(crate) host_rewrite: HostRewrite,
}

/// What few routes do with requests beside sending them to a cluster.
#[derive(Debug)]
pub struct Special {
    /// `request_mirror_policies` of the route, else of the virtual host, else of the route configuration.
    pub mirrors: Arc<[MirrorPolicy]>,
    /// `internal_redirect_policy`
    pub internal_redirect: Option<InternalRedirect>,
    /// `hedge_policy.hedge_on_per_try_timeout` of the route, else of the virtual host.
    pub hedge_on_per_try_timeout: bool,
}

impl Forward {
    /// Whether the host header becomes the host name of the upstream host that is chosen
    /// (see [`update_authority`](crate::update_authority)).
    pub fn auto_host_rewrite(&self) -> bool {
        matches!(self.host_rewrite, HostRewrite::Auto)
    }

    /// Whether this upgrade (any case) is switched on or off for this route.
    pub fn upgrade_enabled(&self, upgrade: &str) -> Option<bool> {
        let known = self
            .upgrades
            .iter()
            .find(|(name, _)| upgrade.eq_ignore_ascii_case(name));
        known.map(|(_, enabled)| *enabled)
    }
}

/// `RouteAction.MaxStreamDuration`; zero disables a limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaxStreamDuration {
    /// From the arrival of the request's headers to the end of the stream.
    pub max: Option<Duration>,
    /// Most that a `grpc-timeout` header may ask for; present: the header is heeded.
    pub grpc_timeout_header_max: Option<Duration>,
    /// What is taken off a `grpc-timeout` header's time.
    pub grpc_timeout_header_offset: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum ClusterSpecifier {
    None,
    Named(Cluster),
    /// The first value of this request header names the cluster.
    Header(HeaderName),
    Weighted(Weighted),
    /// A tree that looks at the request (`cluster_specifier_plugin`).
    Matcher(Arc<ClusterTree>),
}

/// `MatcherClusterSpecifier`
#[derive(Debug)]
pub(crate) struct ClusterTree {
    pub(crate) tree: MatchTree<HttpInput, MatchedCluster>,
    /// How many clusters it leads to.
    pub(crate) count: u32,
}

/// A cluster that a [`ClusterTree`] leads to.
#[derive(Debug)]
pub(crate) struct MatchedCluster {
    /// From 1 on.
    pub(crate) number: u32,
    pub(crate) cluster: Cluster,
}

impl ClusterTree {
    /// The cluster of a request, if there is one.
    pub(crate) fn choose<'c>(
        &'c self,
        headers: &'c HeaderMap,
        info: &'c StreamInfo,
    ) -> Option<&'c MatchedCluster> {
        match self.tree.find(HttpData { headers, info }, &mut |_| {}) {
            Outcome::Matched(matched) => Some(matched),
            Outcome::NoMatch | Outcome::Pending => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) name: Arc<str>,
}

/// `WeightedCluster`.
#[derive(Debug)]
pub(crate) struct Weighted {
    pub(crate) choices: Box<[Choice]>,
    /// Sum of all weights, as far as the runtime changes none (`runtime_key_prefix`); above 0.
    pub(crate) total: u32,
    /// The runtime may change weights.
    pub(crate) by_runtime: bool,
    /// A request header whose number takes the place of the random one.
    pub(crate) header: Option<HeaderName>,
    /// The hash by the route's hash policy takes the place of the random number, if there is one.
    pub(crate) by_hash: bool,
}

pub(crate) struct Choice {
    /// Named or by header.
    pub(crate) cluster: ClusterSpecifier,
    pub(crate) weight: RuntimeInteger,
    pub(crate) mutations: Option<Box<Mutations>>,
    /// Per-filter configurations of all levels, if this one has any.
    pub(crate) filters: Option<Arc<[PerFilterConfig]>>,
    pub(crate) host_rewrite: Option<Box<str>>,
    /// The route's criteria with those of the cluster.
    pub(crate) metadata_match: Option<Box<MetadataMatch>>,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Choice {
            cluster, weight, ..
        } = self;
        f.debug_struct("Choice")
            .field("cluster", cluster)
            .field("weight", weight)
            .finish_non_exhaustive()
    }
}

impl Weighted {
    /// The choice that a number falls to; `None` when the runtime has taken all weight away.
    pub(crate) fn choose(&self, number: u64) -> Option<usize> {
        let weight = |choice: &Choice| choice.weight.get();
        let total = match self.by_runtime {
            false => u64::from(self.total),
            true => self.choices.iter().map(weight).fold(0, u64::saturating_add),
        };
        let selected = number.checked_rem(total)?;
        let mut end: u64 = 0;
        let found = self.choices.iter().position(|choice| {
            end = end.saturating_add(weight(choice));
            selected < end
        });
        // Weights may change while they are added up.
        Some(found.unwrap_or(self.choices.len() - 1))
    }
}

/// Header changes of one level.
#[derive(Debug, Default)]
pub(crate) struct Mutations {
    pub(crate) request: HeaderMutations,
    pub(crate) response: HeaderMutations,
}

#[derive(Debug)]
pub(crate) enum PathRewrite {
    None,
    /// Replaces what the route matched.
    Prefix(Box<str>),
    /// Replaces parts of the path.
    Regex(Box<RegexRewrite>),
    /// Replaces the path.
    Format(Box<Formatter>),
}

#[derive(Debug)]
pub(crate) enum HostRewrite {
    None,
    Literal(Box<str>),
    Auto,
    Header(HeaderName),
    /// Applied to the path; the result is the host.
    PathRegex(Box<RegexRewrite>),
    Format(Box<Formatter>),
}

/// `RedirectAction`.
#[derive(Debug)]
pub struct Redirect {
    pub(crate) status: u16,
    pub(crate) scheme: Option<Box<str>>,
    pub(crate) host: Box<str>,
    pub(crate) port: Option<u32>,
    pub(crate) path: RedirectPath,
    pub(crate) strip_query: bool,
}

#[derive(Debug)]
pub(crate) enum RedirectPath {
    Same,
    /// `path_redirect`, which may bring its own query.
    Replace(Box<str>),
    Rewrite(PathRewrite),
}

/// `DirectResponseAction`.
#[derive(Debug)]
pub struct DirectResponse {
    pub(crate) status: u16,
    pub(crate) body: Box<[u8]>,
    pub(crate) format: Option<Box<Format>>,
}
