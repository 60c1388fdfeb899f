//! The admin interface: `/stats`, `/clusters`, `/config_dump` and what else Envoy answers on its admin address.
//!
//! It has a thread of its own and reads shared state only, so that nothing it does delays readiness, configuration or data.
//! Long answers are written by threads beside it, a piece at a time, as fast as the client reads.
//!
//! Answers are Envoy 1.40's byte for byte, but for these:
//!
//! * clusters come in the order of the configuration; in Envoy the order differs from start to start;
//! * errors of `/config_dump` have `x-content-type-options` once, not twice, and name a mask's path without the marks that
//!   protobuf puts into debug texts;
//! * `/memory` tells what the kernel knows; profilers, heap dumps and `/memory/tcmalloc` answer 501;
//! * there are no runtime values and no recent look-ups yet; `/runtime_modify` answers 501 if there is an admin layer;
//! * pages (`/`, `format=html`) are simpler, and `active-html` is `html`;
//! * clients that are slow to send, to read or to leave are given up; forms are limited to 64 KiB;
//! * after `connection: close` the connection is half-closed at once.

mod access_log;
mod chunks;
mod config;
mod connection;
mod context;
mod dispatch;
mod endpoints;
mod handlers;
mod json;
mod limits;
mod memory;
mod own_stats;
mod request;
mod response;
mod seats;
mod server_stats;
mod state;
#[cfg(test)]
mod tests;
mod thread;

pub use config::AdminConfig;
pub use context::{AdminAction, AdminContext, LogLevels};
pub use server_stats::{ServerSchema, ServerStats, WorkerWatchdogSchema};
pub use state::{Lifecycle, ServerState};
pub use thread::{AdminHandle, start};

/// The levels of the application log, by Envoy's names.
pub const LOG_LEVELS: [&str; 7] = [
    "trace", "debug", "info", "warning", "error", "critical", "off",
];
