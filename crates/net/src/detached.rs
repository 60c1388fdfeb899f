//! [`Detached`]: a connection on its way from one thread's loop to another's.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{RecvFlags, recv};

use crate::address::Address;
use crate::stream::Stream;

/// A plain-text connection that is on no loop. Dropping it closes it.
#[derive(Debug)]
pub struct Detached {
    pub(crate) socket: DetachedSocket,
    pub(crate) id: u64,
    pub(crate) local: Address,
    pub(crate) remote: Address,
}

#[derive(Debug)]
pub(crate) enum DetachedSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl DetachedSocket {
    pub(crate) fn new(stream: Stream) -> io::Result<Self> {
        Ok(match stream {
            Stream::Tcp(stream) => Self::Tcp(stream.into_std()?),
            Stream::Unix(stream) => Self::Unix(stream.into_std()?),
        })
    }

    /// Puts the socket on the calling thread's loop.
    pub(crate) fn attach(self) -> io::Result<Stream> {
        Ok(match self {
            Self::Tcp(stream) => Stream::Tcp(tokio::net::TcpStream::from_std(stream)?),
            Self::Unix(stream) => Stream::Unix(tokio::net::UnixStream::from_std(stream)?),
        })
    }
}

impl AsFd for DetachedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Detached {
    /// Whether the peer has neither sent anything that was not read nor ended the connection. A syscall.
    pub fn is_silent(&self) -> bool {
        let mut one = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(&self.socket, &mut one, flags).is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }
}
