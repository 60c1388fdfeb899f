//! One open socket.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::reactor::{Guess, Source};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use socket2::{SockAddr, SockRef};

use crate::address::Address;
use crate::sys;

/// A connected TCP or unix socket on this thread's loop.
#[derive(Debug)]
pub struct Stream {
    pub(crate) source: Source,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// TCP (or MPTCP).
    Tcp,
    /// A unix socket.
    Unix,
}

impl Stream {
    /// Puts a non-blocking socket on this thread's loop.
    pub(crate) fn new(socket: OwnedFd, kind: Kind, guess: Guess) -> io::Result<Self> {
        let source = Source::new(socket, guess)?;
        Ok(Self { source, kind })
    }

    /// Puts a connected TCP socket on this thread's loop.
    ///
    /// # Errors
    /// The kernel's; and outside of a current-thread runtime.
    pub fn tcp(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::new(socket.into(), Kind::Tcp, Guess::Writable)
    }

    /// Puts a connected unix socket on this thread's loop.
    ///
    /// # Errors
    /// As for [`Self::tcp`].
    pub fn unix(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::new(socket.into(), Kind::Unix, Guess::Writable)
    }

    /// The socket, on no loop.
    pub(crate) fn into_parts(self) -> (OwnedFd, Kind) {
        (self.source.into_fd(), self.kind)
    }

    /// Ready when the connection that was begun is there.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.source.poll_writable(cx));
        Poll::Ready(match SockRef::from(self).take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        })
    }

    /// Appends at most `max` received bytes to `buffer`; `Ok(0)` is the peer's end of stream.
    ///
    /// One read syscall when there may be something, none when there is not. A buffer without memory gets
    /// some only when the socket is readable, and an empty one gives it back when nothing came: a
    /// connection that waits holds no buffer.
    ///
    /// # Errors
    /// The kernel's, mostly a reset by the peer.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            // What is known to be readable is read without touching the task's budget.
            if !self.source.is_readable() {
                if buffer.is_empty() {
                    buffer.release();
                }
                ready!(self.source.poll_readable(cx));
            }
            let space = buffer.writer(max);
            let room = (space.capacity() - space.len()).min(max);
            // Without the C library in between, which makes each call a point of cancellation.
            let received = match space.capacity() - space.len() > max {
                false => net::recv(&self.source, spare_capacity(space), RecvFlags::empty())
                    .map(|(_, count)| count),
                // Only what is there already can be filled in part.
                true => {
                    let len = space.len();
                    space.resize(len + max, 0);
                    let received = net::recv(&self.source, &mut space[len..], RecvFlags::empty());
                    let count = received.map_or(0, |(count, _)| count);
                    space.truncate(len + count);
                    received.map(|(count, _)| count)
                }
            };
            match received {
                Err(Errno::AGAIN) => self.source.not_readable(),
                Err(Errno::INTR) => {}
                Err(error) => {
                    buffer.release();
                    return Poll::Ready(Err(error.into()));
                }
                Ok(count) => {
                    if count == 0 {
                        buffer.release();
                    } else if count < room {
                        // That has emptied the socket: the next read would find nothing.
                        self.source.drained();
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Sends what `buffer` holds and consumes what was taken. One write syscall, none when the
    /// socket is known to be full. An empty buffer is written at once, as 0 bytes.
    ///
    /// # Errors
    /// The kernel's, mostly a reset by the peer.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let len = buffer.len();
        let sent = ready!(self.poll_send(cx, len, |socket| {
            net::send(socket, buffer, SendFlags::NOSIGNAL)
        }))?;
        buffer.consume(sent);
        Poll::Ready(Ok(sent))
    }

    /// Sends `head`, then `body`, in one syscall, and consumes what was taken.
    ///
    /// # Errors
    /// The kernel's, mostly a reset by the peer.
    pub fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Buffer,
        body: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        if body.is_empty() {
            return self.poll_write(cx, head);
        }
        if head.is_empty() {
            return self.poll_write(cx, body);
        }
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        let len = head.len() + body.len();
        let written = ready!(self.poll_send(cx, len, |socket| {
            let nothing = &mut SendAncillaryBuffer::default();
            net::sendmsg(socket, &slices, nothing, SendFlags::NOSIGNAL)
        }))?;
        let of_head = written.min(head.len());
        head.consume(of_head);
        body.consume(written - of_head);
        Poll::Ready(Ok(written))
    }

    /// One call of `send`, which is to send `len` bytes, as soon as the socket may take some.
    #[inline]
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        send: impl Fn(&Source) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.source.is_writable() {
                ready!(self.source.poll_writable(cx));
            }
            match send(&self.source) {
                Err(Errno::AGAIN) => self.source.not_writable(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
                Ok(count) => {
                    if count < len {
                        self.source.filled();
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Ends this side of the stream (FIN); the other side may still send.
    ///
    /// # Errors
    /// The kernel's: the peer may be gone already.
    pub fn poll_shutdown_write(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(net::shutdown(&self.source, Shutdown::Write).map_err(io::Error::from))
    }

    /// Ready when a read would find something, an end or an error among it. No syscall.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.source.poll_readable(cx)
    }

    /// Whether the loop knows of bytes or of an end that were not read yet. No syscall, no waker:
    /// for a connection that waits in a pool, where either means that it cannot be used.
    /// An accepted socket counts as readable until its first read: the loop guesses so.
    #[inline]
    pub fn is_readable(&self) -> bool {
        self.source.is_readable()
    }

    /// Whether the loop knows that the peer has ended its side. No syscall, no waker.
    pub fn is_peer_closed(&self) -> bool {
        self.source.is_read_closed()
    }

    /// Makes the close of a TCP connection a reset (RST), and drops what was not sent.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_reset_on_close(&self) -> io::Result<()> {
        match self.kind {
            Kind::Tcp => SockRef::from(self).set_linger(Some(Duration::ZERO)),
            // A unix socket knows no reset.
            Kind::Unix => Ok(()),
        }
    }

    /// How many received bytes make the socket readable (`SO_RCVLOWAT`); the end of the stream or an error always does.
    /// When it is lowered to what has come already, the loop hears of that.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_receive_low_water(&self, bytes: usize) -> io::Result<()> {
        let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        sys::set_option(
            self.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            &bytes.to_ne_bytes(),
        )
    }

    /// `TCP_NODELAY`; nothing on a unix socket.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        match self.kind {
            Kind::Tcp => SockRef::from(self).set_tcp_nodelay(on),
            Kind::Unix => Ok(()),
        }
    }

    /// The socket's own address. A syscall.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(from_kernel(&SockRef::from(self).local_addr()?))
    }

    /// The peer's address. A syscall.
    ///
    /// # Errors
    /// The kernel's: a peer may be gone already.
    pub fn remote_address(&self) -> io::Result<Address> {
        Ok(from_kernel(&SockRef::from(self).peer_addr()?))
    }

    /// Where the peer meant to connect before the connection was redirected (`SO_ORIGINAL_DST`).
    /// `None` when it was not, or on a unix socket.
    pub fn original_address(&self) -> Option<Address> {
        if self.kind == Kind::Unix {
            return None;
        }
        let socket = SockRef::from(self);
        let original = match socket.local_addr().ok()?.is_ipv6() {
            false => socket.original_dst_v4(),
            true => socket.original_dst_v6(),
        };
        original.ok()?.as_socket().map(Address::from_socket)
    }

    /// Whether the socket takes connections to addresses that are not this machine's (`IP_TRANSPARENT`): those have been
    /// redirected to it.
    pub fn is_transparent(&self) -> bool {
        self.kind == Kind::Tcp && SockRef::from(self).ip_transparent_v4().unwrap_or(false)
    }

    /// The kernel's smoothed round-trip time; `None` on a unix socket. A syscall.
    pub fn round_trip_time(&self) -> Option<Duration> {
        match self.kind {
            Kind::Tcp => sys::tcp_rtt(self.as_fd()).ok(),
            Kind::Unix => None,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

fn from_kernel(address: &SockAddr) -> Address {
    match address.as_socket() {
        Some(ip) => Address::from_socket(ip),
        None => Address::from_unix(
            address
                .as_pathname()
                .map(|path| path.as_os_str().as_bytes()),
            address.as_abstract_namespace(),
        ),
    }
}

#[cfg(test)]
mod tests;
