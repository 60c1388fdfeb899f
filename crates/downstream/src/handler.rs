//! The connection handler: what one worker has of all listeners.
//!
//! It accepts, finds the filter chain and hands the connection to the chain's network filter, in a task
//! of its own. What the main thread posts here are single steps; their order is the manager's.

mod accept;
mod access_log;
mod active;
mod connection;
mod listener_filters;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nuncio_net::ListenSocket;
use nuncio_sdk::DrainStrategy;
use nuncio_stats::Group;

use crate::limit::Limit;
use crate::spec::ListenerSpec;
use active::ActiveListener;

/// One version of a listener as all workers share it.
pub(crate) struct SharedListener {
    /// Of the listener on the workers; an update in place keeps it.
    pub(crate) tag: u64,
    pub(crate) spec: Arc<ListenerSpec>,
    /// `listener.<address>.`
    pub(crate) stats: Arc<Group>,
    /// `listener.<address>.worker_<n>.`, by worker.
    pub(crate) worker_stats: Vec<Arc<Group>>,
    pub(crate) limit: Arc<Limit>,
    pub(crate) global_limit: Arc<Limit>,
}

/// How connections are told to leave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainPlan {
    pub(crate) time: Duration,
    pub(crate) strategy: DrainStrategy,
}

/// The listeners of one worker, by tag.
pub struct ConnectionHandler {
    worker: usize,
    listeners: Rc<Listeners>,
}

/// The listeners of a worker, by tag.
type Listeners = RefCell<BTreeMap<u64, Rc<ActiveListener>>>;

impl fmt::Debug for ConnectionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionHandler")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl ConnectionHandler {
    pub(crate) fn new(worker: usize) -> Self {
        Self {
            worker,
            listeners: Rc::default(),
        }
    }

    /// How many connections are open on this worker.
    pub fn open_connections(&self) -> usize {
        let listeners = self.listeners.borrow();
        listeners.values().map(|listener| listener.open()).sum()
    }

    /// Begins to accept from `sockets`.
    pub(crate) fn add(
        &self,
        shared: Arc<SharedListener>,
        sockets: Vec<ListenSocket>,
    ) -> std::io::Result<()> {
        let tag = shared.tag;
        let listener = ActiveListener::new(shared, self.worker, Rc::downgrade(&self.listeners));
        for socket in sockets {
            accept::start(&listener, socket.into_listener()?);
        }
        self.listeners.borrow_mut().insert(tag, listener);
        Ok(())
    }

    /// Takes over the chains of `shared` in place; connections of chains that are gone are told to
    /// leave, until [`close_chains`](Self::close_chains) with the same `update`.
    pub(crate) fn update_chains(&self, shared: Arc<SharedListener>, update: u64, plan: DrainPlan) {
        if let Some(listener) = self.get(shared.tag) {
            listener.update(shared, update, plan);
        }
    }

    /// Closes what is left of the chains that `update` has removed.
    pub(crate) fn close_chains(&self, tag: u64, update: u64) {
        if let Some(listener) = self.get(tag) {
            listener.close_removed_chains(update);
        }
    }

    /// Closes the listening sockets; connections live on.
    pub(crate) fn stop_accepting(&self, tag: u64) {
        if let Some(listener) = self.get(tag) {
            listener.stop_accepting();
        }
    }

    /// Tells the connections of a listener to leave.
    pub(crate) fn start_drain(&self, tag: u64, plan: DrainPlan) {
        if let Some(listener) = self.get(tag) {
            listener.start_drain(plan);
        }
    }

    /// Closes the sockets and the connections of a listener and forgets it.
    pub(crate) fn remove(&self, tag: u64) {
        let removed = self.listeners.borrow_mut().remove(&tag);
        if let Some(listener) = removed {
            listener.stop_accepting();
            listener.close_all();
        }
    }

    fn get(&self, tag: u64) -> Option<Rc<ActiveListener>> {
        self.listeners.borrow().get(&tag).cloned()
    }
}
