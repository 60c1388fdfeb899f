//! How a host fared with a request: its `rq_success` and `rq_error`, of which load reports tell.

use std::rc::Rc;

use nuncio_http::grpc;
use nuncio_upstream::{WorkerCluster, WorkerHost};

use crate::hcm::stats::HttpStats;
use crate::stream::Stream;

/// A host, and the cluster that hears how it fares.
type HostAndCluster = (Rc<WorkerHost>, Rc<WorkerCluster>);

/// The try with this host has failed, and there will be another one.
pub(super) fn count_error(failed: Option<HostAndCluster>) {
    if let Some((host, cluster)) = failed {
        cluster.on_host_error(&host);
    }
}

impl Stream {
    /// The host of the present try, which is about to be given up.
    pub(super) fn failing_host(&self) -> Option<HostAndCluster> {
        let (host, cluster) = self.router.host_and_cluster()?;
        Some((host.clone(), cluster.clone()))
    }

    /// A try gives no answer, and the client is told `status`. The host's error is counted with the status, as in Envoy.
    pub(super) fn charge_abort(
        &self,
        status: u16,
        host: Option<(&Rc<WorkerHost>, &Rc<WorkerCluster>)>,
    ) {
        self.charge_code(status);
        if let Some((host, cluster)) = host
            && (status < 500 || self.counts_codes())
        {
            cluster.on_host_error(host);
        }
    }

    /// A circuit breaker, or `drop_overloads`, has refused the request: one of the `total_dropped_requests` of load reports.
    pub(super) fn note_dropped(&self) {
        if let Some(cluster) = &self.router.cluster
            && self.counts_codes()
        {
            cluster.on_dropped();
        }
    }

    /// The answer's final headers have come; it ends with them if `end`.
    #[inline]
    pub(super) fn judge_headers(&mut self, status: u16, end: bool) {
        let Some((host, cluster)) = self.router.host_and_cluster() else {
            return;
        };
        if status >= 500 {
            if self.counts_codes() {
                cluster.on_host_error(host);
            }
        } else if !self.is_grpc {
            cluster.on_host_success(host);
        } else {
            self.router.judged_at_end = true;
            if end {
                self.judge(is_good(grpc::status_in(&self.response.headers)));
            }
        }
    }

    /// The answer has ended with trailers.
    #[inline]
    pub(super) fn judge_trailers(&mut self) {
        if self.router.judged_at_end {
            self.judge(is_good(grpc::status_in(&self.response.trailers)));
        }
    }

    /// The answer to a gRPC request has ended, if that was still to be judged.
    #[inline]
    pub(super) fn judge(&mut self, good: bool) {
        if std::mem::take(&mut self.router.judged_at_end)
            && let Some((host, cluster)) = self.router.host_and_cluster()
        {
            match good {
                true => cluster.on_host_success(host),
                false => cluster.on_host_error(host),
            }
        }
    }

    /// The answer, of which the client has a part, will not be whole. Envoy counts this for gRPC only.
    pub(super) fn note_cut_off(&mut self) {
        if self.router.judged_at_end {
            self.judge(false);
            self.hcm
                .stats
                .inc(HttpStats::RQ_RESET_AFTER_DOWNSTREAM_RESPONSE_STARTED);
        }
    }
}

fn is_good(status: Option<Result<grpc::Code, grpc::InvalidCode>>) -> bool {
    matches!(status, Some(Ok(code)) if code.to_http() < 500)
}
