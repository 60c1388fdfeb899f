//! What one worker knows of clusters.

mod cluster;
mod counting;
mod feedback;
mod host;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use nuncio_sdk::ClusterId;

use crate::lb::LocalCluster;
use crate::manager::{Shared, Snapshot};
use crate::pool::Sweeper;
use crate::random::Random;

pub use cluster::WorkerCluster;
pub use counting::CodeContext;
pub use host::WorkerHost;

/// The clusters of one worker, by number. A cluster is made here when the worker first uses it, from the snapshot that all
/// threads share; from then on it is kept current by what the cluster manager posts.
pub struct WorkerClusters {
    shared: Arc<Shared>,
    /// By [`ClusterId`].
    slots: RefCell<Vec<Slot>>,
    sweeper: Rc<Sweeper>,
    random: Rc<Random>,
    /// Known when the first cluster is made, since this is made before the bootstrap is read.
    local: OnceCell<Rc<LocalCluster>>,
}

#[derive(Clone, Default)]
enum Slot {
    /// Not asked for since the last change.
    #[default]
    Unknown,
    /// There is no such cluster.
    Absent,
    Here(Rc<WorkerCluster>),
}

impl WorkerClusters {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            sweeper: Rc::new(Sweeper::new(shared.workers().clone())),
            shared,
            slots: RefCell::default(),
            random: Rc::new(Random::from_system()),
            local: OnceCell::new(),
        }
    }

    /// The cluster to which this proxy belongs itself.
    fn local(&self) -> &Rc<LocalCluster> {
        self.local.get_or_init(|| {
            let local = LocalCluster::new(self.shared.locality());
            let snapshot = self
                .shared
                .local_cluster()
                .and_then(|id| self.shared.snapshot(id));
            local.set_hosts(snapshot.map(|snapshot| snapshot.hosts));
            Rc::new(local)
        })
    }

    /// The active cluster of this number. An index and a counter, except for the first time.
    #[inline]
    pub fn get(&self, id: ClusterId) -> Option<Rc<WorkerCluster>> {
        match self.slots.borrow().get(id.0 as usize) {
            Some(Slot::Here(cluster)) => return Some(cluster.clone()),
            Some(Slot::Absent) => return None,
            Some(Slot::Unknown) | None => {}
        }
        self.look_up(id)
    }

    /// The active cluster of this name, which may come from the network (`cluster_header`). A lock and a hash.
    pub fn find(&self, name: &str) -> Option<Rc<WorkerCluster>> {
        self.get(self.shared.names().lookup(name)?)
    }

    /// The worker's random numbers.
    pub fn random(&self) -> &Random {
        &self.random
    }

    #[cold]
    fn look_up(&self, id: ClusterId) -> Option<Rc<WorkerCluster>> {
        let snapshot = self.shared.snapshot(id);
        let cluster = snapshot.map(|snapshot| {
            Rc::new(WorkerCluster::new(
                snapshot,
                self.sweeper.clone(),
                self.random.clone(),
                self.local().clone(),
            ))
        });
        let slot = cluster.clone().map_or(Slot::Absent, Slot::Here);
        // A number that no configuration has mentioned gets no place.
        if self.shared.names().name(id).is_some() {
            self.set(id, slot);
        }
        cluster
    }

    fn set(&self, id: ClusterId, slot: Slot) {
        let index = id.0 as usize;
        let mut slots = self.slots.borrow_mut();
        if slots.len() <= index {
            slots.resize(index + 1, Slot::Unknown);
        }
        let old = std::mem::replace(&mut slots[index], slot);
        // Dropped after the borrow: its pools close connections.
        drop(slots);
        drop(old);
    }

    /// Takes over what has changed: posted by the cluster manager. A cluster that this worker does not use costs nothing.
    pub(crate) fn update(&self, id: ClusterId, snapshot: Option<&Snapshot>) {
        if let Some(local) = self.local.get()
            && self.shared.local_cluster() == Some(id)
        {
            local.set_hosts(snapshot.map(|snapshot| snapshot.hosts.clone()));
        }
        let current = self.slots.borrow().get(id.0 as usize).cloned();
        match (current, snapshot) {
            (None | Some(Slot::Unknown), _) => {}
            (Some(Slot::Absent), _) => self.set(id, Slot::Unknown),
            (Some(Slot::Here(cluster)), Some(snapshot)) => {
                if let Some(renewed) = cluster.update(snapshot) {
                    self.set(id, Slot::Here(Rc::new(renewed)));
                }
            }
            (Some(Slot::Here(cluster)), None) => {
                cluster.drain();
                self.set(id, Slot::Absent);
            }
        }
    }
}

impl Drop for WorkerClusters {
    fn drop(&mut self) {
        for slot in self.slots.take() {
            if let Slot::Here(cluster) = slot {
                cluster.drain();
            }
        }
        self.sweeper.clear();
    }
}
