//! What one worker knows of clusters.

mod by_authority;
mod cluster;
mod counting;
mod delegate;
mod feedback;
mod host;
mod hosts;
mod table;

use std::rc::Rc;
use std::sync::Arc;

use nuncio_sdk::ClusterId;
use nuncio_stats::Group;

use crate::manager::{Change, Shared, Snapshot};
use crate::random::Random;
use table::Table;

pub use by_authority::HostCluster;
pub use cluster::{Chosen, WorkerCluster};
pub use counting::{BackOff, CodeContext};
pub use host::WorkerHost;

/// The clusters of one worker, by number. A cluster is made here when the worker first uses it, from the snapshot that all
/// threads share; from then on it is kept current by what the cluster manager posts.
pub struct WorkerClusters(Rc<Table>);

impl WorkerClusters {
    /// `stats`: the worker's own [`ThreadManagerStats`](crate::stats::ThreadManagerStats).
    pub(crate) fn new(shared: Arc<Shared>, stats: Option<Arc<Group>>) -> Self {
        Self(Rc::new(Table::new(shared, stats)))
    }

    /// The active cluster of this number. An index and a counter, except for the first time.
    #[inline]
    pub fn get(&self, id: ClusterId) -> Option<Rc<WorkerCluster>> {
        self.0.get(id)
    }

    /// The active cluster of this name, which may come from the network (`cluster_header`). A lock and a hash.
    pub fn find(&self, name: &str) -> Option<Rc<WorkerCluster>> {
        self.get(self.0.names().lookup(name)?)
    }

    /// The worker's random numbers.
    pub fn random(&self) -> &Random {
        self.0.random()
    }

    /// Takes over what has changed: posted by the cluster manager.
    pub(crate) fn update(
        &self,
        id: ClusterId,
        snapshot: Option<&Snapshot>,
        change: Option<&Change>,
    ) {
        self.0.update(id, snapshot, change);
    }
}
