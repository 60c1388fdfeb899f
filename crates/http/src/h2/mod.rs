//! HTTP/2 (RFC 9113), both sides, sans-IO: bytes in, events out, bytes out.
//!
//! One [`Connection`] for either role. It owns framing, header compression, stream states, flow-control windows and
//! flood limits. Its driver owns the socket, the timers, and one object per stream, in a slab indexed by [`StreamKey`].
#![doc = include_str!("LIFECYCLE.md")]
#![doc = include_str!("DEVIATIONS.md")]

mod bytes;
mod connection;
mod counts;
mod error;
mod fault;
mod frame;
pub mod hpack;
mod incoming;
mod limiter;
mod message;
mod outbound;
mod repeat;
mod settings;
mod stream;
mod streams;
mod window;

pub use connection::Connection;
pub use counts::Counts;
pub use error::{ConnectionError, ErrorCode, StreamError};
pub use incoming::{GoAway, Incoming, Role, StreamKey};
pub use settings::H2Settings;

/// What a client sends first (RFC 9113, section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[cfg(test)]
mod tests;
