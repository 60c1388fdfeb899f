//! The main thread: start-up, signals, periodic work, shutdown.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nuncio_app_log::{AppLog, Level};
use nuncio_config::{Diagnostic, LoadedBootstrap, convert};
use nuncio_downstream::DrainScope;
use nuncio_event::{Dispatchers, NoObserver, Workers};
use nuncio_sdk::Extensions;
use nuncio_stats::Store;
use tokio::runtime::LocalRuntime;
use tokio::signal::unix::{SignalKind, signal};

use crate::build::{Parts, build};
use crate::options::Options;

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
        path: options.log_path.clone(),
        format: options.log_format.clone().unwrap_or_else(|| nuncio_app_log::DEFAULT_PATTERN.to_owned()),
        escaped: options.log_format_escaped,
    })
    .map_err(|error| error.to_string())
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

/// Serves until it is told to stop.
pub(crate) fn serve(
    options: &Options,
    extensions: Extensions,
    loaded: LoadedBootstrap,
    app_log: &AppLog,
) -> Result<ExitCode, Failure> {
    Store::register_thread(0);
    let workers = Workers::start(options.concurrency, Arc::new(NoObserver), |worker| {
        Store::register_thread(worker.index() + 1);
    })
    .map_err(Failure::System)?;
    let runtime = runtime().map_err(Failure::System)?;
    let parts = runtime
        .block_on(async { build(options, extensions, &loaded, workers.dispatchers()) })
        .map_err(Failure::Config)?;
    let bootstrap = loaded.bootstrap();
    // The text and the decoded messages are not needed any more.
    drop(loaded);
    let flush = convert::opt_duration(bootstrap.stats_flush_interval.as_ref())
        .ok()
        .flatten()
        .unwrap_or(STATS_FLUSH);
    runtime
        .block_on(main_loop(&parts, app_log, flush))
        .map_err(Failure::System)?;
    if let Err(error) = workers.stop(STOP_BOUND) {
        log::error!(target: "main", "{error}");
    }
    parts.logs.shutdown();
    log::info!(target: "main", "exiting");
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
}

async fn main_loop(parts: &Parts, app_log: &AppLog, stats_flush: Duration) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reopen = signal(SignalKind::user_defined1())?;
    // Ignored, as in Envoy: a terminal that goes away ends nothing.
    let _hangup = signal(SignalKind::hangup())?;

    tokio::select! {
        () = parts.clusters.initialized() => {}
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    log::info!(target: "main", "all clusters initialized. initializing init manager");
    parts.listeners.start_workers().await;
    log::info!(target: "main", "starting main dispatch loop");

    let mut flush = tokio::time::interval(stats_flush);
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
            _ = reopen.recv() => {
                log::info!(target: "main", "caught SIGUSR1. Reopening access logs");
                parts.logs.reopen();
                if let Err(error) = app_log.reopen() {
                    log::error!(target: "main", "{error}");
                }
            }
            _ = flush.tick() => parts.context.stats.merge_histograms(),
        }
    }
    parts.listeners.stop_listeners(DrainScope::All).await;
    Ok(())
}
