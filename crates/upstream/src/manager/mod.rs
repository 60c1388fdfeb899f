//! The cluster manager: lives on the main thread, owns all clusters, tells the workers what changes. See `LIFECYCLE.md`.

mod admin;
mod init;
mod shared;
mod version;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::Cluster;
use nuncio_event::{Dispatchers, Slot};
use nuncio_sdk::{ClusterId, ServerContext};
use nuncio_stats::Group;
use prost::Message;

use crate::breaker::{Breakers, Priority, Thresholds};
use crate::convert::{self, ClusterSpec, SharedParts};
use crate::dns::{DnsHosts, DnsResolver, ResolveError, Resolved};
use crate::host_set::PrioritySet;
use crate::info::{ClusterInfo, ClusterKind};
use crate::stats::{ClusterStats as S, ManagerStats, RemainingStats};
use crate::worker::WorkerClusters;

pub use admin::{ClusterStatus, ConfigDump, DumpedCluster, HostStatus};
pub use init::{InitPhase, InitStage};
pub(crate) use shared::{Shared, Snapshot};
pub(crate) use version::{HostChange, build_hosts};

use init::Init;
use version::Version;

/// Where a cluster comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The bootstrap: it can be neither changed nor removed.
    Static,
    /// Discovery, with the version that it told.
    Api {
        /// `version_info` of the discovery response.
        version_info: &'a str,
    },
}

/// All clusters. Changed by the main thread only; read by the admin thread ([`Self::statuses`], [`Self::config_dump`]).
pub struct ClusterManager {
    this: Weak<Self>,
    server: Arc<ServerContext>,
    shared: Arc<Shared>,
    workers: Dispatchers,
    slot: Slot<WorkerClusters>,
    stats: Arc<Group>,
    parts: SharedParts,
    /// Resolves names; without one (validation) nothing is resolved and every cluster counts as ready.
    resolver: Option<Arc<dyn DnsResolver>>,
    /// The one empty `version_info`.
    no_version: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clusters: BTreeMap<ClusterId, Box<Entry>>,
    init: Init,
    /// Called when initialization is over.
    waiting: Vec<Box<dyn FnOnce() + Send>>,
    /// The `version_info` that CDS told last.
    version_info: Arc<str>,
    /// Tells apart versions, so that a late answer to an old one is dropped.
    serial: u64,
}

/// The versions of one cluster.
#[derive(Default)]
struct Entry {
    /// Serves, or (during start-up) is the first to serve.
    active: Option<Version>,
    /// Will replace the active one when it is ready.
    warming: Option<Box<Version>>,
}

impl Entry {
    fn newest(&self) -> Option<&Version> {
        self.warming.as_deref().or(self.active.as_ref())
    }
}

impl ClusterManager {
    /// A manager without clusters, for these workers, which must be running. Names are resolved by `resolver` on the calling
    /// thread's runtime; without one nothing is resolved (`--mode validate`).
    pub fn new(
        server: Arc<ServerContext>,
        workers: &Dispatchers,
        resolver: Option<Arc<dyn DnsResolver>>,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared::new(server.clone()));
        let slot = Slot::new(workers);
        let for_workers = shared.clone();
        slot.set(move |_| WorkerClusters::new(for_workers.clone()));
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            stats: server.stats.group("cluster_manager", ManagerStats::SCHEMA),
            server,
            shared,
            workers: workers.clone(),
            slot,
            parts: SharedParts::default(),
            resolver,
            no_version: Arc::from(""),
            state: Mutex::default(),
        })
    }

    /// The slot in which each worker finds its [`WorkerClusters`].
    pub fn worker_slot(&self) -> &Slot<WorkerClusters> {
        &self.slot
    }

    /// The clusters as the calling thread sees them: a worker, or a thread that called [`Self::install_here`].
    ///
    /// # Panics
    /// On any other thread.
    pub fn on_this_thread(&self) -> Rc<WorkerClusters> {
        self.slot.get()
    }

    /// Gives the calling thread, which is no worker, a view of the clusters of its own (the main thread's clients, tests).
    pub fn install_here(&self) {
        self.slot.set_here(WorkerClusters::new(self.shared.clone()));
    }

    /// Adds the bootstrap's clusters, given with their index in `static_resources.clusters`, and begins to bring them up.
    /// `cds`: there is a CDS whose first answer start-up waits for.
    ///
    /// # Errors
    /// Everything that is wrong, with complete paths. Nothing of a wrong cluster is added.
    pub fn initialize(
        &self,
        clusters: impl IntoIterator<Item = (usize, Cluster)>,
        cds: bool,
    ) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        for (index, cluster) in clusters {
            let path = format!("static_resources.clusters[{index}]");
            let duplicate = self.has_cluster(&cluster.name);
            let result = if duplicate {
                Err(vec![ConfigError::new(
                    "name",
                    format!("cluster manager: duplicate cluster '{}'", cluster.name),
                )])
            } else {
                self.add_or_update_cluster(cluster, Origin::Static)
            };
            if let Err(found) = result {
                errors.extend(found.into_iter().map(|error| error.within(&path)));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut state = self.state();
        state.init.static_clusters_loaded(cds);
        self.advance(state);
        Ok(())
    }

    /// The first answer of CDS was applied, or waiting for it is over.
    pub fn cds_answered(&self) {
        let mut state = self.state();
        state.init.cds_answered();
        self.advance(state);
    }

    /// Calls `call` when all clusters that start-up waits for are up; at once if they are.
    pub fn on_initialized(&self, call: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.init.stage() == InitStage::Done {
            drop(state);
            call();
        } else {
            state.waiting.push(Box::new(call));
        }
    }

    /// Waits for the same.
    pub async fn initialized(&self) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // The receiver is gone when nobody waits any more.
        self.on_initialized(move || _ = sender.send(()));
        // An error is the manager's end.
        let _ = receiver.await;
    }

    /// How far initialization has come.
    pub fn init_stage(&self) -> InitStage {
        self.state().init.stage()
    }

    /// Whether there is a cluster of this name, active or warming.
    pub fn has_cluster(&self, name: &str) -> bool {
        let id = self.server.cluster_names.lookup(name);
        id.is_some_and(|id| self.state().clusters.contains_key(&id))
    }

    /// Adds a cluster, or replaces the one of this name; the old version serves until the new one is ready. Returns whether
    /// anything was to be done: an unchanged cluster is left alone, and so is a static one by discovery, as in Envoy.
    ///
    /// # Errors
    /// Everything that is wrong, with paths relative to the cluster.
    pub fn add_or_update_cluster(
        &self,
        cluster: Cluster,
        origin: Origin<'_>,
    ) -> Result<bool, Vec<ConfigError>> {
        if self.is_unchanged(&cluster, origin) {
            return Ok(false);
        }
        let config: Arc<[u8]> = cluster.encode_to_vec().into();
        let connection_hash = connection_hash(&cluster);
        let spec = convert::compile(cluster, &self.parts)?;
        let id = self.server.cluster_names.intern(&spec.name);
        let mut state = self.state();
        state.serial += 1;
        let serial = state.serial;
        let entry = state.clusters.entry(id).or_default();
        let version = self.make_version(
            entry,
            spec,
            Made {
                id,
                config,
                connection_hash,
                origin,
                serial,
            },
        );
        let (is_ready, wait) = (version.is_ready(), version.wait_for_warm);
        let is_new = entry.active.is_none();
        if is_new && state.init.stage() != InitStage::Done {
            // Part of start-up: counts as active, and is shown to workers when it is ready.
            let entry = state.clusters.entry(id).or_default();
            version.show_membership();
            entry.active = Some(version);
            self.stats.inc(ManagerStats::CLUSTER_ADDED);
            if is_ready || !wait {
                self.show(&state, id);
            } else {
                state.init.add(id, InitPhase::Primary);
            }
        } else {
            self.stats.inc(if is_new {
                ManagerStats::CLUSTER_ADDED
            } else {
                ManagerStats::CLUSTER_MODIFIED
            });
            let entry = state.clusters.entry(id).or_default();
            entry.warming = Some(Box::new(version));
            if is_ready {
                self.activate(&mut state, id);
            }
        }
        self.show_counts(&state);
        self.advance(state);
        Ok(true)
    }

    /// Removes a cluster that discovery has added. Returns whether there was one.
    pub fn remove_cluster(&self, name: &str) -> bool {
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return false;
        };
        let mut state = self.state();
        let via_api = |entry: &Box<Entry>| entry.newest().is_some_and(|v| v.info.added_via_api);
        if !state.clusters.get(&id).is_some_and(via_api) {
            return false;
        }
        let removed = state.clusters.remove(&id);
        state.init.remove(id);
        self.stats.inc(ManagerStats::CLUSTER_REMOVED);
        self.tell(id, None);
        self.show_counts(&state);
        self.advance(state);
        // Dropped without the lock: hosts, stats and resolutions end here.
        drop(removed);
        true
    }

    /// What discovery said of itself, for `/config_dump`.
    pub fn set_version_info(&self, version_info: &str) {
        self.state().version_info = version_info.into();
    }

    /// The active version of a cluster.
    pub fn active_info(&self, name: &str) -> Option<Arc<ClusterInfo>> {
        let id = self.server.cluster_names.lookup(name)?;
        Some(
            self.state()
                .clusters
                .get(&id)?
                .active
                .as_ref()?
                .info
                .clone(),
        )
    }

    /// The hosts of the active version of a cluster.
    pub fn hosts(&self, name: &str) -> Option<Arc<PrioritySet>> {
        let id = self.server.cluster_names.lookup(name)?;
        Some(
            self.state()
                .clusters
                .get(&id)?
                .active
                .as_ref()?
                .hosts
                .clone(),
        )
    }

    /// Health flags of hosts of this cluster have changed ([`Host::set_health_flags`](crate::Host::set_health_flags)): builds its
    /// host sets anew and tells the workers. Work for this cluster only.
    pub fn health_changed(&self, name: &str) {
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return;
        };
        let mut state = self.state();
        let Some(version) = state
            .clusters
            .get_mut(&id)
            .and_then(|entry| entry.active.as_mut())
        else {
            return;
        };
        let hosts = version.hosts.rebuilt(version.info.priorities);
        version.set_hosts(HostChange {
            hosts: Arc::new(hosts),
            changed: true,
            membership: false,
        });
        version.show_membership();
        self.stats.inc(ManagerStats::CLUSTER_UPDATED);
        self.show(&state, id);
    }

    /// Whether the newest version was made of the same configuration, or may not be changed.
    fn is_unchanged(&self, cluster: &Cluster, origin: Origin<'_>) -> bool {
        let Some(id) = self.server.cluster_names.lookup(&cluster.name) else {
            return false;
        };
        let config = {
            let state = self.state();
            let Some(newest) = state.clusters.get(&id).and_then(|entry| entry.newest()) else {
                return false;
            };
            if origin != Origin::Static && !newest.info.added_via_api {
                log::debug!(
                    "static cluster {} is not changed by discovery",
                    cluster.name
                );
                return true;
            }
            newest.config.clone()
        };
        // Compared as messages: maps have no fixed order on the wire.
        Cluster::decode(&*config).is_ok_and(|old| old == *cluster)
    }

    fn make_version(&self, entry: &Entry, spec: ClusterSpec, made: Made<'_>) -> Version {
        let Made {
            id,
            config,
            connection_hash,
            origin,
            serial,
        } = made;
        let name = self
            .server
            .cluster_names
            .name(id)
            .unwrap_or_else(|| spec.name.as_str().into());
        let observability_name: Arc<str> = spec
            .alt_stat_name
            .as_deref()
            .map_or_else(|| name.clone(), Arc::from);
        let stats = self
            .server
            .stats
            .group(format!("cluster.{observability_name}"), S::SCHEMA);
        // Budgets, and hosts with their counts, go on in the new version.
        let before = entry.active.as_ref();
        let breakers = before
            .filter(|old| Arc::ptr_eq(&old.info.stats, &stats))
            .map(|old| &old.info.breakers)
            .filter(|breakers| breakers.can_take_over(&spec.thresholds))
            .cloned()
            .unwrap_or_else(|| {
                let prefix = stats.prefix().clone();
                Arc::new(Breakers::new(
                    &spec.thresholds,
                    &*stats,
                    |priority: Priority| {
                        let prefix = format!("{prefix}.circuit_breakers.{}", priority.as_str());
                        self.server.stats.group(prefix, RemainingStats::SCHEMA)
                    },
                ))
            });
        let is_default = spec.thresholds == <[Thresholds; 2]>::default();
        let info = Arc::new(ClusterInfo {
            id,
            name,
            observability_name,
            kind: spec.kind,
            connect_timeout: spec.connect_timeout,
            per_connection_buffer_limit: spec.per_connection_buffer_limit,
            http: spec.http,
            connect: spec.connect,
            lb: spec.lb,
            priorities: spec.priorities,
            thresholds: (!is_default).then(|| Box::new(spec.thresholds)),
            breakers,
            stats,
            metadata: spec.metadata,
            added_via_api: origin != Origin::Static,
            connection_hash,
        });
        let nothing = PrioritySet::empty();
        let before = before.map_or(&nothing, |old| &*old.hosts);
        let (change, dns) = match (spec.kind, spec.dns) {
            (ClusterKind::StrictDns, Some(options)) => {
                let mut dns = DnsHosts::new(spec.localities, options, info.priorities, serial);
                if let Some(resolver) = &self.resolver {
                    dns.start(&self.this, id, resolver, &info.stats);
                }
                (dns.build(before), Some(Box::new(dns)))
            }
            _ => {
                let hosts = version::build_hosts(
                    &spec.localities,
                    info.priorities,
                    before,
                    version::literal,
                    false,
                );
                let count = hosts.count() as u64;
                if count > 0 {
                    info.stats.add(S::TOTAL_MATCH_COUNT, count);
                }
                (hosts, None)
            }
        };
        if change.membership {
            info.stats.inc(S::MEMBERSHIP_CHANGE);
        }
        Version {
            info,
            hosts: change.hosts,
            config,
            version_info: match origin {
                Origin::Static => self.no_version.clone(),
                Origin::Api { version_info } => version_info.into(),
            },
            last_updated: SystemTime::now(),
            dns: if self.resolver.is_some() { dns } else { None },
            wait_for_warm: spec.wait_for_warm,
        }
    }

    /// The warming version takes the place of the active one.
    fn activate(&self, state: &mut State, id: ClusterId) {
        let Some(entry) = state.clusters.get_mut(&id) else {
            return;
        };
        let Some(version) = entry.warming.take() else {
            return;
        };
        version
            .info
            .breakers
            .set_thresholds(&version.info.thresholds(), &*version.info.stats);
        version.show_membership();
        entry.active = Some(*version);
        self.show(state, id);
    }

    /// Shows the active version to all threads.
    fn show(&self, state: &State, id: ClusterId) {
        let active = state
            .clusters
            .get(&id)
            .and_then(|entry| entry.active.as_ref());
        self.tell(id, active.map(Version::snapshot));
    }

    fn tell(&self, id: ClusterId, snapshot: Option<Snapshot>) {
        if !self.shared.set(id, snapshot.clone()) {
            // No thread has looked at any cluster yet.
            return;
        }
        if let Some(here) = self.slot.try_get() {
            here.update(id, snapshot.as_ref());
        }
        let slot = self.slot.clone();
        let posted = self.workers.post_all(move |_| {
            if let Some(clusters) = slot.try_get() {
                clusters.update(id, snapshot.as_ref());
            }
        });
        if posted.is_err() {
            log::debug!("a worker has ended and is not told of cluster {}", id.0);
        }
    }

    fn show_counts(&self, state: &State) {
        let active = state
            .clusters
            .values()
            .filter(|entry| entry.active.is_some())
            .count();
        let warming = state
            .clusters
            .values()
            .filter(|entry| entry.warming.is_some())
            .count();
        self.stats
            .gauge_set(ManagerStats::ACTIVE_CLUSTERS, active as u64);
        self.stats
            .gauge_set(ManagerStats::WARMING_CLUSTERS, warming as u64);
    }

    /// Goes on with initialization, and calls who waits for its end, without the lock.
    fn advance(&self, mut state: MutexGuard<'_, State>) {
        if state.init.advance() {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            log::info!("cm init: all clusters initialized");
            for call in waiting {
                call();
            }
        }
    }

    /// An answer of the resolver for name number `target` of a version. Returns when to ask again; `None` when the version
    /// is gone.
    pub(crate) fn on_resolved(
        &self,
        id: ClusterId,
        serial: u64,
        target: usize,
        result: Result<Resolved, ResolveError>,
    ) -> Option<std::time::Duration> {
        let mut state = self.state();
        let entry = state.clusters.get_mut(&id)?;
        let is_it = |version: &&mut Version| {
            version
                .dns
                .as_ref()
                .is_some_and(|dns| dns.serial() == serial)
        };
        let in_warming = entry.warming.as_deref_mut().filter(is_it).is_some();
        let Entry { active, warming } = &mut **entry;
        let version = if in_warming {
            warming.as_deref_mut()
        } else {
            active.as_mut().filter(is_it)
        }?;
        let mut dns = version.dns.take()?;
        let was_ready = dns.is_resolved();
        let next = dns.answer(target, result, &version.info);
        let mut changed = false;
        if let Some(change) = next.rebuild.then(|| dns.build(&version.hosts)) {
            changed = version.set_hosts(change);
        }
        if next.rebuild && !changed {
            version.info.stats.inc(S::UPDATE_NO_REBUILD);
        }
        let is_ready = dns.is_resolved();
        version.dns = Some(dns);
        if changed && !in_warming {
            version.show_membership();
        }
        if in_warming {
            if is_ready {
                self.activate(&mut state, id);
                self.show_counts(&state);
            }
        } else if is_ready && (changed || !was_ready) {
            if was_ready {
                self.stats.inc(ManagerStats::CLUSTER_UPDATED);
            }
            self.show(&state, id);
        }
        if is_ready {
            state.init.remove(id);
        }
        self.advance(state);
        Some(next.wait)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves a cluster half changed, not the map broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a version is made of beside its specification.
struct Made<'a> {
    id: ClusterId,
    config: Arc<[u8]>,
    connection_hash: u64,
    origin: Origin<'a>,
    serial: u64,
}

/// A hash of all fields that decide what a connection is like; what only decides where requests go is left out.
fn connection_hash(cluster: &Cluster) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut part = |bytes: Vec<u8>| bytes.hash(&mut hasher);
    part(
        cluster
            .upstream_bind_config
            .as_ref()
            .map(Message::encode_to_vec)
            .unwrap_or_default(),
    );
    part(
        cluster
            .upstream_connection_options
            .as_ref()
            .map(Message::encode_to_vec)
            .unwrap_or_default(),
    );
    part(
        cluster
            .transport_socket
            .as_ref()
            .map(Message::encode_to_vec)
            .unwrap_or_default(),
    );
    #[expect(deprecated, reason = "deprecated fields are still read")]
    {
        part(
            cluster
                .common_http_protocol_options
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
        part(
            cluster
                .http_protocol_options
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
        part(
            cluster
                .max_requests_per_connection
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default(),
        );
    }
    let mut typed: Vec<_> = cluster.typed_extension_protocol_options.iter().collect();
    typed.sort_by_key(|(key, _)| key.as_str());
    for (key, value) in typed {
        part(key.clone().into_bytes());
        part(value.encode_to_vec());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
