//! What a load balancer is told of a request.

use std::rc::Rc;
use std::sync::Arc;

use nuncio_route::{LB_NAMESPACE, RouteEntry, merged_criteria};
use nuncio_sdk::{LocalReply, ResponseFlags};
use nuncio_upstream::lb::{LbContext, OverrideHost};
use nuncio_upstream::{Host, WorkerCluster, WorkerHost};

use super::RouterConfig;
use crate::stream::Stream;

impl Stream {
    /// A host of `cluster` for this request; if it is one of `attempted`, so many times another one is asked for.
    pub(super) fn choose_host(
        &mut self,
        cluster: &WorkerCluster,
        route: &RouteEntry,
        attempted: &[Arc<Host>],
        max_reselections: u32,
    ) -> Option<Rc<WorkerHost>> {
        let lb = &cluster.info().lb;
        let hash = if lb.needs_hash() {
            let of_route = || route.forward()?.hash_policy.as_deref();
            let cookies = &mut self.router.set_cookies;
            // Those of an earlier attempt are made again.
            cookies.clear();
            lb.hash_policy().or_else(of_route).and_then(|policy| {
                policy.hash(&self.request.headers, &self.info, |cookie| {
                    cookies.push(cookie)
                })
            })
        } else {
            None
        };
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
            attempted,
            max_reselections,
        })
    }

    /// `drop_overloads`: some requests are refused before a host is chosen.
    pub(super) fn drop_overload(
        &mut self,
        cluster: &WorkerCluster,
        config: &RouterConfig,
    ) -> Option<LocalReply> {
        let share = cluster.info().drop_overload?;
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
        self.charge_code(503);
        let reply = LocalReply::new(503, text, details).flags(flag);
        Some(match config.suppress_envoy_headers {
            true => reply,
            false => reply.header(header, "true"),
        })
    }
}
