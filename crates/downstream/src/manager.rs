//! The listener manager: all listeners, on the main thread.
//!
//! What becomes of a listener, and in which order, is decided here; workers do single steps. See
//! `LIFECYCLE.md`.

mod drain;
mod entry;
mod sockets;
mod update;
mod view;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nuncio_event::{Dispatchers, Slot};
use nuncio_net::{BindError, ListenSocket};
use nuncio_sdk::runtime::RuntimeInteger;
use nuncio_sdk::{DrainStrategy, Runtime, ServerContext};
use nuncio_stats::Group;
use tokio::sync::oneshot;

use crate::handler::{ConnectionHandler, DrainPlan, SharedListener};
use crate::limit::Limit;
use crate::spec::{ListenerSpec, TrafficDirection};
use crate::stats::{ListenerStats, ManagerStats, WorkerListenerStats};
use entry::Entry;

pub use update::{Origin, UpdateError};
pub use view::{
    DynamicListener, ErrorState, ListenerState, ListenerStatus, ListenersSnapshot, ListenersView,
    StaticListener,
};

/// What the command line and the bootstrap say about all listeners.
#[derive(Debug)]
pub struct ManagerOptions {
    /// `--drain-time-s`, 600 s by default.
    pub drain_time: Duration,
    /// `--drain-strategy`
    pub drain_strategy: DrainStrategy,
    /// Open connections over all listeners (`overload.global_downstream_max_connections`); `None` is
    /// no limit.
    pub global_limit: Option<u64>,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        Self {
            drain_time: Duration::from_secs(600),
            drain_strategy: DrainStrategy::Gradual,
            global_limit: None,
        }
    }
}

/// Which listeners an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainScope {
    /// All of them.
    All,
    /// Those with `traffic_direction: INBOUND`.
    InboundOnly,
}

impl DrainScope {
    fn covers(self, spec: &ListenerSpec) -> bool {
        match self {
            Self::All => true,
            Self::InboundOnly => spec.direction == TrafficDirection::Inbound,
        }
    }
}

/// All listeners of the server. Lives on the main thread's loop; a clone is the same manager.
///
/// Its tasks (warming, draining) run on the loop of the thread that calls it.
#[derive(Clone)]
pub struct ListenerManager {
    inner: Rc<Inner>,
}

impl fmt::Debug for ListenerManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerManager").finish_non_exhaustive()
    }
}

struct Inner {
    server: Arc<ServerContext>,
    workers: Dispatchers,
    handlers: Slot<ConnectionHandler>,
    options: ManagerOptions,
    stats: Arc<Group>,
    global_limit: Arc<Limit>,
    next_tag: Cell<u64>,
    state: RefCell<State>,
    view: ListenersView,
}

#[derive(Default)]
struct State {
    /// In the order in which they were added.
    active: Vec<Entry>,
    warming: Vec<Entry>,
    draining: Vec<Entry>,
    /// Updates that were refused, by name, until one is taken.
    errors: BTreeMap<String, ErrorState>,
    workers_started: bool,
    /// Listeners of this scope were stopped for good.
    stopped: Option<DrainScope>,
    draining_chains: usize,
}

impl ListenerManager {
    /// A manager without listeners. Its workers exist already, and do nothing until
    /// [`start_workers`](Self::start_workers).
    pub fn new(server: Arc<ServerContext>, workers: &Dispatchers, options: ManagerOptions) -> Self {
        let handlers = Slot::new(workers);
        handlers.set(ConnectionHandler::new);
        let stats = server.stats.group("listener_manager", ManagerStats::SCHEMA);
        let inner = Inner {
            stats,
            server,
            workers: workers.clone(),
            handlers,
            global_limit: Limit::new(RuntimeInteger::fixed(
                options.global_limit.unwrap_or(u64::MAX),
            )),
            options,
            next_tag: Cell::new(0),
            state: RefCell::default(),
            view: ListenersView::default(),
        };
        Self {
            inner: Rc::new(inner),
        }
    }

    /// What the admin interface shows, kept up to date from now on.
    pub fn view(&self) -> ListenersView {
        self.inner.view.clone()
    }

    /// The connection handlers, for work on the workers that concerns all their connections.
    pub fn handlers(&self) -> Slot<ConnectionHandler> {
        self.inner.handlers.clone()
    }

    /// Lets the workers accept: opens every listener that was added so far. Ready when every worker has
    /// them. A listener that cannot listen is counted, logged and removed, as Envoy does.
    pub async fn start_workers(&self) {
        let inner = &self.inner;
        let mut opened = Vec::new();
        {
            let mut state = inner.state.borrow_mut();
            state.workers_started = true;
            state.active.retain(|entry| {
                let acks = inner.open(entry);
                let keep = acks.is_some();
                opened.extend(acks);
                keep
            });
        }
        for acks in opened {
            acks.all().await;
        }
        inner.stats.gauge_set(ManagerStats::WORKERS_STARTED, 1);
        inner.publish();
    }

    /// Closes the listening sockets of the listeners in `scope`, for good: connections live on, and
    /// listeners of the scope that are added later are refused.
    pub async fn stop_listeners(&self, scope: DrainScope) {
        let inner = &self.inner;
        let tags: Vec<u64> = {
            let mut state = inner.state.borrow_mut();
            state.stopped = match state.stopped {
                Some(DrainScope::All) => Some(DrainScope::All),
                _ => Some(scope),
            };
            state.warming.retain(|entry| !scope.covers(entry.spec()));
            let stopping = state
                .active
                .iter_mut()
                .filter(|entry| scope.covers(entry.spec()) && !entry.stopped);
            stopping
                .map(|entry| {
                    entry.stopped = true;
                    entry.tag()
                })
                .collect()
        };
        let listed = tags.clone();
        inner
            .on_handlers(move |handler| {
                for &tag in &listed {
                    handler.stop_accepting(tag);
                }
            })
            .all()
            .await;
        for entry in &mut inner.state.borrow_mut().active {
            if tags.contains(&entry.tag()) {
                // The workers' handles are closed; these were the last.
                entry.sockets.clear();
                inner.stats.inc(ManagerStats::LISTENER_STOPPED);
            }
        }
        inner.publish();
    }

    /// Tells the connections of the listeners in `scope` to leave, by the drain strategy and within the
    /// drain time. Listeners keep accepting; nothing is closed by force. The future, which need not be awaited, is ready when
    /// all workers know.
    pub fn drain_listeners(&self, scope: DrainScope) -> impl Future<Output = ()> + use<> {
        let tags: Vec<u64> = {
            let state = self.inner.state.borrow();
            let draining = state.active.iter().filter(|e| scope.covers(e.spec()));
            draining.map(Entry::tag).collect()
        };
        let plan = self.inner.plan();
        let told = self.inner.on_handlers(move |handler| {
            for &tag in &tags {
                handler.start_drain(tag, plan);
            }
        });
        told.all()
    }

    /// The version in force of a listener.
    pub fn active(&self, name: &str) -> Option<Arc<ListenerSpec>> {
        let state = self.inner.state.borrow();
        let entry = state.active.iter().find(|entry| entry.name() == name)?;
        Some(Arc::clone(entry.spec()))
    }
}

impl Inner {
    /// Posts `call` to every worker's handler.
    fn post(&self, call: impl Fn(&ConnectionHandler) + Send + Sync + 'static) {
        let handlers = self.handlers.clone();
        // A worker that has ended has no connections.
        let _ = self.workers.post_all(move |_| {
            if let Some(handler) = handlers.try_get() {
                call(&handler);
            }
        });
    }

    /// Posts `call` to every worker's handler; ready when all have run it.
    fn on_handlers(&self, call: impl Fn(&ConnectionHandler) + Send + Sync + 'static) -> Acks {
        let call = Arc::new(call);
        let mut waiting = Vec::with_capacity(self.workers.len());
        for worker in self.workers.iter() {
            let (done, wait) = oneshot::channel::<()>();
            let (call, handlers) = (Arc::clone(&call), self.handlers.clone());
            let _ = worker.post(move |_| {
                if let Some(handler) = handlers.try_get() {
                    call(&handler);
                }
                drop(done);
            });
            waiting.push(wait);
        }
        Acks(waiting)
    }

    /// Opens the sockets of `entry` and hands them to the workers; the acknowledgements come when they
    /// have them. On failure, which is counted and logged, nobody has got anything.
    fn open(&self, entry: &Entry) -> Option<Acks> {
        match self.prepare(entry) {
            Ok(per_worker) => Some(self.hand_out(entry, per_worker)),
            Err(error) => {
                log::error!("listener '{}' is not opened: {error}", entry.name());
                self.stats.inc(ManagerStats::LISTENER_CREATE_FAILURE);
                None
            }
        }
    }

    /// Listens, and makes the handles of every worker.
    fn prepare(&self, entry: &Entry) -> Result<Vec<Vec<ListenSocket>>, BindError> {
        for sockets in &entry.sockets {
            sockets.listen()?;
        }
        (0..self.workers.len())
            .map(|worker| entry.sockets.iter().map(|s| s.for_worker(worker)).collect())
            .collect()
    }

    fn hand_out(&self, entry: &Entry, per_worker: Vec<Vec<ListenSocket>>) -> Acks {
        let mut waiting = Vec::with_capacity(self.workers.len());
        for (worker, sockets) in self.workers.iter().zip(per_worker) {
            let (done, wait) = oneshot::channel::<()>();
            let (handlers, shared) = (self.handlers.clone(), Arc::clone(&entry.shared));
            let stats = Arc::clone(&self.stats);
            let _ = worker.post(move |context| {
                let name = shared.spec.name.clone();
                stats.inc(match handlers.get().add(shared, sockets) {
                    Ok(()) => ManagerStats::LISTENER_CREATE_SUCCESS,
                    Err(error) => {
                        let worker = context.name();
                        log::error!("listener '{name}' failed to open on {worker}: {error}");
                        ManagerStats::LISTENER_CREATE_FAILURE
                    }
                });
                drop(done);
            });
            waiting.push(wait);
        }
        Acks(waiting)
    }

    fn plan(&self) -> DrainPlan {
        DrainPlan {
            time: self.options.drain_time,
            strategy: self.options.drain_strategy,
        }
    }

    fn next_tag(&self) -> u64 {
        let tag = self.next_tag.get();
        self.next_tag.set(tag + 1);
        tag
    }

    /// What the workers share of a new version.
    fn share(&self, tag: u64, spec: Arc<ListenerSpec>) -> Arc<SharedListener> {
        let store = &self.server.stats;
        let stats = store.group(spec.stat_prefix.as_str(), ListenerStats::SCHEMA);
        let worker_stats = (0..self.workers.len())
            .map(|worker| {
                let prefix = format!("{}.worker_{worker}", spec.stat_prefix);
                store.group(prefix, WorkerListenerStats::SCHEMA)
            })
            .collect();
        Arc::new(SharedListener {
            tag,
            stats,
            worker_stats,
            limit: Limit::new(connection_limit(&self.server.runtime(), &spec.name)),
            global_limit: Arc::clone(&self.global_limit),
            spec,
        })
    }

    /// Counts and shows the state as it is now.
    fn publish(&self) {
        let state = self.state.borrow();
        let set = |slot, count: usize| self.stats.gauge_set(slot, count as u64);
        set(ManagerStats::TOTAL_LISTENERS_ACTIVE, state.active.len());
        set(ManagerStats::TOTAL_LISTENERS_WARMING, state.warming.len());
        // Used once there was one.
        for (slot, count) in [
            (ManagerStats::TOTAL_LISTENERS_DRAINING, state.draining.len()),
            (
                ManagerStats::TOTAL_FILTER_CHAINS_DRAINING,
                state.draining_chains,
            ),
        ] {
            if count > 0 || self.stats.gauge(slot) > 0 {
                set(slot, count);
            }
        }
        self.view.show(ListenersSnapshot::of(&state));
    }
}

/// One per worker, dropped unsent when the worker has done what it was asked for, or has ended. The work
/// does not depend on anybody waiting.
struct Acks(Vec<oneshot::Receiver<()>>);

impl Acks {
    /// Waits for all workers.
    async fn all(self) {
        for ack in self.0 {
            let _ = ack.await;
        }
    }
}

/// How many connections the listener of this name may have open, over all workers; no limit unless the runtime sets one.
fn connection_limit(runtime: &Runtime, name: &str) -> RuntimeInteger {
    let key = format!("envoy.resource_limits.listener.{name}.connection_limit");
    runtime.integer(&key, u64::MAX)
}

/// When something was changed, for the admin interface.
fn wall_now() -> SystemTime {
    nuncio_event::clock::wall_time(nuncio_event::now())
}

#[cfg(test)]
mod tests;
