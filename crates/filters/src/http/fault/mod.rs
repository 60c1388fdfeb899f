//! `envoy.filters.http.fault`: delays, aborts and slows requests down on purpose.

mod config;
mod rate;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::fault::HttpFault;
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, any};
use nuncio_event::sleep;
use nuncio_http::{HeaderMap, Known};
use nuncio_route::matchers::all_headers_match;
use nuncio_sdk::runtime::Entry;
use nuncio_sdk::{
    Action, DataAction, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig,
    HttpFilterFactory, LocalReply, LogContext, ResponseFlags, Resume, RouteConfig, Runtime,
    ServerContext,
};
use nuncio_stats::{Group, stats_schema};
use rand::RngCore;

use config::{AbortStatus, Amount, FaultConfig};
use rate::Pacer;

/// The filter's factory.
pub static FAULT: FaultFactory = FaultFactory;

/// Makes fault filters.
pub struct FaultFactory;

/// Names of downstream clusters come from a request header: no more of them than this get stats of their own.
const MOST_CLUSTERS: u32 = 1000;

stats_schema! {
    /// `http.<stat_prefix>.fault.`
    FaultStats {
        counters { aborts_injected, delays_injected, faults_overflow, response_rl_injected }
        gauges { active_faults }
        histograms {}
    }
}

impl HttpFilterFactory for FaultFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.fault"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.fault.v3.HTTPFault"]
    }

    fn route_config_types(&self) -> &'static [&'static str] {
        self.config_types()
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let config: HttpFault = any::unpack(config)?;
        Ok(Arc::new(Config {
            fault: Arc::new(FaultConfig::new(&config, &cx.server.runtime())?),
            shared: Arc::new(Shared {
                stats: cx
                    .server
                    .stats
                    .group(format!("{}fault.", cx.stat_prefix), FaultStats::SCHEMA),
                server: cx.server.clone(),
                runtime: cx.server.runtime(),
                prefix: format!("{}fault.", cx.stat_prefix).into(),
                active: AtomicU32::new(0),
                clusters: AtomicU32::new(0),
            }),
        }))
    }

    fn create_route_config(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let config: HttpFault = any::unpack(config)?;
        let config = FaultConfig::new(&config, &cx.server.runtime())?;
        Ok(Arc::new(Arc::new(config)))
    }
}

/// What the filters of one configuration share over all workers.
struct Shared {
    stats: Arc<Group>,
    server: Arc<ServerContext>,
    runtime: Arc<Runtime>,
    prefix: Box<str>,
    /// Faults in progress, for `max_active_faults`.
    active: AtomicU32,
    /// Downstream clusters that have been given stats.
    clusters: AtomicU32,
}

struct Config {
    fault: Arc<FaultConfig>,
    shared: Arc<Shared>,
}

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter(Rc::new(State {
            fault: self.fault.clone(),
            shared: self.shared.clone(),
            injected: Default::default(),
            pacer: Default::default(),
        })))
    }
}

/// A filter; the wait of a delay shares its state.
struct Filter(Rc<State>);

struct State {
    fault: Arc<FaultConfig>,
    shared: Arc<Shared>,
    injected: std::cell::Cell<bool>,
    pacer: std::cell::RefCell<Option<Pacer>>,
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        if let Some(of_route) = cx.route_config::<Arc<FaultConfig>>().cloned() {
            let State { shared, .. } = &*self.0;
            self.0 = Rc::new(State {
                fault: of_route,
                shared: shared.clone(),
                injected: Default::default(),
                pacer: Default::default(),
            });
        }
        let state = &self.0;
        if !state.concerns(cx) {
            return Action::Continue;
        }
        state.limit_response(cx.request_headers);
        match state.delay(cx.request_headers) {
            Some(delay) if state.begin() => {
                state.count(cx.request_headers, "delays_injected");
                state.shared.stats.inc(FaultStats::DELAYS_INJECTED);
                cx.info.set_flag(ResponseFlags::DELAY_INJECTED);
                state.add_metadata(cx);
                let state = state.clone();
                Action::Await(Box::pin(async move {
                    sleep(delay).await;
                    Resume::Run(Box::new(move |cx| match state.abort(cx) {
                        Some(reply) => Resume::Respond(reply),
                        None => Resume::Continue,
                    }))
                }))
            }
            _ => match state.abort(cx) {
                Some(reply) => Action::Respond(reply),
                None => Action::Continue,
            },
        }
    }

    fn on_response_data(
        &mut self,
        _: &mut FilterContext<'_>,
        data: &mut Buffer,
        _: bool,
    ) -> DataAction {
        match &mut *self.0.pacer.borrow_mut() {
            None => DataAction::Continue,
            Some(pacer) => match pacer.allowed(nuncio_event::now(), data.len()) {
                bytes if bytes == data.len() => DataAction::Continue,
                bytes => DataAction::Pace {
                    bytes,
                    until: Box::pin(sleep(rate::SLICE)),
                },
            },
        }
    }

    fn wants_response_data(&self) -> bool {
        self.0.pacer.borrow().is_some()
    }

    fn on_stream_complete(&mut self, _: &LogContext<'_>) {
        self.0.end();
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.end();
    }
}

impl State {
    /// Whether the request is one of those that the configuration is about.
    fn concerns(&self, cx: &FilterContext<'_>) -> bool {
        let fault = &self.fault;
        let route_cluster = cx
            .info
            .route
            .as_ref()
            .map_or("", |route| route.cluster_name());
        let node = cx
            .request_headers
            .get(Known::XEnvoyDownstreamServiceNode)
            .unwrap_or_default();
        (fault.upstream_cluster.is_empty() || *fault.upstream_cluster == *route_cluster)
            && (fault.downstream_nodes.is_empty()
                || fault
                    .downstream_nodes
                    .iter()
                    .any(|known| known.as_bytes() == node))
            && all_headers_match(&fault.headers, cx.request_headers)
    }

    /// What the runtime says of requests of the downstream cluster that a header names. Looked up by name, since the
    /// names are not known before.
    fn of_downstream_cluster(&self, headers: &HeaderMap, what: &str) -> Option<Option<Entry>> {
        let cluster = headers.get(Known::XEnvoyDownstreamServiceCluster)?;
        let cluster = std::str::from_utf8(cluster).ok()?;
        if cluster.is_empty() {
            return None;
        }
        let snapshot = self.shared.runtime.snapshot();
        if snapshot.is_empty() {
            return Some(None);
        }
        let entry = snapshot.get(&format!("fault.http.{cluster}.{what}"));
        Some(entry.cloned())
    }

    /// Whether a request is of the share. `of_cluster`: what the runtime calls it for a downstream cluster.
    fn hits(&self, share: &config::Share, headers: &HeaderMap, of_cluster: Option<&str>) -> bool {
        let other = of_cluster
            .and_then(|what| self.of_downstream_cluster(headers, what))
            .map(|entry| entry.and_then(|entry| entry.as_fraction()));
        share.of(headers, other).hit(rand::rng().next_u64())
    }

    fn number_of_cluster(&self, headers: &HeaderMap, what: &str) -> Option<u64> {
        self.of_downstream_cluster(headers, what)??.integer
    }

    fn delay(&self, headers: &HeaderMap) -> Option<Duration> {
        let delay =
            self.fault.delay.as_ref().filter(|delay| {
                self.hits(&delay.share, headers, Some("delay.fixed_delay_percent"))
            })?;
        let wait = match delay.amount {
            Amount::Fixed(wait) => wait,
            Amount::Header => {
                Duration::from_millis(number(headers, Known::XEnvoyFaultDelayRequest)?)
            }
        };
        let other = self
            .number_of_cluster(headers, "delay.fixed_duration_ms")
            .or_else(|| delay.runtime.overridden());
        let wait = other.map_or(wait, Duration::from_millis);
        (!wait.is_zero()).then_some(wait)
    }

    fn abort(&self, cx: &mut FilterContext<'_>) -> Option<LocalReply> {
        let headers = &*cx.request_headers;
        let abort = self
            .fault
            .abort
            .as_ref()
            .filter(|abort| self.hits(&abort.share, headers, Some("abort.abort_percent")))?;
        let (status, grpc) = match abort.status {
            AbortStatus::Http(status) => (status, None),
            AbortStatus::Grpc(status) => (200, Some(status)),
            AbortStatus::Header => {
                let http = number(headers, Known::XEnvoyFaultAbortRequest)
                    .filter(|status| (200..600).contains(status));
                let grpc = || {
                    number(headers, Known::XEnvoyFaultAbortGrpcRequest)
                        .and_then(|s| u32::try_from(s).ok())
                };
                match http {
                    Some(status) => (status as u16, None),
                    None => (200, Some(grpc()?)),
                }
            }
        };
        let (status, grpc) = match grpc {
            None => {
                let other = self
                    .number_of_cluster(headers, "abort.http_status")
                    .or_else(|| abort.runtime.0.overridden())
                    .and_then(|status| u16::try_from(status).ok())
                    .filter(|status| (200..600).contains(status));
                (other.unwrap_or(status), None)
            }
            Some(grpc) => {
                let other = self
                    .number_of_cluster(headers, "abort.grpc_status")
                    .or_else(|| abort.runtime.1.overridden())
                    .and_then(|status| u32::try_from(status).ok());
                (status, Some(other.unwrap_or(grpc)))
            }
        };
        if !self.begin() {
            return None;
        }
        self.count(headers, "aborts_injected");
        self.shared.stats.inc(FaultStats::ABORTS_INJECTED);
        self.add_metadata(cx);
        let body = match &abort.body {
            Some(body) => Cow::Owned(body.to_string()),
            None => Cow::Borrowed("fault filter abort"),
        };
        let mut reply = LocalReply::new(status, body, "fault_filter_abort")
            .flags(ResponseFlags::FAULT_INJECTED);
        reply.grpc_status = grpc;
        Some(reply)
    }

    fn limit_response(&self, headers: &HeaderMap) {
        let Some(limit) = self
            .fault
            .rate
            .as_ref()
            .filter(|rate| self.hits(&rate.share, headers, None))
        else {
            return;
        };
        let kib_per_second = match limit.kib_per_second {
            Some(fixed) => fixed,
            None => match number(headers, Known::XEnvoyFaultThroughputResponse)
                .filter(|&rate| rate > 0)
            {
                Some(asked) => asked,
                None => return,
            },
        };
        if self.begin() {
            self.shared.stats.inc(FaultStats::RESPONSE_RL_INJECTED);
            *self.pacer.borrow_mut() = Some(Pacer::new(nuncio_event::now(), kib_per_second));
        }
    }

    /// Counts a fault as in progress, unless too many are. A stream counts once.
    fn begin(&self) -> bool {
        if self.injected.get() {
            return true;
        }
        let max = self.fault.max_active.get();
        let more = |active| (u64::from(active) < max).then_some(active + 1);
        if self
            .shared
            .active
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_err()
        {
            self.shared.stats.inc(FaultStats::FAULTS_OVERFLOW);
            return false;
        }
        self.shared.stats.gauge_add(FaultStats::ACTIVE_FAULTS, 1);
        self.injected.set(true);
        true
    }

    fn end(&self) {
        if self.injected.replace(false) {
            self.shared.active.fetch_sub(1, Ordering::Relaxed);
            self.shared.stats.gauge_sub(FaultStats::ACTIVE_FAULTS, 1);
        }
    }

    /// Counts for the downstream cluster that the request names.
    fn count(&self, headers: &HeaderMap, stat: &str) {
        if self.fault.disable_downstream_cluster_stats {
            return;
        }
        let Some(Ok(cluster)) = headers
            .get(Known::XEnvoyDownstreamServiceCluster)
            .map(std::str::from_utf8)
        else {
            return;
        };
        if cluster.is_empty()
            || self.shared.clusters.fetch_add(1, Ordering::Relaxed) >= MOST_CLUSTERS
        {
            return;
        }
        self.shared
            .server
            .stats
            .counter(&format!("{}{cluster}.{stat}", self.shared.prefix))
            .inc();
    }

    fn add_metadata(&self, cx: &mut FilterContext<'_>) {
        for (key, value) in &self.fault.metadata {
            cx.info
                .metadata_mut()
                .set(cx.filter_name, key, value.clone());
        }
    }
}

fn number(headers: &HeaderMap, name: Known) -> Option<u64> {
    std::str::from_utf8(headers.get(name)?).ok()?.parse().ok()
}
