//! Addresses, socket options, listening sockets, streams and transport sockets.
//!
//! * [`Address`]: where a socket is, in Envoy's text forms;
//! * [`SocketOption`], [`Keepalive`]: what is set on sockets;
//! * [`ListenSocket`], [`Listener`]: made on the main thread, accepted from on a worker;
//! * [`Stream`]: one accepted or connected socket, read into and written from
//!   [`nuncio_buffer::Buffer`] with one syscall each;
//! * [`Pipe`]: what bytes go through from socket to socket without being copied;
//! * [`Connection`]: a stream under a transport socket (plain text, or TLS);
//! * [`connect()`]: outgoing connections.
//!
//! What is absent: nothing here knows of HTTP, of configuration messages or of timeouts.

mod address;
mod congestion;
mod connect;
mod connection;
mod detached;
mod interfaces;
mod listen;
mod options;
mod splice;
mod stream;
mod sys;
#[cfg(test)]
mod testing;

pub use address::{Address, AddressError, IpRange};
pub use connect::{ConnectError, ConnectErrorKind, ConnectOptions, OtherSource, connect};
pub use connection::{Connection, Traffic, TransportSocket, next_connection_id};
pub use detached::Detached;
pub use interfaces::interface_addresses;
pub use listen::{BindError, ListenOptions, ListenSocket, Listener};
pub use options::{Keepalive, SocketOption, SocketState};
pub use splice::Pipe;
pub use stream::Stream;
