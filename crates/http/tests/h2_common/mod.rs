//! Feeds bytes to an HTTP/2 connection, answers as a simple driver would, and writes down what came out.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h2::{
    Connection, ConnectionError, ErrorCode, H2Settings, Incoming, PREFACE, Role, StreamError,
    StreamKey,
};
use nuncio_http::{Event, HeaderMap, Message};

/// What the driver does with its streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conduct {
    /// Only listens.
    Listen,
    /// A server answers when the request is complete; a client has sent a request without a body.
    Usual,
    /// A server answers before the request is complete and lets go of it.
    Early,
    /// Resets every stream at its first event.
    Reset,
}

impl Conduct {
    pub(crate) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Usual,
            1 => Self::Early,
            2 => Self::Reset,
            _ => Self::Listen,
        }
    }
}

/// What came out of a connection, in order. Pieces of a body that follow each other are one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Headers(u32, HeaderMap),
    Informational(u32, HeaderMap),
    Data(u32, Vec<u8>),
    Trailers(u32, HeaderMap),
    End(u32),
    Reset(u32, u64),
    Failed(u32, StreamError),
    GoAway(u32, u32),
    Settings,
    Pong(u64),
}

/// All that came out of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) lines: Vec<Line>,
    pub(crate) error: Option<ConnectionError>,
    /// Frames sent, as (type, flags, stream, payload); without WINDOW_UPDATE, which depends on how the input was cut.
    pub(crate) sent: Vec<(u8, u8, u32, Vec<u8>)>,
}

struct Driver {
    connection: Connection,
    role: Role,
    conduct: Conduct,
    /// Bodies that wait for a window.
    waiting: BTreeMap<StreamKey, Buffer>,
    /// Streams whose message from the peer is complete, but whose answer is not.
    ended: Vec<StreamKey>,
    out: Buffer,
    transcript: Transcript,
}

/// Requests that a client sends before it listens.
const REQUESTS: usize = 3;

/// The answer's body.
const BODY: &[u8] = &[b'b'; 100];

/// The most bytes that a header map may take, whatever comes.
const HEADER_MEMORY: usize = 1 << 20;

/// Hands `pieces` to a connection one after the other. A server is given the preface first.
///
/// # Panics
/// When the connection breaks a promise: too many streams, too much memory, no progress, malformed output.
pub(crate) fn transcribe<'p>(
    role: Role,
    settings: &Arc<H2Settings>,
    conduct: Conduct,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Transcript {
    let mut driver = Driver {
        connection: Connection::new(role, settings.clone()),
        role,
        conduct,
        waiting: BTreeMap::new(),
        ended: Vec::new(),
        out: Buffer::new(),
        transcript: Transcript::default(),
    };
    driver.connection.start(&mut driver.out);
    let mut input = Buffer::new();
    match role {
        Role::Server => input.append_slice(PREFACE),
        Role::Client => driver.send_requests(),
    }
    let mut scratch = Message::new();
    // Every event takes at least a byte, except for the resets that follow a GOAWAY.
    let mut events_left = 10_000;
    // The preface counts even if nothing follows it.
    for piece in std::iter::once(&[][..]).chain(pieces) {
        input.append_slice(piece);
        events_left += piece.len();
        loop {
            match driver
                .connection
                .decode(&mut input, &mut scratch, &mut driver.out)
            {
                Ok(Some(incoming)) => driver.take(incoming, &mut scratch),
                Ok(None) => break,
                Err(error) => {
                    driver.transcript.error = Some(error);
                    return driver.finish();
                }
            }
            events_left -= 1;
            assert!(events_left > 0, "no progress");
            let memory = scratch.headers.capacity() + scratch.trailers.capacity();
            assert!(memory < HEADER_MEMORY, "{memory} bytes of headers");
            if role == Role::Server {
                let most = settings.max_concurrent_streams as usize;
                assert!(driver.connection.stream_count() <= most);
            }
            driver.send_what_waits();
        }
    }
    driver.finish()
}

impl Driver {
    fn send_requests(&mut self) {
        let headers: HeaderMap = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "origin"),
            (":path", "/"),
        ]
        .into_iter()
        .collect();
        for _ in 0..REQUESTS {
            if let Some(key) = self.connection.open() {
                self.connection
                    .send_headers(key, &headers, true, &mut self.out);
            }
        }
    }

    fn take(&mut self, incoming: Incoming, scratch: &mut Message) {
        let lines = &mut self.transcript.lines;
        match incoming {
            Incoming::Stream { key, event } => {
                let id = self.connection.stream_id(key);
                match event {
                    Event::Headers { .. } => lines.push(Line::Headers(id, scratch.headers.clone())),
                    Event::Informational => {
                        lines.push(Line::Informational(id, scratch.headers.clone()));
                    }
                    Event::Data { .. } => {
                        let bytes = scratch.data.as_slice();
                        match lines.last_mut() {
                            Some(Line::Data(last, body)) if *last == id => {
                                body.extend_from_slice(bytes);
                            }
                            _ => lines.push(Line::Data(id, bytes.to_vec())),
                        }
                        let taken = bytes.len();
                        scratch.data.clear();
                        self.connection.consumed(key, taken, &mut self.out);
                    }
                    Event::Trailers => lines.push(Line::Trailers(id, scratch.trailers.clone())),
                    Event::Reset { code } => lines.push(Line::Reset(id, code)),
                }
                if event.is_end() && !matches!(event, Event::Reset { .. }) {
                    self.transcript.lines.push(Line::End(id));
                }
                self.behave(key, event);
            }
            Incoming::StreamFailed { key, error } => {
                let id = self.connection.stream_id(key);
                lines.push(Line::Failed(id, error));
                self.release(key);
            }
            Incoming::GoAway { last_stream, code } => lines.push(Line::GoAway(last_stream, code)),
            Incoming::Settings => lines.push(Line::Settings),
            Incoming::Pong { opaque } => lines.push(Line::Pong(opaque)),
            Incoming::Progress => {}
        }
    }

    fn behave(&mut self, key: StreamKey, event: Event) {
        let is_server = self.role == Role::Server;
        match (self.conduct, event) {
            (_, Event::Reset { .. }) => self.release(key),
            (Conduct::Listen, _) => {}
            (Conduct::Reset, _) => {
                self.connection
                    .reset(key, ErrorCode::INTERNAL_ERROR, &mut self.out);
                self.release(key);
            }
            (Conduct::Early, Event::Headers { .. }) if is_server => {
                self.answer(key);
                self.release(key);
            }
            (Conduct::Early, _) if is_server => {}
            (Conduct::Usual | Conduct::Early, _) if event.is_end() => {
                if is_server {
                    self.answer(key);
                    self.ended.push(key);
                } else {
                    self.release(key);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, key: StreamKey) {
        let headers: HeaderMap = [(":status", "200"), ("server", "test")]
            .into_iter()
            .collect();
        self.connection
            .send_headers(key, &headers, false, &mut self.out);
        self.waiting.insert(key, Buffer::from(BODY));
        self.send_body(key);
    }

    fn send_body(&mut self, key: StreamKey) {
        if let Some(body) = self.waiting.get_mut(&key) {
            self.connection
                .send_data(key, body, true, usize::MAX, &mut self.out);
            if body.is_empty() {
                self.waiting.remove(&key);
            }
        }
    }

    fn send_what_waits(&mut self) {
        while let Some(key) = self.connection.next_writable() {
            self.send_body(key);
        }
        for key in std::mem::take(&mut self.ended) {
            if self.waiting.contains_key(&key) {
                self.ended.push(key);
            } else {
                self.release(key);
            }
        }
    }

    fn release(&mut self, key: StreamKey) {
        self.waiting.remove(&key);
        self.ended.retain(|&ended| ended != key);
        self.connection.release(key, &mut self.out);
    }

    fn finish(mut self) -> Transcript {
        let mut rest = self.out.as_slice();
        if self.role == Role::Client {
            rest = rest.strip_prefix(PREFACE).expect("the preface first");
        }
        while !rest.is_empty() {
            let (head, tail) = rest.split_at_checked(9).expect("a whole frame head");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            assert!(length <= 16_384, "a frame of {length} bytes");
            let (payload, after) = tail.split_at_checked(length).expect("a whole frame");
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if head[3] != WINDOW_UPDATE {
                self.transcript
                    .sent
                    .push((head[3], head[4], id, payload.to_vec()));
            }
            rest = after;
        }
        self.transcript
    }
}

const WINDOW_UPDATE: u8 = 8;

/// Frames from a terse description, so that random bytes make well-formed frames: type, flags, stream and length a byte
/// each, then the payload.
pub(crate) fn frames(mut script: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    while let [kind, flags, id, length, rest @ ..] = script {
        let (payload, after) = rest.split_at(usize::from(*length).min(rest.len()));
        script = after;
        frames.extend([
            0,
            0,
            payload.len() as u8,
            kind % 11,
            *flags,
            0,
            0,
            0,
            id % 16,
        ]);
        frames.extend(payload);
    }
    frames
}

/// Settings of which each bit of `flags` makes one tighter or turns one on.
pub(crate) fn settings(flags: u8) -> Arc<H2Settings> {
    let usual = H2Settings::default();
    let tight = |bit: u8| flags & bit != 0;
    Arc::new(H2Settings {
        max_concurrent_streams: if tight(1) { 2 } else { 100 },
        max_header_bytes: if tight(2) {
            100
        } else {
            usual.max_header_bytes
        },
        max_headers: if tight(2) { 5 } else { usual.max_headers },
        stream_error_on_invalid_messages: tight(4),
        allow_connect: tight(8),
        initial_stream_window_size: if tight(16) { 65_535 } else { 1 << 20 },
        initial_connection_window_size: if tight(16) { 65_535 } else { 1 << 20 },
        ..usual
    })
}

/// However the input of a fuzz target is cut, into pieces of `sizes` among others, the outcome is the same. Its first
/// byte chooses settings and whether the rest are bytes or the script of frames, its second one the conduct. Returns
/// whether it has both.
pub(crate) fn check(role: Role, input: &[u8], sizes: &[usize]) -> bool {
    let [flags, conduct, script @ ..] = input else {
        return false;
    };
    let bytes = match flags & 0x80 {
        0 => script.to_vec(),
        _ => frames(script),
    };
    let settings = settings(*flags);
    let conduct = Conduct::from_bits(*conduct);
    let whole = transcribe(role, &settings, conduct, [&bytes[..]]);
    for &size in sizes {
        let cut = transcribe(role, &settings, conduct, bytes.chunks(size));
        assert_eq!(whole, cut, "{size}");
    }
    true
}
