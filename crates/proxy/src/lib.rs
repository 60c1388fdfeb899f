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

/// How much waits, in bytes, for a peer that is slow to take it before the other side is not read any more (or the buffer
/// limit, if that is less): enough to fill any socket buffer.
pub(crate) const SEND_AHEAD: usize = 256 * 1024;
