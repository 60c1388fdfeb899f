//! Load balancing: which host gets a request.
//!
//! A policy ([`LbPolicy`]) is configuration, shared by all threads; each worker makes a balancer ([`LoadBalancer`]) of
//! it for each cluster that it uses. A balancer owns its cursors and whatever it derives from a host-set snapshot.

pub mod edf;
pub mod priority;
pub mod round_robin;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_http::HeaderMap;
use nuncio_sdk::ConnectionInfo;
use nuncio_stats::LocalGroup;

use crate::host::Host;
use crate::host_set::PrioritySet;
use crate::random::Random;

/// What a policy may look at (Envoy's `LoadBalancerContext`).
#[derive(Clone, Copy, Default)]
pub struct LbContext<'a> {
    /// The hash of the request by the route's hash policy.
    pub hash: Option<u64>,
    /// `metadata_match` of the route: (key, value) under `envoy.lb`.
    pub metadata_match: Option<&'a MetadataMatch>,
    /// The downstream connection.
    pub downstream: Option<&'a ConnectionInfo>,
    /// The request's headers.
    pub request_headers: Option<&'a HeaderMap>,
    /// A host that must be taken if it is there (stateful sessions).
    pub override_host: Option<SocketAddr>,
    /// Hosts that an earlier attempt of the request has used (`previous_hosts`).
    pub attempted: &'a [Arc<Host>],
    /// `host_selection_retry_max_attempts`: how often a host of `attempted` is passed over.
    pub max_reselections: u32,
}

/// Criteria of subset balancing, sorted by key.
pub type MetadataMatch = Vec<(Box<str>, nuncio_config::api::protobuf::Value)>;

/// A configured policy.
pub trait LbPolicy: Send + Sync + fmt::Debug {
    /// Envoy's name (`envoy.load_balancing_policies.round_robin`).
    fn name(&self) -> &'static str;

    /// A balancer for one worker.
    fn build(&self, random: &Random) -> Box<dyn LoadBalancer>;

    /// Whether balancers of `other` behave as those of this policy, so that a worker keeps its cursors when the
    /// cluster's configuration changes elsewhere.
    fn same_as(&self, other: &dyn LbPolicy) -> bool;
}

/// A balancer of one cluster on one worker.
pub trait LoadBalancer {
    /// Chooses a host; `None` when no host may be used.
    ///
    /// `hosts` may differ from the last call's (compare with [`Arc::ptr_eq`] what is derived from it).
    /// A borrowed host belongs to `hosts`; an owned one was made for this request (original destination).
    fn choose<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        cx: &LbContext<'_>,
        env: &LbEnv,
    ) -> Option<Cow<'a, Arc<Host>>>;
}

/// What balancers of one cluster on one worker have at hand.
#[derive(Debug)]
pub struct LbEnv {
    /// The worker's random numbers.
    pub random: Rc<Random>,
    /// The worker's block of [`ClusterStats`](crate::stats::ClusterStats).
    pub stats: LocalGroup,
}
