//! HEADERS and CONTINUATION frames that come in.

use nuncio_buffer::Buffer;

use super::{Block, Connection, Target};
use crate::h2::fault::{self, Failure, Fault};
use crate::h2::frame::{self, Head, flag, kind};
use crate::h2::hpack::{Limits, Visit};
use crate::h2::message::{Facts, Reader, Section};
use crate::h2::stream::{Half, Stream};
use crate::h2::{ErrorCode, Incoming, Role, StreamError, StreamKey};
use crate::{Event, Message};

/// A header block in several frames may have at least so many bytes.
const MIN_BLOCK_LIMIT: usize = 128 << 10;

/// Scratch space for cookies that a connection may keep (bytes).
const MAX_IDLE_COOKIES: usize = 4096;

impl Connection {
    #[inline]
    pub(super) fn on_headers(
        &mut self,
        head: Head,
        payload: &[u8],
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        let (fragment, dependency) = unwrap(head, payload)?;
        let end_stream = head.has(flag::END_STREAM);
        self.count_payload(
            fragment.len() + if dependency.is_some() { 5 } else { 0 },
            end_stream,
            None,
        )?;
        if head.stream == 0 || dependency == Some(head.stream) {
            return Err(fault::silent(
                ErrorCode::PROTOCOL_ERROR,
                "HEADERS without a stream, or one that depends on itself",
            ));
        }
        let target = match self.role {
            Role::Server => self.request_target(head.stream, out)?,
            Role::Client => self.response_target(head.stream)?,
        };
        if head.has(flag::END_HEADERS) {
            return self.end_block(target, end_stream, fragment, scratch, out);
        }
        let mut bytes = Buffer::new();
        bytes.append_slice(fragment);
        self.block = Some(Block {
            id: head.stream,
            target,
            end_stream,
            bytes,
        });
        Ok(Incoming::Progress)
    }

    pub(super) fn on_continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        self.count_payload(payload.len(), false, None)?;
        let Some(mut block) = self.block.take() else {
            return Err(fault::farewell(
                ErrorCode::PROTOCOL_ERROR,
                "CONTINUATION: unexpected",
            ));
        };
        block.bytes.append_slice(payload);
        let limit = self.settings.max_header_bytes.saturating_mul(2);
        if block.bytes.len() > limit.max(MIN_BLOCK_LIMIT) {
            let failure = fault::farewell(
                ErrorCode::ENHANCE_YOUR_CALM,
                "CONTINUATION: header block too large",
            );
            self.block = Some(block);
            return Err(failure);
        }
        if !head.has(flag::END_HEADERS) {
            self.block = Some(block);
            return Ok(Incoming::Progress);
        }
        self.end_block(block.target, block.end_stream, &block.bytes, scratch, out)
    }

    /// What a client's header block is for (section 5.1.1).
    #[inline]
    fn request_target(&mut self, id: u32, out: &mut Buffer) -> Result<Target, Failure> {
        if id > self.seen_peer_id && id % 2 == 1 {
            return self.open_peers(id, out);
        }
        if let Some(target) = self.take_early(id) {
            return Ok(target);
        }
        if let Some(key) = self.streams.find(id)
            && let Some(stream) = self.streams.get(key)
        {
            return match stream.recv {
                _ if stream.is_closed() => Ok(Target::Nothing),
                Half::Closed => Err(closed(key)),
                Half::Idle | Half::Open => Ok(Target::Trailers(key)),
            };
        }
        if id.is_multiple_of(2) {
            return Err(fault::silent(
                ErrorCode::PROTOCOL_ERROR,
                "request HEADERS: invalid stream_id",
            ));
        }
        // Closed, or skipped, which closes it, too. Envoy ignores what comes for it.
        Ok(Target::Nothing)
    }

    #[inline]
    fn open_peers(&mut self, id: u32, out: &mut Buffer) -> Result<Target, Failure> {
        self.seen_peer_id = id;
        if self.refuses_streams {
            return Ok(Target::Nothing);
        }
        self.last_peer_id = id;
        if self.open >= self.own_max_streams {
            if self.unacknowledged == 0 {
                return Err(fault::silent(
                    ErrorCode::PROTOCOL_ERROR,
                    "request HEADERS: max concurrent streams exceeded",
                ));
            }
            self.counts().stream_refused_errors += 1;
            self.rst_stream(id, ErrorCode::REFUSED_STREAM, out);
            return Ok(Target::Nothing);
        }
        Ok(Target::Request(self.open_stream(id)))
    }

    /// Takes a stream of the peer.
    #[inline]
    pub(super) fn open_stream(&mut self, id: u32) -> StreamKey {
        self.open += 1;
        let stream = Stream::peers(id, self.peer.initial_window, self.own_window);
        self.streams.insert(stream)
    }

    /// What a server's header block is for.
    #[inline]
    fn response_target(&mut self, id: u32) -> Result<Target, Failure> {
        let Some(key) = self.streams.find(id) else {
            if self.is_idle(id) {
                return Err(fault::silent(
                    ErrorCode::PROTOCOL_ERROR,
                    "response HEADERS: stream in idle",
                ));
            }
            return Ok(Target::Nothing);
        };
        match self.streams.get(key) {
            Some(stream) if !stream.is_closed() => match stream.recv {
                Half::Idle => Ok(Target::Response(key, stream.method)),
                Half::Open => Ok(Target::Trailers(key)),
                Half::Closed => Err(closed(key)),
            },
            _ => Ok(Target::Nothing),
        }
    }

    /// Decodes a complete header block.
    fn end_block(
        &mut self,
        target: Target,
        end_stream: bool,
        block: &[u8],
        scratch: &mut Message,
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        let (key, section) = match target {
            Target::Nothing => return self.drop_block(block, scratch),
            Target::Request(key) => (
                key,
                Section::Request {
                    connect_protocol: self.settings.allow_connect,
                },
            ),
            Target::Response(key, method) => (key, Section::Response(method)),
            Target::Trailers(key) => (
                key,
                Section::Trailers {
                    of_request: self.role == Role::Server,
                },
            ),
        };
        let headers = match section {
            Section::Trailers { .. } => &mut scratch.trailers,
            _ => &mut scratch.headers,
        };
        let before = self.decoder.generation();
        let is_trailers = matches!(section, Section::Trailers { .. });
        if is_trailers {
            self.has_counts = true;
            self.counts.trailers += 1;
        }
        let received = &mut self.received[usize::from(is_trailers)];
        if let Some(generation) = before
            && let Some(facts) = received.find(block, section, end_stream, generation, headers)
        {
            // What trailers mean depends on the body, too.
            if !is_trailers || length_is_right(self.streams.get(key)) {
                return Ok(self.take_headers(key, section, facts, end_stream));
            }
        }
        headers.clear();
        let mut reader = Reader::new(
            &self.settings,
            section,
            self.trusts_tables,
            &mut self.cookies,
        );
        let limits = reader.limits();
        let decoded = self
            .decoder
            .decode(block, headers, limits, |headers, field| {
                reader.visit(headers, field)
            })
            .map_err(|error| {
                let failure = fault::wordless(ErrorCode::COMPRESSION_ERROR, error.as_str());
                match section {
                    Section::Request { .. } => failure.in_request(key),
                    _ => failure,
                }
            })?;
        let stream = self.streams.get(key);
        let verdict = reader.finish(decoded.exceeded, headers, end_stream, stream);
        let (dropped, cookies) = (reader.dropped, reader.cookies_too_large());
        if let (Ok(facts), Some(generation)) = (verdict, before)
            && before == self.decoder.generation()
            && dropped == 0
            && !(is_trailers && facts.content_length.is_some())
        {
            let received = &mut self.received[usize::from(is_trailers)];
            received.keep(block, section, end_stream, facts, generation, headers);
        }
        if self.cookies.capacity() > MAX_IDLE_COOKIES {
            self.cookies = Vec::new();
        }
        if dropped > 0 {
            self.counts().dropped_headers_with_underscores += dropped;
        }
        match verdict {
            Ok(facts) => Ok(self.take_headers(key, section, facts, end_stream)),
            Err(fault) => {
                self.trusts_tables = false;
                if cookies {
                    self.counts().cookies_total_bytes_too_large += 1;
                }
                let is_request = matches!(section, Section::Request { .. });
                match self.fail_message(key, fault, out) {
                    Err(failure) if is_request && failure.error.stream.is_none() => {
                        Err(failure.in_request(key))
                    }
                    outcome => outcome,
                }
            }
        }
    }

    /// Keeps the compression state in step with a block that concerns nobody.
    fn drop_block(&mut self, block: &[u8], scratch: &mut Message) -> Result<Incoming, Failure> {
        self.trusts_tables = false;
        let limits = Limits {
            bytes: usize::MAX,
            count: usize::MAX,
        };
        self.decoder
            .decode(block, &mut scratch.trailers, limits, |_, _| Visit::Skip)
            .map_err(|error| fault::wordless(ErrorCode::COMPRESSION_ERROR, error.as_str()))?;
        Ok(Incoming::Progress)
    }

    #[inline]
    fn take_headers(
        &mut self,
        key: StreamKey,
        section: Section,
        facts: Facts,
        end_stream: bool,
    ) -> Incoming {
        let event = match section {
            Section::Trailers { .. } => Event::Trailers,
            _ if facts.informational => {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.informed = true;
                }
                Event::Informational
            }
            _ => {
                if let Some(stream) = self.streams.get_mut(key) {
                    stream.recv = Half::Open;
                    stream.expected = facts.content_length;
                }
                Event::Headers { end_stream }
            }
        };
        if end_stream {
            self.close(key, true, false);
        }
        Incoming::Stream { key, event }
    }

    /// A message that breaks a rule: the end of its stream, or of the connection.
    #[cold]
    fn fail_message(
        &mut self,
        key: StreamKey,
        fault: Fault,
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        let error = fault.error();
        let counts = self.counts();
        match fault {
            Fault::Header(_) | Fault::Messaging(_) => counts.rx_messaging_error += 1,
            Fault::Underscore => counts.requests_rejected_with_underscores_in_headers += 1,
            Fault::TooMany => counts.header_overflow += 1,
            Fault::TooLarge => counts.header_list_size_too_large += 1,
            Fault::FieldTooLong => return Err(fault::wordless(error.code, error.reason)),
        }
        if fault.is_invalid_message() && !self.settings.stream_error_on_invalid_messages {
            return Err(fault::on_stream(
                key,
                error.code,
                error.details,
                error.reason,
            ));
        }
        self.fail_stream(key, error, out)
    }

    /// Resets a stream because of what the peer did. That counts like a reset by the peer, which made us do it (MadeYouReset).
    #[cold]
    pub(super) fn fail_stream(
        &mut self,
        key: StreamKey,
        error: StreamError,
        out: &mut Buffer,
    ) -> Result<Incoming, Failure> {
        self.reset(key, error.code, out);
        if !self.faults.take(self.now) {
            return Err(fault::wordless(
                ErrorCode::ENHANCE_YOUR_CALM,
                "too many invalid streams",
            ));
        }
        Ok(Incoming::StreamFailed { key, error })
    }
}

/// Whether the body is as long as `content-length` says.
fn length_is_right(stream: Option<&Stream>) -> bool {
    stream.is_none_or(|stream| stream.length_allows(0, true))
}

#[cold]
fn closed(key: StreamKey) -> Failure {
    fault::on_stream(
        key,
        ErrorCode::STREAM_CLOSED,
        fault::UNKNOWN,
        "HEADERS: stream closed",
    )
}

/// The header block fragment of a HEADERS frame, and the stream it depends on (section 6.2).
#[inline]
fn unwrap(head: Head, payload: &[u8]) -> Result<(&[u8], Option<u32>), Failure> {
    debug_assert_eq!(head.kind, kind::HEADERS);
    if !head.has(flag::PADDED | flag::PRIORITY) {
        return Ok((payload, None));
    }
    let mut fragment = payload;
    if head.has(flag::PADDED) {
        let Some((&padding, rest)) = fragment.split_first() else {
            return Err(fault::farewell(
                ErrorCode::PROTOCOL_ERROR,
                "HEADERS: insufficient padding space",
            ));
        };
        let Some(len) = rest.len().checked_sub(usize::from(padding)) else {
            return Err(fault::farewell(
                ErrorCode::PROTOCOL_ERROR,
                "HEADERS: invalid padding",
            ));
        };
        fragment = &rest[..len];
    }
    if !head.has(flag::PRIORITY) {
        return Ok((fragment, None));
    }
    if fragment.len() < 5 {
        return Err(fault::wordless(
            ErrorCode::FRAME_SIZE_ERROR,
            "HEADERS: no room for the priority",
        ));
    }
    let dependency = frame::u32_at(fragment, 0) & frame::MAX_31;
    Ok((&fragment[5..], Some(dependency)))
}
