//! `envoy.filters.http.health_check`: answers the health checks of this proxy's own clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_config::api::health_check_filter::HealthCheck;
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, Within, any, convert};
use nuncio_event::Instant;
use nuncio_http::Known;
use nuncio_route::matchers::{HeaderMatcher, all_headers_match};
use nuncio_sdk::{
    Action, ClusterId, DataAction, FactoryContext, FilterContext, HealthState, HttpFilter,
    HttpFilterConfig, HttpFilterFactory, LocalReply, ResponseFlags,
};
use nuncio_stats::{Group, stats_schema};
use nuncio_upstream::ClusterManager;
use nuncio_upstream::stats::ClusterStats;

/// The filter's factory.
pub static HEALTH_CHECK: HealthCheckFactory = HealthCheckFactory;

/// Makes health check filters.
pub struct HealthCheckFactory;

stats_schema! {
    /// `http.<stat_prefix>.health_check.`
    HealthCheckFilterStats {
        counters {
            cached_response,
            degraded,
            failed,
            failed_cluster_empty,
            failed_cluster_not_found,
            failed_cluster_unhealthy,
            ok,
            request_total,
        }
    }
}
use HealthCheckFilterStats as S;

impl HttpFilterFactory for HealthCheckFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.health_check"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.health_check.v3.HealthCheck"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let HealthCheck {
            pass_through_mode,
            cache_time,
            cluster_min_healthy_percentages,
            headers,
        } = any::unpack(config)?;
        let Some(pass_through) = pass_through_mode.map(|value| value.value) else {
            return Err(ConfigError::new("pass_through_mode", "value is required"));
        };
        let cache_time = convert::opt_duration(cache_time.as_ref()).within("cache_time")?;
        let cache_time = cache_time.filter(|time| time.as_millis() > 0);
        if !pass_through && cache_time.is_some() {
            return Err(ConfigError::new(
                "cache_time",
                "cache_time_ms must not be set when path_through_mode is disabled",
            ));
        }
        let mut least = Vec::new();
        // Who lets requests pass does not look at clusters, whatever is said of them.
        let asked = cluster_min_healthy_percentages
            .iter()
            .filter(|_| !pass_through);
        for (cluster, percent) in asked {
            let percent = convert::percent(percent)
                .within(&format!("cluster_min_healthy_percentages[{cluster:?}]"))?;
            least.push((cx.server.cluster_names.intern(cluster), percent as u64));
        }
        let headers = headers.iter().enumerate().map(|(index, matcher)| {
            HeaderMatcher::from_config(matcher).within_index("headers", index)
        });
        Ok(Arc::new(Config(Arc::new(Shared {
            pass_through,
            headers: headers.collect::<Result<_, _>>()?,
            least,
            cache: cache_time.map(Cache::new),
            stats: (cx.server.stats).group(format!("{}health_check", cx.stat_prefix), S::SCHEMA),
            state: cx.server.service(),
            clusters: cx.server.service(),
            own_cluster: cx.server.local_info.cluster.as_str().into(),
        }))))
    }
}

/// What the filters of one configuration share over all workers.
struct Shared {
    pass_through: bool,
    headers: Box<[HeaderMatcher]>,
    /// Clusters, and percent of their hosts that must be well.
    least: Vec<(ClusterId, u64)>,
    cache: Option<Cache>,
    stats: Arc<Group>,
    state: Arc<HealthState>,
    clusters: Arc<ClusterManager>,
    own_cluster: Box<str>,
}

/// The answer of the service behind, which stands for it for a while.
struct Cache {
    time: Duration,
    start: Instant,
    /// Status, a bit for `x-envoy-degraded`, and the milliseconds since `start` until which it counts; 0 for none.
    answer: AtomicU64,
}

const DEGRADED: u64 = 1 << 16;
const TIME: u32 = 17;

impl Cache {
    fn new(time: Duration) -> Self {
        Self {
            time,
            start: nuncio_event::now(),
            answer: AtomicU64::new(0),
        }
    }

    /// Milliseconds.
    fn age(&self) -> u64 {
        let age = nuncio_event::now().saturating_duration_since(self.start);
        age.as_millis() as u64
    }

    fn keep(&self, status: u16, degraded: bool) {
        // Envoy forgets the answer at the end of periods that begin with the configuration.
        let period = self.time.as_millis() as u64;
        let until = (self.age() / period + 1) * period;
        let degraded = if degraded { DEGRADED } else { 0 };
        let answer = until << TIME | degraded | u64::from(status);
        self.answer.store(answer, Relaxed);
    }

    /// Status, and whether the service is degraded.
    fn get(&self) -> Option<(u16, bool)> {
        let answer = self.answer.load(Relaxed);
        (self.age() < answer >> TIME).then_some((answer as u16, answer & DEGRADED != 0))
    }
}

struct Config(Arc<Shared>);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            shared: self.0.clone(),
            is_check: false,
            answers: false,
            cached: None,
        })
    }
}

struct Filter {
    shared: Arc<Shared>,
    /// The request is a health check.
    is_check: bool,
    /// It is answered here.
    answers: bool,
    cached: Option<(u16, bool)>,
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        if !all_headers_match(&self.shared.headers, cx.request_headers) {
            return Action::Continue;
        }
        self.is_check = true;
        cx.info.health_check = true;
        self.cached = self.shared.cache.as_ref().and_then(Cache::get);
        self.answers =
            !self.shared.pass_through || self.shared.state.is_failing() || self.cached.is_some();
        match (self.answers, end_stream) {
            (true, true) => Action::Respond(self.answer(cx)),
            (true, false) => Action::StopAndBuffer,
            (false, _) => Action::Continue,
        }
    }

    fn on_request_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        if !self.answers {
            return DataAction::Continue;
        }
        data.clear();
        match end_stream {
            true => DataAction::Respond(self.answer(cx)),
            false => DataAction::StopAndBuffer,
        }
    }

    fn on_request_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        match self.answers {
            true => Action::Respond(self.answer(cx)),
            false => Action::Continue,
        }
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let Shared {
            cache,
            state,
            own_cluster,
            ..
        } = &*self.shared;
        let headers = &mut *cx.response_headers;
        if self.is_check {
            if let Some(cache) = cache
                && self.cached.is_none()
            {
                let degraded = headers.contains(Known::XEnvoyDegraded);
                cache.keep(headers.status().unwrap_or(0), degraded);
            }
            headers.set(
                Known::XEnvoyUpstreamHealthcheckedCluster,
                own_cluster.as_bytes(),
            );
        }
        if state.is_failing() {
            headers.set(Known::XEnvoyImmediateHealthCheckFail, b"true");
        }
        Action::Continue
    }

    fn wants_response_data(&self) -> bool {
        false
    }
}

impl Filter {
    fn answer(&self, cx: &mut FilterContext<'_>) -> LocalReply {
        let stats = &self.shared.stats;
        stats.inc(S::REQUEST_TOTAL);
        let (status, details, degraded) = self.judge();
        if (200..300).contains(&status) {
            stats.inc(S::OK);
        } else {
            cx.info.set_flag(ResponseFlags::FAILED_LOCAL_HEALTH_CHECK);
            stats.inc(S::FAILED);
        }
        let reply = LocalReply::new(status, "", details);
        match degraded {
            true => {
                stats.inc(S::DEGRADED);
                reply.header("x-envoy-degraded", "")
            }
            false => reply,
        }
    }

    /// Status, details, and whether the service is degraded.
    fn judge(&self) -> (u16, &'static str, bool) {
        let stats = &self.shared.stats;
        if self.shared.state.is_failing() {
            return (503, "health_check_failed", false);
        }
        if let Some((status, degraded)) = self.cached {
            stats.inc(S::CACHED_RESPONSE);
            return (status, "health_check_cached", degraded);
        }
        let clusters = self.shared.clusters.on_this_thread();
        for (cluster, least) in &self.shared.least {
            let Some(cluster) = clusters.get(*cluster) else {
                stats.inc(S::FAILED_CLUSTER_NOT_FOUND);
                return (503, "health_check_failed_no_cluster_found", false);
            };
            let gauge = |gauge| cluster.info().stats.gauge(gauge);
            let total = gauge(ClusterStats::MEMBERSHIP_TOTAL);
            let well =
                gauge(ClusterStats::MEMBERSHIP_HEALTHY) + gauge(ClusterStats::MEMBERSHIP_DEGRADED);
            if total == 0 && *least > 0 {
                stats.inc(S::FAILED_CLUSTER_EMPTY);
                return (503, "health_check_failed_cluster_empty", false);
            }
            if 100 * well < total * least {
                stats.inc(S::FAILED_CLUSTER_UNHEALTHY);
                return (503, "health_check_failed_cluster_unhealthy", false);
            }
        }
        match self.shared.least.is_empty() {
            true => (200, "health_check_ok", false),
            false => (200, "health_check_ok_cluster_healthy", false),
        }
    }
}
