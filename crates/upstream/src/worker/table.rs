//! [`Table`]: the clusters that a worker uses, by number.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use hashbrown::HashMap;
use nuncio_sdk::{ClusterId, ClusterNames};
use nuncio_stats::Group;
use tokio::sync::oneshot;

use super::cluster::WorkerCluster;
use crate::lb::LocalCluster;
use crate::manager::{Change, Shared, Snapshot};
use crate::pool::Sweeper;
use crate::random::Random;
use crate::stats::ThreadManagerStats;

/// What [`WorkerClusters`](super::WorkerClusters) shares with those of its clusters that pass requests on to others.
pub(super) struct Table {
    shared: Arc<Shared>,
    /// By [`ClusterId`].
    slots: RefCell<Vec<Slot>>,
    sweeper: Rc<Sweeper>,
    random: Rc<Random>,
    /// Counts the clusters that are here.
    stats: Option<Arc<Group>>,
    /// Known when the first cluster is made, since this is made before the bootstrap is read.
    local: OnceCell<Rc<LocalCluster>>,
    /// Who is told, by a flag, that a cluster has changed, came or went.
    watchers: RefCell<HashMap<ClusterId, Vec<Weak<Cell<bool>>>>>,
    /// Who waits for a cluster that is not there yet.
    waiters: RefCell<HashMap<ClusterId, Vec<oneshot::Sender<()>>>>,
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

impl Table {
    pub(super) fn new(shared: Arc<Shared>, stats: Option<Arc<Group>>) -> Self {
        Self {
            stats,
            sweeper: Rc::new(Sweeper::new(shared.workers().clone())),
            shared,
            slots: RefCell::default(),
            random: Rc::new(Random::from_system()),
            local: OnceCell::new(),
            watchers: RefCell::default(),
            waiters: RefCell::default(),
        }
    }

    pub(super) fn names(&self) -> &ClusterNames {
        self.shared.names()
    }

    pub(super) fn random(&self) -> &Rc<Random> {
        &self.random
    }

    pub(super) fn sweeper(&self) -> &Rc<Sweeper> {
        &self.sweeper
    }

    /// The cluster to which this proxy belongs itself.
    pub(super) fn local(&self) -> &Rc<LocalCluster> {
        self.local.get_or_init(|| {
            let local = LocalCluster::new(self.shared.locality(), self.shared.zone_routing());
            let snapshot = self
                .shared
                .local_cluster()
                .and_then(|id| self.shared.snapshot(id));
            local.set_hosts(snapshot.map(|snapshot| snapshot.hosts));
            Rc::new(local)
        })
    }

    #[inline]
    pub(super) fn get(self: &Rc<Self>, id: ClusterId) -> Option<Rc<WorkerCluster>> {
        match self.slots.borrow().get(id.0 as usize) {
            Some(Slot::Here(cluster)) => return Some(cluster.clone()),
            Some(Slot::Absent) => return None,
            Some(Slot::Unknown) | None => {}
        }
        self.look_up(id)
    }

    #[cold]
    fn look_up(self: &Rc<Self>, id: ClusterId) -> Option<Rc<WorkerCluster>> {
        let snapshot = self.shared.snapshot(id);
        let cluster = snapshot.map(|snapshot| Rc::new(WorkerCluster::new(snapshot, self)));
        let slot = cluster.clone().map_or(Slot::Absent, Slot::Here);
        // A number that no configuration has mentioned gets no place.
        if self.names().name(id).is_some() {
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
        let is_here = matches!(slot, Slot::Here(_));
        let old = std::mem::replace(&mut slots[index], slot);
        if let Some(stats) = &self.stats {
            match (matches!(old, Slot::Here(_)), is_here) {
                (false, true) => stats.gauge_add(ThreadManagerStats::CLUSTERS_INFLATED, 1),
                (true, false) => stats.gauge_sub(ThreadManagerStats::CLUSTERS_INFLATED, 1),
                _ => {}
            }
        }
        // Dropped after the borrow: its pools close connections.
        drop(slots);
        drop(old);
    }

    /// Raises `flag` from now on whenever one of `clusters` has changed, until it is dropped.
    pub(super) fn watch(&self, clusters: &[ClusterId], flag: &Rc<Cell<bool>>) {
        let mut watchers = self.watchers.borrow_mut();
        for &id in clusters {
            let flags = watchers.entry(id).or_default();
            flags.retain(|flag| flag.strong_count() > 0);
            flags.push(Rc::downgrade(flag));
        }
    }

    /// Ends when the cluster, which is not there now, is there, or was given up.
    pub(super) fn appearance(&self, id: ClusterId) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.waiters.borrow_mut();
        let senders = waiters.entry(id).or_default();
        senders.retain(|sender| !sender.is_closed());
        senders.push(sender);
        async move {
            // An error is the end of the wait, too.
            let _ = receiver.await;
        }
    }

    fn tell_watchers(&self, id: ClusterId) {
        let mut watchers = self.watchers.borrow_mut();
        let Some(flags) = watchers.get_mut(&id) else {
            return;
        };
        flags.retain(|flag| match flag.upgrade() {
            Some(flag) => {
                flag.set(true);
                true
            }
            None => false,
        });
        if flags.is_empty() {
            watchers.remove(&id);
        }
    }

    /// Takes over what has changed. A cluster that this worker does not use costs nothing.
    pub(super) fn update(
        self: &Rc<Self>,
        id: ClusterId,
        snapshot: Option<&Snapshot>,
        change: Option<&Change>,
    ) {
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
                if let Some(renewed) = cluster.update(snapshot, change, self) {
                    self.set(id, Slot::Here(Rc::new(renewed)));
                }
            }
            (Some(Slot::Here(cluster)), None) => {
                cluster.drain();
                self.set(id, Slot::Absent);
            }
        }
        self.tell_watchers(id);
        let waiters = self.waiters.borrow_mut().remove(&id);
        for waiter in waiters.into_iter().flatten() {
            // Who waited may have gone.
            let _ = waiter.send(());
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for slot in self.slots.take() {
            if let Slot::Here(cluster) = slot {
                cluster.drain();
            }
        }
        self.sweeper.clear();
    }
}
