//! Where the server is in its life, shared by all threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use nuncio_sdk::HealthState;

/// `envoy.admin.v3.ServerInfo.State`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lifecycle {
    /// Serves.
    Live = 0,
    /// Serves, and tells its health checkers that it will not for long.
    Draining = 1,
    /// Waits for clusters.
    PreInitializing = 2,
    /// Waits for what listeners need.
    Initializing = 3,
}

impl Lifecycle {
    /// As `/ready` and `/server_info` print it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "LIVE",
            Self::Draining => "DRAINING",
            Self::PreInitializing => "PRE_INITIALIZING",
            Self::Initializing => "INITIALIZING",
        }
    }
}

/// The server's state: set by the main thread, read by all.
#[derive(Debug)]
pub struct ServerState {
    /// How far start-up is: one of the three states other than draining.
    phase: AtomicU8,
    health: Arc<HealthState>,
    started: Instant,
    started_at: SystemTime,
}

impl ServerState {
    /// A server that begins to start now, and the state of its health checks, which the data path reads too.
    pub fn new(health: Arc<HealthState>) -> Self {
        Self {
            phase: AtomicU8::new(Lifecycle::PreInitializing as u8),
            health,
            started: Instant::now(),
            started_at: SystemTime::now(),
        }
    }

    /// Clusters are there.
    pub fn set_initializing(&self) {
        self.phase.store(Lifecycle::Initializing as u8, Relaxed);
    }

    /// Workers accept connections.
    pub fn set_live(&self) {
        self.phase.store(Lifecycle::Live as u8, Relaxed);
    }

    /// `/healthcheck/fail` and `/healthcheck/ok`.
    pub fn set_health_check_failed(&self, failed: bool) {
        self.health.set_failing(failed);
    }

    /// Whether health checks are to fail; then responses also close their connections.
    pub fn health_check_failed(&self) -> bool {
        self.health.is_failing()
    }

    /// The state. As in Envoy, a live server is draining while it fails health checks.
    pub fn lifecycle(&self) -> Lifecycle {
        match self.phase.load(Relaxed) {
            phase if phase == Lifecycle::PreInitializing as u8 => Lifecycle::PreInitializing,
            phase if phase == Lifecycle::Initializing as u8 => Lifecycle::Initializing,
            _ if self.health_check_failed() => Lifecycle::Draining,
            _ => Lifecycle::Live,
        }
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the server was started.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_health_checks_shows_only_once_live() {
        let state = ServerState::new(Arc::default());
        assert_eq!(state.lifecycle().as_str(), "PRE_INITIALIZING");
        state.set_health_check_failed(true);
        state.set_initializing();
        assert_eq!(state.lifecycle().as_str(), "INITIALIZING");
        state.set_live();
        assert_eq!(state.lifecycle().as_str(), "DRAINING");
        state.set_health_check_failed(false);
        assert_eq!(state.lifecycle().as_str(), "LIVE");
    }
}
