//! What the cluster manager shows to all threads: the newest version of each active cluster.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};

use nuncio_sdk::{ClusterId, ClusterNames, ServerContext};

use crate::host_set::PrioritySet;
use crate::info::ClusterInfo;

/// One active cluster at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) info: Arc<ClusterInfo>,
    pub(crate) hosts: Arc<PrioritySet>,
}

/// Read by a worker when it first uses a cluster; from then on the worker is told what changes.
pub(crate) struct Shared {
    server: Arc<ServerContext>,
    /// By [`ClusterId`].
    snapshots: RwLock<Vec<Option<Snapshot>>>,
    /// A thread has asked for something, so threads must be told of changes.
    asked: AtomicBool,
}

impl Shared {
    pub(super) fn new(server: Arc<ServerContext>) -> Self {
        Self {
            server,
            snapshots: RwLock::default(),
            asked: AtomicBool::new(false),
        }
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

    /// Shows a new version, or that there is no cluster any more. Whether threads must be told.
    pub(super) fn set(&self, id: ClusterId, snapshot: Option<Snapshot>) -> bool {
        let index = id.0 as usize;
        let mut snapshots = self
            .snapshots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if snapshots.len() <= index {
            snapshots.resize(index + 1, None);
        }
        let old = std::mem::replace(&mut snapshots[index], snapshot);
        drop(snapshots);
        drop(old);
        self.asked.load(SeqCst)
    }
}
