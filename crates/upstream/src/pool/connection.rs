//! [`ClientConnection`]: one connection to an upstream; [`PooledConnection`]: the right to use it for one request.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nuncio_buffer::Buffer;
use nuncio_event::Instant;
use nuncio_http::h1::{ClientDecoder, ClientEncoder};
use nuncio_net::{Address, Connection, Detached, Pipe};
use nuncio_stats::LocalGroup;

use super::Pool;
use super::buffered::Buffered;
use crate::info::HttpOptions;
use crate::stats::ClusterStats as S;

/// One connection to an upstream that speaks HTTP/1.1, with its codec and buffers.
pub struct ClientConnection {
    /// Socket and transport socket.
    pub io: Connection,
    /// Finds responses in `read`.
    pub decoder: ClientDecoder,
    /// Writes requests into `write`.
    pub encoder: ClientEncoder,
    /// Bytes received and not yet decoded.
    pub read: Buffer,
    /// Bytes encoded and not yet sent.
    pub write: Buffer,
    /// Unique in this process.
    pub id: u64,
    /// Our end.
    pub local_address: Rc<Address>,
    /// The other end, where it is not the host's first address.
    pub other_address: Option<Rc<Address>>,
    /// Requests begun on this connection, the present one included.
    pub requests: u64,
    /// How many more requests there may be; `u32::MAX` is without limit.
    remaining: u32,
    opened: Instant,
    idle_since: Instant,
    idle_timeout: Option<Duration>,
    expires: Option<Instant>,
    /// The loop tells the pool's sweeper when something arrives.
    parked: bool,
    pub(super) buffered: Buffered,
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnection")
            .field("id", &self.id)
            .field("io", &self.io)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// An idle connection on its way to another worker.
#[derive(Debug)]
pub(super) struct Moving {
    socket: Detached,
    requests: u64,
    remaining: u32,
    opened: Instant,
    idle_since: Instant,
    expires: Option<Instant>,
}

/// Why an idle connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdleEnd {
    /// The peer has closed or reset it.
    Peer,
    /// The peer has sent something that nobody asked for. An early 408 is no protocol error, as in Envoy.
    Unsolicited { protocol_error: bool },
}

impl ClientConnection {
    /// `host`: the address by which the host is known.
    pub(super) fn new(io: Connection, host: &Address, options: &HttpOptions, now: Instant) -> Self {
        Self {
            decoder: ClientDecoder::new(options.h1.clone()),
            encoder: ClientEncoder::new(options.h1.clone()),
            read: Buffer::new(),
            write: Buffer::new(),
            id: io.id(),
            local_address: Rc::new(io.local_address().clone()),
            other_address: (io.remote_address() != host)
                .then(|| Rc::new(io.remote_address().clone())),
            requests: 0,
            remaining: options.max_requests_per_connection.unwrap_or(u32::MAX),
            opened: now,
            idle_since: now,
            idle_timeout: options.idle_timeout,
            expires: options.expiry(now),
            parked: false,
            buffered: Buffered::default(),
            io,
        }
    }

    /// Takes the connection off this worker's loop, if it is idle and nothing has come on it; otherwise it is closed, and
    /// [`ClosedBy`] says by whom.
    pub(super) fn detach(self) -> Result<Moving, ClosedBy> {
        let Self {
            io,
            requests,
            remaining,
            opened,
            idle_since,
            expires,
            ..
        } = self;
        let Ok(Some(socket)) = io.detach() else {
            return Err(ClosedBy::Local);
        };
        if !socket.is_silent() {
            return Err(ClosedBy::Remote);
        }
        Ok(Moving {
            socket,
            requests,
            remaining,
            opened,
            idle_since,
            expires,
        })
    }

    /// The connection on this worker's loop.
    ///
    /// # Errors
    /// The loop's; the connection is closed.
    pub(super) fn attach(
        moving: Moving,
        host: &Address,
        options: &HttpOptions,
    ) -> std::io::Result<Self> {
        let Moving {
            socket,
            requests,
            remaining,
            opened,
            idle_since,
            expires,
        } = moving;
        let io = Connection::attach(socket)?;
        Ok(Self {
            requests,
            remaining,
            idle_since,
            expires,
            ..Self::new(io, host, options, opened)
        })
    }

    /// When the connection was made.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Counts a request; whether it is the last one.
    #[inline]
    pub(super) fn begin_request(&mut self) -> bool {
        self.requests += 1;
        self.parked = false;
        if self.remaining != u32::MAX {
            self.remaining = self.remaining.saturating_sub(1);
        }
        self.remaining == 0
    }

    #[inline]
    pub(super) fn is_used_up(&self) -> bool {
        self.remaining == 0
    }

    #[inline]
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Bytes that belong to no request.
    #[inline]
    pub(super) fn has_leftovers(&self) -> bool {
        !self.read.is_empty() || !self.write.is_empty()
    }

    /// Waits for work from `now` on, without owning buffers.
    #[inline]
    pub(super) fn rest(&mut self, now: Instant) {
        self.idle_since = now;
        self.read.release();
        self.write.release();
    }

    /// When the connection must be closed if it stays idle.
    pub(super) fn idle_deadline(&self) -> Option<Instant> {
        let idle = self
            .idle_timeout
            .and_then(|timeout| self.idle_since.checked_add(timeout));
        idle.into_iter().chain(self.expires).min()
    }

    /// Whether the loop tells the sweeper of what happens to it.
    pub(super) fn is_parked(&self) -> bool {
        self.parked
    }

    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }

    pub(super) fn has_idled_out(&self, now: Instant) -> bool {
        self.idle_timeout
            .is_some_and(|timeout| self.idle_for(now) >= timeout)
    }

    /// Whether an idle connection has ended. No syscall unless the loop has heard of something.
    #[inline]
    pub(super) fn probe(&mut self) -> Option<IdleEnd> {
        if !self.io.stream().is_readable() {
            return None;
        }
        // Replaces the waker of a parked connection.
        self.parked = false;
        self.read_unasked(&mut Context::from_waker(Waker::noop()))
    }

    /// Has the loop wake `cx` when the connection ends or something arrives.
    pub(super) fn park(&mut self, cx: &mut Context<'_>) -> Poll<Option<IdleEnd>> {
        if self.parked {
            return Poll::Pending;
        }
        self.parked = true;
        match self.read_unasked(cx) {
            None => Poll::Pending,
            end => Poll::Ready(end),
        }
    }

    #[cold]
    fn read_unasked(&mut self, cx: &mut Context<'_>) -> Option<IdleEnd> {
        match self.io.poll_read(cx, &mut self.read, 1024) {
            Poll::Pending => None,
            Poll::Ready(Ok(0) | Err(_)) => Some(IdleEnd::Peer),
            Poll::Ready(Ok(_)) => {
                let head = self.read.as_slice();
                let timeout = [b"HTTP/1.1 408", b"HTTP/1.0 408"]
                    .iter()
                    .any(|s| head.starts_with(*s));
                Some(IdleEnd::Unsolicited {
                    protocol_error: !timeout,
                })
            }
        }
    }
}

/// Who has ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// This proxy.
    Local,
    /// The upstream.
    Remote,
}

/// The right to use a connection for one request. Ends with [`Self::release`] (the connection is used again) or one of
/// the ways to close it; dropped, it is closed with its request unfinished.
pub struct PooledConnection {
    /// Taken when the request ends.
    connection: Option<Box<ClientConnection>>,
    pool: Rc<Pool>,
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PooledConnection")
            .field(&self.connection)
            .finish()
    }
}

impl PooledConnection {
    #[inline]
    pub(super) fn new(connection: Box<ClientConnection>, pool: Rc<Pool>) -> Self {
        Self {
            connection: Some(connection),
            pool,
        }
    }

    /// The request is sent and its response received, completely, and neither side wants to close: the connection waits
    /// for the next request, or is closed if it is used up, too old or its host is gone. `now` is the present time, which
    /// the caller knows anyway.
    #[inline]
    pub fn release(mut self, now: Instant) {
        if let Some(connection) = self.connection.take() {
            self.pool.release(connection, now);
        }
    }

    /// The exchange is complete, but the connection cannot be used again: the response said `connection: close` or
    /// ended with the connection, or came before the request was complete.
    pub fn close_after_response(mut self, by: ClosedBy) {
        if !self.read.is_empty() {
            // More than the response has come.
            self.pool.counters.stats.inc(S::UPSTREAM_CX_PROTOCOL_ERROR);
        }
        self.finish(by, false);
    }

    /// The response said `connection: close` or the like (`upstream_cx_close_notify`).
    pub fn on_close_notify(&self) {
        self.pool.counters.stats.inc(S::UPSTREAM_CX_CLOSE_NOTIFY);
    }

    /// The connection ended with the exchange incomplete. The same as dropping it when this proxy ends it.
    pub fn close_with_active_request(mut self, by: ClosedBy) {
        self.finish(by, true);
    }

    /// Who has ended the connection of a tunnel: the pool, if its host fails, or the peer.
    pub fn tunnel_closed_by(&self) -> ClosedBy {
        match self.pool.has_ended_tunnel(self.id) {
            true => ClosedBy::Local,
            false => ClosedBy::Remote,
        }
    }

    fn finish(&mut self, by: ClosedBy, active: bool) {
        if let Some(connection) = self.connection.take() {
            self.pool.end_request();
            self.pool.close(connection, by, active);
        }
    }

    /// Reads at most `max` bytes into `read` and counts them (`upstream_cx_rx_bytes_total`); `Ok(0)` is the end of stream.
    ///
    /// # Errors
    /// Of the socket or of the transport.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<std::io::Result<usize>> {
        let (connection, stats) = self.parts();
        let result = connection.io.poll_read(cx, &mut connection.read, max);
        if let Poll::Ready(Ok(count)) = &result {
            stats.add(S::UPSTREAM_CX_RX_BYTES_TOTAL, *count as u64);
            let length = connection.read.len();
            connection.buffered.on_read(stats, length);
        }
        result
    }

    /// Moves at most `max` received bytes into `pipe`, around `read`, which must be empty as the pipe, and counts them.
    /// Only where the transport allows it ([`Connection::can_splice`]).
    ///
    /// # Errors
    /// As for [`nuncio_net::Stream::poll_splice_in`].
    pub fn poll_splice_in(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        max: usize,
    ) -> Poll<std::io::Result<usize>> {
        debug_assert!(self.read.is_empty());
        let (connection, stats) = self.parts();
        let result = connection.io.poll_splice_in(cx, pipe, max);
        if let Poll::Ready(Ok(count)) = &result {
            stats.add(S::UPSTREAM_CX_RX_BYTES_TOTAL, *count as u64);
        }
        result
    }

    #[inline]
    fn parts(&mut self) -> (&mut ClientConnection, &LocalGroup) {
        let connection = self.connection.as_deref_mut();
        let connection = connection.expect("taken only by what ends the request");
        (connection, &self.pool.counters.stats)
    }

    /// Sends what `write` holds, then `body`, in one syscall, and counts it (`upstream_cx_tx_bytes_total`).
    ///
    /// # Errors
    /// Of the socket or of the transport.
    #[inline]
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Buffer,
    ) -> Poll<std::io::Result<usize>> {
        let (connection, stats) = self.parts();
        let result = connection
            .io
            .poll_write_both(cx, &mut connection.write, body);
        if let Poll::Ready(Ok(count)) = &result {
            stats.add(S::UPSTREAM_CX_TX_BYTES_TOTAL, *count as u64);
            let length = connection.write.len();
            connection.buffered.on_write(stats, length);
        }
        result
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        self.finish(ClosedBy::Local, true);
    }
}

impl Deref for PooledConnection {
    type Target = ClientConnection;

    #[inline]
    fn deref(&self) -> &ClientConnection {
        self.connection
            .as_deref()
            .expect("taken only by what ends the request")
    }
}

impl DerefMut for PooledConnection {
    #[inline]
    fn deref_mut(&mut self) -> &mut ClientConnection {
        self.connection
            .as_deref_mut()
            .expect("taken only by what ends the request")
    }
}
