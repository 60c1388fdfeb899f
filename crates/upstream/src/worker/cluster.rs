//! [`WorkerCluster`]: one version of a cluster on one worker.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use nuncio_sdk::{ConnectionInfo, Protocol};
use nuncio_stats::LocalGroup;

use super::by_authority::HostCluster;
use super::delegate::Delegate;
use super::host::WorkerHost;
use super::hosts::{Hosts, State, as_seen_here};
use super::table::Table;
use crate::breaker::{Priority, Resource, Taken};
use crate::host_set::PrioritySet;
use crate::info::{ClusterInfo, ClusterKind, UpstreamProtocol};
use crate::lb::{LbContext, LbEnv, LbPolicy, NoHost, Numbering, Overridden, PriorityLoads};
use crate::manager::{Change, Snapshot};
use crate::pool::{Acquire, Counters, Pool};
use crate::stats::ClusterStats as S;

/// A cluster as a request on one worker uses it. Its configuration never changes: a request keeps the version that it began
/// with; hosts, cursors and pools are shared with later versions.
pub struct WorkerCluster {
    info: Arc<ClusterInfo>,
    counters: Rc<Counters>,
    hosts: Rc<Hosts>,
    /// The clusters to which requests are passed on; this one has no hosts then.
    delegate: Option<Rc<Delegate>>,
}

/// A host for a request.
#[derive(Debug)]
pub struct Chosen {
    /// The host.
    pub host: Rc<WorkerHost>,
    /// The cluster to which it belongs, if that is another one than was asked (aggregate and composite clusters). Connections
    /// are asked for there, and it is told how the host fares.
    pub member: Option<Rc<WorkerCluster>>,
}

impl fmt::Debug for WorkerCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerCluster")
            .field("name", &self.info.name)
            .finish_non_exhaustive()
    }
}

impl WorkerCluster {
    pub(super) fn new(snapshot: Snapshot, table: &Rc<Table>) -> Self {
        let Snapshot { info, hosts } = snapshot;
        let counters = Rc::new(Counters::new(&info, table.local().zone()));
        let state = State {
            hosts,
            balancer: info.lb.clone().build(table.random()),
            chosen: HashMap::new(),
        };
        let env = LbEnv {
            random: table.random().clone(),
            stats: counters.stats.clone(),
            group: counters.group.clone(),
            local: table.local().clone(),
        };
        Self {
            hosts: Rc::new(Hosts {
                env,
                sweeper: table.sweeper().clone(),
                state: RefCell::new(state),
            }),
            delegate: delegate(&info.lb, table),
            info,
            counters,
        }
    }

    /// The configuration.
    #[inline]
    pub fn info(&self) -> &Arc<ClusterInfo> {
        &self.info
    }

    /// This worker's block of [`ClusterStats`](crate::stats::ClusterStats).
    #[inline]
    pub fn stats(&self) -> &LocalGroup {
        &self.counters.stats
    }

    /// The priorities among which requests are shared, as this worker sees them now; those of an aggregate cluster are the
    /// priorities of its members, laid end to end.
    pub fn host_sets(&self) -> Arc<PrioritySet> {
        let of_members = |delegate: &Rc<Delegate>| delegate.priorities(self.panic_threshold());
        let of_members = self.delegate.as_ref().and_then(of_members);
        of_members.unwrap_or_else(|| self.own_hosts())
    }

    /// How its priorities share a request that came to a composite cluster and was tried before. Who draws no priority for it
    /// does not ask, and asking is no small matter: it may begin the round anew.
    pub(super) fn loads_of_retry(&self, cx: &LbContext<'_>) -> Option<PriorityLoads> {
        let priorities = cx.pass_on?.priorities?;
        let draws = match self.info.kind {
            ClusterKind::Composite | ClusterKind::OriginalDst | ClusterKind::ForwardProxy => false,
            _ => !self.info.lb.needs_hash(),
        };
        if !draws {
            return None;
        }
        let numbering = match self.passes_on() {
            true => Numbering::ByPlace,
            false => Numbering::ByNumber,
        };
        let mut priorities = priorities.borrow_mut();
        priorities.loads(&self.host_sets(), numbering).cloned()
    }

    /// The cluster's own hosts.
    pub(super) fn own_hosts(&self) -> Arc<PrioritySet> {
        self.hosts.state.borrow().hosts.clone()
    }

    fn panic_threshold(&self) -> u32 {
        self.info.priorities.panic_threshold
    }

    /// Whether requests are passed on to other clusters, so that [`LbContext::pass_on`] is wanted.
    #[inline]
    pub fn passes_on(&self) -> bool {
        self.delegate.is_some()
    }

    /// What there is for the host that a request names (`port`: if without a port), where each host has a cluster of
    /// its own, which is made if it is not there; `None` for other clusters.
    pub fn prepare_host(&self, authority: &str, port: u16) -> Option<HostCluster> {
        self.delegate.as_ref()?.prepare(authority, port)
    }

    /// Chooses a host; `None` (counted in `upstream_cx_none_healthy`) when there is none to be used: Envoy answers 503
    /// `UH` `no_healthy_upstream`.
    #[inline]
    pub fn choose_host(&self, cx: &LbContext<'_>) -> Option<Chosen> {
        if let Some(delegate) = &self.delegate {
            return self.choose_member(delegate, cx);
        }
        let mut state = self.hosts.state.borrow_mut();
        let State {
            hosts,
            balancer,
            chosen,
        } = &mut *state;
        let overridden = match cx.override_host {
            None => Overridden::Balance,
            Some(wanted) => self.info.override_statuses.choose(hosts, wanted),
        };
        let host = match overridden {
            Overridden::Balance => balancer.choose(hosts, cx, &self.hosts.env),
            Overridden::Host(host) => Some(Cow::Borrowed(host)),
            Overridden::Nobody => None,
        };
        let Some(host) = host else {
            self.note_no_host(cx);
            return None;
        };
        Some(Chosen {
            host: as_seen_here(chosen, host),
            member: None,
        })
    }

    /// A host that the request wants, or must have, is looked for among the cluster's own hosts, of which there are none.
    #[cold]
    fn choose_member(&self, delegate: &Delegate, cx: &LbContext<'_>) -> Option<Chosen> {
        let hosts = self.own_hosts();
        let overridden = cx
            .override_host
            .map(|wanted| self.info.override_statuses.choose(&hosts, wanted));
        let chosen = match overridden {
            Some(Overridden::Nobody) => None,
            _ => delegate.choose(cx, self.panic_threshold(), &self.hosts.env.random),
        };
        if chosen.is_none() {
            self.note_no_host(cx);
        }
        chosen
    }

    /// Chooses a host for a request that came to another cluster, which counts what comes of it.
    pub(super) fn balance(&self, cx: &LbContext<'_>) -> Option<Chosen> {
        if let Some(delegate) = &self.delegate {
            return delegate.choose(cx, self.panic_threshold(), &self.hosts.env.random);
        }
        let mut state = self.hosts.state.borrow_mut();
        let State {
            hosts,
            balancer,
            chosen,
        } = &mut *state;
        let host = balancer.choose(hosts, cx, &self.hosts.env)?;
        Some(Chosen {
            host: as_seen_here(chosen, host),
            member: None,
        })
    }

    /// Counts that there is no host, unless there may be one later. As in Envoy, who has waited is not counted.
    #[cold]
    fn note_no_host(&self, cx: &LbContext<'_>) {
        let word = cx.no_host.and_then(Cell::take);
        if !matches!(word.as_deref(), Some(NoHost::Later(_) | NoHost::Waited(_))) {
            self.counters.stats.inc(S::UPSTREAM_CX_NONE_HEALTHY);
        }
        if let Some(place) = cx.no_host {
            place.set(word);
        }
    }

    /// Asks for a connection to `host`, which [`Self::choose_host`] gave, or for a stream of one, for a request that came by
    /// `protocol`. With an idle connection at hand this costs a few dozen nanoseconds: no syscall, no allocation, no timer.
    #[inline]
    pub fn acquire(
        &self,
        host: &Rc<WorkerHost>,
        priority: Priority,
        protocol: Option<Protocol>,
    ) -> Acquire {
        let protocol = self.info.http.protocol_for(protocol);
        self.acquire_speaking(self, host, priority, protocol, None)
    }

    /// The same for a request of the connection `downstream` that came to the cluster `asked`: this one, or one of which this
    /// is a member.
    #[inline]
    pub fn acquire_for(
        &self,
        asked: &WorkerCluster,
        downstream: &Rc<ConnectionInfo>,
        host: &Rc<WorkerHost>,
        priority: Priority,
        protocol: Option<Protocol>,
    ) -> Acquire {
        let protocol = self.info.http.protocol_for(protocol);
        self.acquire_speaking(asked, host, priority, protocol, Some(downstream))
    }

    /// Asks for a connection to `host` that no codec touches: what ends a CONNECT tunnel of the connection `downstream`, in a
    /// request to `asked`.
    pub fn acquire_tcp(
        &self,
        asked: &WorkerCluster,
        downstream: &Rc<ConnectionInfo>,
        host: &Rc<WorkerHost>,
        priority: Priority,
    ) -> Acquire {
        self.acquire_speaking(
            asked,
            host,
            priority,
            UpstreamProtocol::Tcp,
            Some(downstream),
        )
    }

    /// As in Envoy, whether pools are kept apart, and connections made ahead, is said by the cluster that was asked.
    #[inline]
    fn acquire_speaking(
        &self,
        asked: &WorkerCluster,
        host: &Rc<WorkerHost>,
        priority: Priority,
        protocol: UpstreamProtocol,
        downstream: Option<&Rc<ConnectionInfo>>,
    ) -> Acquire {
        let pools = &asked.info.pools;
        let owner = downstream.filter(|_| pools.per_downstream);
        if pools.predictive_preconnect > 1.0 && asked.knows_next_host() {
            self.preconnect(pools.predictive_preconnect, priority, protocol, owner);
        }
        if let Some(owner) = owner {
            return self.own_pool(host, priority, protocol, owner).acquire();
        }
        let make = || self.make_shared_pool(host, priority, protocol);
        host.pool(priority, protocol, make).acquire()
    }

    /// Whether it can be told which host comes next; not of clusters that share requests between others.
    fn knows_next_host(&self) -> bool {
        self.delegate.is_none() || self.info.kind == ClusterKind::Composite
    }

    #[cold]
    fn own_pool(
        &self,
        host: &WorkerHost,
        priority: Priority,
        protocol: UpstreamProtocol,
        owner: &Rc<ConnectionInfo>,
    ) -> Rc<Pool> {
        let make = || self.make_pool(host, priority, protocol);
        host.own_pool(owner, priority, protocol, make)
    }

    #[cold]
    fn make_shared_pool(
        &self,
        host: &WorkerHost,
        priority: Priority,
        protocol: UpstreamProtocol,
    ) -> Pool {
        let pool = self.make_pool(host, priority, protocol);
        if self.info.pools.take_over {
            pool.share_idle();
        }
        pool
    }

    #[cold]
    fn make_pool(&self, host: &WorkerHost, priority: Priority, protocol: UpstreamProtocol) -> Pool {
        let protocol = match protocol {
            UpstreamProtocol::Http2 if self.avoids_http2() => UpstreamProtocol::Http1,
            other => other,
        };
        Pool::new(
            host.host().clone(),
            priority,
            protocol,
            self.counters.clone(),
            self.info.clone(),
            self.hosts.sweeper.clone(),
        )
    }

    /// Whether the next pool speaks HTTP/1.1 for the runtime's sake, where HTTP/2 is configured.
    fn avoids_http2(&self) -> bool {
        let http = &self.info.http;
        let percent = http.use_http2.get();
        http.protocol.is_some() && percent < 100 && self.hosts.env.random.next() % 100 >= percent
    }

    /// A request is about to begin: connections are made to the hosts whose turn comes next (Envoy's `maybePreconnect`). Looks
    /// at the pools of all hosts.
    #[cold]
    fn preconnect(
        &self,
        ratio: f32,
        priority: Priority,
        protocol: UpstreamProtocol,
        owner: Option<&Rc<ConnectionInfo>>,
    ) {
        // Envoy's limit per occasion.
        for ahead in 0..3 {
            if !self.hosts.load().wants_connection(ratio, 1) {
                return;
            }
            let Some(host) = self.hosts.peek(ahead) else {
                return;
            };
            let pool = match owner {
                Some(owner) => self.own_pool(&host, priority, protocol, owner),
                None => {
                    let make = || self.make_shared_pool(&host, priority, protocol);
                    host.pool(priority, protocol, make).clone()
                }
            };
            if !pool.preconnect(ratio) {
                return;
            }
        }
    }

    /// Takes the right to retry from the budget of retries; `None` (counted in `upstream_rq_retry_overflow`) when it is used
    /// up. Hold it until the retried request is over.
    pub fn take_retry(&self, priority: Priority) -> Option<Taken> {
        let Counters {
            stats,
            breakers,
            gauges,
            ..
        } = &*self.counters;
        let taken = Taken::try_take(breakers, gauges, priority, Resource::Retries);
        if taken.is_none() {
            stats.inc(S::UPSTREAM_RQ_RETRY_OVERFLOW);
        }
        taken
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes over a newer snapshot; a new version of this object if the configuration has changed.
    pub(super) fn update(
        &self,
        snapshot: &Snapshot,
        change: Option<&Change>,
        table: &Rc<Table>,
    ) -> Option<Self> {
        if !Arc::ptr_eq(&self.info.breakers, &snapshot.info.breakers) {
            // What is counted belongs to other budgets from now on: nothing can be shared.
            self.drain();
            return Some(Self::new(snapshot.clone(), table));
        }
        self.hosts
            .set_hosts(&snapshot.hosts, snapshot.info.pools, change);
        if Arc::ptr_eq(&self.info, &snapshot.info) {
            return None;
        }
        if self.info.connection_hash != snapshot.info.connection_hash {
            self.hosts.renew_pools();
        }
        self.hosts.set_info(&self.info, &snapshot.info);
        let keeps_members = self.info.lb.same_as(&*snapshot.info.lb)
            && self.panic_threshold() == snapshot.info.priorities.panic_threshold;
        Some(Self {
            delegate: match keeps_members {
                true => self.delegate.clone(),
                false => delegate(&snapshot.info.lb, table),
            },
            info: snapshot.info.clone(),
            counters: self.counters.clone(),
            hosts: self.hosts.clone(),
        })
    }

    /// The cluster was removed: idle connections are closed now, busy ones when their request is complete.
    pub(super) fn drain(&self) {
        self.hosts.renew_pools();
    }
}

fn delegate(policy: &Arc<dyn LbPolicy>, table: &Rc<Table>) -> Option<Rc<Delegate>> {
    if let Some(policy) = policy.clone().sub_clusters() {
        return Some(Rc::new(Delegate::by_authority(policy, table)));
    }
    let members = policy.members()?;
    Some(Rc::new(Delegate::new(members, table)))
}
