//! Load balancing: which host gets a request.
//!
//! A policy ([`LbPolicy`]) is configuration, shared by all threads; each worker makes a balancer ([`LoadBalancer`]) of
//! it for each cluster that it uses. What can be shared by workers is: turns are taken on the lists of hosts themselves
//! ([`HostList`](crate::HostList)), rings, tables and subsets are made once per set of hosts ([`LbPolicy::derive`]). A
//! balancer keeps what only one worker may change: schedules whose weights move.
//!
//! * `sources`: priorities, panic, localities and zones: in which list a request looks for its host;
//! * `weighted`: taking turns on a list, by weight, with slow start;
//! * one module per policy.

mod children;
pub mod client_side;
pub mod edf;
mod feedback;
pub mod forward_proxy;
pub mod hashing;
mod in_list;
pub mod least_request;
pub mod listed_hosts;
pub mod load_aware;
pub mod members;
mod murmur;
pub mod original_dst;
mod override_host;
pub mod peak_ewma;
mod previous_priorities;
pub mod priority;
#[cfg(test)]
mod properties;
pub mod random;
pub mod round_robin;
mod sources;
pub mod subset;
#[cfg(test)]
mod testing;
mod weighted;

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_http::HeaderMap;
use nuncio_route::{HashPolicy, MetadataMatch};
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::runtime::RuntimeInteger;
use nuncio_sdk::{ConnectionInfo, FilterState, Runtime};
use nuncio_stats::{Group, LocalGroup};

use crate::forward_proxy::SubClusters;
use crate::host::{Host, Locality};
use crate::host_set::{Derived, PrioritySet};
use crate::random::Random;

use members::{Members, PassOn};

pub(crate) use feedback::HostFeedback;
pub use feedback::{Answered, Learner, Wanted};
pub(crate) use override_host::Overridden;
pub use override_host::{OverrideHost, OverrideStatuses};
pub use previous_priorities::{Numbering, PreviousPriorities};
pub use priority::PriorityLoads;
pub use sources::{LocalityOptions, ZoneAwareOptions};
pub(crate) use subset::has_metadata;
pub use weighted::SlowStart;

/// What a policy may look at (Envoy's `LoadBalancerContext`).
#[derive(Clone, Copy, Default)]
pub struct LbContext<'a> {
    /// The hash of the request by its hash policy; computed only for policies with [`LbPolicy::needs_hash`].
    pub hash: Option<u64>,
    /// `metadata_match` of the route: (key, value) under `envoy.lb`.
    pub metadata_match: Option<&'a MetadataMatch>,
    /// Dynamic metadata of the stream.
    pub metadata: Option<&'a DynamicMetadata>,
    /// What filters have left on the stream for others.
    pub filter_state: Option<&'a FilterState>,
    /// The downstream connection.
    pub downstream: Option<&'a ConnectionInfo>,
    /// The request's headers.
    pub request_headers: Option<&'a HeaderMap>,
    /// A host that must be taken if it is there (stateful sessions).
    pub override_host: Option<OverrideHost<'a>>,
    /// Hosts that an earlier attempt of the request has used (`previous_hosts`).
    pub attempted: &'a [Arc<Host>],
    /// `host_selection_retry_max_attempts`: how often a host of `attempted` is passed over.
    pub max_reselections: u32,
    /// How priorities share the load, if not as for any request (`retry_priority`). As in Envoy, hashed requests ignore it.
    pub loads: Option<&'a PriorityLoads>,
    /// Where a balancer may leave word of why it has no host, or that there will be one; `None` of who does not wait.
    pub no_host: Option<&'a Cell<Option<Box<NoHost>>>>,
    /// What is told to clusters that pass requests on to others ([`LbPolicy::members`]).
    pub pass_on: Option<PassOn<'a>>,
}

/// What a balancer can say when it has no host.
pub enum NoHost {
    /// Why; for the details of the answer.
    Because(Arc<str>),
    /// It may have one when this is over, which says why there is none otherwise (Envoy's asynchronous host selection).
    Later(Pin<Box<dyn Future<Output = Arc<str>>>>),
    /// It was waited for, and this is why there is none now.
    Waited(Arc<str>),
}

impl LbContext<'_> {
    /// Leaves this word, if somebody listens who has not waited yet.
    #[cold]
    pub(crate) fn leave(&self, word: impl FnOnce() -> NoHost) {
        if let Some(place) = self.no_host {
            let before = place.take();
            place.set(before.or_else(|| Some(Box::new(word()))));
        }
    }

    /// Whether a balancer has left word that there will be a host later.
    pub(crate) fn will_have_host(&self) -> bool {
        self.no_host.is_some_and(|place| {
            let word = place.take();
            let will_have = matches!(word.as_deref(), Some(NoHost::Later(_)));
            place.set(word);
            will_have
        })
    }
}

impl LbContext<'_> {
    /// How priorities share the load of this request.
    #[inline]
    fn loads<'l>(&'l self, hosts: &'l PrioritySet) -> &'l PriorityLoads {
        self.loads.unwrap_or_else(|| hosts.loads())
    }
}

/// A configured policy.
pub trait LbPolicy: Send + Sync + fmt::Debug + Any {
    /// Envoy's name (`envoy.load_balancing_policies.round_robin`).
    fn name(&self) -> &'static str;

    /// A balancer for one worker.
    fn build(self: Arc<Self>, random: &Random) -> Box<dyn LoadBalancer>;

    /// Whether balancers of `other` behave as those of this policy, so that a worker keeps its cursors when the
    /// cluster's configuration changes elsewhere.
    fn same_as(&self, other: &dyn LbPolicy) -> bool;

    /// What all workers' balancers share for these hosts; `before` is what was made of the hosts before. Called when
    /// the first request needs it, and from then on by the main thread whenever hosts change.
    fn derive(
        &self,
        hosts: &PrioritySet,
        before: Option<&Derived>,
        stats: &Arc<Group>,
    ) -> Option<Derived> {
        let _ = (hosts, before, stats);
        None
    }

    /// Whether [`Self::derive`] is called as soon as there are hosts, since its stats tell of them.
    fn derives_at_once(&self) -> bool {
        false
    }

    /// Whether [`LbContext::hash`] is wanted.
    fn needs_hash(&self) -> bool {
        false
    }

    /// The clusters to which requests are passed on, where the policy chooses clusters and not hosts.
    fn members(&self) -> Option<&Members> {
        None
    }

    /// The clusters that hosts of a dynamic forward proxy have for themselves, where the policy chooses those.
    fn sub_clusters(self: Arc<Self>) -> Option<Arc<SubClusters>> {
        None
    }

    /// The policy's own hash policy, which takes the place of the route's.
    fn hash_policy(&self) -> Option<&HashPolicy> {
        None
    }

    /// What learns from the answers of hosts; `None` in most policies, whose requests then pay nothing for it.
    fn learner(&self) -> Option<&dyn Learner> {
        None
    }
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

    /// There are other hosts from now on.
    fn on_hosts(&mut self, hosts: &Arc<PrioritySet>) {
        let _ = hosts;
    }

    /// Whether this host, which is none of the cluster's hosts, was made by the balancer and is not to be given up.
    fn keeps(&self, host: &Arc<Host>) -> bool {
        let _ = host;
        false
    }

    /// The host that will be chosen after `ahead` others, as far as that can be told, for connections that are made ahead
    /// (Envoy's `peekAnotherHost`).
    fn peek<'a>(
        &mut self,
        hosts: &'a Arc<PrioritySet>,
        ahead: usize,
        env: &LbEnv,
    ) -> Option<&'a Arc<Host>> {
        let _ = (hosts, ahead, env);
        None
    }
}

/// What balancers of one cluster on one worker have at hand.
#[derive(Debug)]
pub struct LbEnv {
    /// The worker's random numbers.
    pub random: Rc<Random>,
    /// The worker's block of [`ClusterStats`](crate::stats::ClusterStats).
    pub stats: LocalGroup,
    /// The owner of `stats`.
    pub group: Arc<Group>,
    /// Where this proxy is, and its kind.
    pub local: Rc<LocalCluster>,
}

/// Where this proxy is, and the cluster that it belongs to itself (`cluster_manager.local_cluster_name`), for zone-aware
/// routing.
#[derive(Debug, Default)]
pub struct LocalCluster {
    /// `node.locality`
    pub locality: Locality,
    /// `upstream.zone_routing.*`
    pub zone_routing: ZoneRoutingRuntime,
    hosts: RefCell<Option<Arc<PrioritySet>>>,
}

/// What the runtime says in place of each cluster's [`ZoneAwareOptions`].
#[derive(Debug)]
pub struct ZoneRoutingRuntime {
    /// `upstream.zone_routing.enabled`, percent of requests.
    pub enabled: RuntimeInteger,
    /// `upstream.zone_routing.min_cluster_size`; as in Envoy, looked at when hosts have changed.
    pub min_cluster_size: RuntimeInteger,
}

impl ZoneRoutingRuntime {
    /// As the layers say.
    pub fn new(runtime: &Runtime) -> Self {
        // The defaults are those of each cluster.
        let integer = |name| runtime.integer(&format!("upstream.zone_routing.{name}"), 0);
        Self {
            enabled: integer("enabled"),
            min_cluster_size: integer("min_cluster_size"),
        }
    }
}

impl Default for ZoneRoutingRuntime {
    /// No layer says anything.
    fn default() -> Self {
        Self {
            enabled: RuntimeInteger::fixed(0),
            min_cluster_size: RuntimeInteger::fixed(0),
        }
    }
}

impl LocalCluster {
    /// This proxy's own zone; empty when it is not known.
    pub(crate) fn zone(&self) -> &str {
        &self.locality.zone
    }

    /// In this locality.
    pub fn new(locality: Locality, zone_routing: ZoneRoutingRuntime) -> Self {
        Self {
            locality,
            zone_routing,
            hosts: RefCell::default(),
        }
    }

    /// The proxies of the local cluster; `None` without one.
    pub fn hosts(&self) -> Option<Arc<PrioritySet>> {
        self.hosts.borrow().clone()
    }

    /// The local cluster has changed.
    pub fn set_hosts(&self, hosts: Option<Arc<PrioritySet>>) {
        self.hosts.replace(hosts);
    }
}

/// Chooses by `once`, again while the host was tried before and the request's limit allows (Envoy's
/// `shouldSelectAnotherHost`).
fn choose_untried<'a>(
    cx: &LbContext<'_>,
    mut once: impl FnMut(u32) -> Option<&'a Arc<Host>>,
) -> Option<Cow<'a, Arc<Host>>> {
    let mut host = once(0)?;
    for attempt in 1..=cx.max_reselections {
        if !cx.attempted.iter().any(|tried| Arc::ptr_eq(tried, host)) {
            break;
        }
        host = once(attempt)?;
    }
    Some(Cow::Borrowed(host))
}

/// `same_as` for policies whose options can be compared.
fn is_equal<T: LbPolicy + PartialEq>(policy: &T, other: &dyn LbPolicy) -> bool {
    (other as &dyn Any).downcast_ref::<T>() == Some(policy)
}
