//! The cluster manager: lives on the main thread, owns all clusters, tells the workers what changes. See `LIFECYCLE.md`.

mod admin;
mod assign;
mod build;
mod eds;
mod health;
mod init;
mod lessons;
mod on_demand;
mod outlier;
mod removal;
mod resolved;
mod runtime;
mod shared;
mod version;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use nuncio_config::ConfigError;
use nuncio_config::api::cluster::Cluster;
use nuncio_config::api::core::BindConfig;
use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_event::{Dispatchers, FileWatcher, MainDispatcher, Slot, main_queue};
use nuncio_sdk::{ClusterId, Runtime, ServerContext};
use nuncio_stats::Group;
use prost::Message;

use crate::convert::{self, BootstrapBind, SharedParts};
use crate::dns::Resolvers;
use crate::forward_proxy::{DnsCache, DnsCaches};
use crate::host_set::PrioritySet;
use crate::info::ClusterInfo;
use crate::outlier::OutlierEventLog;
use crate::stats::ManagerStats;
use crate::worker::WorkerClusters;

pub use admin::{ClusterStatus, ConfigDump, DumpedCluster, HostStatus};
pub use init::{InitPhase, InitStage};
pub(crate) use removal::Removal;
pub(crate) use shared::{Shared, Snapshot};
pub(crate) use version::{HostChange, Place, build_hosts};

use build::{Made, connection_hash};
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
    runtime: Arc<Runtime>,
    dns_caches: DnsCaches,
    /// What workers report, in order; run by the runtime on which the manager was made.
    main: MainDispatcher,
    outlier_log: OnceLock<Arc<dyn OutlierEventLog>>,
    /// Resolves names; without one (validation) nothing is resolved and every cluster counts as ready.
    resolvers: Option<Arc<Resolvers>>,
    /// Watches files; made when the first one is to be watched.
    files: OnceLock<FileWatcher>,
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
    /// Whether the gauges count an active and a warming version.
    counted: (bool, bool),
}

impl Entry {
    fn newest(&self) -> Option<&Version> {
        self.warming.as_deref().or(self.active.as_ref())
    }
}

impl ClusterManager {
    /// A manager without clusters, for these workers, which must be running. Names are resolved by `resolvers` on the calling
    /// thread's runtime; without one nothing is resolved (`--mode validate`).
    pub fn new(
        server: Arc<ServerContext>,
        workers: &Dispatchers,
        resolvers: Option<Arc<Resolvers>>,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared::new(server.clone(), workers.clone()));
        let slot = Slot::new(workers);
        let for_workers = shared.clone();
        slot.set(move |_| WorkerClusters::new(for_workers.clone()));
        let (main, queue) = main_queue();
        // Validation has no runtime, and nobody who reports.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(queue.run());
        }
        let (runtime, logs) = (server.runtime(), server.services.get());
        let manager = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            runtime: runtime.clone(),
            stats: server.stats.group("cluster_manager", ManagerStats::SCHEMA),
            server,
            workers: workers.clone(),
            main,
            outlier_log: OnceLock::new(),
            slot,
            parts: SharedParts {
                own: shared.locality(),
                logs,
                runtime: runtime.clone(),
                ..SharedParts::default()
            },
            dns_caches: DnsCaches::default(),
            shared,
            resolvers,
            files: OnceLock::new(),
            no_version: Arc::from(""),
            state: Mutex::default(),
        });
        manager.follow_runtime();
        manager
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

    /// Names the cluster to which this proxy belongs itself (`cluster_manager.local_cluster_name`); before
    /// [`Self::initialize`], which finds it missing if it is.
    pub fn set_local_cluster(&self, name: &str) {
        self.shared.set_local_cluster(name);
    }

    /// `cluster_manager.upstream_bind_config`, for clusters without one of their own; before [`Self::initialize`].
    ///
    /// # Errors
    /// Everything that is wrong, with complete paths.
    pub fn set_bind_config(&self, message: BindConfig) -> Result<(), Vec<ConfigError>> {
        let bind = BootstrapBind::new(message).map_err(|errors| {
            let path = "cluster_manager.upstream_bind_config";
            let errors = errors.into_iter().map(|error| error.within(path));
            errors.collect::<Vec<_>>()
        })?;
        // The first one holds: there is one bootstrap.
        let _ = self.parts.bind.set(bind);
        Ok(())
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
        if let Some(id) = self.shared.local_cluster()
            && errors.is_empty()
            && !self.state().clusters.contains_key(&id)
        {
            let name = self.server.cluster_names.name(id).unwrap_or_default();
            errors.push(ConfigError::new(
                "cluster_manager.local_cluster_name",
                format!("local cluster '{name}' must be defined"),
            ));
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

    /// The DNS cache of this configuration, for the dynamic forward proxy. All who name it share it.
    ///
    /// # Errors
    /// What is wrong with the configuration, or that the cache of this name has another one; paths are relative to it.
    pub fn dns_cache(&self, config: &DnsCacheConfig) -> Result<Arc<DnsCache>, Vec<ConfigError>> {
        let own = config.typed_dns_resolver_config.clone();
        let own = own.map(convert::resolver_config).transpose();
        let own = own.map_err(|errors| {
            let within = errors.into_iter();
            within
                .map(|error| error.within("typed_dns_resolver_config"))
                .collect::<Vec<_>>()
        })?;
        let resolver = (self.resolvers.as_ref()).map(|resolvers| resolvers.get(own.as_ref()));
        self.dns_caches
            .get(config, &self.server.stats, resolver.as_ref())
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
        let mut spec = convert::compile(cluster, &self.parts)?;
        let forward_proxy = match spec.forward_proxy.take() {
            None => None,
            Some((policy, config)) => {
                let path = "cluster_type.typed_config.dns_cache_config";
                let cache = self.dns_cache(&config).map_err(|errors| {
                    let within = errors.into_iter().map(|error| error.within(path));
                    within.collect::<Vec<_>>()
                })?;
                Some((policy, cache))
            }
        };
        let id = self.server.cluster_names.intern(&spec.name);
        let serial = {
            let mut state = self.state();
            state.serial += 1;
            state.serial
        };
        if spec.eds.is_some() {
            self.check_node().map_err(|error| vec![error])?;
        }
        // Validation reads no file.
        let watched = spec.eds.as_ref().filter(|_| self.resolvers.is_some());
        let watch = watched
            .map(|source| self.watch_eds(source, id, serial))
            .transpose()
            .map_err(|error| vec![error])?;
        let mut state = self.state();
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
                watch,
                forward_proxy,
            },
        );
        let is_discovered = version.eds.is_some();
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
        if let Some(entry) = state.clusters.get_mut(&id) {
            self.count(entry);
        }
        self.advance(state);
        if is_discovered {
            self.read_assignment(id, serial);
        }
        Ok(true)
    }

    /// Removes a cluster that discovery has added. Returns whether there was one.
    pub fn remove_cluster(&self, name: &str) -> bool {
        let Some(id) = self.server.cluster_names.lookup(name) else {
            return false;
        };
        let mut state = self.state();
        let newest = state.clusters.get(&id).and_then(|entry| entry.newest());
        if !newest.is_some_and(|version| version.info.added_via_api) {
            return false;
        }
        let Some(mut removed) = state.clusters.remove(&id) else {
            return false;
        };
        let versions = (removed.active.take(), removed.warming.take());
        self.count(&mut removed);
        state.init.remove(id);
        self.stats.inc(ManagerStats::CLUSTER_REMOVED);
        self.tell(id, None);
        self.advance(state);
        // Dropped without the lock: hosts, stats and resolutions end here.
        drop(versions);
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
        if let Some(id) = self.server.cluster_names.lookup(name) {
            self.show_health(id);
        }
    }

    /// Sorts the hosts by health anew and tells the workers.
    pub(crate) fn show_health(&self, id: ClusterId) {
        let mut state = self.state();
        let Some(version) = state
            .clusters
            .get_mut(&id)
            .and_then(|entry| entry.active.as_mut())
        else {
            return;
        };
        let before = version.hosts.clone();
        version.sort_hosts_anew();
        if version.hosts.len() != before.len() {
            // Those that are gone are not asked any more.
            self.check_hosts(version, &before);
        }
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

    /// The warming version takes the place of the active one.
    fn activate(&self, state: &mut State, id: ClusterId) {
        let Some(entry) = state.clusters.get_mut(&id) else {
            return;
        };
        let Some(version) = entry.warming.take() else {
            return;
        };
        self.limit(&version.info);
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

    /// Counts a cluster in `active_clusters` and `warming_clusters` as it is now.
    fn count(&self, entry: &mut Entry) {
        let now = (entry.active.is_some(), entry.warming.is_some());
        let before = std::mem::replace(&mut entry.counted, now);
        for (gauge, was, is) in [
            (ManagerStats::ACTIVE_CLUSTERS, before.0, now.0),
            (ManagerStats::WARMING_CLUSTERS, before.1, now.1),
        ] {
            match (was, is) {
                (false, true) => self.stats.gauge_add(gauge, 1),
                (true, false) => self.stats.gauge_sub(gauge, 1),
                _ => {}
            }
        }
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

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves a cluster half changed, not the map broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod eds_tests;
#[cfg(test)]
mod tests;
