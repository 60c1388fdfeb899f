//! The HTTP connection manager (`envoy.filters.network.http_connection_manager`).

mod accepted;
pub(crate) mod config;
mod date;
mod forwarded;
mod http1;
mod http2;
pub(crate) mod local_reply;
mod original_ip;
pub(crate) mod path;
mod proxy_status;
pub(crate) mod request;
mod request_id;
pub(crate) mod response;
pub(crate) mod stats;

use std::cell::{OnceCell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nuncio_config::api::hcm::HttpConnectionManager;
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, any};
use nuncio_route::WorkerRouteTable;
use nuncio_sdk::{
    ConnectionInfo, DownstreamConnection, FactoryContext, HealthState, LocalFuture, NetworkFilter,
    NetworkFilterConfig, NetworkFilterFactory, Protocol, ServerContext,
};
use nuncio_stats::{Group, LocalGroup};
use nuncio_upstream::{ClusterManager, WorkerClusters};
use tokio::time::Instant;

use crate::router::route_stats::RouteStatsCache;
use crate::stream::{ChainRef, Stream, chain_of};
use accepted::Accepted;
use config::{FilterChain, HcmConfig};
use date::DateCache;
use stats::OwnRequestStats;

/// How many finished streams a worker keeps for reuse.
const SPARE_STREAMS: usize = 128;

/// The connection manager's factory.
pub static HTTP_CONNECTION_MANAGER: HcmFactory = HcmFactory;

/// Makes connection managers.
pub struct HcmFactory;

impl NetworkFilterFactory for HcmFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.network.http_connection_manager"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn NetworkFilterConfig>, Vec<ConfigError>> {
        let config: HttpConnectionManager = any::unpack(config).map_err(|error| vec![error])?;
        Ok(Arc::new(Hcm {
            config: Arc::new(HcmConfig::new(config, cx)?),
            server: cx.server.clone(),
        }))
    }
}

/// A configured connection manager.
struct Hcm {
    config: Arc<HcmConfig>,
    server: Arc<ServerContext>,
}

impl NetworkFilterConfig for Hcm {
    fn on_worker(self: Arc<Self>) -> Rc<dyn NetworkFilter> {
        let hcm = WorkerHcm {
            stats: self.config.stats.local(),
            listener_stats: self
                .config
                .listener_stats
                .as_ref()
                .map(|group| group.local()),
            health: self.server.services.get().unwrap_or_default(),
            route_stats: RouteStatsCache::new(self.server.clone()),
            own_requests: OnceCell::new(),
            server: self.server.clone(),
            date: DateCache::default(),
            codec_stats: self.config.codec_stats.local(),
            http2_stats: self.config.http2_stats.local(),
            routes: Rc::new(WorkerRouteTable::new(
                self.config.routes.clone(),
                self.server.clone(),
            )),
            clusters: self.server.service::<ClusterManager>().on_this_thread(),
            config: self.config.clone(),
        };
        Rc::new(HcmOnWorker {
            hcm: Rc::new(hcm),
            spare: RefCell::default(),
        })
    }
}

/// What one worker has of a connection manager.
pub(crate) struct WorkerHcm {
    pub(crate) config: Arc<HcmConfig>,
    pub(crate) stats: LocalGroup,
    pub(crate) listener_stats: Option<LocalGroup>,
    pub(crate) codec_stats: LocalGroup,
    pub(crate) http2_stats: LocalGroup,
    pub(crate) route_stats: RouteStatsCache,
    pub(crate) date: DateCache,
    /// `http.async-client.`, from the first request on that the router makes itself.
    own_requests: OnceCell<(Arc<Group>, LocalGroup)>,
    pub(crate) server: Arc<ServerContext>,
    health: Arc<HealthState>,
    pub(crate) routes: Rc<WorkerRouteTable>,
    pub(crate) clusters: Rc<WorkerClusters>,
}

impl WorkerHcm {
    /// A uniform random number.
    pub(crate) fn random(&self) -> u64 {
        self.clusters.random().next()
    }

    /// A uniform random number from 0 to 1.
    fn random_fraction(&self) -> f64 {
        (self.random() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How long a connection that is told to end may go on, jitter included.
    fn drain_time(&self) -> Duration {
        let timeouts = &self.config.timeouts;
        match timeouts.drain_jitter > 0.0 {
            true => {
                let jitter = timeouts.drain_jitter / 100.0 * self.random_fraction();
                timeouts.drain + timeouts.drain.mul_f64(jitter)
            }
            false => timeouts.drain,
        }
    }

    /// Counts a request that the router makes itself.
    pub(crate) fn count_own_request(&self) {
        let new = || {
            let stats = &self.server.stats;
            let group = stats.group("http.async-client", OwnRequestStats::SCHEMA);
            let local = group.local();
            (group, local)
        };
        let (_, stats) = self.own_requests.get_or_init(new);
        stats.inc(OwnRequestStats::RQ_TOTAL);
    }

    pub(crate) fn chain(&self, chain: ChainRef) -> &FilterChain {
        chain_of(&self.config, chain)
    }
}

/// A connection manager on one worker, with the memory that its connections share.
struct HcmOnWorker {
    hcm: Rc<WorkerHcm>,
    /// Finished streams, kept for their memory.
    #[expect(
        clippy::vec_box,
        reason = "a stream stays where it is when it changes hands"
    )]
    spare: RefCell<Vec<Box<Stream>>>,
}

impl HcmOnWorker {
    fn new_stream(
        &self,
        connection: &Rc<ConnectionInfo>,
        protocol: Protocol,
        buffer_limit: u32,
        now: Instant,
    ) -> Box<Stream> {
        let spare = self.spare.borrow_mut().pop();
        match spare {
            Some(mut stream) => {
                stream.restart(connection, protocol, buffer_limit, now);
                stream
            }
            None => Box::new(Stream::new(
                self.hcm.clone(),
                connection.clone(),
                protocol,
                buffer_limit,
                now,
            )),
        }
    }

    fn recycle(&self, stream: Box<Stream>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_STREAMS {
            spare.push(stream);
        }
    }
}

impl NetworkFilter for HcmOnWorker {
    fn serve(self: Rc<Self>, connection: DownstreamConnection) -> LocalFuture<()> {
        Box::pin(Serving::Undecided(Some(Accepted::new(self, connection))))
    }
}

/// The task of one connection.
#[expect(
    clippy::large_enum_variant,
    reason = "a connection lies in its task itself; those of HTTP/2 are few and large"
)]
enum Serving {
    /// Its protocol is not known yet; absent only while it changes hands.
    Undecided(Option<Accepted>),
    Http1(http1::ServerConnection),
    Http2(Box<http2::ServerConnection>),
}

impl Future for Serving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Serving::Http1(connection) => return connection.poll(cx),
                Serving::Http2(connection) => return connection.poll(cx),
                Serving::Undecided(undecided) => {
                    let Some(accepted) = undecided else {
                        return Poll::Ready(());
                    };
                    let Some(protocol) = ready!(accepted.poll(cx)) else {
                        return Poll::Ready(());
                    };
                    let Some(accepted) = undecided.take() else {
                        return Poll::Ready(());
                    };
                    let next = match protocol {
                        Protocol::Http2 => {
                            Serving::Http2(Box::new(http2::ServerConnection::new(accepted)))
                        }
                        Protocol::Http10 | Protocol::Http11 | Protocol::Http3 => {
                            Serving::Http1(http1::ServerConnection::new(accepted))
                        }
                    };
                    self.set(next);
                }
            }
        }
    }
}
