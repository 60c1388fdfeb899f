//! Writing messages, as Envoy writes them.

use std::{fmt, sync::Arc};

use nuncio_buffer::Buffer;

use super::Version;
use super::request::RequestFacts;
use super::response::RequestKind;
use super::settings::{H1Settings, HeaderCase};
use super::upgrade::is_upgrade;
use crate::{HeaderMap, Known, NameCase, method, status};

/// How the body of the current message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    /// As it is: delimited by `content-length`, by the end of the connection, or a tunnel.
    #[default]
    Plain,
    /// In chunks.
    Chunked,
    /// Not at all: the message cannot have a body.
    Without,
}

/// How names are written: what the message says, else the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Lower,
    Proper,
    Received { proper_own: bool },
}

impl Names {
    fn of(headers: &HeaderMap, settings: &H1Settings) -> Names {
        match (headers.name_case(), settings.header_case) {
            (NameCase::Received, _) => Names::Received { proper_own: false },
            (NameCase::ReceivedOrProper, _) => Names::Received { proper_own: true },
            (NameCase::Encoder, HeaderCase::ProperWords) => Names::Proper,
            (NameCase::Encoder, HeaderCase::Lower | HeaderCase::Preserve { .. }) => Names::Lower,
        }
    }
}

/// Writes the body of the current message.
#[derive(Debug)]
struct BodyWriter {
    settings: Arc<H1Settings>,
    framing: Framing,
    /// Bytes of the header lines in front of it, and of its trailers.
    header_bytes: usize,
}

impl BodyWriter {
    fn data(&mut self, data: &mut Buffer, end_stream: bool, out: &mut Buffer) {
        match self.framing {
            Framing::Plain => out.append(data),
            Framing::Without => data.clear(),
            Framing::Chunked => {
                if !data.is_empty() {
                    write_chunk_size(data.len(), out);
                    out.append(data);
                    out.append_slice(b"\r\n");
                }
                if end_stream {
                    out.append_slice(b"0\r\n\r\n");
                }
            }
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap, out: &mut Buffer) {
        if self.framing != Framing::Chunked {
            return;
        }
        let out = out.writer(trailers.byte_size() + 4 * trailers.len() + 8);
        out.extend_from_slice(b"0\r\n");
        if self.settings.enable_trailers {
            let start = out.len();
            write_headers(trailers, Names::of(trailers, &self.settings), out);
            self.header_bytes += out.len() - start;
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a header of the encoder's own.
fn write_own(headers: &HeaderMap, names: Names, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    match names {
        Names::Lower => out.extend_from_slice(name),
        Names::Proper => write_proper_case(name, out),
        Names::Received { proper_own } => write_received(headers, name, proper_own, out),
    }
    write_value(value, out);
}

/// `transfer-encoding: chunked`.
fn write_chunked(headers: &HeaderMap, names: Names, out: &mut Vec<u8>) {
    write_own(headers, names, b"transfer-encoding", b"chunked", out);
}

/// `content-length: 0`.
fn write_zero_length(headers: &HeaderMap, names: Names, out: &mut Vec<u8>) {
    write_own(headers, names, b"content-length", b"0", out);
}

/// Writes responses: the server side.
#[derive(Debug)]
pub struct ServerEncoder {
    body: BodyWriter,
}

impl ServerEncoder {
    /// An encoder for a new connection.
    #[must_use]
    pub fn new(settings: Arc<H1Settings>) -> Self {
        Self {
            body: BodyWriter {
                settings,
                framing: Framing::default(),
                header_bytes: 0,
            },
        }
    }

    /// Writes a 1xx response other than 101.
    pub fn encode_informational(
        &mut self,
        request: &RequestFacts,
        headers: &HeaderMap,
        out: &mut Buffer,
    ) {
        let out = out.writer(head_room(headers));
        self.status_line(request, headers, out);
        write_headers(headers, Names::of(headers, &self.body.settings), out);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the head of the response to `request`. Without `:status` it is a 200.
    ///
    /// Framing belongs to this encoder: a `transfer-encoding` among `headers` is not written; without `content-length` the body
    /// is chunked, or delimited by the end of the connection for HTTP/1.0.
    pub fn encode_headers(
        &mut self,
        request: &RequestFacts,
        headers: &HeaderMap,
        end_stream: bool,
        out: &mut Buffer,
    ) {
        let out = out.writer(head_room(headers));
        let status = self.status_line(request, headers, out);
        let start = out.len();
        let names = Names::of(headers, &self.body.settings);
        write_headers(headers, names, out);

        let has_length = headers.contains(Known::ContentLength);
        let is_tunnel = status == 101 || (request.is_connect && (200..300).contains(&status));
        let never_a_body = status < 200 || matches!(status, 204 | 304);
        let bodiless = request.is_head || never_a_body;
        // No header says how long the body is, or it is said already.
        let silent = has_length || never_a_body || request.version == Version::Http10;
        self.body.framing = if is_tunnel {
            Framing::Plain
        } else if end_stream && !request.is_head {
            if !has_length && !bodiless {
                write_zero_length(headers, names, out);
            }
            Framing::Without
        } else {
            if !silent {
                // Also for HEAD: what a GET would probably have got.
                write_chunked(headers, names, out);
            }
            match (bodiless, silent) {
                (true, _) => Framing::Without,
                (false, true) => Framing::Plain,
                (false, false) => Framing::Chunked,
            }
        };
        self.body.header_bytes = out.len() - start;
        out.extend_from_slice(b"\r\n");
    }

    /// Bytes of the header lines that were written last, without the first line and the empty one, as Envoy counts them;
    /// those of trailers, once written, among them.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.body.header_bytes
    }

    /// Writes body bytes and leaves `data` empty. The bytes are not copied if `out` is empty and the body is not chunked.
    #[inline]
    pub fn encode_data(&mut self, data: &mut Buffer, end_stream: bool, out: &mut Buffer) {
        self.body.data(data, end_stream, out);
    }

    /// Whether the bytes of the present body are written as they are, so that they may go around this encoder.
    #[must_use]
    pub fn is_verbatim(&self) -> bool {
        self.body.framing == Framing::Plain
    }

    /// Ends a message with trailers; they are written if the body is chunked and trailers are enabled.
    pub fn encode_trailers(&mut self, trailers: &HeaderMap, out: &mut Buffer) {
        self.body.trailers(trailers, out);
    }

    fn status_line(&self, request: &RequestFacts, headers: &HeaderMap, out: &mut Vec<u8>) -> u16 {
        let code = headers.status().unwrap_or(200);
        let http10 = request.version == Version::Http10 && self.body.settings.accept_http_10;
        let reason = headers.get(Known::ReasonPhrase);
        if code == 200 && !http10 && reason.is_none() {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            out.extend_from_slice(if http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
            out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
            out.push(b' ');
            let given = reason.filter(|reason| !reason.is_empty());
            out.extend_from_slice(given.unwrap_or_else(|| status::reason(code).as_bytes()));
            out.extend_from_slice(b"\r\n");
        }
        code
    }
}

/// A request without this: `:method`, `:path`, or `:authority` for CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingPseudoHeader(pub Known);

impl fmt::Display for MissingPseudoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl std::error::Error for MissingPseudoHeader {}

/// Writes requests: the client side.
#[derive(Debug)]
pub struct ClientEncoder {
    body: BodyWriter,
}

impl ClientEncoder {
    /// An encoder for a new connection.
    #[must_use]
    pub fn new(settings: Arc<H1Settings>) -> Self {
        Self {
            body: BodyWriter {
                settings,
                framing: Framing::default(),
                header_bytes: 0,
            },
        }
    }

    /// Writes the head of a request; the answer is for [`ClientDecoder::begin`](super::ClientDecoder::begin).
    ///
    /// Framing belongs to this encoder: a `transfer-encoding` among `headers` is not written; without `content-length` a
    /// body is chunked, except in upgrades and CONNECT, which are tunnels.
    ///
    /// # Errors
    /// A needed pseudo header is missing; nothing was written.
    pub fn encode_headers(
        &mut self,
        headers: &HeaderMap,
        end_stream: bool,
        out: &mut Buffer,
    ) -> Result<RequestKind, MissingPseudoHeader> {
        let method = headers.method().ok_or(MissingPseudoHeader(Known::Method))?;
        let authority = headers.authority();
        let is_connect = method == b"CONNECT";
        let target = match is_connect {
            true => authority.ok_or(MissingPseudoHeader(Known::Authority)),
            false => headers.path().ok_or(MissingPseudoHeader(Known::Path)),
        }?;
        let kind = RequestKind {
            is_head: method == b"HEAD",
            is_connect,
            is_upgrade: is_upgrade(headers),
        };

        let out = out.writer(head_room(headers) + target.len() + authority.map_or(0, <[u8]>::len));
        out.extend_from_slice(method);
        out.push(b' ');
        if self.body.settings.send_fully_qualified_url
            && target.first() == Some(&b'/')
            && let (Some(scheme), Some(authority)) = (headers.scheme(), authority)
        {
            out.extend_from_slice(scheme);
            out.extend_from_slice(b"://");
            out.extend_from_slice(authority);
        }
        out.extend_from_slice(target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let start = out.len();
        let names = Names::of(headers, &self.body.settings);
        write_host(headers, names, out);
        write_headers(headers, names, out);

        let has_length = headers.contains(Known::ContentLength);
        self.body.framing = if kind.is_connect || kind.is_upgrade {
            Framing::Plain
        } else if end_stream {
            if !has_length && !method::is_bodiless(method) {
                write_zero_length(headers, names, out);
            }
            Framing::Without
        } else if has_length {
            Framing::Plain
        } else {
            write_chunked(headers, names, out);
            Framing::Chunked
        };
        self.body.header_bytes = out.len() - start;
        out.extend_from_slice(b"\r\n");
        Ok(kind)
    }

    /// Bytes of the header lines that were written last, without the first line and the empty one, as Envoy counts them;
    /// those of trailers, once written, among them.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.body.header_bytes
    }

    /// Writes body bytes and leaves `data` empty. The bytes are not copied if `out` is empty and the body is not chunked.
    #[inline]
    pub fn encode_data(&mut self, data: &mut Buffer, end_stream: bool, out: &mut Buffer) {
        self.body.data(data, end_stream, out);
    }

    /// Ends a message with trailers; they are written if the body is chunked and trailers are enabled.
    pub fn encode_trailers(&mut self, trailers: &HeaderMap, out: &mut Buffer) {
        self.body.trailers(trailers, out);
    }
}

/// Bytes that a head needs at most, without the request target.
fn head_room(headers: &HeaderMap) -> usize {
    // The line, the framing header and the empty line take less than 128.
    headers.byte_size() + 4 * headers.len() + 128
}

fn write_chunk_size(mut size: usize, out: &mut Buffer) {
    let mut line = [0; 18];
    let mut at = 16;
    line[16..].copy_from_slice(b"\r\n");
    while size > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[size & 15];
        size >>= 4;
    }
    out.append_slice(&line[at..]);
}

/// Writes `:authority` as `host`, in front of all other headers as Envoy does.
fn write_host(headers: &HeaderMap, names: Names, out: &mut Vec<u8>) {
    let Some(authority) = headers.authority() else {
        return;
    };
    match names {
        Names::Lower => out.extend_from_slice(b"host: "),
        Names::Proper => out.extend_from_slice(b"Host: "),
        Names::Received { proper_own } => {
            write_received(headers, b"host", proper_own, out);
            out.extend_from_slice(b": ");
        }
    }
    out.extend_from_slice(authority);
    out.extend_from_slice(b"\r\n");
}

/// Writes all headers but pseudo headers and `transfer-encoding`.
fn write_headers(headers: &HeaderMap, names: Names, out: &mut Vec<u8>) {
    match names {
        Names::Lower => {
            for (known, name, value) in headers.iter_known() {
                match known {
                    _ if is_ours(known) => continue,
                    Some(known) => known.write_start(out),
                    None => {
                        out.extend_from_slice(name);
                        out.extend_from_slice(b": ");
                    }
                }
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
        }
        Names::Proper => {
            for (known, name, value) in headers.iter_known() {
                if !is_ours(known) {
                    write_proper_case(name, out);
                    write_value(value, out);
                }
            }
        }
        Names::Received { proper_own } => {
            for (known, name, value) in headers.iter_known() {
                if !is_ours(known) {
                    write_received(headers, name, proper_own, out);
                    write_value(value, out);
                }
            }
        }
    }
}

fn is_ours(known: Option<Known>) -> bool {
    known.is_some_and(|known| known.is_pseudo() || known == Known::TransferEncoding)
}

#[inline]
fn write_value(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A name as it was received, or as one that was added.
fn write_received(headers: &HeaderMap, name: &[u8], proper_own: bool, out: &mut Vec<u8>) {
    match headers.received_spelling(name) {
        Some(received) => out.extend_from_slice(received),
        None if proper_own => write_proper_case(name, out),
        None => out.extend_from_slice(name),
    }
}

fn write_proper_case(name: &[u8], out: &mut Vec<u8>) {
    let mut word_start = true;
    out.extend(name.iter().map(|byte| {
        let written = if word_start {
            byte.to_ascii_uppercase()
        } else {
            *byte
        };
        word_start = !byte.is_ascii_alphanumeric();
        written
    }));
}
