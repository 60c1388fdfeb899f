//! Listening sockets: made and bound on the main thread, accepted from on a worker.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::task::{Context, Poll, ready};

use nuncio_event::reactor::{Guess, Source};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketAddrUnix, SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::address::Address;
use crate::congestion::leave_unpaced;
use crate::options::{Keepalive, SocketOption, SocketState};
use crate::stream::{Kind, Stream};
use crate::sys;

/// What is asked of a listening socket (`envoy.config.listener.v3.Listener`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenOptions {
    /// `enable_reuse_port`: further sockets may be bound to the same address.
    pub reuse_port: bool,
    /// `tcp_backlog_size`; Envoy's default on Linux is `net.core.somaxconn`, asked for by the
    /// largest value there is.
    pub backlog: i32,
    /// `SocketAddress.ipv4_compat`: an IPv6 socket takes IPv4 peers too.
    pub ipv4_compat: bool,
    /// `freebind`: binding to an address that the machine does not have (yet).
    pub freebind: Option<bool>,
    /// `transparent`: connections redirected by TPROXY.
    pub transparent: Option<bool>,
    /// `tcp_fast_open_queue_length`: 0 switches fast open off.
    pub fast_open_queue: Option<u32>,
    /// `tcp_keepalive` on accepted connections, which inherit it.
    pub keepalive: Option<Keepalive>,
    /// `enable_mptcp`
    pub mptcp: bool,
    /// `socket_options`, each set at its state.
    pub options: Vec<SocketOption>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            reuse_port: true,
            // The kernel cuts it to `net.core.somaxconn`.
            backlog: i32::MAX,
            ipv4_compat: false,
            freebind: None,
            transparent: None,
            fast_open_queue: None,
            keepalive: None,
            mptcp: false,
            options: Vec::new(),
        }
    }
}

/// Why there is no listening socket at an address.
#[derive(Debug)]
pub struct BindError {
    /// Where it was to be.
    pub address: Address,
    /// What could not be done, as in "cannot *bind*".
    pub step: String,
    /// The kernel's answer.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            address,
            step,
            error,
        } = self;
        write!(f, "cannot {step} '{address}': {}", in_words(error))
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The error without Rust's "(os error 98)".
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A bound socket that listens once [`listen`](Self::listen) was called. May move between threads.
#[derive(Debug)]
pub struct ListenSocket {
    socket: Socket,
    address: Address,
    options: ListenOptions,
}

impl ListenSocket {
    /// Makes a socket and binds it to `address`; port 0 takes a free port.
    ///
    /// A stale socket file in the way of a unix socket is removed, as Envoy does; a file of another
    /// kind is left alone.
    ///
    /// # Errors
    /// Names the address and what the kernel refused.
    pub fn bind(address: &Address, options: &ListenOptions) -> Result<Self, BindError> {
        let fail = |step: &str| {
            let step = step.to_owned();
            move |error| BindError {
                address: address.clone(),
                step,
                error,
            }
        };
        let socket = new_socket(address, options).map_err(fail("make a socket for"))?;
        set_before_bind(&socket, address, options).map_err(fail("set socket options for"))?;
        apply_options(&socket, address, options, SocketState::PreBind)?;
        let target = socket_address(address).map_err(fail("bind"))?;
        if let Address::Pipe { path, .. } = address {
            remove_stale_socket(path);
        }
        socket.bind(&target).map_err(fail("bind"))?;
        if let Address::Pipe { path, mode } = address
            && *mode != 0
        {
            fs::set_permissions(&**path, fs::Permissions::from_mode(*mode))
                .map_err(fail("set the mode of"))?;
        }
        apply_options(&socket, address, options, SocketState::Bound)?;
        let bound = match address {
            Address::Ip(_) => socket
                .local_addr()
                .map_err(fail("find the address of"))?
                .as_socket()
                .map_or_else(|| address.clone(), Address::Ip),
            other => other.clone(),
        };
        Ok(Self {
            socket,
            address: bound,
            options: options.clone(),
        })
    }

    /// Where it is bound, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Begins to take connections into the backlog.
    ///
    /// # Errors
    /// Mostly that another socket listens at the address.
    pub fn listen(&self) -> Result<(), BindError> {
        self.socket
            .listen(self.options.backlog)
            .map_err(|error| BindError {
                address: self.address.clone(),
                step: "listen on".into(),
                error,
            })?;
        apply_options(
            &self.socket,
            &self.address,
            &self.options,
            SocketState::Listening,
        )
    }

    /// A second handle of the same socket: both accept from one backlog, and the socket lives until
    /// both are gone.
    ///
    /// # Errors
    /// When no file descriptor is left.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            address: self.address.clone(),
            options: self.options.clone(),
        })
    }

    /// Puts the socket on this thread's loop.
    ///
    /// # Errors
    /// When the loop cannot take it.
    pub fn into_listener(self) -> io::Result<Listener> {
        let kind = match &self.address {
            Address::Ip(_) => Kind::Tcp,
            _ => Kind::Unix,
        };
        Ok(Listener {
            source: Source::new(self.socket.into(), Guess::Nothing)?,
            kind,
            address: self.address,
        })
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn new_socket(address: &Address, options: &ListenOptions) -> io::Result<Socket> {
    let (domain, protocol) = match address {
        Address::Ip(ip) => {
            let protocol = if options.mptcp {
                Protocol::MPTCP
            } else {
                Protocol::TCP
            };
            (Domain::for_address(*ip), Some(protocol))
        }
        Address::Pipe { .. } => (Domain::UNIX, None),
        Address::Internal { .. } => return Err(io::ErrorKind::Unsupported.into()),
    };
    // Non-blocking and close-on-exec from birth.
    Socket::new(domain, Type::STREAM.nonblocking(), protocol)
}

fn set_before_bind(socket: &Socket, address: &Address, options: &ListenOptions) -> io::Result<()> {
    let Address::Ip(ip) = address else {
        return Ok(());
    };
    leave_unpaced(socket, ip);
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if ip.is_ipv6() {
        socket.set_only_v6(!options.ipv4_compat)?;
    }
    if let Some(on) = options.freebind {
        if ip.is_ipv6() {
            socket.set_freebind_v6(on)?;
        } else {
            socket.set_freebind_v4(on)?;
        }
    }
    if let Some(on) = options.transparent {
        if ip.is_ipv6() {
            socket.set_ip_transparent_v6(on)?;
        } else {
            socket.set_ip_transparent_v4(on)?;
        }
    }
    if let Some(length) = options.fast_open_queue {
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        sys::set_option(
            socket.as_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            &length.to_ne_bytes(),
        )?;
    }
    if let Some(keepalive) = &options.keepalive {
        keepalive.apply(socket)?;
    }
    // Accepted sockets inherit it: one syscall here instead of one per connection.
    socket.set_tcp_nodelay(true)
}

fn apply_options(
    socket: &Socket,
    address: &Address,
    options: &ListenOptions,
    state: SocketState,
) -> Result<(), BindError> {
    for option in options.options.iter().filter(|o| o.state == state) {
        option.apply(socket).map_err(|error| BindError {
            address: address.clone(),
            step: format!("set socket option ({}) on", option.title()),
            error,
        })?;
    }
    Ok(())
}

/// The address in the kernel's form.
pub(crate) fn socket_address(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Ip(ip) => Ok(SockAddr::from(*ip)),
        Address::Pipe { path, .. } => match path.strip_prefix('@') {
            Some(name) => SockAddr::unix(format!("\0{name}")),
            None => SockAddr::unix(&**path),
        },
        Address::Internal { .. } => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn remove_stale_socket(path: &str) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && let Err(error) = fs::remove_file(path) {
        // Bind will tell that the path is in use.
        log::debug!("cannot remove the stale socket {path}: {error}");
    }
}

/// A listening socket on this thread's loop. Dropping it closes this handle.
#[derive(Debug)]
pub struct Listener {
    source: Source,
    kind: Kind,
    address: Address,
}

impl Listener {
    /// Where it listens, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection and its peer's address. One syscall when there may be one.
    /// TCP connections have `TCP_NODELAY` set.
    ///
    /// # Errors
    /// The kernel's: some concern one connection only (it was aborted), some the process (no
    /// descriptors: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), for which waiting is the only cure.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Address)>> {
        loop {
            ready!(self.source.poll_readable(cx));
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match acceptfrom_with(&self.source, flags) {
                Err(Errno::AGAIN) => self.source.not_readable(),
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok((socket, peer)) => {
                    let stream = Stream::new(socket, self.kind, Guess::Both)?;
                    return Poll::Ready(Ok((stream, peer_address(peer))));
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The other handles of the socket keep it open.
        self.source.leave();
    }
}

fn peer_address(peer: Option<SocketAddrAny>) -> Address {
    let Some(peer) = peer else {
        return Address::from_unix(None, None);
    };
    match SocketAddr::try_from(peer.clone()) {
        Ok(ip) => Address::from_socket(ip),
        Err(_) => match SocketAddrUnix::try_from(peer) {
            Ok(unix) => Address::from_unix(unix.path_bytes(), unix.abstract_name()),
            Err(_) => Address::from_unix(None, None),
        },
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

#[cfg(test)]
mod tests;
