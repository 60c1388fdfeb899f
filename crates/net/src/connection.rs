//! A stream under its transport socket.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_event::has_budget;

use crate::address::Address;
use crate::detached::{Detached, DetachedSocket};
use crate::splice::Pipe;
use crate::stream::Stream;

/// A connection id that no other connection of this process has, upstream or downstream.
pub fn next_connection_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What stands between the bytes on the wire and those that filters see: TLS and the like.
///
/// The polls have the contract of [`Stream`]'s of the same names.
pub trait TransportSocket {
    /// Appends at most `max` bytes; `Ok(0)` is the end of stream.
    ///
    /// # Errors
    /// Of the socket or of the protocol; the connection cannot be used any more.
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        max: usize,
    ) -> Poll<io::Result<usize>>;

    /// Takes bytes from `buffer` and sends them as soon as the handshake allows.
    ///
    /// # Errors
    /// As for reads.
    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>>;

    /// Sends what is still held back, then ends this side.
    ///
    /// # Errors
    /// As for writes.
    fn poll_shutdown_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>;

    /// The protocol agreed on in the handshake.
    fn alpn(&self) -> Option<&[u8]>;

    /// Whether the bytes are protected.
    fn is_tls(&self) -> bool;
}

enum Transport {
    Raw,
    Layered(Box<dyn TransportSocket>),
}

/// How many bytes a connection has carried, above its transport socket.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes read.
    pub received: Cell<u64>,
    /// Bytes written.
    pub sent: Cell<u64>,
}

/// A connection: a stream, its transport socket, its id and its addresses.
pub struct Connection {
    id: u64,
    stream: Stream,
    transport: Transport,
    local: Address,
    remote: Address,
    traffic: Option<Rc<Traffic>>,
    /// The last read said `Pending`, and left a waker at the socket.
    waits: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection in plain text (`raw_buffer`) with a new id.
    pub fn raw(stream: Stream, local: Address, remote: Address) -> Self {
        Self {
            id: next_connection_id(),
            stream,
            transport: Transport::Raw,
            local,
            remote,
            traffic: None,
            waits: false,
        }
    }

    /// Takes the connection off its loop, for another thread; `None` under a transport that has a state of its own.
    ///
    /// # Errors
    /// The loop's; the connection is closed.
    pub fn detach(self) -> io::Result<Option<Detached>> {
        let Transport::Raw = self.transport else {
            return Ok(None);
        };
        Ok(Some(Detached {
            socket: DetachedSocket::new(self.stream),
            id: self.id,
            local: self.local,
            remote: self.remote,
        }))
    }

    /// The connection again, with its id, on the calling thread's loop.
    ///
    /// # Errors
    /// The loop's; the connection is closed.
    pub fn attach(detached: Detached) -> io::Result<Self> {
        let Detached {
            socket,
            id,
            local,
            remote,
        } = detached;
        let stream = socket.attach()?;
        Ok(Self {
            id,
            stream,
            transport: Transport::Raw,
            local,
            remote,
            traffic: None,
            waits: false,
        })
    }

    /// A connection under `transport` with a new id.
    pub fn layered(
        stream: Stream,
        transport: Box<dyn TransportSocket>,
        local: Address,
        remote: Address,
    ) -> Self {
        Self {
            transport: Transport::Layered(transport),
            ..Self::raw(stream, local, remote)
        }
    }

    /// Counts what is read and written from now on into `traffic`, which outlives the connection.
    pub fn count_into(&mut self, traffic: Rc<Traffic>) {
        self.traffic = Some(traffic);
    }

    /// Unique in this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// This side's address.
    pub fn local_address(&self) -> &Address {
        &self.local
    }

    /// The peer's address.
    pub fn remote_address(&self) -> &Address {
        &self.remote
    }

    /// The stream below the transport socket, for socket options and readiness. Reading from it or
    /// writing to it goes around the transport.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether a read that said `Pending` to a task would say so again: nothing has come, and the task's waker is still in
    /// place. Costs less than the read.
    #[inline]
    pub fn still_waits(&self) -> bool {
        self.waits && !self.stream.is_readable()
    }

    /// The protocol that the transport's handshake has agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.transport {
            Transport::Raw => None,
            Transport::Layered(transport) => transport.alpn(),
        }
    }

    /// Whether the bytes are protected on the wire.
    pub fn is_tls(&self) -> bool {
        match &self.transport {
            Transport::Raw => false,
            Transport::Layered(transport) => transport.is_tls(),
        }
    }

    /// Whether the bytes on the wire are those that filters see, so that they may go through a [`Pipe`].
    pub fn can_splice(&self) -> bool {
        matches!(self.transport, Transport::Raw)
    }

    /// See [`Stream::poll_splice_in`]. Only where [`Self::can_splice`].
    ///
    /// # Errors
    /// Of the socket.
    pub fn poll_splice_in(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.can_splice());
        let result = self.stream.poll_splice_in(cx, pipe, max);
        self.waits = result.is_pending() && has_budget();
        self.count_received(&result);
        result
    }

    /// See [`Stream::poll_splice_out`]. Only where [`Self::can_splice`].
    ///
    /// # Errors
    /// Of the socket.
    pub fn poll_splice_out(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        more: bool,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.can_splice());
        let result = self.stream.poll_splice_out(cx, pipe, more);
        self.count_sent(&result);
        result
    }

    /// See [`Stream::poll_read`].
    ///
    /// # Errors
    /// Of the socket or of the transport.
    #[inline]
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Raw => self.stream.poll_read(cx, buffer, max),
            Transport::Layered(transport) => transport.poll_read(&mut self.stream, cx, buffer, max),
        };
        // Beneath a transport a read may wait for something else; and a task that has used up its budget is told `Pending`
        // whatever the socket has, without a waker left there.
        self.waits =
            result.is_pending() && matches!(self.transport, Transport::Raw) && has_budget();
        self.count_received(&result);
        result
    }

    /// See [`Stream::poll_write`].
    ///
    /// # Errors
    /// Of the socket or of the transport.
    #[inline]
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Raw => self.stream.poll_write(cx, buffer),
            Transport::Layered(transport) => transport.poll_write(&mut self.stream, cx, buffer),
        };
        self.count_sent(&result);
        result
    }

    /// See [`Stream::poll_write_both`].
    ///
    /// # Errors
    /// Of the socket or of the transport.
    #[inline]
    pub fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Buffer,
        body: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Raw => self.stream.poll_write_both(cx, head, body),
            Transport::Layered(transport) => {
                let next = if head.is_empty() { body } else { head };
                transport.poll_write(&mut self.stream, cx, next)
            }
        };
        self.count_sent(&result);
        result
    }

    #[inline]
    fn count_received(&self, result: &Poll<io::Result<usize>>) {
        if let (Some(traffic), Poll::Ready(Ok(read))) = (&self.traffic, result) {
            traffic.received.update(|count| count + *read as u64);
        }
    }

    #[inline]
    fn count_sent(&self, result: &Poll<io::Result<usize>>) {
        if let (Some(traffic), Poll::Ready(Ok(written))) = (&self.traffic, result) {
            traffic.sent.update(|count| count + *written as u64);
        }
    }

    /// See [`Stream::poll_shutdown_write`].
    ///
    /// # Errors
    /// Of the socket or of the transport.
    pub fn poll_shutdown_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Raw => self.stream.poll_shutdown_write(cx),
            Transport::Layered(transport) => transport.poll_shutdown_write(&mut self.stream, cx),
        }
    }
}
