//! From a request's headers to an upstream connection, or to an answer of the router's own.

use std::sync::Arc;
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_http::{HeaderMap, Known, KnownSet, grpc};
use nuncio_route::{Action, Forward, RetryOn, RouteEntry, update_authority};
use nuncio_sdk::{LocalReply, Protocol, ResponseFlags, UpstreamHost};
use nuncio_upstream::lb::NoHost;
use nuncio_upstream::outlier::Outcome;
use nuncio_upstream::{Acquire, Chosen, Lease};
use tokio::time::Instant;

use super::exchange::Exchange;
use super::shadow::Shadow;
use super::timeout::{grpc_max, timeout};
use super::tracked::Tracked;
use super::try_time::TryTime;
use super::{RouterConfig, Upstream, number, priority};
use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

/// Request headers that are for the router only.
const CONSUMED: KnownSet = KnownSet::of(&[
    Known::XEnvoyMaxRetries,
    Known::XEnvoyRetryOn,
    Known::XEnvoyRetryGrpcOn,
    Known::XEnvoyRetriableHeaderNames,
    Known::XEnvoyRetriableStatusCodes,
    Known::XEnvoyUpstreamAltStatName,
    Known::XEnvoyUpstreamRqPerTryTimeoutMs,
    Known::XEnvoyUpstreamRqTimeoutAltResponse,
    Known::XEnvoyHedgeOnPerTryTimeout,
    Known::XEnvoyUpstreamStreamDurationMs,
]);

impl Stream {
    /// Matches the route, unless that was done and nothing has changed since.
    pub(crate) fn find_route(&mut self) {
        if std::mem::replace(&mut self.router.route_sought, true) {
            return;
        }
        let hcm = self.hcm.clone();
        self.router.route = hcm
            .routes
            .find(&self.request.headers, &self.info, hcm.random());
        let Some(route) = &self.router.route else {
            // There may have been one, before a filter changed what it depends on.
            self.info.cluster_name = None;
            self.info.cluster_alt_name = None;
            self.info.cluster_metadata = None;
            return;
        };
        self.info.route = Some(route.clone());
        let cluster = route.cluster().and_then(|id| hcm.clusters.get(id));
        self.info.cluster_name = cluster.as_ref().map(|_| route.cluster_name().clone());
        let Some(cluster) = cluster else {
            self.info.cluster_alt_name = None;
            self.info.cluster_metadata = None;
            return;
        };
        let info = cluster.info();
        // Without `alt_stat_name` both are one.
        let renamed = !Arc::ptr_eq(&info.name, &info.observability_name);
        self.info.cluster_alt_name = renamed.then(|| info.observability_name.clone());
        self.info.cluster_metadata = info.metadata.clone();
    }

    /// A filter changed what the route depends on.
    pub(crate) fn clear_route(&mut self) {
        self.router.route = None;
        self.router.route_sought = false;
        self.info.route = None;
    }

    /// The request's headers have passed all filters.
    pub(crate) fn router_headers(&mut self, end: bool) {
        self.find_route();
        self.hcm.stats.inc(HttpStats::RQ_TOTAL);
        self.note_router_end(end, false);
        self.router.has_body = !end;
        let Some(route) = self.router.route.clone() else {
            self.hcm.stats.inc(HttpStats::NO_ROUTE);
            return self.send_local_reply(
                LocalReply::new(404, "", "route_not_found").flags(ResponseFlags::NO_ROUTE_FOUND),
            );
        };
        match route.action() {
            Action::Forward(forward) => {
                if let Err(reply) = self.forward(&route, forward) {
                    self.router_reply(reply);
                }
            }
            Action::Redirect(_) | Action::TlsRedirect | Action::DirectResponse(_) => {
                self.answer_by_route(&route)
            }
        }
    }

    /// The route itself answers; its response header mutations apply.
    fn answer_by_route(&mut self, route: &RouteEntry) {
        let hcm = self.hcm.clone();
        let keep_original = !hcm.chain(self.chain).router.suppress_envoy_headers;
        let direct = route.direct_reply(&mut self.request.headers, &mut self.info, keep_original);
        let Some(direct) = direct else { return };
        // Of redirects too: `rq_redirect` is counted by nothing in Envoy 1.40.
        hcm.stats.inc(HttpStats::RQ_DIRECT_RESPONSE);
        let mut reply = LocalReply::new(direct.status, "", "direct_response");
        reply.body = direct.body.into_owned().into();
        if let Some(location) = &direct.location {
            reply = reply.header("location", String::from_utf8_lossy(location).into_owned());
        }
        if let Some(content_type) = direct.content_type {
            reply = reply.header("content-type", content_type.to_owned());
        }
        self.router_reply(reply);
    }

    fn forward(&mut self, route: &RouteEntry, forward: &Forward) -> Result<(), LocalReply> {
        let hcm = self.hcm.clone();
        let config = &hcm.chain(self.chain).router;
        let Some(cluster) = route.cluster().and_then(|id| hcm.clusters.get(id)) else {
            hcm.stats.inc(HttpStats::NO_CLUSTER);
            return Err(
                LocalReply::new(forward.cluster_not_found_status, "", "cluster_not_found")
                    .flags(ResponseFlags::NO_CLUSTER_FOUND),
            );
        };
        self.router.cluster = Some(cluster.clone());
        self.router.groups = hcm.route_stats.of(route, &self.request.headers);
        self.info.virtual_cluster_name = self.router.groups.virtual_cluster_name.clone();
        strict_check(config, &self.request.headers)?;
        self.note_special(forward);
        self.router.timeout = timeout(forward, config, &mut self.request.headers);
        self.router.try_time = TryTime::of(forward, &self.request.headers, self.router.timeout);
        if self.asks_for_websocket() {
            // It ends with its tunnel, but an answer is waited for from now on.
            self.router.deadline = self.router.timeout.map(|timeout| self.now + timeout);
        }
        self.tell_timeout(forward, Duration::ZERO);
        if route.include_attempt_count_in_request() {
            self.request.headers.set(Known::XEnvoyAttemptCount, b"1");
        }
        route.finalize_request_headers(
            &mut self.request.headers,
            &self.info,
            !config.suppress_envoy_headers,
        );
        // What the route adds may ask for retries; it comes too late for timeouts.
        self.prepare_retries(forward);
        self.note_stream_duration();
        self.request.headers.remove_all(CONSUMED);
        if let Some(reply) = self.drop_overload(&cluster, config) {
            return Err(reply);
        }
        self.try_upstream(route, forward)?;
        self.arm_timeout();
        if self.router.special.is_some() {
            self.mirror(forward);
        }
        Ok(())
    }

    /// Chooses a host and asks for a connection to it, for the first time or once more.
    pub(super) fn try_upstream(
        &mut self,
        route: &RouteEntry,
        forward: &Forward,
    ) -> Result<(), LocalReply> {
        let hcm = self.hcm.clone();
        let config = &hcm.chain(self.chain).router;
        let Some(cluster) = self.router.cluster.clone() else {
            return Ok(());
        };
        let priority = priority(forward);
        self.info.upstream.attempt_count += 1;
        let attempt = self.info.upstream.attempt_count;
        if attempt > 1 && route.include_attempt_count_in_request() {
            self.request
                .headers
                .set_number(Known::XEnvoyAttemptCount, u64::from(attempt));
        }
        let chosen = self.choose_host_for_try(&cluster, route);
        let Some(Chosen { host, member }) = chosen else {
            return self.without_host();
        };
        if attempt == 1 && hcm.config.scheme_matches_upstream {
            // No other transport to an upstream is taken yet (`Cluster.transport_socket`).
            self.request.headers.set(Known::Scheme, b"http");
        }
        if forward.auto_host_rewrite() && !host.hostname().is_empty() {
            let name = host.hostname().as_bytes();
            update_authority(
                &mut self.request.headers,
                name,
                forward.append_x_forwarded_host && attempt == 1,
                !config.suppress_envoy_headers,
            );
        }
        let owner = member.as_ref().unwrap_or(&cluster);
        let acquired = match self.ends_tunnel(forward) {
            true => owner.acquire_tcp(&cluster, &self.info.connection, &host, priority),
            false => {
                let downstream = &self.info.connection;
                owner.acquire_for(&cluster, downstream, &host, priority, self.info.protocol)
            }
        };
        if !matches!(acquired, Acquire::PendingOverflow | Acquire::NoPool) {
            self.info.upstream.host = Some(host.clone());
        }
        if attempt > 1 {
            self.info.upstream.forget_connection();
        }
        self.router.host = Some(host);
        self.router.member = member;
        if cluster.info().tracked.is_some() {
            self.router.try_began = Some(Instant::now());
        }
        match acquired {
            Acquire::Ready(lease) => self.attach(lease),
            Acquire::Pending(pending) => self.router.upstream = Upstream::Connecting(pending),
            Acquire::Overflow | Acquire::PendingOverflow => {
                self.note_tracked(None);
                let reply = self.overflow();
                return Err(reply);
            }
            Acquire::NoPool => return Err(self.no_healthy_upstream()),
        }
        Ok(())
    }

    /// The balancer has no host: waits, if there may be one later.
    #[cold]
    fn without_host(&mut self) -> Result<(), LocalReply> {
        let why = match self.router.no_host.take().map(|word| *word) {
            Some(NoHost::Later(host)) => {
                // The same try goes on then.
                self.info.upstream.attempt_count -= 1;
                self.router.upstream = Upstream::Choosing(host);
                return Ok(());
            }
            Some(NoHost::Because(why) | NoHost::Waited(why)) => why,
            None => Arc::default(),
        };
        let mut reply = self.no_healthy_upstream();
        if !why.is_empty() {
            reply.details = why.to_string().into();
        }
        Err(reply)
    }

    /// The balancer has found out what it waited for, and why there is no host if there is none.
    #[cold]
    pub(super) fn choose_again(&mut self, why: Arc<str>) {
        self.router.upstream = Upstream::None;
        self.router.no_host = Some(Box::new(NoHost::Waited(why)));
        let Some(route) = self.router.route.clone() else {
            return;
        };
        let Action::Forward(forward) = route.action() else {
            return;
        };
        if let Err(reply) = self.try_upstream(&route, forward) {
            self.router_reply(reply);
        }
    }

    /// Whether the request's body goes to the upstream as it is, without a codec (`connect_config`).
    fn ends_tunnel(&self, forward: &Forward) -> bool {
        forward.terminates_connect
            && (self.is_connect
                || forward.terminates_post && self.request.headers.method() == Some(b"POST"))
    }

    /// The upstream is to know how long its answer is waited for; `elapsed` is over already (Envoy's
    /// `FilterUtility::setTimeoutHeaders`).
    pub(super) fn tell_timeout(&mut self, forward: &Forward, elapsed: Duration) {
        let whole = self.router.timeout;
        let one = self.router.try_time.as_ref().and_then(|time| time.whole());
        // A try that takes too long goes on.
        let one = one.filter(|_| !self.hedges());
        let Some(timeout) = one.or(whole) else { return };
        let left = whole.map_or(timeout, |whole| whole.saturating_sub(elapsed).min(timeout));
        // Zero would be "no limit".
        let left = left.max(Duration::from_millis(1));
        let hcm = self.hcm.clone();
        let headers = &mut self.request.headers;
        if !hcm.chain(self.chain).router.suppress_envoy_headers {
            headers.set_number(Known::XEnvoyExpectedRqTimeoutMs, left.as_millis() as u64);
        }
        if grpc_max(forward, headers).is_some() {
            headers.set(Known::GrpcTimeout, grpc::format_timeout(left).as_bytes());
        }
    }

    fn arm_timeout(&mut self) {
        if let (Some(complete), Some(timeout)) = (self.router.complete_at, self.router.timeout) {
            self.router.deadline = Some(complete + timeout);
        }
    }

    /// A connection is there: write what has arrived of the request.
    pub(super) fn attach(&mut self, lease: Lease) {
        let now = self.now;
        self.router.groups.count_request();
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            cluster.put_outlier_outcome(host, Outcome::ConnectSuccess, None);
            let limit = cluster.info().per_connection_buffer_limit;
            self.router.watch.on_connection(self.buffer_limit, limit);
        }
        let (id, local_address, other_address, protocol) = match &lease {
            Lease::Http1(it) => (
                it.id,
                &it.local_address,
                &it.other_address,
                Some(Protocol::Http11),
            ),
            Lease::Http2(it) => (
                it.connection_id(),
                it.local_address(),
                it.other_address(),
                Some(Protocol::Http2),
            ),
            Lease::Tcp(it) => (it.id, &it.local_address, &it.other_address, None),
        };
        self.info.upstream.connection_id = Some(id);
        self.info.upstream.local_address = Some(local_address.clone());
        self.info.upstream.other_address = other_address.clone();
        self.info.upstream.protocol = protocol;
        self.info.timing.upstream_pool_ready = Some(now.saturating_duration_since(self.info.start));
        self.info.timing.first_upstream_tx = Some(now);
        self.arm_stream_duration();

        let mut body = std::mem::take(&mut self.router.body);
        if let Some(retry) = &mut self.router.retry {
            retry.begun = true;
            if let Some(kept) = retry.body() {
                body = kept;
            }
        }
        let waits_for_tunnel = self.asks_for_websocket();
        if let Some(time) = &mut self.router.try_time
            && (self.router.end || waits_for_tunnel)
        {
            time.arm(now);
        }
        // A request that had room for a body keeps it, so that it does not matter how its bytes came.
        let ends_here = self.router.end && !self.router.has_body;
        let begun = Exchange::begin(lease, &self.request.headers, ends_here);
        let mut exchange = match begun {
            Ok(exchange) => exchange,
            Err(missing) => {
                self.router.upstream = Upstream::Done;
                let details = format!(
                    "filter_removed_required_request_headers{{missing_required_header:_{missing}}}"
                );
                let body = format!("missing required header: {missing}");
                let reply = LocalReply::new(503, body, details);
                return self.router_reply(reply.flags(ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR));
            }
        };
        self.info.upstream.header_bytes_sent = exchange.header_bytes() as u64;
        exchange.tracked = self.router.try_began.take().map(Tracked::since);
        if waits_for_tunnel || self.is_connect {
            // Until the upstream has agreed, as in Envoy.
            exchange.hold();
        }
        if !ends_here {
            exchange.send_data(&mut body, self.router.end && !self.router.trailers);
            if self.router.trailers {
                exchange.send_trailers(&self.request.trailers);
            }
        }
        self.router.upstream = Upstream::Active(exchange);
    }

    /// A piece of the request's body has passed all filters.
    pub(crate) fn router_data(&mut self, data: &mut Buffer, end: bool) {
        if self.is_connect && !data.is_empty() && self.rejects_early_data() {
            data.clear();
            return self.router_reply(LocalReply::new(400, "", "early_connect_data"));
        }
        self.note_router_end(end, false);
        if self.router.special.is_some() {
            self.copy_data(data, end);
        }
        if let Some(retry) = &mut self.router.retry {
            let is_sent = matches!(self.router.upstream, Upstream::Active(_));
            let waiting = (!is_sent).then_some(&mut self.router.body);
            let kept = retry.keep(data, waiting, self.router.cluster.as_ref());
            if kept && !is_sent {
                return data.clear();
            }
        }
        match &mut self.router.upstream {
            Upstream::Active(exchange) => exchange.send_data(data, end),
            Upstream::None
            | Upstream::Choosing(_)
            | Upstream::Connecting(_)
            | Upstream::Waiting => {
                self.router.body.append(data);
            }
            Upstream::Done => data.clear(),
        }
    }

    /// Whether the tunnel that was asked for must be there before anything is sent through it.
    fn rejects_early_data(&self) -> bool {
        !self.response_has_begun() && self.hcm.chain(self.chain).router.reject_connect_early_data
    }

    /// The request's trailers have passed all filters.
    pub(crate) fn router_trailers(&mut self) {
        self.note_router_end(true, true);
        if let Some(special) = &mut self.router.special {
            for shadow in special.shadows.drain(..) {
                shadow.send_trailers(&self.request.trailers);
            }
        }
        if let Upstream::Active(exchange) = &mut self.router.upstream {
            exchange.send_trailers(&self.request.trailers);
        }
    }

    /// The route timeout runs from the moment when the whole request has reached the router.
    fn note_router_end(&mut self, end: bool, trailers: bool) {
        if end {
            self.router.end = true;
            self.router.trailers = trailers;
            self.router.complete_at = Some(self.now);
            self.arm_timeout();
            if let Some(time) = &mut self.router.try_time
                && matches!(self.router.upstream, Upstream::Active(_))
            {
                time.arm(self.now);
            }
        }
    }

    /// Whether something of the request waits for the upstream to take it.
    pub(crate) fn upstream_lags(&self) -> bool {
        matches!(&self.router.upstream, Upstream::Active(exchange) if exchange.unsent() > 0)
    }

    /// Whether so much of the request waits for the upstream that no more should be read.
    pub(crate) fn router_is_backed_up(&self) -> bool {
        let limit = self.buffer_limit as usize;
        if let Some(special) = &self.router.special
            && special.shadows.iter().any(Shadow::is_backed_up)
        {
            return true;
        }
        match &self.router.upstream {
            Upstream::Active(exchange) => self.router.watch.is_full(exchange.unsent()),
            Upstream::None
            | Upstream::Choosing(_)
            | Upstream::Connecting(_)
            | Upstream::Waiting => self.router.body.len() > limit,
            Upstream::Done => false,
        }
    }
}

/// `strict_check_headers`: timeouts and retries that are no numbers.
fn strict_check(config: &RouterConfig, headers: &HeaderMap) -> Result<(), LocalReply> {
    for &name in &config.strict_check_headers {
        let valid = headers.get(name).is_none_or(|value| match name {
            Known::XEnvoyRetryOn => RetryOn::are_reasons(value, false),
            Known::XEnvoyRetryGrpcOn => RetryOn::are_reasons(value, true),
            _ => number(value).is_some(),
        });
        if !valid {
            return Err(LocalReply::new(
                400,
                format!(
                    "invalid header '{}' with value '{}'",
                    name.as_str(),
                    String::from_utf8_lossy(headers.get(name).unwrap_or_default())
                ),
                format!("request_headers_failed_strict_check{{{}}}", name.as_str()),
            )
            .flags(ResponseFlags::INVALID_ENVOY_REQUEST_HEADERS));
        }
    }
    Ok(())
}
