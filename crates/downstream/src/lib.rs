//! Listeners: from their configuration to the connections that network filters serve.
//!
//! * [`compile`]: an Envoy `Listener` message becomes a checked [`ListenerSpec`];
//! * [`ListenerManager`]: on the main thread, adds, updates, warms, drains and removes listeners;
//! * [`ConnectionHandler`]: on each worker, accepts, finds the filter chain, tracks and closes;
//! * [`ListenersView`]: what the admin interface shows, readable from any thread.
//!
//! The states of a listener and of a connection are told in `LIFECYCLE.md`.
//!
//! What is absent: nothing here knows HTTP or which filters exist; a filter chain is one terminal
//! [`NetworkFilter`](nuncio_sdk::NetworkFilter) that is handed the connection.

pub mod chain_match;
mod compile;
mod handler;
mod limit;
mod manager;
mod spec;
mod stats;
#[cfg(test)]
mod testing;

pub use compile::{compile, listen_address, socket_options, tcp_keepalive};
pub use handler::ConnectionHandler;
pub use manager::{
    DrainScope, DynamicListener, ErrorState, ListenerManager, ListenerState, ListenerStatus,
    ListenersSnapshot, ListenersView, ManagerOptions, Origin, StaticListener, UpdateError,
};
pub use spec::{DrainType, FilterChain, ListenAddress, ListenerSpec, TrafficDirection};
