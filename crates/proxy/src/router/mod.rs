//! The router: the terminal filter of every chain.
//!
//! - this file: configuration and the state that a stream keeps for it;
//! - [`request`]: from headers to an upstream connection, or to an answer of its own;
//! - [`balancing`]: what a load balancer is told of a request;
//! - [`exchange`]: drives the borrowed upstream connection;
//! - [`outcome`]: what failures mean to the client and to the stats;
//! - [`tracked`]: what `track_cluster_stats` wants to know of a try;
//! - [`judge`]: what is counted of hosts;
//! - [`watch`]: how long an exchange lasts, and which side is slow;
//! - [`retry`]: when a request is tried again;
//! - [`timeout`]: how long an exchange may take;
//! - [`try_time`]: how long one try may take;
//! - [`special`]: what few requests need, and ordinary ones do not pay for;
//! - [`hedge`]: tries that go on beside the next one;
//! - [`redirect`]: redirects that the proxy follows itself;
//! - [`shadow`]: copies of a request for other clusters;
//! - [`route_stats`]: what is counted for virtual clusters and routes.

mod balancing;
mod exchange;
mod hedge;
mod judge;
mod outcome;
mod redirect;
mod request;
mod retry;
pub(crate) mod route_stats;
mod shadow;
mod special;
mod timeout;
mod tracked;
mod try_time;
mod watch;

pub(crate) use exchange::header_bytes;

use std::any::Any as StdAny;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::router::Router;
use nuncio_config::{ConfigError, any, convert};
use nuncio_http::Known;
use nuncio_route::{Forward, RouteEntry};
use nuncio_sdk::runtime::RuntimeInteger;
use nuncio_sdk::{FactoryContext, HttpFilter, HttpFilterConfig, HttpFilterFactory};
use nuncio_upstream::lb::NoHost;
use nuncio_upstream::{PendingConnection, Priority, WorkerCluster, WorkerHost};
use tokio::time::Instant;

use exchange::Exchange;
use retry::Retry;
use route_stats::RouteGroups;
use special::Special;
use try_time::TryTime;
use watch::Watch;

/// The router's factory.
pub static ROUTER: RouterFactory = RouterFactory;

/// Makes routers.
pub struct RouterFactory;

/// `envoy.extensions.filters.http.router.v3.Router`
pub(crate) struct RouterConfig {
    /// Count by response code and time.
    pub(crate) dynamic_stats: bool,
    /// Add no `x-envoy-*` headers.
    pub(crate) suppress_envoy_headers: bool,
    /// Headers whose values must be valid.
    strict_check_headers: Vec<Known>,
    /// `x-envoy-expected-rq-timeout-ms` of the request is its timeout.
    respect_expected_rq_timeout: bool,
    /// What a client sends behind CONNECT must wait for the answer.
    reject_connect_early_data: bool,
    /// `upstream.use_retry` of the runtime: percent of the retries that are made.
    use_retry: RuntimeInteger,
    /// `upstream.base_retry_backoff_ms`: the first wait before a retry, where a route does not say.
    retry_base_ms: RuntimeInteger,
}

struct Terminal(Arc<RouterConfig>);

impl HttpFilterConfig for Terminal {
    /// A router is part of every stream; as a filter it is never asked for.
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        struct Nothing;
        impl HttpFilter for Nothing {}
        Box::new(Nothing)
    }

    fn terminal(&self) -> Option<Arc<dyn StdAny + Send + Sync>> {
        Some(self.0.clone())
    }
}

impl HttpFilterFactory for RouterFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.router"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.router.v3.Router"]
    }

    fn is_terminal(&self) -> bool {
        true
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let config: Router = any::unpack(config)?;
        Ok(Arc::new(Terminal(Arc::new(RouterConfig::new(&config, cx)))))
    }
}

impl RouterConfig {
    /// What the message says.
    pub(crate) fn new(config: &Router, cx: &FactoryContext<'_>) -> Self {
        let runtime = cx.server.runtime();
        let strict = config
            .strict_check_headers
            .iter()
            .filter_map(|name| Known::from_lower(name.to_ascii_lowercase().as_bytes()));
        Self {
            dynamic_stats: config.dynamic_stats.is_none_or(|on| on.value),
            suppress_envoy_headers: config.suppress_envoy_headers,
            strict_check_headers: strict.collect(),
            respect_expected_rq_timeout: config.respect_expected_rq_timeout,
            reject_connect_early_data: convert::bool_or(
                config.reject_connect_request_early_data.as_ref(),
                false,
            ),
            use_retry: runtime.integer("upstream.use_retry", 100),
            retry_base_ms: runtime.integer("upstream.base_retry_backoff_ms", 25),
        }
    }
}

/// The upstream side of a stream.
#[derive(Default)]
enum Upstream {
    /// Nothing was asked of an upstream yet.
    #[default]
    None,
    /// Waiting for the balancer to find out whether there is a host.
    Choosing(Pin<Box<dyn Future<Output = Arc<str>>>>),
    /// Waiting for a connection.
    Connecting(PendingConnection),
    /// Exchanging.
    Active(Exchange),
    /// Waiting before the next try.
    Waiting,
    /// Over.
    Done,
}

/// What a stream keeps for the router.
#[derive(Default)]
pub(crate) struct RouterState {
    /// The matched route, kept until a filter clears it.
    pub(crate) route: Option<Rc<RouteEntry>>,
    /// It was looked for since: that there is none does not change with the request's headers.
    route_sought: bool,
    cluster: Option<Rc<WorkerCluster>>,
    groups: RouteGroups,
    host: Option<Rc<WorkerHost>>,
    /// What the balancer said when it had no host.
    no_host: Option<Box<NoHost>>,
    /// The cluster of the host, where the route's cluster has passed the request on to another one.
    member: Option<Rc<WorkerCluster>>,
    upstream: Upstream,
    /// Body that waits for a connection.
    body: Buffer,
    /// Present while the request may be tried again.
    retry: Option<Box<Retry>>,
    /// Present when a try may take less time than the whole.
    try_time: Option<Box<TryTime>>,
    /// Present when there is something special about the request.
    pub(crate) special: Option<Box<Special>>,
    /// The request has reached the router whole.
    end: bool,
    /// Its headers were not its end, even if nothing but the end followed.
    has_body: bool,
    /// It ends with trailers.
    trailers: bool,
    /// When it had.
    complete_at: Option<Instant>,
    /// Of the exchange with the upstream, from `complete_at`.
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    /// When the present try began, until it has a connection; only with `track_cluster_stats`.
    try_began: Option<Instant>,
    watch: Watch,
    /// A 1xx response has come.
    informed: bool,
    /// A load report has come; only the first of a request counts.
    reported: bool,
    /// The host has answered a gRPC request, and whether well will be said at the end.
    judged_at_end: bool,
    /// Cookies that the hash policy has made, for the response of the upstream.
    set_cookies: Vec<String>,
    /// The local reply in the making is the router's: the route's header mutations apply to it.
    pub(crate) answers: bool,
}

impl RouterState {
    /// As for a new stream.
    pub(crate) fn restart(&mut self) {
        let RouterState {
            route,
            route_sought,
            cluster,
            groups,
            host,
            no_host,
            member,
            upstream,
            body,
            retry,
            try_time,
            special,
            end,
            has_body,
            trailers,
            complete_at,
            timeout,
            deadline,
            try_began,
            watch,
            informed,
            reported,
            judged_at_end,
            set_cookies,
            answers,
        } = self;
        *route = None;
        *route_sought = false;
        *cluster = None;
        *groups = RouteGroups::default();
        *host = None;
        *no_host = None;
        *member = None;
        *upstream = Upstream::None;
        body.clear();
        body.release();
        *retry = None;
        *try_time = None;
        *special = None;
        *end = false;
        *has_body = false;
        *trailers = false;
        *complete_at = None;
        *timeout = None;
        *deadline = None;
        *try_began = None;
        *watch = Watch::default();
        *informed = false;
        *reported = false;
        *judged_at_end = false;
        set_cookies.clear();
        *answers = false;
    }

    /// The host that was chosen last, and the cluster to which it belongs: the one that hears how the host fares.
    #[inline]
    fn host_and_cluster(&self) -> Option<(&Rc<WorkerHost>, &Rc<WorkerCluster>)> {
        let cluster = self.member.as_ref().or(self.cluster.as_ref());
        self.host.as_ref().zip(cluster)
    }

    /// What outlives a redirect: what there is to remember, and the request's body.
    pub(crate) fn take_for_redirect(&mut self) -> (Option<Box<Special>>, Buffer) {
        let mut special = self.special.take();
        let kept = special.as_mut().and_then(|special| special.kept.take());
        (special, kept.map_or_else(Buffer::new, |kept| kept.body))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let retry = self.retry.as_ref().and_then(|retry| retry.deadline());
        let one = self.try_time.as_ref().and_then(|time| time.deadline());
        let all = [self.deadline, self.watch.deadline(), retry, one];
        all.into_iter().flatten().min()
    }

    /// Whether there is nothing to do until the upstream's socket is heard of.
    pub(crate) fn waits_for_upstream(&self) -> bool {
        matches!(&self.upstream, Upstream::Active(exchange) if exchange.is_waiting())
    }

    /// The task was woken: what was `Pending` may not be any more.
    pub(crate) fn wake_up(&mut self) {
        if let Upstream::Active(exchange) = &mut self.upstream {
            exchange.wake_up();
        }
    }
}

/// A decimal number of a header.
fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whose circuit breakers a request on this route takes.
fn priority(forward: &Forward) -> Priority {
    match forward.high_priority {
        true => Priority::High,
        false => Priority::Default,
    }
}
