//! The admin interface: `/stats`, `/clusters`, `/config_dump` and what else Envoy answers on its admin address.
//!
//! It has a thread of its own and reads shared state only, so that nothing it does delays readiness, configuration or data.

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
