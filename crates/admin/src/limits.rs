//! What a client may take of the interface: time and connections.

use std::time::Duration;

/// Bounds on clients. Fixed but for tests, which have less time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a connection may wait for its next request.
    pub(crate) idle: Duration,
    /// How long a request may take to arrive, from its first byte to its last.
    pub(crate) request: Duration,
    /// How long a client may leave a response untouched.
    pub(crate) stalled: Duration,
    /// How long a client may take to close after the last response.
    pub(crate) linger: Duration,
    /// Most connections at once.
    pub(crate) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            request: Duration::from_secs(15),
            stalled: Duration::from_secs(30),
            linger: Duration::from_secs(1),
            connections: 128,
        }
    }
}
