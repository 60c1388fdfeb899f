//! The cluster manager: lives on the main thread, owns all clusters, tells the workers what changes. See `LIFECYCLE.md`.

mod admin;
mod assign;
mod build;
mod cds;
mod discovery;
mod eds;
mod endpoint_stats;
mod health;
mod init;
mod lessons;
mod merge;
mod on_demand;
mod outlier;
mod removal;
mod reports;
mod resolved;
mod retired;
mod runtime;
mod shared;
mod show;
mod start_up;
mod update;
mod version;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use nuncio_config::ConfigError;
use nuncio_config::api::dns_cache::DnsCacheConfig;
use nuncio_event::{Dispatchers, FileWatcher, MainDispatcher, Slot, main_queue};
use nuncio_sdk::{ClusterId, Runtime, ServerContext};
use nuncio_stats::Group;
use tokio::sync::Semaphore;

use crate::convert::{self, SharedParts};
use crate::dns::Resolvers;
use crate::forward_proxy::{DnsCache, DnsCaches};
use crate::host_set::PrioritySet;
use crate::info::ClusterInfo;
use crate::outlier::OutlierEventLog;
use crate::stats::ManagerStats;
use crate::worker::WorkerClusters;

pub use admin::{ClusterStatus, ConfigDump, DumpedCluster, HostStatus};
pub use cds::{AppliedClusters, ClusterResource, ClusterUpdate};
pub(crate) use discovery::is_discovered;
pub use discovery::{Discovery, Subscription};
pub use init::{InitPhase, InitStage};
pub(crate) use removal::Removal;
pub(crate) use shared::{Change, Shared, Snapshot};
pub(crate) use version::{HostChange, Place, build_hosts};

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
    /// A dynamic forward proxy, for a host that a request names: discovery neither tells of it nor takes it away.
    SubCluster,
}

/// All clusters. Changed by the main thread only; read by the admin thread ([`Self::statuses`], [`Self::config_dump`]).
pub struct ClusterManager {
    this: Weak<Self>,
    server: Arc<ServerContext>,
    shared: Arc<Shared>,
    workers: Dispatchers,
    slot: Slot<WorkerClusters>,
    stats: Arc<Group>,
    /// Those of this thread.
    main_stats: Arc<Group>,
    parts: SharedParts,
    runtime: Arc<Runtime>,
    dns_caches: DnsCaches,
    /// What workers report, in order; run by the runtime on which the manager was made.
    main: MainDispatcher,
    outlier_log: OnceLock<Arc<dyn OutlierEventLog>>,
    /// Resolves names; without one (validation) nothing is resolved and every cluster counts as ready.
    resolvers: Option<Arc<Resolvers>>,
    /// Lets health checks begin their connections by and by.
    turns: Arc<Semaphore>,
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

    /// The version of which `is_it` is true, and whether it is warming.
    fn version_mut(&mut self, is_it: impl Fn(&Version) -> bool) -> Option<(&mut Version, bool)> {
        let warming = self.warming.as_deref_mut().filter(|version| is_it(version));
        let in_warming = warming.is_some();
        let active = self.active.as_mut();
        let version = warming.or_else(|| active.filter(|version| is_it(version)))?;
        Some((version, in_warming))
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
        slot.set(move |worker| {
            let stats = for_workers.thread_stats(&format!("worker_{worker}"));
            WorkerClusters::new(for_workers.clone(), Some(stats))
        });
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
            main_stats: shared.thread_stats("main_thread"),
            shared,
            resolvers,
            turns: crate::health::turns(),
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
        // The main thread has all clusters anyway, and counts them so.
        let clusters = WorkerClusters::new(self.shared.clone(), None);
        self.slot.set_here(clusters);
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
            .get(config, &self.server.stats, &self.workers, resolver.as_ref())
    }

    /// Whether there is a cluster of this name, active or warming.
    pub fn has_cluster(&self, name: &str) -> bool {
        let id = self.server.cluster_names.lookup(name);
        id.is_some_and(|id| self.state().clusters.contains_key(&id))
    }

    /// What discovery said of itself, for `/config_dump`.
    pub fn set_version_info(&self, version_info: &str) {
        self.state().version_info = version_info.into();
    }

    /// The active version of a cluster.
    pub fn active_info(&self, name: &str) -> Option<Arc<ClusterInfo>> {
        self.of_active(name, |version| version.info.clone())
    }

    /// The hosts of the active version of a cluster.
    pub fn hosts(&self, name: &str) -> Option<Arc<PrioritySet>> {
        self.of_active(name, |version| version.hosts.clone())
    }

    fn of_active<T>(&self, name: &str, read: impl FnOnce(&Version) -> T) -> Option<T> {
        let id = self.server.cluster_names.lookup(name)?;
        let state = self.state();
        state.clusters.get(&id)?.active.as_ref().map(read)
    }

    /// By which name EDS asks for the endpoints of a cluster; `None` if they are not discovered.
    pub fn service_name(&self, name: &str) -> Option<Arc<str>> {
        let id = self.server.cluster_names.lookup(name)?;
        let state = self.state();
        let active = state.clusters.get(&id)?.active.as_ref()?;
        Some(active.eds.as_ref()?.service_name().clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves a cluster half changed, not the map broken.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
