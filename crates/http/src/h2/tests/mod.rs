//! Scripted frames in, events and frames out. Names of tests begin with the section of RFC 9113 that they are about.

mod client;
mod connect;
mod early;
mod ending;
mod floods;
mod framing;
mod limits;
mod messages;
mod property;
mod repeats;
mod sections;
mod settings;
mod states;
mod windows;

use std::sync::Arc;

use nuncio_buffer::Buffer;

use super::frame::{self, Head, flag, kind};
use super::hpack::{self, Limits, Visit};
use super::{Connection, ConnectionError, H2Settings, Incoming, PREFACE, Role, StreamKey};
use crate::{Event, HeaderMap, Message};

/// A frame of any kind.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Buffer::new();
    frame::head(&mut out, kind, flags, stream, payload.len());
    out.append_slice(payload);
    out.to_vec()
}

/// Fields as literals without indexing or Huffman code; texts of up to 16,510 bytes.
fn fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |text: &[u8], out: &mut Vec<u8>| {
        match text.len().checked_sub(127) {
            None => out.push(text.len() as u8),
            Some(more) => out.extend([127, (more & 127) as u8 | 128, (more >> 7) as u8]),
        }
        out.extend_from_slice(text);
    };
    for (name, value) in pairs {
        out.push(0);
        text(name.as_ref(), &mut out);
        text(value.as_ref(), &mut out);
    }
    out
}

const GET: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "a"),
];

const END: u8 = flag::END_STREAM | flag::END_HEADERS;

/// HEADERS of a GET request that ends the stream, with more fields.
fn get_with(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let pairs = [GET, more].concat();
    frame(kind::HEADERS, END, stream, &fields(&pairs))
}

/// HEADERS of a GET request that ends the stream.
fn get(stream: u32) -> Vec<u8> {
    get_with(stream, &[])
}

/// HEADERS of a request with a body.
fn post_with(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let pairs = [GET, more].concat();
    frame(kind::HEADERS, flag::END_HEADERS, stream, &fields(&pairs))
}

/// HEADERS of a request with a body.
fn post(stream: u32) -> Vec<u8> {
    post_with(stream, &[])
}

fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, 0, stream, bytes)
}

fn last_data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, flag::END_STREAM, stream, bytes)
}

/// HEADERS that end the stream, with exactly these fields: trailers, mostly.
fn trailers(stream: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, END, stream, &fields(pairs))
}

fn rst(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = pairs
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(kind::SETTINGS, 0, 0, &payload)
}

fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, flag::ACK, 0, &[])
}

fn ping() -> Vec<u8> {
    frame(kind::PING, 0, 0, b"12345678")
}

fn priority(stream: u32, dependency: u32) -> Vec<u8> {
    let payload = [&dependency.to_be_bytes()[..], &[15]].concat();
    frame(kind::PRIORITY, 0, stream, &payload)
}

fn goaway(last: u32, code: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
    frame(kind::GOAWAY, 0, 0, &payload)
}

/// One end of a connection under test; the script is the other.
struct Side {
    conn: Connection,
    input: Buffer,
    out: Buffer,
    scratch: Message,
    /// Reads the header blocks that were sent.
    decoder: hpack::Decoder,
}

impl Side {
    fn new(role: Role, change: impl FnOnce(&mut H2Settings)) -> Self {
        let mut settings = H2Settings::default();
        change(&mut settings);
        Self {
            conn: Connection::new(role, Arc::new(settings)),
            input: Buffer::new(),
            out: Buffer::new(),
            scratch: Message::new(),
            decoder: hpack::Decoder::new(),
        }
    }

    /// A server whose client has sent preface and SETTINGS, and acknowledged ours.
    fn server() -> Self {
        Self::server_with(|_| {})
    }

    fn server_with(change: impl FnOnce(&mut H2Settings)) -> Self {
        let mut side = Self::new(Role::Server, change);
        side.conn.start(&mut side.out);
        assert_eq!(side.feed(PREFACE), [""; 0]);
        assert_eq!(side.feed(&settings(&[])), ["settings"]);
        assert_eq!(side.feed(&settings_ack()), [""; 0]);
        side.sent();
        side
    }

    /// A client whose server has sent its SETTINGS, and acknowledged ours.
    fn client() -> Self {
        Self::client_with(&[], |_| {})
    }

    fn client_with(theirs: &[(u16, u32)], change: impl FnOnce(&mut H2Settings)) -> Self {
        let mut side = Self::new(Role::Client, change);
        side.conn.start(&mut side.out);
        assert!(side.out.starts_with(PREFACE));
        side.out.consume(PREFACE.len());
        assert_eq!(side.feed(&settings(theirs)), ["settings"]);
        assert_eq!(side.feed(&settings_ack()), [""; 0]);
        side.sent();
        side
    }

    /// What the bytes mean, in words. Everything is as if written at once.
    fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.input.append_slice(bytes);
        let mut seen = Vec::new();
        loop {
            match self.decode() {
                Ok(Some(Incoming::Progress)) => {}
                Ok(Some(incoming)) => seen.push(self.describe(incoming)),
                Ok(None) => return seen,
                Err(error) => {
                    seen.push(format!("error {:#x} {}", error.code.0, error.reason));
                    return seen;
                }
            }
        }
    }

    fn feed_all(&mut self, frames: &[Vec<u8>]) -> Vec<String> {
        self.feed(&frames.concat())
    }

    fn decode(&mut self) -> Result<Option<Incoming>, ConnectionError> {
        self.conn
            .decode(&mut self.input, &mut self.scratch, &mut self.out)
    }

    /// The error that these bytes end with.
    fn error(&mut self, frames: &[Vec<u8>]) -> ConnectionError {
        let seen = self.feed_all(frames);
        match self.decode() {
            Err(error) => error,
            Ok(_) => panic!("no error after {seen:?}"),
        }
    }

    fn describe(&mut self, incoming: Incoming) -> String {
        match incoming {
            Incoming::Stream { key, event } => {
                let id = self.conn.stream_id(key);
                let end = if event.is_end() { " end" } else { "" };
                match event {
                    Event::Headers { .. } => format!("headers {id}{end}"),
                    Event::Informational => format!("informational {id}"),
                    Event::Data { .. } => {
                        let data = self.scratch.data.split_to(usize::MAX);
                        match std::str::from_utf8(&data) {
                            Ok(text) if text.len() < 20 => format!("data {id} {text}{end}"),
                            _ => format!("data {id} [{}]{end}", data.len()),
                        }
                    }
                    Event::Trailers => format!("trailers {id}"),
                    Event::Reset { code } => format!("reset {id} {code:#x}"),
                }
            }
            Incoming::StreamFailed { key, error } => {
                let id = self.conn.stream_id(key);
                format!("failed {id} {:#x} {}", error.code.0, error.details)
            }
            Incoming::GoAway { last_stream, code } => format!("goaway {last_stream} {code:#x}"),
            Incoming::Settings => "settings".into(),
            Incoming::Pong { opaque } => format!("pong {opaque}"),
            Incoming::Progress => "progress".into(),
        }
    }

    /// The frames put out since the last call, in words.
    fn sent(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(head) = Head::parse(&self.out) {
            let payload = self.out[frame::HEAD..frame::HEAD + head.len].to_vec();
            self.out.consume(frame::HEAD + head.len);
            frames.push(self.describe_frame(head, &payload));
        }
        assert!(self.out.is_empty());
        self.conn.flushed(0);
        frames
    }

    fn describe_frame(&mut self, head: Head, payload: &[u8]) -> String {
        let Head { stream, len, .. } = head;
        let numbers = |from: usize| -> Vec<u32> {
            payload[from..]
                .chunks_exact(4)
                .map(|n| frame::u32_at(n, 0))
                .collect()
        };
        let end = if head.has(flag::END_STREAM) {
            " end"
        } else {
            ""
        };
        match head.kind {
            kind::DATA => match std::str::from_utf8(payload) {
                Ok(text) if len < 20 => format!("DATA {stream} {text}{end}"),
                _ => format!("DATA {stream} [{len}]{end}"),
            },
            kind::HEADERS if head.has(flag::END_HEADERS) => {
                let fields = self.block(payload);
                format!("HEADERS {stream} {fields}{end}")
            }
            kind::HEADERS => format!("HEADERS {stream} [{len}]{end} ..."),
            kind::CONTINUATION => {
                let end = if head.has(flag::END_HEADERS) {
                    " end"
                } else {
                    ""
                };
                format!("CONTINUATION {stream} [{len}]{end}")
            }
            kind::RST_STREAM => format!("RST_STREAM {stream} {:#x}", numbers(0)[0]),
            kind::WINDOW_UPDATE => format!("WINDOW_UPDATE {stream} {}", numbers(0)[0]),
            kind::SETTINGS if head.has(flag::ACK) => "SETTINGS ack".into(),
            kind::SETTINGS => {
                let entries = payload.chunks_exact(6).map(|entry| {
                    let id = u16::from_be_bytes([entry[0], entry[1]]);
                    format!("{id}={}", frame::u32_at(entry, 2))
                });
                format!("SETTINGS {}", entries.collect::<Vec<_>>().join(" "))
            }
            kind::PING if head.has(flag::ACK) => "PING ack".into(),
            kind::PING => "PING".into(),
            kind::GOAWAY => {
                let numbers = numbers(0);
                let debug = String::from_utf8_lossy(&payload[8..]);
                let text = format!("GOAWAY {} {:#x} {debug}", numbers[0], numbers[1]);
                text.trim_end().to_owned()
            }
            other => format!("{other:#x} {stream} [{len}]"),
        }
    }

    fn block(&mut self, block: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        let limits = Limits {
            bytes: usize::MAX,
            count: usize::MAX,
        };
        self.decoder
            .decode(block, &mut headers, limits, |_, _| Visit::Store)
            .unwrap();
        let fields = headers
            .iter()
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()));
        fields.collect::<Vec<_>>().join(" ")
    }

    /// The stream with this id.
    fn key(&self, id: u32) -> StreamKey {
        (0..self.conn.stream_count() as u32 + 64)
            .map(StreamKey)
            .find(|&key| self.conn.stream_id(key) == id)
            .unwrap_or_else(|| panic!("no stream {id}"))
    }

    /// Sends a final response.
    fn respond(&mut self, id: u32, end_stream: bool) {
        let headers = HeaderMap::from_iter([(":status", "200")]);
        let key = self.key(id);
        self.conn
            .send_headers(key, &headers, end_stream, &mut self.out);
    }

    /// Sends a request.
    fn request(&mut self, end_stream: bool) -> StreamKey {
        self.request_with(&[], end_stream)
    }

    fn request_with(&mut self, more: &[(&str, &str)], end_stream: bool) -> StreamKey {
        let key = self.conn.open().unwrap();
        let mut headers = HeaderMap::from_iter(GET.iter().copied());
        for &(name, value) in more {
            headers.set(name, value.as_bytes());
        }
        self.conn
            .send_headers(key, &headers, end_stream, &mut self.out);
        key
    }

    /// Sends body bytes; returns how many went.
    fn send(&mut self, key: StreamKey, bytes: &[u8], end_stream: bool) -> usize {
        let mut data = Buffer::from(bytes);
        self.conn
            .send_data(key, &mut data, end_stream, usize::MAX, &mut self.out)
    }

    fn release(&mut self, id: u32) {
        let key = self.key(id);
        self.conn.release(key, &mut self.out);
    }

    /// Header `name` of the message decoded last.
    fn header(&self, name: &str) -> Option<&str> {
        let value = self.scratch.headers.get_str(name)?;
        Some(std::str::from_utf8(value).unwrap())
    }
}

/// Each script, sent to a server of its own, ends the connection with this code: after a GOAWAY or (`quiet`) without one.
#[track_caller]
fn ends(quiet: bool, code: u32, scripts: &[(&str, Vec<Vec<u8>>)]) {
    for (name, frames) in scripts {
        let mut server = Side::server();
        let error = server.error(frames);
        assert_eq!(error.code.0, code, "{name}: {error}");
        let sent = server.sent();
        let parting = sent.iter().any(|frame| frame.starts_with("GOAWAY"));
        assert_eq!(parting, !quiet, "{name}: {sent:?}");
    }
}
