//! [`Connection`].

use std::sync::Arc;
use std::time::Instant;

use nuncio_buffer::Buffer;

use super::{
    ConnectionError, Counts, ErrorCode, GoAway, H2Settings, Incoming, PREFACE, Role, StreamKey,
};
use crate::{HeaderMap, Message};

/// One HTTP/2 connection, client or server.
///
/// A round of its driver: [`set_now`](Self::set_now), read into `input`, [`decode`](Self::decode) until it says `None`,
/// let the streams send, [`next_writable`](Self::next_writable) until it says `None`, write `out`,
/// [`flushed`](Self::flushed), [`check`](Self::check), [`take_counts`](Self::take_counts).
#[derive(Debug)]
pub struct Connection {
    role: Role,
    settings: Arc<H2Settings>,
}

impl Connection {
    /// A new connection. Nothing is sent before [`start`](Self::start).
    #[must_use]
    pub fn new(role: Role, settings: Arc<H2Settings>) -> Self {
        Self { role, settings }
    }

    /// Sends what comes first: preface (client), SETTINGS, and the connection's window.
    pub fn start(&mut self, out: &mut Buffer) {
        if self.role == Role::Client {
            out.append_slice(PREFACE);
        }
    }

    /// Tells the time, which the limit of resets per second needs: once per round is enough.
    pub fn set_now(&mut self, _now: Instant) {}

    /// Takes the next event from `input`.
    ///
    /// Headers are decoded into `scratch.headers` or `scratch.trailers` (cleared first), body bytes are appended to
    /// `scratch.data`. Answers to control frames are appended to `out`. `Ok(None)`: more input is needed; until then
    /// it may only grow. `input` never has to hold more than a frame of 16,384 bytes and its head; DATA is taken as it comes.
    ///
    /// # Errors
    /// The connection is to be closed when `out` is flushed. Every later call returns the same error.
    pub fn decode(
        &mut self,
        _input: &mut Buffer,
        _scratch: &mut Message,
        _out: &mut Buffer,
    ) -> Result<Option<Incoming>, ConnectionError> {
        Ok(None)
    }

    /// Opens a stream (client only); its first frame is that of [`send_headers`](Self::send_headers).
    ///
    /// None: not now ([`peer_max_streams`](Self::peer_max_streams) are open), or never again ([`is_going_away`](Self::is_going_away)).
    pub fn open(&mut self) -> Option<StreamKey> {
        None
    }

    /// Sends request headers (client) or final response headers (server), in CONTINUATION frames when they are long. Headers that HTTP/2 forbids
    /// (`connection` and the like) are left out. Does nothing when the stream has been reset.
    pub fn send_headers(
        &mut self,
        _key: StreamKey,
        _headers: &HeaderMap,
        _end_stream: bool,
        _out: &mut Buffer,
    ) {
    }

    /// Sends a 1xx response (server only).
    pub fn send_informational(&mut self, _key: StreamKey, _headers: &HeaderMap, _out: &mut Buffer) {
    }

    /// Moves as much of `data` as windows and frame size allow, and at most `budget` bytes, into DATA frames.
    ///
    /// With `end_stream` the frame that empties `data` (an empty one if there is none) ends the stream. Returns how many bytes
    /// were moved. What stays in `data` because a window is closed waits for [`next_writable`](Self::next_writable);
    /// what stays because of `budget` is the driver's to send when it likes. Everything is dropped when the stream has been reset.
    pub fn send_data(
        &mut self,
        _key: StreamKey,
        _data: &mut Buffer,
        _end_stream: bool,
        _budget: usize,
        _out: &mut Buffer,
    ) -> usize {
        0
    }

    /// Sends trailers, which end the stream. Only when all data is out.
    pub fn send_trailers(&mut self, _key: StreamKey, _trailers: &HeaderMap, _out: &mut Buffer) {}

    /// Resets the stream, unless it is closed both ways or has been reset. No event follows for it; the key stays valid until it is released.
    pub fn reset(&mut self, _key: StreamKey, _code: ErrorCode, _out: &mut Buffer) {}

    /// The driver has passed on `n` body bytes: windows open again (WINDOW_UPDATE when half a window is due, as Envoy).
    pub fn consumed(&mut self, _key: StreamKey, _n: usize, _out: &mut Buffer) {}

    /// The next stream that was blocked by a window and may send now.
    pub fn next_writable(&mut self) -> Option<StreamKey> {
        None
    }

    /// How many body bytes may be sent on this stream now.
    #[must_use]
    pub fn capacity(&self, _key: StreamKey) -> usize {
        0
    }

    /// The driver is done with the stream: its key may be given to another one. A stream that is not closed both ways is reset:
    /// by a server that has sent the whole response with `NO_ERROR`, otherwise with `CANCEL`. Bytes not consumed are given back to the connection's window.
    pub fn release(&mut self, _key: StreamKey, _out: &mut Buffer) {}

    /// Sends a GOAWAY. Repetitions that say nothing new are left out.
    pub fn go_away(&mut self, _kind: GoAway, _out: &mut Buffer) {}

    /// Sends a PING, which [`Incoming::Pong`] answers.
    pub fn ping(&mut self, _opaque: u64, _out: &mut Buffer) {}

    /// Tells how many bytes of the output are not yet written: the limits of `max_outbound_frames` and `max_outbound_control_frames`
    /// count the frames that wait.
    pub fn flushed(&mut self, _pending: usize) {}

    /// Whether what was sent since went beyond a limit of waiting frames.
    ///
    /// # Errors
    /// The connection is to be closed. [`decode`](Self::decode) says so, too.
    pub fn check(&self) -> Result<(), ConnectionError> {
        Ok(())
    }

    /// What happened since the last call, if something did.
    pub fn take_counts(&mut self) -> Option<Counts> {
        None
    }

    /// Streams that are not released.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        0
    }

    /// How many streams a client may have open: the smaller of the peer's `SETTINGS_MAX_CONCURRENT_STREAMS` and
    /// [`H2Settings::max_concurrent_streams`].
    #[must_use]
    pub fn peer_max_streams(&self) -> u32 {
        self.settings.max_concurrent_streams
    }

    /// Whether the peer's first SETTINGS have come.
    #[must_use]
    pub fn has_peer_settings(&self) -> bool {
        false
    }

    /// Whether the peer takes extended CONNECT (RFC 8441).
    #[must_use]
    pub fn peer_allows_connect(&self) -> bool {
        false
    }

    /// Whether no new stream can come any more: a GOAWAY went either way, or (client) stream ids are used up.
    #[must_use]
    pub fn is_going_away(&self) -> bool {
        false
    }

    /// The stream's number on the wire; 0 if it has none yet (a client's before its headers).
    #[must_use]
    pub fn stream_id(&self, _key: StreamKey) -> u32 {
        0
    }

    /// Bytes received on this stream that were not reported as consumed.
    #[must_use]
    pub fn unconsumed(&self, _key: StreamKey) -> usize {
        0
    }
}
