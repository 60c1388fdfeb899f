//! HTTP connection manager and router.
//!
//! - [`hcm`]: configuration of a connection manager, the driver of an HTTP/1 connection, what it does to headers.
//! - `stream`: one request and its response on their way through the filter chain, whatever the codec.
//! - `router`: the terminal filter: route action, cluster, host, connection, upstream exchange.
//!
//! `stream/LIFECYCLE.md` tells the states of a stream.

pub mod hcm;
mod router;
mod stream;

pub use hcm::HTTP_CONNECTION_MANAGER;
pub use router::ROUTER;
