//! What the cluster manager shows to all threads: the newest version of each active cluster.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use nuncio_event::Dispatchers;
use nuncio_sdk::{ClusterId, ClusterNames, LocalInfo, ServerContext};
use nuncio_stats::Group;

use crate::host::{Host, Locality};
use crate::host_set::PrioritySet;
use crate::info::ClusterInfo;
use crate::lb::ZoneRoutingRuntime;
use crate::stats::ThreadManagerStats;

/// One active cluster at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) info: Arc<ClusterInfo>,
    pub(crate) hosts: Arc<PrioritySet>,
}

/// How the hosts of a snapshot differ from those that were shown before: then a worker need not compare them.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Those that were shown before.
    pub(super) before: Weak<PrioritySet>,
    /// They are no hosts of the cluster any more.
    pub(crate) gone: Vec<Arc<Host>>,
    /// Their health flags have changed.
    pub(crate) flipped: Vec<Arc<Host>>,
}

impl Change {
    /// Whether this tells what is different to `hosts`.
    pub(crate) fn is_since(&self, hosts: &Arc<PrioritySet>) -> bool {
        std::ptr::eq(self.before.as_ptr(), Arc::as_ptr(hosts))
    }
}

/// Read by a worker when it first uses a cluster; from then on the worker is told what changes.
pub(crate) struct Shared {
    server: Arc<ServerContext>,
    workers: Dispatchers,
    /// By [`ClusterId`].
    snapshots: RwLock<Vec<Option<Snapshot>>>,
    /// A thread has asked for something, so threads must be told of changes.
    asked: AtomicBool,
    /// `cluster_manager.local_cluster_name`
    local: OnceLock<ClusterId>,
}

impl Shared {
    pub(super) fn new(server: Arc<ServerContext>, workers: Dispatchers) -> Self {
        Self {
            server,
            workers,
            snapshots: RwLock::default(),
            asked: AtomicBool::new(false),
            local: OnceLock::new(),
        }
    }

    /// All workers.
    pub(crate) fn workers(&self) -> &Dispatchers {
        &self.workers
    }

    /// Where this proxy is.
    pub(crate) fn locality(&self) -> Locality {
        let LocalInfo {
            region,
            zone,
            sub_zone,
            ..
        } = &self.server.local_info;
        Locality {
            region: region.as_str().into(),
            zone: zone.as_str().into(),
            sub_zone: sub_zone.as_str().into(),
        }
    }

    /// What is counted of one thread's view.
    pub(super) fn thread_stats(&self, thread: &str) -> Arc<Group> {
        let prefix = format!("thread_local_cluster_manager.{thread}");
        self.server.stats.group(prefix, ThreadManagerStats::SCHEMA)
    }

    /// What the runtime says of zone-aware routing.
    pub(crate) fn zone_routing(&self) -> ZoneRoutingRuntime {
        ZoneRoutingRuntime::new(&self.server.runtime())
    }

    /// The cluster to which this proxy belongs itself, if the bootstrap names one.
    pub(crate) fn local_cluster(&self) -> Option<ClusterId> {
        self.local.get().copied()
    }

    pub(super) fn set_local_cluster(&self, name: &str) {
        self.local
            .get_or_init(|| self.server.cluster_names.intern(name));
    }

    pub(crate) fn names(&self) -> &ClusterNames {
        &self.server.cluster_names
    }

    pub(crate) fn snapshot(&self, id: ClusterId) -> Option<Snapshot> {
        // Before reading: whoever writes after this read sees that it must tell.
        self.asked.store(true, SeqCst);
        let snapshots = self
            .snapshots
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        snapshots.get(id.0 as usize)?.clone()
    }

    /// Shows a new version, or that there is no cluster any more. Returns what was shown before.
    pub(super) fn set(&self, id: ClusterId, snapshot: Option<Snapshot>) -> Option<Snapshot> {
        let index = id.0 as usize;
        let mut snapshots = self
            .snapshots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if snapshots.len() <= index {
            snapshots.resize(index + 1, None);
        }
        std::mem::replace(&mut snapshots[index], snapshot)
    }

    /// Whether threads must be told what was [set](Self::set).
    pub(super) fn is_watched(&self) -> bool {
        self.asked.load(SeqCst)
    }
}
