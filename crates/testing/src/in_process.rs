//! The server's parts inside the test: what only an API will ask of them later, a test asks now.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nuncio_access_log::{AccessLogManager, FlushOptions};
use nuncio_config::api::listener::Listener;
use nuncio_config::{LoadedBootstrap, Sources, load_bootstrap};
use nuncio_downstream::{ListenerManager, ListenersView, ManagerOptions, Origin};
use nuncio_event::{NoObserver, Workers};
use nuncio_sdk::{DrainStrategy, LocalFuture, ServerContext};
use nuncio_stats::{Kind, Query, StatsConfig, Store, Value};
use nuncio_upstream::ClusterManager;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::{BOUND, Config};

const WORKERS: usize = 2;

/// What is run on the server's main thread.
type Call = Box<dyn FnOnce(&ListenerManager) + Send>;

/// Two workers, the clusters of a [`Config`] and a listener manager without listeners.
pub struct InProcess {
    stats: Arc<Store>,
    view: ListenersView,
    calls: Option<UnboundedSender<Call>>,
    main: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl InProcess {
    /// Starts workers and clusters; the listener of the configuration is not added.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub fn start(
        config: &Config,
        drain_time: Duration,
        drain_strategy: DrainStrategy,
    ) -> InProcess {
        let folder = tempfile::tempdir().expect("a folder");
        let loaded = load(&config.yaml(&folder.path().join("access.log")));
        let (calls, mut queue) = unbounded_channel::<Call>();
        let (report, started) = mpsc::channel();
        let main = thread::spawn(move || {
            Store::register_thread(0);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default())
                .expect("a runtime");
            let workers = Workers::start(WORKERS, Arc::new(NoObserver), |worker| {
                Store::register_thread(worker.index() + 1);
            });
            let workers = workers.expect("threads");
            let context = context();
            let logs = Arc::new(AccessLogManager::new(
                &context.stats,
                WORKERS,
                FlushOptions::default(),
            ));
            context.services.insert(logs.clone());
            let options = ManagerOptions {
                drain_time,
                drain_strategy,
                ..ManagerOptions::default()
            };
            runtime.block_on(async {
                let clusters = ClusterManager::new(context.clone(), workers.dispatchers(), None);
                context.services.insert(clusters.clone());
                let built = clusters.initialize(loaded.clusters(), false);
                built.expect("good clusters");
                clusters.initialized().await;
                let manager = ListenerManager::new(context.clone(), workers.dispatchers(), options);
                manager.start_workers().await;
                let parts = (context.stats.clone(), manager.view());
                report.send(parts).expect("the test waits");
                while let Some(call) = queue.recv().await {
                    call(&manager);
                }
            });
            workers.stop(BOUND).expect("workers that end");
            logs.shutdown();
        });
        let (stats, view) = started.recv_timeout(BOUND).expect("a server that starts");
        InProcess {
            stats,
            view,
            calls: Some(calls),
            main: Some(main),
            folder,
        }
    }

    /// The listener of this configuration, listening there. Its access log is that of the server.
    ///
    /// # Panics
    /// When the configuration is refused.
    pub fn listener(&self, config: &Config, address: SocketAddr) -> Listener {
        let listener = config.listener_yaml(address, &self.access_log());
        let yaml = format!("static_resources:\n  listeners:\n  - {listener}\n");
        let mut listeners = load(&yaml).listeners().collect::<Vec<_>>();
        listeners.pop().expect("a listener").1
    }

    /// The access log of the server.
    pub fn access_log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// Runs this on the main thread.
    ///
    /// # Panics
    /// When the server has ended.
    pub fn with<R: Send + 'static>(
        &self,
        call: impl FnOnce(&ListenerManager) -> R + Send + 'static,
    ) -> R {
        let (report, result) = mpsc::channel();
        let calls = self.calls.as_ref().expect("present until the drop");
        let call: Call = Box::new(move |manager| {
            // Nobody waits for it when the test has failed in the meantime.
            let _ = report.send(call(manager));
        });
        assert!(calls.send(call).is_ok(), "the server has ended");
        result.recv_timeout(BOUND).expect("an answer")
    }

    /// Adds or updates a listener; says whether there was something to do.
    ///
    /// # Panics
    /// When it is refused.
    pub fn add(&self, listener: Listener) -> bool {
        self.add_or_update(listener, None)
    }

    /// As [`add`](Self::add); the listener warms until what is returned is dropped.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn add_warming(&self, listener: Listener) -> Warming {
        let (sender, receiver) = oneshot::channel();
        self.add_or_update(listener, Some(receiver));
        Warming(sender)
    }

    fn add_or_update(&self, listener: Listener, warm: Option<oneshot::Receiver<()>>) -> bool {
        let origin = Origin::Dynamic {
            version_info: "1".into(),
        };
        let added = self.with(move |manager| {
            let warm = warm.map(|warm| -> LocalFuture<()> {
                Box::pin(async move {
                    // Nothing is ever sent: the sender is dropped.
                    let _ = warm.await;
                })
            });
            let added = manager.add_or_update(listener, origin, warm);
            added.map_err(|error| error.to_string())
        });
        added.expect("a good listener")
    }

    /// Removes a listener; says whether there was one.
    pub fn remove(&self, name: &'static str) -> bool {
        self.with(move |manager| manager.remove(name))
    }

    /// Where the listener in force listens, once it does.
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        let snapshot = self.view.snapshot();
        let listener = snapshot.listeners.iter().find(|l| &*l.name == name)?;
        let port = listener.addresses.first()?.port()?;
        (port != 0).then(|| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// A counter or gauge; 0 when it does not exist.
    pub fn stat(&self, name: &str) -> u64 {
        let is_it = |found: &str| found == name;
        let query = Query {
            filter: Some(&is_it),
            ..Query::default()
        };
        let mut total = 0;
        let kinds = [Kind::Counter, Kind::Gauge];
        let Ok(()) = self.stats.visit(&kinds, &query, |stat| {
            if let Value::Counter(value) | Value::Gauge(value) = stat.value {
                total += value;
            }
            Ok::<(), Infallible>(())
        });
        total
    }
}

/// A listener warms as long as this lives.
#[derive(Debug)]
pub struct Warming(#[expect(dead_code, reason = "its drop is what counts")] oneshot::Sender<()>);

impl Drop for InProcess {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(main) = self.main.take() {
            let ended = main.join();
            if !thread::panicking() {
                ended.expect("a clean end");
            }
        }
    }
}

fn load(yaml: &str) -> LoadedBootstrap {
    let sources = Sources {
        config_yaml: Some(yaml.to_owned()),
        ..Sources::default()
    };
    match load_bootstrap(&sources) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            panic!(
                "the configuration was refused: {}\n{yaml}",
                errors.join("\n")
            )
        }
    }
}

/// As the program has it, without what comes from its command line.
fn context() -> Arc<ServerContext> {
    // Main and workers.
    let stats = Store::with_config(WORKERS + 1, StatsConfig::default()).expect("the defaults");
    Arc::new(ServerContext {
        stats: Arc::new(stats),
        extensions: nuncio_server::builtin(),
        local_info: Default::default(),
        cluster_names: Default::default(),
        concurrency: WORKERS,
        services: Default::default(),
    })
}
