//! What a load balancer is told of a request.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nuncio_route::{LB_NAMESPACE, RouteEntry, merged_criteria};
use nuncio_sdk::{LocalReply, ResponseFlags};
use nuncio_upstream::lb::members::PassOn;
use nuncio_upstream::lb::{
    Answered, LbContext, LbPolicy, NoHost, OverrideHost, PreviousPriorities, PriorityLoads,
};
use nuncio_upstream::stats::ClusterStats;
use nuncio_upstream::{Chosen, Host, WorkerCluster};
use tokio::time::Instant;

use super::RouterConfig;
use crate::stream::Stream;

/// Where a try is not to go.
#[derive(Clone, Copy, Default)]
pub(super) struct Avoid<'a> {
    /// If one of these is chosen …
    pub(super) attempted: &'a [Arc<Host>],
    /// … another one is asked for, so many times.
    pub(super) max_reselections: u32,
    /// How priorities share the load, if not as for any request.
    pub(super) loads: Option<&'a PriorityLoads>,
    /// What tells that of each member of a composite cluster.
    pub(super) priorities: Option<&'a RefCell<PreviousPriorities>>,
}

impl Stream {
    /// A host of `cluster` for this request.
    pub(super) fn choose_host(
        &mut self,
        cluster: &WorkerCluster,
        route: &RouteEntry,
        avoid: Avoid<'_>,
    ) -> Option<Chosen> {
        if cluster.passes_on() {
            return self.choose_member_host(cluster, route, avoid);
        }
        let policy = &*cluster.info().lb;
        let hash = if policy.needs_hash() {
            let mut cookies = std::mem::take(&mut self.router.set_cookies);
            let hash = self.hash_for(policy, route, &mut cookies);
            self.router.set_cookies = cookies;
            hash
        } else {
            None
        };
        // Whoever has waited once does not wait again.
        let no_host = Cell::new(self.router.no_host.take());
        let chosen = self.choose_host_by(cluster, route, avoid, hash, None, &no_host);
        if chosen.is_none() {
            self.router.no_host = no_host.into_inner();
        }
        chosen
    }

    /// The same for a cluster that passes requests on: whose hash policy holds is known when the member is.
    #[cold]
    fn choose_member_host(
        &mut self,
        cluster: &WorkerCluster,
        route: &RouteEntry,
        avoid: Avoid<'_>,
    ) -> Option<Chosen> {
        let no_host = self.router.no_host.take();
        let cookies = RefCell::new(std::mem::take(&mut self.router.set_cookies));
        let hash = |policy: &dyn LbPolicy| self.hash_for(policy, route, &mut cookies.borrow_mut());
        let pass_on = PassOn {
            attempt: self.info.upstream.attempt_count,
            hash: &hash,
            priorities: avoid.priorities,
        };
        let no_host = Cell::new(no_host);
        let chosen = self.choose_host_by(cluster, route, avoid, None, Some(pass_on), &no_host);
        self.router.set_cookies = cookies.into_inner();
        if chosen.is_none() {
            self.router.no_host = no_host.into_inner();
        }
        chosen
    }

    /// The request's hash for a cluster with this policy; `cookies` will be those that are made for it.
    fn hash_for(
        &self,
        policy: &dyn LbPolicy,
        route: &RouteEntry,
        cookies: &mut Vec<String>,
    ) -> Option<u64> {
        let of_route = || route.forward()?.hash_policy.as_deref();
        // Those of an earlier attempt are made again.
        cookies.clear();
        let policy = policy.hash_policy().or_else(of_route)?;
        policy.hash(&self.request.headers, &self.info, |cookie| {
            cookies.push(cookie);
        })
    }

    #[inline]
    fn choose_host_by(
        &self,
        cluster: &WorkerCluster,
        route: &RouteEntry,
        avoid: Avoid<'_>,
        hash: Option<u64>,
        pass_on: Option<PassOn<'_>>,
        no_host: &Cell<Option<Box<NoHost>>>,
    ) -> Option<Chosen> {
        // What filters have set comes before what the route says.
        let set_by_filters = self.info.metadata.as_ref();
        let merged = set_by_filters
            .and_then(|metadata| metadata.namespace(LB_NAMESPACE))
            .and_then(|fields| merged_criteria(route.metadata_match(), fields));
        let override_host = self.info.upstream_override_host.as_deref();
        cluster.choose_host(&LbContext {
            hash,
            metadata_match: merged.as_deref().or_else(|| route.metadata_match()),
            metadata: self.info.metadata.as_deref(),
            filter_state: self.info.filter_state.as_deref(),
            downstream: Some(&self.info.connection),
            request_headers: Some(&self.request.headers),
            override_host: override_host.map(|host| OverrideHost {
                address: &host.address,
                strict: host.strict,
            }),
            attempted: avoid.attempted,
            max_reselections: avoid.max_reselections,
            loads: avoid.loads,
            no_host: Some(no_host),
            pass_on,
        })
    }

    /// A host has answered: balancers that learn from that are told.
    #[inline]
    pub(super) fn tell_answer(&mut self, now: Instant) {
        self.tell_latency(Answered::Yes, now);
        if let Some((host, cluster)) = self.router.host_and_cluster()
            && cluster.wants_load_reports()
            && !self.router.reported
        {
            self.router.reported = cluster.on_load_report(host, &self.response.headers, now);
        }
    }

    /// The answer has ended with trailers, in which there may be a load report, too.
    #[inline]
    pub(super) fn tell_trailers(&mut self, now: Instant) {
        if let Some((host, cluster)) = self.router.host_and_cluster()
            && cluster.wants_load_reports()
            && !self.router.reported
        {
            self.router.reported = cluster.on_load_report(host, &self.response.trailers, now);
        }
    }

    /// How long the present try has taken, up to its answer or its failure.
    #[inline]
    pub(super) fn tell_latency(&self, answered: Answered, now: Instant) {
        if let Some((host, cluster)) = self.router.host_and_cluster() {
            let sent = self.info.timing.first_upstream_tx;
            cluster.on_latency(host, answered, now, || {
                sent.map_or(Duration::ZERO, |sent| now.saturating_duration_since(sent))
            });
        }
    }

    /// Maintenance mode and `drop_overloads`: some requests are refused before a host is chosen.
    pub(super) fn drop_overload(
        &mut self,
        cluster: &WorkerCluster,
        config: &RouterConfig,
    ) -> Option<LocalReply> {
        let info = cluster.info();
        let maintenance = info.maintenance_percent.load(Relaxed);
        if maintenance > 0 && self.hcm.clusters.random().next() % 100 < u64::from(maintenance) {
            self.charge_code(503);
            info.stats.inc(ClusterStats::UPSTREAM_RQ_MAINTENANCE_MODE);
            let reply = LocalReply::new(503, "maintenance mode", "maintenance_mode")
                .flags(ResponseFlags::UPSTREAM_OVERFLOW);
            return Some(match config.suppress_envoy_headers {
                true => reply,
                false => reply.header("x-envoy-overloaded", "true"),
            });
        }
        let overload = info.drop_overload.as_ref()?;
        let share = overload.share;
        let (text, details, header, flag) = if share.numerator >= share.denominator {
            (
                "unconditional drop overload",
                "unconditional_drop_overload",
                "x-envoy-unconditional-drop-overload",
                ResponseFlags::UNCONDITIONAL_DROP_OVERLOAD,
            )
        } else if share.hit(self.hcm.clusters.random().next()) {
            (
                "drop overload",
                "drop_overload",
                "x-envoy-drop-overload",
                ResponseFlags::DROP_OVERLOAD,
            )
        } else {
            return None;
        };
        overload.dropped.fetch_add(1, Relaxed);
        self.charge_code(503);
        self.note_dropped();
        let reply = LocalReply::new(503, text, details).flags(flag);
        Some(match config.suppress_envoy_headers {
            true => reply,
            false => reply.header(header, "true"),
        })
    }
}
