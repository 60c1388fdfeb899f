//! One open socket.

use std::future::Future;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BufMut;
use nuncio_buffer::Buffer;
use rustix::buffer::spare_capacity;
use rustix::net::{self, RecvFlags, SendFlags};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, Interest, Ready};
use tokio::net::{TcpStream, UnixStream};

use crate::address::Address;
use crate::sys;

/// A connected TCP or unix socket on this thread's loop.
#[derive(Debug)]
pub enum Stream {
    /// TCP (or MPTCP).
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

/// The same code for both kinds of stream.
macro_rules! each {
    ($stream:expr, $inner:ident => $body:expr) => {
        match $stream {
            Stream::Tcp($inner) => $body,
            Stream::Unix($inner) => $body,
        }
    };
}
pub(crate) use each;

impl Stream {
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
            // What is known to be readable is read without asking the loop once more.
            if !self.is_readable() {
                if buffer.is_empty() {
                    buffer.release();
                }
                ready!(self.poll_read_ready(cx))?;
            }
            let space = buffer.writer(max);
            let room = space.capacity() - space.len();
            if room > max {
                return self.poll_read_part(cx, buffer, max);
            }
            let mut count = 0;
            let result = each!(&*self, inner => inner.try_io(Interest::READABLE, || {
                // Without the C library in between, which makes each call a point of cancellation.
                (_, count) = net::recv(inner, spare_capacity(space), RecvFlags::empty())?;
                // A short read has emptied the socket: told so, the loop saves the next read, which would find nothing.
                match 0 < count && count < room {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => Ok(()),
                }
            }));
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && count == 0 => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    buffer.release();
                    return Poll::Ready(Err(error));
                }
                _ => {
                    if count == 0 {
                        buffer.release();
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// The same where the buffer has room for more than `max`, which only tokio's way can leave alone.
    fn poll_read_part(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let mut space = buffer.writer(max).limit(max);
        let result = each!(self, inner => pin!(inner.read_buf(&mut space)).poll(cx));
        if !matches!(result, Poll::Ready(Ok(1..))) {
            buffer.release();
        }
        result
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
        loop {
            let mut count = 0;
            let result = each!(&*self, inner => inner.try_io(Interest::WRITABLE, || {
                count = net::send(inner, buffer, SendFlags::NOSIGNAL)?;
                // The socket is full: told so, the loop saves the next write, which would take nothing.
                match count < buffer.len() {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => Ok(()),
                }
            }));
            match result {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                Err(_) if count == 0 => ready!(self.poll_write_ready(cx))?,
                _ => {
                    buffer.consume(count);
                    return Poll::Ready(Ok(count));
                }
            }
        }
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
        let written =
            ready!(each!(self, inner => Pin::new(inner).poll_write_vectored(cx, &slices)))?;
        let of_head = written.min(head.len());
        head.consume(of_head);
        body.consume(written - of_head);
        Poll::Ready(Ok(written))
    }

    /// Ends this side of the stream (FIN); the other side may still send.
    ///
    /// # Errors
    /// The kernel's: the peer may be gone already.
    pub fn poll_shutdown_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => Pin::new(inner).poll_shutdown(cx))
    }

    /// Ready when a read would find something, an end or an error among it. No syscall.
    ///
    /// # Errors
    /// When the loop is shutting down.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_read_ready(cx))
    }

    /// Ready when a write may take something. No syscall.
    ///
    /// # Errors
    /// When the loop is shutting down.
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, inner => inner.poll_write_ready(cx))
    }

    /// Whether the loop knows of bytes or of an end that were not read yet. No syscall, no waker:
    /// for a connection that waits in a pool, where either means that it cannot be used.
    /// An accepted socket counts as readable until its first read: the loop guesses so.
    pub fn is_readable(&self) -> bool {
        each!(self, inner => inner.try_io(Interest::READABLE, || Ok(())).is_ok())
    }

    /// Whether the loop knows that the peer has ended its side. No syscall, no waker.
    pub fn is_peer_closed(&self) -> bool {
        self.readiness().is_some_and(|ready| ready.is_read_closed())
    }

    fn readiness(&self) -> Option<Ready> {
        if !self.is_readable() {
            return None;
        }
        let mut nobody = Context::from_waker(Waker::noop());
        let ready = each!(self, inner => pin!(inner.ready(Interest::READABLE)).poll(&mut nobody));
        match ready {
            Poll::Ready(Ok(ready)) => Some(ready),
            _ => None,
        }
    }

    /// Makes the close of a TCP connection a reset (RST), and drops what was not sent.
    ///
    /// # Errors
    /// The kernel's.
    pub fn set_reset_on_close(&self) -> io::Result<()> {
        match self {
            Self::Tcp(inner) => inner.set_zero_linger(),
            // A unix socket knows no reset.
            Self::Unix(_) => Ok(()),
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
        match self {
            Self::Tcp(inner) => inner.set_nodelay(on),
            Self::Unix(_) => Ok(()),
        }
    }

    /// The socket's own address. A syscall.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(inner) => inner.local_addr().map(Address::from_socket),
            Self::Unix(inner) => Ok(Address::from_unix(&inner.local_addr()?.into())),
        }
    }

    /// The peer's address. A syscall.
    ///
    /// # Errors
    /// The kernel's: a peer may be gone already.
    pub fn remote_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(inner) => inner.peer_addr().map(Address::from_socket),
            Self::Unix(inner) => Ok(Address::from_unix(&inner.peer_addr()?.into())),
        }
    }

    /// Where the peer meant to connect before the connection was redirected (`SO_ORIGINAL_DST`).
    /// `None` when it was not, or on a unix socket.
    pub fn original_address(&self) -> Option<Address> {
        let Self::Tcp(inner) = self else { return None };
        let socket = SockRef::from(inner);
        let original = match inner.local_addr().ok()? {
            std::net::SocketAddr::V4(_) => socket.original_dst_v4(),
            std::net::SocketAddr::V6(_) => socket.original_dst_v6(),
        };
        original.ok()?.as_socket().map(Address::from_socket)
    }

    /// Whether the socket takes connections to addresses that are not this machine's (`IP_TRANSPARENT`): those have been
    /// redirected to it.
    pub fn is_transparent(&self) -> bool {
        match self {
            Self::Tcp(inner) => SockRef::from(inner).ip_transparent_v4().unwrap_or(false),
            Self::Unix(_) => false,
        }
    }

    /// The kernel's smoothed round-trip time; `None` on a unix socket. A syscall.
    pub fn round_trip_time(&self) -> Option<Duration> {
        match self {
            Self::Tcp(inner) => sys::tcp_rtt(inner.as_fd()).ok(),
            Self::Unix(_) => None,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        each!(self, inner => inner.as_fd())
    }
}

#[cfg(test)]
mod tests;
