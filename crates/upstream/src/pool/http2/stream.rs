//! [`PooledStream`]: the right to use one stream of an HTTP/2 connection for one request.

use std::fmt;
use std::rc::Rc;
use std::task::Context;

use nuncio_buffer::Buffer;
use nuncio_event::Instant;
use nuncio_http::h2::{ErrorCode, StreamKey};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_net::Address;
use nuncio_sdk::Http2Stats;

use super::client::{Client, State, Wire};
use crate::stats::ClusterStats as S;

/// So many bytes may wait in the connection's output before streams keep what they have to themselves: what pooled
/// storage holds. The output is sent in every turn, so this bounds a write, not the throughput.
const ROOM: usize = 60 * 1024;

/// Why a stream ended before its response was complete (those of Envoy's `StreamResetReason` that can come from here).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamReset {
    /// The connection has ended.
    ConnectionTermination,
    /// The upstream broke the protocol.
    ProtocolError,
    /// The upstream has reset the stream.
    RemoteReset,
    /// The upstream has not processed the request: it may be sent again.
    RemoteRefused,
    /// The upstream has lost the connection that CONNECT made.
    ConnectError,
}

impl StreamReset {
    pub(super) fn of_code(code: u64) -> Self {
        match u32::try_from(code).map(ErrorCode) {
            Ok(ErrorCode::REFUSED_STREAM) => Self::RemoteRefused,
            Ok(ErrorCode::CONNECT_ERROR) => Self::ConnectError,
            Ok(ErrorCode::PROTOCOL_ERROR) => Self::ProtocolError,
            _ => Self::RemoteReset,
        }
    }
}

/// What [`PooledStream::poll`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing; the task is woken when there is something.
    Nothing,
    /// Bytes of the request moved on.
    Moved,
    /// A part of the response, in the message that was handed in.
    Event(Event),
    /// The stream has failed; nothing follows.
    Reset(StreamReset),
}

/// What one stream's frames had of bytes, their heads included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamBytes {
    /// Sent, or waiting in the connection's output.
    pub sent: u64,
    /// Of these, in HEADERS and CONTINUATION frames.
    pub headers_sent: u64,
    /// Received.
    pub received: u64,
    /// Of these, in HEADERS and CONTINUATION frames.
    pub headers_received: u64,
}

/// What of the request is not yet encoded.
#[derive(Debug, Default)]
struct Outbox {
    data: Buffer,
    trailers: Option<HeaderMap>,
    /// All of the request is here, or was encoded.
    end: bool,
    /// The end was encoded.
    sent_end: bool,
    /// Bytes of all frames so far, and of those that carry headers.
    sent: u64,
    headers_sent: u64,
    /// Bytes that the gauge `pending_send_bytes` shows for this stream.
    shown: usize,
}

/// The right to use one stream for one request. Ends with [`Self::finish`]; dropped, the stream is reset if it is not
/// complete.
pub struct PooledStream {
    client: Rc<Client>,
    key: StreamKey,
    outbox: Outbox,
    /// The stream has failed on the upstream's side or on the connection's.
    failed: bool,
    /// Complete on the wire, while the client does not take the rest: it is in the gauge `deferred_stream_close`.
    deferred: bool,
    released: bool,
}

impl fmt::Debug for PooledStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledStream")
            .field("client", &self.client)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl PooledStream {
    pub(super) fn new(client: Rc<Client>, key: StreamKey) -> Self {
        Self {
            client,
            key,
            outbox: Outbox::default(),
            failed: false,
            deferred: false,
            released: false,
        }
    }

    /// The connection's id, unique in this process.
    pub fn connection_id(&self) -> u64 {
        self.client.id
    }

    /// Our end of the connection.
    pub fn local_address(&self) -> &Rc<Address> {
        &self.client.local_address
    }

    /// The other end, where it is not the host's first address.
    pub fn other_address(&self) -> &Option<Rc<Address>> {
        &self.client.other_address
    }

    /// Encodes the request's headers; `end` when nothing follows them. Returns how many bytes they take.
    pub fn send_headers(&mut self, headers: &HeaderMap, end: bool) -> usize {
        let mut wire = self.client.wire.borrow_mut();
        let Wire { codec, write, .. } = &mut *wire;
        let before = write.len();
        codec.send_headers(self.key, headers, end, write);
        let took = write.len() - before;
        self.outbox.end = end;
        self.outbox.sent_end = end;
        self.outbox.sent = took as u64;
        self.outbox.headers_sent = took as u64;
        self.client.wake_task();
        took
    }

    /// Takes a piece of the request's body and sends what windows and room allow; the rest waits.
    pub fn send_data(&mut self, data: &mut Buffer, end: bool) {
        self.outbox.end |= end;
        self.outbox.data.append(data);
        self.push();
    }

    /// Sends the request's trailers when all of its body is sent.
    pub fn send_trailers(&mut self, trailers: &HeaderMap) {
        self.outbox.end = true;
        self.outbox.trailers = Some(trailers.clone());
        self.push();
    }

    /// Bytes of the request that wait for windows or room.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.outbox.data.len()
    }

    /// Whether bytes of the request wait for a window, of the stream or of the connection.
    pub fn awaits_window(&self) -> bool {
        !self.outbox.data.is_empty() && self.client.wire.borrow().codec.capacity(self.key) == 0
    }

    /// Encodes as much of the outbox as may be. Whether something moved.
    fn push(&mut self) -> bool {
        let outbox = &mut self.outbox;
        if outbox.sent_end || (outbox.data.is_empty() && !outbox.end) {
            return false;
        }
        if self.client.state() == State::Closed {
            outbox.data.clear();
            outbox.sent_end = outbox.end;
            return true;
        }
        let mut wire = self.client.wire.borrow_mut();
        let Wire {
            codec,
            write,
            inboxes,
            want_room,
        } = &mut *wire;
        let before = write.len();
        let room = ROOM.saturating_sub(before);
        let end_here = outbox.end && outbox.trailers.is_none();
        if !outbox.data.is_empty() || end_here {
            codec.send_data(self.key, &mut outbox.data, end_here, room, write);
        }
        if outbox.data.is_empty() {
            if let Some(trailers) = outbox.trailers.take() {
                let before = write.len();
                codec.send_trailers(self.key, &trailers, write);
                outbox.headers_sent += (write.len() - before) as u64;
            }
            outbox.sent_end = outbox.end;
        } else if codec.capacity(self.key) > 0 {
            // Only for want of room: those that wait get it in turn.
            let inbox = &mut inboxes[self.key.index()];
            if !std::mem::replace(&mut inbox.wants_room, true) {
                want_room.push_back(self.key);
            }
        }
        let moved = write.len() != before;
        outbox.sent += (write.len() - before) as u64;
        drop(wire);
        if moved {
            self.client.wake_task();
        }
        self.show_pending();
        moved
    }

    /// Keeps `pending_send_bytes` true.
    #[inline]
    fn show_pending(&mut self) {
        let Outbox { data, shown, .. } = &mut self.outbox;
        if data.len() == *shown {
            return;
        }
        let counters = &self.client.pool.counters;
        let stats = counters.http2.of(&counters.group);
        let slot = Http2Stats::PENDING_SEND_BYTES;
        match data.len() > *shown {
            true => stats.gauge_add(slot, (data.len() - *shown) as u64),
            false => stats.gauge_sub(slot, (*shown - data.len()) as u64),
        }
        *shown = data.len();
    }

    /// Sends what waits, and takes the next part of the response if `may_read`.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
        response: &mut Message,
    ) -> Received {
        let moved = self.push();
        let mut wire = self.client.wire.borrow_mut();
        let Wire {
            codec,
            write,
            inboxes,
            ..
        } = &mut *wire;
        let inbox = &mut inboxes[self.key.index()];
        if !may_read && !self.deferred && self.outbox.sent_end && inbox.is_held() {
            self.deferred = true;
            let counters = &self.client.pool.counters;
            counters
                .http2
                .of(&counters.group)
                .gauge_add(Http2Stats::DEFERRED_STREAM_CLOSE, 1);
        }
        let before = response.data.len();
        match inbox.take(may_read, response) {
            Some(Ok(event)) => {
                if let Event::Data { .. } = event {
                    let unsent = write.len();
                    codec.consumed(self.key, response.data.len() - before, write);
                    if write.len() != unsent {
                        self.client.wake_task();
                    }
                }
                Received::Event(event)
            }
            Some(Err(reset)) => {
                self.failed = true;
                Received::Reset(reset)
            }
            None if moved => Received::Moved,
            None => {
                inbox.register(cx);
                Received::Nothing
            }
        }
    }

    /// The bytes of its frames so far.
    pub fn bytes(&self) -> StreamBytes {
        let wire = self.client.wire.borrow();
        let inbox = &wire.inboxes[self.key.index()];
        StreamBytes {
            sent: self.outbox.sent,
            headers_sent: self.outbox.headers_sent,
            received: inbox.bytes,
            headers_received: inbox.header_bytes,
        }
    }

    /// The response is complete. If the request is not, the rest of it is not sent: the stream is reset. `now` is the present
    /// time, which the caller knows anyway.
    pub fn finish(mut self, now: Instant) {
        self.release(now);
    }

    fn release(&mut self, now: Instant) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        let client = self.client.clone();
        {
            let mut wire = client.wire.borrow_mut();
            let Wire {
                codec,
                write,
                inboxes,
                ..
            } = &mut *wire;
            let before = write.len();
            let complete = self.outbox.sent_end && inboxes[self.key.index()].has_ended();
            if !complete && !self.failed && client.state() != State::Closed {
                client.pool.counters.stats.inc(S::UPSTREAM_RQ_TX_RESET);
                // The code that Envoy sends, whatever the reason.
                codec.reset(self.key, ErrorCode::INTERNAL_ERROR, write);
            }
            codec.release(self.key, write);
            inboxes[self.key.index()].close();
            if write.len() != before {
                client.wake_task();
            }
        }
        self.outbox.data.clear();
        self.show_pending();
        if self.deferred {
            let counters = &client.pool.counters;
            counters
                .http2
                .of(&counters.group)
                .gauge_sub(Http2Stats::DEFERRED_STREAM_CLOSE, 1);
        }
        client.detach(now);
    }
}

impl Drop for PooledStream {
    fn drop(&mut self) {
        if !self.released {
            self.release(Instant::now());
        }
    }
}
