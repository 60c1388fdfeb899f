//! The admin thread: started, accepting, stopped.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nuncio_event::{sleep, spawn};
use nuncio_http::h1::H1Settings;
use nuncio_net::{Address, ListenSocket, Listener};
use nuncio_route::matchers::StringMatcher;
use nuncio_sdk::AccessLogger;
use nuncio_stats::Store;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;

use crate::config::AdminConfig;
use crate::connection;
use crate::context::AdminContext;
use crate::limits::Limits;
use crate::own_stats::{ListenerSchema, OwnStats};
use crate::seats::Seats;

/// Threads that write long bodies; further ones wait.
const WRITERS: usize = 4;
/// How long a writer's thread waits for its next body.
const WRITER_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What handlers work with.
pub(crate) struct Admin {
    pub(crate) context: AdminContext,
    allow_paths: Vec<StringMatcher>,
}

impl Admin {
    /// Whether `admin.allow_paths` lets this path and query be answered.
    pub(crate) fn allows(&self, target: &[u8]) -> bool {
        self.allow_paths.is_empty()
            || self
                .allow_paths
                .iter()
                .any(|matcher| matcher.matches(target))
    }
}

/// What the connections share.
pub(crate) struct Shared {
    pub(crate) admin: Admin,
    pub(crate) loggers: Vec<Arc<dyn AccessLogger>>,
    pub(crate) settings: Arc<H1Settings>,
    pub(crate) stats: OwnStats,
    pub(crate) seats: Seats,
    pub(crate) limits: Limits,
    /// Where the interface listens.
    pub(crate) address: Address,
}

impl Shared {
    /// Makes the admin thread's stats, so call it there.
    fn new(config: AdminConfig, context: AdminContext, address: Address, limits: Limits) -> Self {
        Self {
            stats: OwnStats::new(&context.server.stats),
            admin: Admin {
                context,
                allow_paths: config.allow_paths,
            },
            loggers: config.access_loggers,
            settings: Arc::default(),
            seats: Seats::new(limits.connections),
            limits,
            address,
        }
    }
}

/// The running admin interface. Dropping it ends the thread and waits for that.
#[derive(Debug)]
pub struct AdminHandle {
    address: Address,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl AdminHandle {
    /// Where it listens, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Closes the listening socket and all connections, and ends the thread.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for AdminHandle {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!(target: "admin", "the admin thread has panicked");
        }
    }
}

/// Binds the address and starts the thread, named `admin`, which answers from now on.
///
/// # Errors
/// The address cannot be bound, or the thread or its runtime cannot be made.
pub fn start(config: AdminConfig, context: AdminContext) -> io::Result<AdminHandle> {
    start_with(config, context, Limits::default())
}

/// As [`start`], with other bounds on clients.
pub(crate) fn start_with(
    config: AdminConfig,
    context: AdminContext,
    limits: Limits,
) -> io::Result<AdminHandle> {
    let socket = ListenSocket::bind(&config.address, &config.listen)
        .and_then(|socket| socket.listen().map(|()| socket))
        .map_err(|error| io::Error::new(error.error.kind(), error))?;
    let address = socket.address().clone();
    let (stop, stopped) = oneshot::channel();
    let (ready, readiness) = sync_mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            Store::register_thread(context.server.concurrency + 1);
            let started = runtime().and_then(|runtime| {
                let listener = runtime.block_on(async { socket.into_listener() })?;
                Ok((runtime, listener))
            });
            let (runtime, listener) = match started {
                Ok(started) => started,
                Err(error) => return drop(ready.send(Err(error))),
            };
            drop(ready.send(Ok(())));
            let shared = Shared::new(config, context, listener.address().clone(), limits);
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, Rc::new(shared)) => {}
                    // The handle is gone.
                    _ = stopped => {}
                }
            });
            // Drops the connections; writers then find that nobody reads.
            runtime.shutdown_background();
        })?;
    let handle = AdminHandle {
        address,
        stop: Some(stop),
        thread: Some(thread),
    };
    match readiness.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the admin thread has panicked")),
    }
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WRITERS)
        .thread_name("admin_writer")
        .thread_keep_alive(WRITER_KEEP_ALIVE)
        .build_local(LocalOptions::default())
}

async fn accept(listener: Listener, shared: Rc<Shared>) {
    loop {
        let (stream, peer) = match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(accepted) => accepted,
            Err(error) => {
                log::debug!(target: "admin", "cannot accept: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match shared.seats.take() {
            Some(seat) => {
                spawn(connection::serve(stream, peer, shared.clone(), seat));
            }
            None => shared
                .stats
                .listener
                .inc(ListenerSchema::DOWNSTREAM_CX_OVERFLOW),
        }
    }
}
