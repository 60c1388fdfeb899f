//! `envoy.filters.http.dynamic_forward_proxy`: a request to a dynamic forward proxy cluster waits here until the name of its host
//! was resolved.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_config::api::forward_proxy_filter::filter_config::ImplementationSpecifier;
use nuncio_config::api::forward_proxy_filter::per_route_config::HostRewriteSpecifier;
use nuncio_config::api::forward_proxy_filter::{FilterConfig, PerRouteConfig, SubClusterConfig};
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, Within, any, convert as value};
use nuncio_event::timeout;
use nuncio_http::Known as Header;
use nuncio_sdk::filter_state::{AddressObject, DYNAMIC_HOST, TextObject};
use nuncio_sdk::{
    Action, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig, HttpFilterFactory,
    LocalReply, ResponseFlags, Resume, RouteConfig, StreamInfo,
};
use nuncio_upstream::forward_proxy::{DnsCache, Known, Load, split_port};
use nuncio_upstream::{ClusterKind, ClusterManager, HostCluster, WorkerCluster};

/// The filter's factory.
pub static DYNAMIC_FORWARD_PROXY: DynamicForwardProxyFactory = DynamicForwardProxyFactory;

/// Makes dynamic-forward-proxy filters.
pub struct DynamicForwardProxyFactory;

/// The port of a host that is named without one; the upstream has no TLS, for which it would be 443.
const DEFAULT_PORT: u16 = 80;
/// `cluster_init_timeout` unless told.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Where `save_upstream_address` leaves the address; an [`AddressObject`].
const UPSTREAM_ADDRESS: &str = "envoy.stream.upstream_address";

/// `PerRouteConfig`
enum Rewrite {
    /// `host_rewrite_literal`
    Literal(Box<[u8]>),
    /// `host_rewrite_header`, lower case: the first value of this request header.
    Header(Box<str>),
}

impl HttpFilterFactory for DynamicForwardProxyFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.dynamic_forward_proxy"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let FilterConfig {
            save_upstream_address,
            allow_dynamic_host_from_filter_state: from_filter_state,
            implementation_specifier,
        } = any::unpack(config)?;
        let mut init_timeout = INIT_TIMEOUT;
        let cache = match implementation_specifier {
            Some(ImplementationSpecifier::DnsCacheConfig(cache)) => cache,
            // A cache of defaults, without a name, as in Envoy.
            Some(ImplementationSpecifier::SubClusterConfig(config)) => {
                let SubClusterConfig {
                    cluster_init_timeout: timeout,
                } = config;
                init_timeout = value::opt_duration(timeout.as_ref())
                    .within("sub_cluster_config.cluster_init_timeout")?
                    .unwrap_or(init_timeout);
                DnsCacheConfig::default()
            }
            None => DnsCacheConfig::default(),
        };
        let clusters = cx.server.service::<ClusterManager>();
        let cache = clusters.dns_cache(&cache).map_err(|errors| {
            let first = errors.into_iter().next();
            let first = first.unwrap_or_else(|| ConfigError::new("", "is not valid"));
            first.within("dns_cache_config")
        })?;
        Ok(Arc::new(Config(Arc::new(Settings {
            clusters,
            cache,
            save_upstream_address,
            from_filter_state,
            init_timeout,
        }))))
    }

    fn create_route_config(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let PerRouteConfig {
            host_rewrite_specifier,
        } = any::unpack(config)?;
        let rewrite = host_rewrite_specifier.map(|specifier| match specifier {
            HostRewriteSpecifier::HostRewriteLiteral(host) => {
                Rewrite::Literal(host.into_bytes().into())
            }
            HostRewriteSpecifier::HostRewriteHeader(name) => {
                Rewrite::Header(name.to_ascii_lowercase().into())
            }
        });
        Ok(Arc::new(rewrite))
    }
}

struct Settings {
    clusters: Arc<ClusterManager>,
    cache: Arc<DnsCache>,
    save_upstream_address: bool,
    /// `allow_dynamic_host_from_filter_state`
    from_filter_state: bool,
    /// `cluster_init_timeout`
    init_timeout: Duration,
}

struct Config(Arc<Settings>);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter(self.0.clone()))
    }
}

struct Filter(Arc<Settings>);

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let Some(cluster) = self.0.concerns(cx.info) else {
            return Action::Continue;
        };
        rewrite(cx);
        if cluster.passes_on() {
            return self.0.prepare_host(&cluster, cx);
        }
        if !self.0.cache.may_wait() {
            return Action::Respond(too_many_wait());
        }
        let authority = cx.request_headers.authority().unwrap_or_default();
        if authority.is_empty() {
            return Action::Respond(LocalReply::new(
                400,
                "Empty host header",
                "empty_host_header",
            ));
        }
        // What is no text is no name; it is not found.
        let authority = String::from_utf8_lossy(authority);
        let (host, port) = self.0.named(&authority, cx.info);
        match self.0.cache.load(host, port) {
            Load::Known(known) => match self.0.resolved(Some(&known), cx.info) {
                Ok(()) => Action::Continue,
                Err(reply) => Action::Respond(reply),
            },
            Load::Overflow => Action::Respond(LocalReply::new(
                503,
                "DNS cache overflow",
                "dns_cache_overflow",
            )),
            Load::Loading(waiting) => {
                let settings = self.0.clone();
                let Some(permit) = settings.cache.take_pending() else {
                    return Action::Respond(too_many_wait());
                };
                Action::Await(Box::pin(async move {
                    let known = waiting.known().await;
                    drop(permit);
                    Resume::Run(Box::new(move |cx| {
                        match settings.resolved(known.as_ref(), cx.info) {
                            Ok(()) => Resume::Continue,
                            Err(reply) => Resume::Respond(reply),
                        }
                    }))
                }))
            }
        }
    }

    fn wants_response_data(&self) -> bool {
        false
    }
}

impl Settings {
    /// The request's cluster, if it is a dynamic forward proxy.
    fn concerns(&self, info: &StreamInfo) -> Option<Rc<WorkerCluster>> {
        let route = info.route.as_ref()?;
        let clusters = self.clusters.on_this_thread();
        let cluster = clusters.get(route.cluster_id()?)?;
        (cluster.info().kind == ClusterKind::ForwardProxy).then_some(cluster)
    }

    /// The host and, if it is without, its port: as the request names them, or other filters.
    fn named<'a>(&self, authority: &'a str, info: &'a StreamInfo) -> (&'a str, u16) {
        let state = info.filter_state.as_deref();
        let Some(state) = state.filter(|_| self.from_filter_state) else {
            return (authority, DEFAULT_PORT);
        };
        let (host, port) = split_port(authority).unwrap_or((authority, DEFAULT_PORT));
        let other = state.get_as::<TextObject>(DYNAMIC_HOST);
        let host = other.map_or(host, |TextObject(host)| host);
        (host, state.dynamic_port().unwrap_or(port))
    }

    /// Each host has a cluster of its own, for which the request waits.
    fn prepare_host(&self, cluster: &WorkerCluster, cx: &FilterContext<'_>) -> Action {
        let authority = cx.request_headers.authority().unwrap_or_default();
        // What is no text is no name; it is not found.
        let authority = String::from_utf8_lossy(authority);
        let (host, port) = self.named(&authority, cx.info);
        match cluster.prepare_host(host, port) {
            None | Some(HostCluster::Ready) => Action::Continue,
            Some(HostCluster::Overflow) => Action::Respond(LocalReply::new(
                503,
                "Sub cluster overflow",
                "sub_cluster_overflow",
            )),
            Some(HostCluster::Coming(appearance)) => {
                let limit = self.init_timeout;
                Action::Await(Box::pin(async move {
                    match timeout(limit, appearance).await {
                        Ok(()) => Resume::Continue,
                        Err(_) => Resume::Respond(LocalReply::new(
                            503,
                            "Sub cluster warming timeout",
                            "sub_cluster_warming_timeout",
                        )),
                    }
                }))
            }
        }
    }

    /// The host was resolved; without an address this is the end of the request.
    fn resolved(&self, known: Option<&Known>, info: &mut StreamInfo) -> Result<(), LocalReply> {
        let Some(address) = known.and_then(|known| known.address.as_ref()) else {
            let details = known.map_or("no_host", |known| &known.details);
            let details = format!("dns_resolution_failure{{{details}}}");
            let reply = LocalReply::new(503, "DNS resolution failure", details);
            return Err(reply.flags(ResponseFlags::DNS_RESOLUTION_FAILED));
        };
        if self.save_upstream_address {
            let state = info.filter_state.get_or_insert_default();
            state.set(UPSTREAM_ADDRESS, Rc::new(AddressObject(address.clone())));
        }
        Ok(())
    }
}

fn too_many_wait() -> LocalReply {
    LocalReply::new(
        503,
        "Dynamic forward proxy pending request overflow",
        "dynamic_forward_proxy_pending_request_overflow",
    )
}

/// The host that the route says takes the place of the request's.
fn rewrite(cx: &mut FilterContext<'_>) {
    let host: Vec<u8> = match cx.route_config::<Option<Rewrite>>() {
        None | Some(None) => return,
        Some(Some(Rewrite::Literal(host))) => host.to_vec(),
        Some(Some(Rewrite::Header(name))) => match cx.request_headers.get_name(name.as_bytes()) {
            Some(host) => host.to_vec(),
            None => return,
        },
    };
    if !host.is_empty() {
        cx.request_headers.set(Header::Authority, &host);
    }
}
