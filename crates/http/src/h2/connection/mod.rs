//! [`Connection`].

mod control;
mod data;
mod early;
mod ending;
mod headers;
mod limits;
mod receive;
mod send;
mod settings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use nuncio_buffer::Buffer;

use super::fault::{self, Failure};
use super::frame::{self, MAX_PAYLOAD, kind};
use super::hpack::{Decoder, Encoder};
use super::limiter::Limiter;
use super::outbound::Outbound;
use super::repeat::{Received, Sent};
use super::stream::Method;
use super::streams::Streams;
use super::window::{ReceiveWindow, SendWindow};
use super::{ConnectionError, Counts, ErrorCode, H2Settings, Incoming, PREFACE, Role, StreamKey};
use crate::Message;

/// Both windows before any SETTINGS or WINDOW_UPDATE (section 6.9.2).
const DEFAULT_WINDOW: u32 = 65_535;

/// Streams that a client opens before it knows the peer's limit: what nghttp2 assumes.
const ASSUMED_MAX_STREAMS: u32 = 100;

/// One HTTP/2 connection, client or server.
///
/// A round of its driver: [`set_now`](Self::set_now), read into `input`, [`decode`](Self::decode) until it says `None`,
/// let the streams send, [`next_writable`](Self::next_writable) until it says `None`, write `out`,
/// [`flushed`](Self::flushed), [`check`](Self::check), [`take_counts`](Self::take_counts).
#[derive(Debug)]
pub struct Connection {
    role: Role,
    settings: Arc<H2Settings>,
    /// What we announce; `custom_settings` may differ from the named ones.
    own_table_size: u32,
    own_max_streams: u32,
    own_window: u32,
    max_payload: usize,
    /// SETTINGS of ours that wait for their ACK.
    unacknowledged: u32,
    peer: Peer,
    reading: Reading,
    /// A header block of which frames are missing.
    block: Option<Block>,
    /// The stream that was opened for a HEADERS frame of which only the beginning has come.
    early: Option<(u32, StreamKey)>,
    decoder: Decoder,
    /// All that the decoder's table holds came in blocks that were found valid.
    trusts_tables: bool,
    encoder: Encoder,
    /// The last header blocks and trailer blocks either way.
    received: [Received; 2],
    sent: [Sent; 2],
    /// Cookie crumbs of the block being decoded.
    cookies: Vec<u8>,
    streams: Streams,
    /// Streams not closed both ways.
    open: u32,
    /// The highest id of the peer's streams that was taken, and the highest seen (server).
    last_peer_id: u32,
    seen_peer_id: u32,
    /// The id of the next stream that we open (client).
    next_id: u32,
    send_window: SendWindow,
    recv_window: ReceiveWindow,
    /// Blocked streams, with their ids, that wait for the connection's window or to be asked for.
    writable: VecDeque<(StreamKey, u32)>,
    /// What is to be told before more is decoded.
    events: VecDeque<Incoming>,
    goodbye_received: Option<Goodbye>,
    goodbye_sent: Option<(u32, ErrorCode)>,
    /// A final GOAWAY was sent.
    refuses_streams: bool,
    failed: Option<ConnectionError>,
    outbound: Outbound,
    inbound: Inbound,
    /// Resets by the peer, and those that its mistakes made us send.
    resets: Limiter,
    faults: Limiter,
    now: Option<Instant>,
    counts: Counts,
    has_counts: bool,
}

/// What the peer's SETTINGS say.
#[derive(Debug)]
struct Peer {
    /// They have come.
    seen: bool,
    initial_window: u32,
    max_streams: u32,
    connect_protocol: bool,
    no_priorities: Option<u32>,
}

/// The peer's GOAWAY.
#[derive(Clone, Copy, Debug)]
struct Goodbye {
    last_stream: u32,
}

/// What comes next in the input.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// The client's preface, of which so many bytes have come.
    Preface(usize),
    /// A frame.
    Head,
    /// The rest of a DATA frame.
    Data(DataFrame),
    /// So many bytes that concern nobody.
    Skip(usize),
}

/// A DATA frame whose head has been read.
#[derive(Clone, Copy, Debug)]
struct DataFrame {
    /// The stream and its id; None if the payload is dropped.
    stream: Option<(StreamKey, u32)>,
    /// Bytes of payload still to come, and padding behind them.
    left: usize,
    padding: usize,
    end_stream: bool,
}

/// The first frames of a header block.
#[derive(Debug)]
struct Block {
    id: u32,
    target: Target,
    end_stream: bool,
    bytes: Buffer,
}

/// What a header block is for.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// Nobody, but it is decoded for the table's sake.
    Nothing,
    Request(StreamKey),
    Response(StreamKey, Method),
    Trailers(StreamKey),
}

/// Counts of frames received, for the limits on them.
#[derive(Debug, Default)]
struct Inbound {
    /// Consecutive frames without payload.
    empty: u32,
    priorities: u64,
    window_updates: u64,
    data_frames_sent: u64,
}

impl Connection {
    /// A new connection. Nothing is sent before [`start`](Self::start).
    #[must_use]
    pub fn new(role: Role, settings: Arc<H2Settings>) -> Self {
        let custom = |id, named| {
            let found = settings.custom_settings.iter().find(|entry| entry.0 == id);
            found.map_or(named, |entry| entry.1)
        };
        let frame_size = custom(5, MAX_PAYLOAD as u32).clamp(MAX_PAYLOAD as u32, (1 << 24) - 1);
        let own_table_size = custom(1, settings.hpack_table_size);
        let connection_window = settings.initial_connection_window_size.max(DEFAULT_WINDOW);
        let limiter = Limiter::new(settings.stream_reset_burst, settings.stream_reset_rate);
        Self {
            role,
            own_table_size,
            own_max_streams: custom(3, settings.max_concurrent_streams),
            own_window: custom(4, settings.initial_stream_window_size).min(frame::MAX_31),
            max_payload: frame_size as usize,
            unacknowledged: 0,
            peer: Peer {
                seen: false,
                initial_window: DEFAULT_WINDOW,
                max_streams: ASSUMED_MAX_STREAMS,
                connect_protocol: false,
                no_priorities: None,
            },
            reading: match role {
                Role::Client => Reading::Head,
                Role::Server => Reading::Preface(0),
            },
            block: None,
            early: None,
            decoder: Decoder::new(),
            trusts_tables: true,
            encoder: {
                let mut encoder = Encoder::new(settings.hpack_table_size);
                encoder.set_huffman(settings.huffman);
                encoder
            },
            received: Default::default(),
            sent: Default::default(),
            cookies: Vec::new(),
            streams: Streams::default(),
            open: 0,
            last_peer_id: 0,
            seen_peer_id: 0,
            next_id: 1,
            send_window: SendWindow::new(DEFAULT_WINDOW),
            recv_window: ReceiveWindow::new(connection_window),
            writable: VecDeque::new(),
            events: VecDeque::new(),
            goodbye_received: None,
            goodbye_sent: None,
            refuses_streams: false,
            failed: None,
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            resets: limiter,
            faults: limiter,
            now: None,
            counts: Counts::default(),
            has_counts: false,
            settings,
        }
    }

    /// Sends what comes first: preface, SETTINGS, and the connection's window.
    ///
    /// A server's SETTINGS wait for the first bytes of the client's preface, and its window for the client's SETTINGS, as
    /// Envoy's do: nothing is said to a peer that speaks another protocol.
    pub fn start(&mut self, out: &mut Buffer) {
        if self.role == Role::Client {
            out.append_slice(PREFACE);
            self.send_settings(out);
            self.send_connection_window(out);
        }
    }

    /// Tells the time, which the limit of resets per second needs: once per round is enough.
    pub fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Takes the next event from `input`.
    ///
    /// Headers are decoded into `scratch.headers` or `scratch.trailers` (cleared first), body bytes are appended to
    /// `scratch.data`. Answers to control frames are appended to `out`. `Ok(None)`: more input is needed; until then
    /// it may only grow. `input` never has to hold more than a frame of 16,384 bytes and its head; DATA is taken as it comes.
    ///
    /// # Errors
    /// The connection is to be closed when `out` is flushed. Every later call returns the same error.
    #[inline]
    pub fn decode(
        &mut self,
        input: &mut Buffer,
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Result<Option<Incoming>, ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        while let Some(event) = self.events.pop_front() {
            if let Incoming::Stream { key, .. } = event
                && self.streams.get(key).is_none()
            {
                // Released in the meantime.
                continue;
            }
            return Ok(Some(event));
        }
        let step = self.step(input, scratch, out);
        match step.and_then(|incoming| self.check_outbound().map(|()| incoming)) {
            Ok(incoming) => Ok(incoming),
            Err(failure) => Err(self.fail(failure, Some(out))),
        }
    }

    #[cold]
    fn fail(&mut self, mut failure: Failure, out: Option<&mut Buffer>) -> ConnectionError {
        if let Some(block) = self.block.take()
            && let Target::Request(key) = block.target
        {
            failure = failure.in_request(key);
        }
        self.failed = Some(failure.error);
        if let Some(words) = failure.go_away
            && let Some(out) = out
        {
            self.write_go_away(self.last_peer_id, failure.error.code, words, out);
        }
        failure.error
    }

    /// Sends a PING, which [`Incoming::Pong`] answers.
    pub fn ping(&mut self, opaque: u64, out: &mut Buffer) {
        frame::head(out, kind::PING, 0, 0, 8);
        out.append_slice(&opaque.to_be_bytes());
        self.outbound.add_control(frame::HEAD + 8);
    }

    /// Tells how many bytes of the output are not yet written: the limits of `max_outbound_frames` and
    /// `max_outbound_control_frames` count the frames that wait.
    #[inline]
    pub fn flushed(&mut self, pending: usize) {
        self.outbound.flushed(pending);
    }

    /// Whether what was sent since went beyond a limit of waiting frames.
    ///
    /// # Errors
    /// The connection is to be closed. [`decode`](Self::decode) says so, too.
    #[inline]
    pub fn check(&mut self) -> Result<(), ConnectionError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.check_outbound() {
            Ok(()) => Ok(()),
            Err(mut failure) => {
                failure.error.details = fault::OUTBOUND_FRAMES;
                failure.error.stream_details = fault::OUTBOUND_FRAMES;
                Err(self.fail(failure, None))
            }
        }
    }

    #[inline]
    fn counts(&mut self) -> &mut Counts {
        self.has_counts = true;
        &mut self.counts
    }

    /// What happened since the last call, if something did.
    #[inline]
    pub fn take_counts(&mut self) -> Option<Counts> {
        if !self.has_counts {
            return None;
        }
        self.has_counts = false;
        Some(std::mem::take(&mut self.counts))
    }

    /// Frames that wait to be written: all, and PING, SETTINGS and RST_STREAM among them.
    #[must_use]
    pub fn outbound_frames(&self) -> (u32, u32) {
        (self.outbound.frames, self.outbound.control)
    }

    /// Streams in the queue of [`next_writable`](Self::next_writable).
    #[cfg(test)]
    pub(super) fn queue_len(&self) -> usize {
        self.writable.len()
    }

    /// Streams that are not released.
    #[inline]
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Whether the peer's first SETTINGS have come.
    #[must_use]
    pub fn has_peer_settings(&self) -> bool {
        self.peer.seen
    }

    /// Whether a header block has begun and its end has not come: bytes decoded since then belong to its stream.
    #[must_use]
    pub fn is_in_header_block(&self) -> bool {
        self.block.is_some()
    }

    /// Whether the peer takes extended CONNECT (RFC 8441).
    #[must_use]
    pub fn peer_allows_connect(&self) -> bool {
        self.peer.connect_protocol
    }

    /// The stream's number on the wire; 0 if it has none yet (a client's before its headers).
    #[must_use]
    pub fn stream_id(&self, key: StreamKey) -> u32 {
        self.streams.get(key).map_or(0, |stream| stream.id)
    }

    /// Bytes received on this stream that were not reported as consumed.
    #[must_use]
    pub fn unconsumed(&self, key: StreamKey) -> usize {
        self.streams
            .get(key)
            .map_or(0, |stream| stream.recv_window.held())
    }

    /// Whether no frame can have been sent on this stream yet (section 5.1, "idle").
    fn is_idle(&self, id: u32) -> bool {
        match self.role {
            Role::Server => id.is_multiple_of(2) || id > self.seen_peer_id,
            Role::Client => id.is_multiple_of(2) || id >= self.next_id,
        }
    }
}
