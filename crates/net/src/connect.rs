//! Outgoing connections.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;

use nuncio_event::reactor::Guess;
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::Address;
use crate::congestion::leave_unpaced;
use crate::listen::socket_address;
use crate::options::{Keepalive, SocketOption, SocketState};
use crate::stream::{Kind, Stream};
use crate::sys;

/// How to connect (`core.v3.BindConfig`, `cluster.v3.UpstreamConnectionOptions`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectOptions {
    /// `source_address`: where to connect from.
    pub source: Option<Address>,
    /// `extra_source_addresses`: where to connect from when `source` is of another family than the address to connect to,
    /// and this one is not.
    pub other_source: Option<Box<OtherSource>>,
    /// `freebind` of the source address.
    pub freebind: Option<bool>,
    /// `tcp_keepalive`
    pub keepalive: Option<Keepalive>,
    /// `socket_options`: those of [`SocketState::PreBind`] are set before the source address is bound; others have no
    /// moment here and are not set, as in Envoy.
    pub options: Vec<SocketOption>,
    /// Leaves small writes to Nagle's algorithm; off, as in Envoy.
    pub delay: bool,
}

/// A further source address (`core.v3.ExtraSourceAddress`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OtherSource {
    /// `address`
    pub address: Address,
    /// `socket_options`, in the place of [`ConnectOptions::options`].
    pub options: Vec<SocketOption>,
}

impl ConnectOptions {
    /// Where to connect to `to` from, and the socket options to do it with (Envoy's default local address selector).
    pub fn local_for(&self, to: &Address) -> (Option<&Address>, &[SocketOption]) {
        let family = |address: &Address| address.ip().map(|ip| ip.is_ipv6());
        let is_of_family = |source: &Address| family(source) == family(to);
        match (&self.source, &self.other_source) {
            (Some(source), Some(other))
                if !is_of_family(source) && is_of_family(&other.address) =>
            {
                (Some(&other.address), &other.options)
            }
            (source, _) => (source.as_ref(), &self.options),
        }
    }
}

/// What went wrong, as far as callers tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectErrorKind {
    /// Nobody listens there.
    Refused,
    /// No way there (network or host unreachable).
    Unreachable,
    /// The kernel gave up waiting. A connect timeout is the caller's and does not show here.
    TimedOut,
    /// The source address cannot be bound.
    Bind,
    /// A socket option was refused.
    Option,
    /// Descriptors, ports or memory are used up on this machine.
    Exhausted,
    /// Anything else.
    Other,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct ConnectError {
    /// The class of the error.
    pub kind: ConnectErrorKind,
    /// The kernel's answer.
    pub error: io::Error,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl ConnectError {
    fn of_kind(kind: ConnectErrorKind) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { kind, error }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            // A unix socket that has no file is as good as refused.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => ConnectErrorKind::Refused,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                ConnectErrorKind::Unreachable
            }
            io::ErrorKind::TimedOut => ConnectErrorKind::TimedOut,
            io::ErrorKind::AddrNotAvailable => ConnectErrorKind::Exhausted,
            _ => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    ConnectErrorKind::Exhausted
                }
                _ => ConnectErrorKind::Other,
            },
        };
        Self { kind, error }
    }
}

/// Connects to `address`. Dropping the future gives up.
///
/// # Errors
/// [`ConnectError`] with its class. There is no time limit here.
pub async fn connect(address: &Address, options: &ConnectOptions) -> Result<Stream, ConnectError> {
    let (domain, protocol) = match address {
        Address::Ip(ip) => (Domain::for_address(*ip), Some(Protocol::TCP)),
        Address::Pipe { .. } => (Domain::UNIX, None),
        Address::Internal { .. } => {
            return Err(io::Error::from(io::ErrorKind::Unsupported).into());
        }
    };
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), protocol)?;
    prepare(&socket, address, options)?;
    let kind = match address {
        Address::Ip(_) => Kind::Tcp,
        _ => Kind::Unix,
    };
    let begun = socket.connect(&socket_address(address)?);
    let guess = match begun {
        // A unix socket is connected at once, or refused at once when the backlog is full.
        Ok(()) => Guess::Writable,
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Guess::Nothing,
        Err(error) => return Err(error.into()),
    };
    let stream = Stream::new(socket.into(), kind, guess)?;
    if guess == Guess::Nothing {
        poll_fn(|cx| stream.poll_connected(cx)).await?;
    }
    Ok(stream)
}

fn prepare(socket: &Socket, to: &Address, options: &ConnectOptions) -> Result<(), ConnectError> {
    let refused = || ConnectError::of_kind(ConnectErrorKind::Option);
    if let Address::Ip(ip) = to {
        leave_unpaced(socket, ip);
        if let Some(on) = options.freebind {
            if ip.is_ipv6() {
                socket.set_freebind_v6(on).map_err(refused())?;
            } else {
                socket.set_freebind_v4(on).map_err(refused())?;
            }
        }
        if let Some(keepalive) = &options.keepalive {
            keepalive.apply(socket).map_err(refused())?;
        }
        if !options.delay {
            socket.set_tcp_nodelay(true).map_err(refused())?;
        }
    }
    // There are no meaningful options and sources for others, as in Envoy.
    if !matches!(to, Address::Ip(_)) {
        return Ok(());
    }
    let (source, socket_options) = options.local_for(to);
    socket_options
        .iter()
        .filter(|option| option.state == SocketState::PreBind)
        .try_for_each(|option| option.apply(socket))
        .map_err(refused())?;
    if matches!(source, Some(Address::Ip(source)) if source.port() == 0) {
        share_ports(socket);
    }
    match source {
        None => Ok(()),
        Some(source) => socket_address(source)
            .and_then(|source| socket.bind(&source))
            .map_err(ConnectError::of_kind(ConnectErrorKind::Bind)),
    }
}

/// The source port is chosen when the destination is known: connections to different destinations may have the same one, so
/// that an address has more than its few ten thousand ports to give.
fn share_ports(socket: &Socket) {
    // A system that does not know the option does without.
    let _ = sys::set_option(
        socket.as_fd(),
        libc::IPPROTO_IP,
        libc::IP_BIND_ADDRESS_NO_PORT,
        &1i32.to_ne_bytes(),
    );
}

#[cfg(test)]
mod tests;
