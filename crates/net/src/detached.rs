//! [`Detached`]: a connection on its way from one thread's loop to another's.

use std::io;
use std::os::fd::OwnedFd;

use nuncio_event::reactor::Guess;
use rustix::net::{RecvFlags, recv};

use crate::address::Address;
use crate::stream::{Kind, Stream};

/// A plain-text connection that is on no loop. Dropping it closes it.
#[derive(Debug)]
pub struct Detached {
    pub(crate) socket: DetachedSocket,
    pub(crate) id: u64,
    pub(crate) local: Address,
    pub(crate) remote: Address,
}

/// A socket and of what kind it is.
#[derive(Debug)]
pub(crate) struct DetachedSocket {
    socket: OwnedFd,
    kind: Kind,
}

impl DetachedSocket {
    pub(crate) fn new(stream: Stream) -> Self {
        let (socket, kind) = stream.into_parts();
        Self { socket, kind }
    }

    /// Puts the socket on the calling thread's loop.
    pub(crate) fn attach(self) -> io::Result<Stream> {
        Stream::new(self.socket, self.kind, Guess::Writable)
    }
}

impl Detached {
    /// Whether the peer has neither sent anything that was not read nor ended the connection. A syscall.
    pub fn is_silent(&self) -> bool {
        let mut one = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(&self.socket.socket, &mut one, flags)
            .is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }
}
