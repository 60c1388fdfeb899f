//! The main thread: start-up, signals, periodic work, shutdown.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nuncio_admin::{AdminAction, ServerState, ServerStats};
use nuncio_app_log::{AppLog, Level};
use nuncio_config::api::bootstrap::Bootstrap;
use nuncio_config::{Diagnostic, LoadedBootstrap, convert};
use nuncio_downstream::DrainScope;
use nuncio_event::reactor;
use nuncio_event::watchdog::{self, Heartbeat};
use nuncio_event::{Dispatchers, Workers};
use nuncio_sdk::{Extensions, HealthState};
use nuncio_stats::Store;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::admin::{self, AdminParts, Asked};
use crate::observer::ServerObserver;
use crate::watchdogs;

use crate::build::{Parts, build};
use crate::options::{Mode, Options};

/// How long the workers may take to end.
const STOP_BOUND: Duration = Duration::from_secs(10);
/// `stats_flush_interval` when it is not given.
const STATS_FLUSH: Duration = Duration::from_secs(5);

/// Why the server did not start.
pub(crate) enum Failure {
    /// The configuration is wrong.
    Config(Vec<Diagnostic>),
    /// The system refused something (threads, descriptors, sockets).
    System(io::Error),
}

/// Sets up the application log.
pub(crate) fn start_logging(options: &Options) -> Result<Arc<AppLog>, String> {
    let default = Level::parse(&options.log_level).map_err(|error| error.to_string())?;
    nuncio_app_log::install(nuncio_app_log::Options {
        level: default,
        components: nuncio_app_log::parse_component_levels(&options.component_log_level)?,
        fine_grain: options.fine_grain_logging,
        // As in Envoy, who only validates writes nowhere.
        path: options
            .log_path
            .clone()
            .filter(|_| options.mode != Mode::Validate),
        format: options
            .log_format
            .clone()
            .unwrap_or_else(|| default_log_format(options).to_owned()),
        escaped: options.log_format_escaped,
    })
    .map_err(|error| error.to_string())
}

/// `--log-format` when it is not given.
pub(crate) fn default_log_format(options: &Options) -> &'static str {
    match options.fine_grain_logging {
        true => nuncio_app_log::FINE_GRAIN_PATTERN,
        false => nuncio_app_log::DEFAULT_PATTERN,
    }
}

/// What else is wrong with a bootstrap that is refused already.
pub(crate) fn errors_of(
    options: &Options,
    extensions: Extensions,
    rest: &LoadedBootstrap,
) -> Vec<Diagnostic> {
    Store::register_thread(0);
    let Ok(runtime) = runtime() else {
        return Vec::new();
    };
    runtime
        .block_on(async { build(options, extensions, rest, &Dispatchers::none()).map(drop) })
        .err()
        .unwrap_or_default()
}

/// Builds everything and throws it away: finds every error that needs no network.
pub(crate) fn validate(
    options: &Options,
    extensions: Extensions,
    loaded: &LoadedBootstrap,
) -> Result<ExitCode, Failure> {
    Store::register_thread(0);
    let runtime = runtime().map_err(Failure::System)?;
    runtime
        .block_on(async { build(options, extensions, loaded, &Dispatchers::none()).map(drop) })
        .map_err(Failure::Config)?;
    let name = options
        .config_path
        .as_ref()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    println!("configuration '{name}' OK");
    Ok(ExitCode::SUCCESS)
}

/// Serves until it is told to stop, or ([`Mode::InitOnly`]) until everything is ready to.
pub(crate) fn serve(
    options: &Options,
    extensions: Extensions,
    loaded: LoadedBootstrap,
    app_log: &Arc<AppLog>,
) -> Result<ExitCode, Failure> {
    if options.enable_core_dump {
        enable_core_dump().map_err(Failure::System)?;
    }
    Store::register_thread(0);
    let observer = Arc::new(ServerObserver::default());
    let workers = Workers::start(options.concurrency, observer.clone(), |worker| {
        Store::register_thread(worker.index() + 1);
    })
    .map_err(Failure::System)?;
    let bootstrap = loaded.bootstrap();
    let heartbeat = Arc::new(Heartbeat::default());
    let watchdogs = watchdogs::start(&bootstrap, workers.heartbeats(), &heartbeat, &observer)
        .map_err(Failure::System)?;
    let runtime = runtime().map_err(Failure::System)?;
    let mut parts = runtime
        .block_on(async { build(options, extensions, &loaded, workers.dispatchers()) })
        .map_err(Failure::Config)?;
    if let Some(pattern) = parts.log_format.take() {
        app_log.set_pattern(pattern);
    }
    let state = Arc::new(ServerState::new(parts.context.service::<HealthState>()));
    let listeners = parts.listeners.view();
    let stats = Arc::new(ServerStats::new(
        &parts.context,
        state.clone(),
        options.restart_epoch,
        version_number(&bootstrap),
        move || listeners.snapshot().open_connections(),
    ));
    observer.set_stats(stats.clone());
    parts
        .context
        .stats
        .counter("server.static_unknown_fields")
        .add(loaded.unknown_fields as u64);

    let (actions, requests) = mpsc::unbounded_channel();
    let admin = match parts.admin.take() {
        None => None,
        Some(config) => Some(
            runtime
                .block_on(async {
                    admin::start(
                        config,
                        AdminParts {
                            options,
                            parts: &parts,
                            state: state.clone(),
                            stats: stats.clone(),
                            bootstrap: loaded.raw.clone(),
                            node: bootstrap.node.clone().unwrap_or_default(),
                            app_log: app_log.clone(),
                            actions,
                        },
                    )
                })
                .map_err(Failure::System)?,
        ),
    };
    // The text and the decoded messages are not needed any more.
    drop(loaded);
    let flush = convert::opt_duration(bootstrap.stats_flush_interval.as_ref())
        .ok()
        .flatten()
        .unwrap_or(STATS_FLUSH);
    let server = Server {
        parts: &parts,
        app_log,
        options,
        state,
        stats,
    };
    runtime
        .block_on(async {
            let beating = tokio::task::spawn_local(watchdog::beat(heartbeat));
            let result = server.run(requests, flush).await;
            beating.abort();
            result
        })
        .map_err(Failure::System)?;
    if let Some(admin) = admin {
        admin.stop();
    }
    drop(watchdogs);
    let stopped = workers.stop(STOP_BOUND);
    parts.logs.shutdown();
    log::info!(target: "main", "exiting");
    match stopped {
        Ok(()) if !observer.worker_lost() => Ok(ExitCode::SUCCESS),
        Ok(()) => Ok(ExitCode::FAILURE),
        Err(error) => {
            log::error!(target: "main", "{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// `server.version`: as configured, or 0, since a release has no commit number that would fit.
fn version_number(bootstrap: &Bootstrap) -> u32 {
    let configured = bootstrap.stats_server_version_override.as_ref();
    configured.map_or(0, |version| {
        u32::try_from(version.value).unwrap_or(u32::MAX)
    })
}

/// `--enable-core-dump`: no limit to the size of a core file.
fn enable_core_dump() -> io::Result<()> {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Core, limit)?;
    Ok(())
}

fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| {
            reactor::turn();
        })
        .build_local(Default::default())
}

/// The server while it runs.
struct Server<'a> {
    parts: &'a Parts,
    app_log: &'a AppLog,
    options: &'a Options,
    state: Arc<ServerState>,
    stats: Arc<ServerStats>,
}

impl Server<'_> {
    async fn run(
        &self,
        mut requests: UnboundedReceiver<Asked>,
        stats_flush: Duration,
    ) -> io::Result<()> {
        let parts = self.parts;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut reopen = signal(SignalKind::user_defined1())?;
        // A terminal that goes away ends nothing.
        let mut hangup = signal(SignalKind::hangup())?;

        tokio::select! {
            () = parts.clusters.initialized() => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
        if self.options.mode == Mode::InitOnly {
            return Ok(());
        }
        log::info!(target: "main", "all clusters initialized. initializing init manager");
        self.state.set_initializing();
        parts.listeners.start_workers().await;
        self.state.set_live();
        self.stats.initialized();
        log::info!(target: "main", "starting main dispatch loop");
        self.options.give_back_memory();

        // As in Envoy, histograms have no values until the first interval is over.
        let mut flush = tokio::time::interval_at(Instant::now() + stats_flush, stats_flush);
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    log::warn!(target: "main", "caught ENVOY_SIGTERM");
                    break;
                }
                _ = interrupt.recv() => {
                    log::warn!(target: "main", "caught SIGINT");
                    break;
                }
                _ = hangup.recv() => {
                    log::warn!(target: "main", "caught and eating SIGHUP. See documentation for how to hot restart.");
                }
                _ = reopen.recv() => {
                    log::info!(target: "main", "caught SIGUSR1. Reopening access logs.");
                    self.reopen_logs();
                }
                _ = flush.tick() => {
                    self.stats.update();
                    parts.context.stats.merge_histograms();
                }
                Some(Asked { action, done }) = requests.recv() => match action {
                    AdminAction::Quit => break,
                    AdminAction::ReopenLogs => self.reopen_logs(),
                    AdminAction::DrainListeners { graceful, skip_exit, inbound_only } => {
                        self.drain_listeners(graceful, skip_exit, inbound_only, done);
                    }
                    // The state, which the interface has set already, is all there is to it so far.
                    AdminAction::HealthCheckFail | AdminAction::HealthCheckOk => {}
                },
            }
        }
        log::info!(target: "main", "shutting down server instance");
        parts.listeners.stop_listeners(DrainScope::All).await;
        log::info!(target: "main", "main dispatch loop exited");
        Ok(())
    }

    fn reopen_logs(&self) {
        self.parts.logs.reopen();
        if let Err(error) = self.app_log.reopen() {
            log::error!(target: "main", "{error}");
        }
    }

    /// `done` is dropped when the workers know of it.
    fn drain_listeners(
        &self,
        graceful: bool,
        skip_exit: bool,
        inbound_only: bool,
        done: oneshot::Sender<()>,
    ) {
        let scope = if inbound_only {
            DrainScope::InboundOnly
        } else {
            DrainScope::All
        };
        let listeners = self.parts.listeners.clone();
        let wait = graceful.then_some(self.options.drain_time);
        tokio::task::spawn_local(async move {
            listeners.drain_listeners(scope).await;
            let done = wait.is_none().then_some(done);
            if skip_exit {
                return;
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            listeners.stop_listeners(scope).await;
            drop(done);
        });
    }
}
