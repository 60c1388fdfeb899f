//! `Bootstrap.watchdogs`: what notices loops that do not turn.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nuncio_config::api::bootstrap::{Bootstrap, Watchdog as Config};
use nuncio_config::api::protobuf;
use nuncio_config::convert;
use nuncio_event::watchdog::{Heartbeat, Watchdog, WatchdogConfig};

use crate::observer::{MainObserver, ServerObserver};

/// The watchdogs of a server; dropping them ends their threads.
pub(crate) struct Watchdogs {
    _workers: Watchdog,
    _main: Watchdog,
}

/// Starts the watchdogs of the workers and of the main thread, whose loop must beat `main`.
pub(crate) fn start(
    bootstrap: &Bootstrap,
    workers: &[Arc<Heartbeat>],
    main: &Arc<Heartbeat>,
    observer: &Arc<ServerObserver>,
) -> io::Result<Watchdogs> {
    let watchdogs = bootstrap.watchdogs.clone().unwrap_or_default();
    Ok(Watchdogs {
        _workers: Watchdog::start(
            times(watchdogs.worker_watchdog.as_ref()),
            workers,
            observer.clone(),
        )?,
        _main: Watchdog::start(
            times(watchdogs.main_thread_watchdog.as_ref()),
            std::slice::from_ref(main),
            Arc::new(MainObserver(observer.clone())),
        )?,
    })
}

fn times(config: Option<&Config>) -> WatchdogConfig {
    let default = WatchdogConfig::default();
    let Some(config) = config else {
        return default;
    };
    // The loader has checked that durations are in range.
    let or = |value: Option<&protobuf::Duration>, default: Duration| {
        convert::opt_duration(value)
            .ok()
            .flatten()
            .unwrap_or(default)
    };
    WatchdogConfig {
        miss: or(config.miss_timeout.as_ref(), default.miss),
        mega_miss: or(config.megamiss_timeout.as_ref(), default.mega_miss),
    }
}
