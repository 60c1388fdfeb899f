//! A listener and its filter chains on one worker.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_event as event;
use nuncio_net::{Address, Stream};
use nuncio_sdk::listener::AcceptedConnection;
use nuncio_sdk::{ConnectionHandle, DrainDecision, NetworkFilter};
use nuncio_stats::LocalGroup;
use slab::Slab;

use super::accept::Acceptor;
use super::access_log::log_unmatched;
use super::connection::{self, OpenConnection};
use super::{DrainPlan, Listeners, SharedListener, listener_filters};
use crate::chain_match::ConnectionFacts;
use crate::limit::Permit;
use crate::spec::FilterChain;
use crate::stats::{ListenerStats, WorkerListenerStats};

/// The right to have a connection: the listener's, and that of the whole process if it counts.
pub(super) type Permits = (Permit, Option<Permit>);

/// A listener on one worker.
pub(super) struct ActiveListener {
    /// The version in force; an update in place replaces it.
    version: RefCell<Rc<Version>>,
    /// Chains that an update has removed and whose connections are leaving, by update.
    removed: RefCell<Vec<(u64, Rc<ActiveChain>)>>,
    acceptors: RefCell<Vec<Acceptor>>,
    open: Cell<usize>,
    /// Connections that have no filter chain yet get none any more.
    closed: Cell<bool>,
    /// It takes connections: of its sockets, and those that other listeners hand over.
    accepting: Cell<bool>,
    /// All listeners of the worker.
    siblings: Weak<Listeners>,
    pub(super) stats: LocalGroup,
    pub(super) worker_stats: LocalGroup,
}

/// A version of a listener on one worker.
pub(super) struct Version {
    pub(super) shared: Arc<SharedListener>,
    /// In the order of the listener's chains.
    chains: Vec<Rc<ActiveChain>>,
    default: Option<Rc<ActiveChain>>,
}

/// A filter chain on one worker, with its connections.
pub(super) struct ActiveChain {
    pub(super) chain: Arc<FilterChain>,
    /// `None` when the chain has no filter.
    pub(super) filter: Option<Rc<dyn NetworkFilter>>,
    pub(super) drain: Rc<DrainDecision>,
    connections: RefCell<Slab<Rc<ConnectionHandle>>>,
}

impl ActiveListener {
    pub(super) fn new(
        shared: Arc<SharedListener>,
        worker: usize,
        siblings: Weak<Listeners>,
    ) -> Rc<Self> {
        let stats = shared.stats.local();
        let worker_stats = shared.worker_stats[worker].local();
        Rc::new(Self {
            version: RefCell::new(Rc::new(Version::new(shared, None))),
            removed: RefCell::default(),
            acceptors: RefCell::default(),
            open: Cell::new(0),
            closed: Cell::new(false),
            accepting: Cell::new(true),
            siblings,
            stats,
            worker_stats,
        })
    }

    pub(super) fn version(&self) -> Rc<Version> {
        Rc::clone(&self.version.borrow())
    }

    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    pub(super) fn keep(&self, acceptor: Acceptor) {
        self.acceptors.borrow_mut().push(acceptor);
    }

    /// Takes a connection in, or closes it: no place for it, or no chain. `local` is where it was made
    /// to; `None` when only the connection knows.
    pub(super) fn accept(
        self: &Rc<Self>,
        stream: Stream,
        peer: Address,
        local: Option<&Rc<Address>>,
    ) {
        let version = self.version();
        let shared = &version.shared;
        let Some(permits) = self.take_permits(shared) else {
            return;
        };
        // The listener's own address needs no syscall.
        let local = match local {
            Some(local) => Rc::clone(local),
            None => match stream.local_address() {
                Ok(local) => Rc::new(local),
                Err(error) => return log::debug!("lost connection from {peer}: {error}"),
            },
        };
        let connection = AcceptedConnection {
            stream,
            remote_address: peer,
            local_address: local,
            local_address_restored: false,
            read: Buffer::new(),
        };
        match shared.spec.listener_filters {
            None => self.admit(connection, permits),
            Some(_) => listener_filters::start(self, connection, permits, true),
        }
    }

    /// A place for one more connection; without one it is counted as refused.
    fn take_permits(&self, shared: &SharedListener) -> Option<Permits> {
        let global = if shared.spec.ignore_global_limit {
            None
        } else {
            let permit = shared.global_limit.take();
            if permit.is_none() {
                self.stats.inc(ListenerStats::DOWNSTREAM_GLOBAL_CX_OVERFLOW);
            }
            Some(permit?)
        };
        let permit = shared.limit.take();
        if permit.is_none() {
            self.stats.inc(ListenerStats::DOWNSTREAM_CX_OVERFLOW);
        }
        Some((permit?, global))
    }

    /// Takes a connection from another listener, which has found that it was going here.
    pub(super) fn take_over(self: &Rc<Self>, connection: AcceptedConnection) {
        let version = self.version();
        let Some(permits) = self.take_permits(&version.shared) else {
            return;
        };
        match version.shared.spec.listener_filters {
            None => self.admit(connection, permits),
            Some(_) => listener_filters::start(self, connection, permits, false),
        }
    }

    /// The other listener at this address: at the very address, or at every address of its port.
    pub(super) fn sibling_at(self: &Rc<Self>, address: &Address) -> Option<Rc<Self>> {
        let siblings = self.siblings.upgrade()?;
        let siblings = siblings.borrow();
        // The newest version of a listener is the last one.
        let accepting = || {
            siblings
                .values()
                .rev()
                .filter(|other| other.accepting.get())
        };
        let at = |other: &Self, wanted: &dyn Fn(&Address) -> bool| {
            let version = other.version();
            version
                .shared
                .spec
                .addresses
                .iter()
                .any(|own| wanted(&own.address))
        };
        let exact = accepting().find(|other| at(other, &|own| own == address));
        let found = exact.or_else(|| {
            let any = |own: &Address| own.is_any() && own.port() == address.port();
            accepting().find(|other| at(other, &any))
        })?;
        (!Rc::ptr_eq(found, self)).then(|| Rc::clone(found))
    }

    /// Whether connections that have no filter chain yet are to be closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Gives a connection its filter chain, or closes it.
    pub(super) fn admit(self: &Rc<Self>, connection: AcceptedConnection, permits: Permits) {
        let version = self.version();
        let shared = &version.shared;
        let (local, peer) = (&connection.local_address, &connection.remote_address);
        let Some(chain) = version.find(&ConnectionFacts::plain(local, peer)) else {
            log::debug!("closing connection from {peer}: no matching filter chain found");
            let loggers = &shared.spec.access_logs;
            if !loggers.is_empty() {
                log_unmatched(loggers, connection::plain_info(shared, &connection));
            }
            return self.stats.inc(ListenerStats::NO_FILTER_CHAIN_MATCH);
        };
        let open = OpenConnection::new(self, chain, permits);
        connection::serve(open, connection, shared);
    }

    /// Counts a connection as open.
    pub(super) fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.stats.inc(ListenerStats::DOWNSTREAM_CX_TOTAL);
        self.stats.gauge_add(ListenerStats::DOWNSTREAM_CX_ACTIVE, 1);
        self.worker_stats
            .inc(WorkerListenerStats::DOWNSTREAM_CX_TOTAL);
        self.worker_stats
            .gauge_add(WorkerListenerStats::DOWNSTREAM_CX_ACTIVE, 1);
    }

    /// Counts a connection as gone, after `length`.
    pub(super) fn closed(&self, length: std::time::Duration) {
        self.open.set(self.open.get() - 1);
        self.stats.inc(ListenerStats::DOWNSTREAM_CX_DESTROY);
        self.stats.gauge_sub(ListenerStats::DOWNSTREAM_CX_ACTIVE, 1);
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        self.stats
            .record(ListenerStats::DOWNSTREAM_CX_LENGTH_MS, millis);
        self.worker_stats
            .gauge_sub(WorkerListenerStats::DOWNSTREAM_CX_ACTIVE, 1);
    }

    pub(super) fn update(&self, shared: Arc<SharedListener>, update: u64, plan: DrainPlan) {
        let old = self.version();
        let new = Version::new(shared, Some(&old));
        for chain in old.all() {
            if !new.all().any(|kept| Rc::ptr_eq(kept, chain)) {
                chain.start_drain(plan);
                self.removed.borrow_mut().push((update, Rc::clone(chain)));
            }
        }
        self.version.replace(Rc::new(new));
    }

    pub(super) fn close_removed_chains(&self, update: u64) {
        let due: Vec<_> = self
            .removed
            .borrow_mut()
            .extract_if(.., |(of, _)| *of == update)
            .collect();
        for (_, chain) in due {
            chain.close_all();
        }
    }

    pub(super) fn stop_accepting(&self) {
        self.accepting.set(false);
        let acceptors = mem::take(&mut *self.acceptors.borrow_mut());
        for acceptor in acceptors {
            acceptor.stop();
        }
    }

    pub(super) fn start_drain(&self, plan: DrainPlan) {
        for chain in self.version().all() {
            chain.start_drain(plan);
        }
    }

    pub(super) fn close_all(&self) {
        self.closed.set(true);
        for chain in self.version().all() {
            chain.close_all();
        }
        for (_, chain) in mem::take(&mut *self.removed.borrow_mut()) {
            chain.close_all();
        }
    }
}

impl Version {
    /// The chains of `shared`; those that `old` has already are taken over with their connections.
    fn new(shared: Arc<SharedListener>, old: Option<&Self>) -> Self {
        let take = |chain: &Arc<FilterChain>| {
            let same = |active: &&Rc<ActiveChain>| Arc::ptr_eq(&active.chain, chain);
            match old.and_then(|old| old.all().find(same)) {
                Some(active) => Rc::clone(active),
                None => ActiveChain::new(Arc::clone(chain)),
            }
        };
        Self {
            chains: shared.spec.chains.iter().map(take).collect(),
            default: shared.spec.default_chain.as_ref().map(take),
            shared,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Rc<ActiveChain>> {
        self.chains.iter().chain(&self.default)
    }

    fn find(&self, facts: &ConnectionFacts<'_>) -> Option<&Rc<ActiveChain>> {
        match self.shared.spec.index.find(facts) {
            Some(position) => self.chains.get(position),
            None => self.default.as_ref(),
        }
    }
}

impl ActiveChain {
    fn new(chain: Arc<FilterChain>) -> Rc<Self> {
        Rc::new(Self {
            filter: chain
                .filter
                .as_ref()
                .map(|filter| Arc::clone(filter).on_worker()),
            chain,
            drain: Rc::default(),
            connections: RefCell::default(),
        })
    }

    /// Keeps hold of a connection; the number gives it up again.
    pub(super) fn hold(&self, handle: Rc<ConnectionHandle>) -> usize {
        self.connections.borrow_mut().insert(handle)
    }

    pub(super) fn release(&self, number: usize) {
        let mut connections = self.connections.borrow_mut();
        connections.try_remove(number);
        if connections.is_empty() {
            // What a rush of connections needed is not kept.
            connections.shrink_to_fit();
        }
    }

    fn start_drain(&self, plan: DrainPlan) {
        self.drain.start(event::now(), plan.time, plan.strategy);
        for (_, handle) in &*self.connections.borrow() {
            handle.wake();
        }
    }

    fn close_all(&self) {
        for (_, handle) in &*self.connections.borrow() {
            handle.close();
        }
    }
}
