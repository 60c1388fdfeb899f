//! Decoding responses: the client side.

use std::sync::Arc;

use nuncio_buffer::Buffer;

use super::body::Body;
use super::chunked::ChunkedDecoder;
use super::error::{self, CodecError};
use super::head::{self, HeadScanner};
use super::joined;
use super::lengths::Lengths;
use super::settings::{H1Settings, HeaderCase};
use super::usual::{Side, UsualHead};
use super::{Version, keeps_alive, keeps_case, name_case};
use crate::headers::{Receive, WholeHead};
use crate::{Event, HeaderMap, Known, Message};

/// What of a request decides how its response is read. Made by `ClientEncoder::encode_headers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestKind {
    /// The method is HEAD.
    pub is_head: bool,
    /// The method is CONNECT.
    pub is_connect: bool,
    /// The request asks for an upgrade.
    pub is_upgrade: bool,
}

/// What a connection needs to know of a response besides its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFacts {
    /// Protocol version of the response.
    pub version: Version,
    /// Whether the connection may be used again when the response has ended.
    pub keep_alive: bool,
    /// Whether the server said that it will close the connection, by a header or by speaking HTTP/1.0.
    pub says_close: bool,
    /// The upgrade or CONNECT was accepted: everything behind the head is data in both directions.
    pub is_tunnel: bool,
    /// The body is chunked.
    pub chunked: bool,
}

#[derive(Debug)]
enum State {
    Head(HeadScanner),
    Body(Body),
    Failed(CodecError),
}

/// Decodes the responses of one connection, one after the other.
#[derive(Debug)]
pub struct ClientDecoder {
    settings: Arc<H1Settings>,
    state: State,
    request: RequestKind,
    facts: ResponseFacts,
}

impl ClientDecoder {
    /// A decoder for a new connection.
    #[must_use]
    pub fn new(settings: Arc<H1Settings>) -> Self {
        Self {
            settings,
            state: State::Head(HeadScanner::default()),
            request: RequestKind::default(),
            facts: ResponseFacts::default(),
        }
    }

    /// Tells which request the next response belongs to. To be called for each request, before its response is decoded.
    pub fn begin(&mut self, request: RequestKind) {
        self.request = request;
    }

    /// Takes the next event from `input` into `message`.
    ///
    /// None: more input is needed; until then the input may only grow. After an event that ends the response,
    /// bytes left in `input` were not asked for: such a connection must not be used again.
    /// After [`Event::Informational`], call again: `message.headers` is then overwritten.
    ///
    /// # Errors
    /// The response is malformed or beyond a limit. Every later call returns the same error.
    #[inline]
    pub fn decode(
        &mut self,
        input: &mut Buffer,
        message: &mut Message,
    ) -> Result<Option<Event>, CodecError> {
        let outcome = match &mut self.state {
            State::Head(_) => self.decode_head(input, message),
            State::Body(body) => body.decode(&self.settings, input, message),
            State::Failed(error) => return Err(*error),
        };
        match outcome {
            Ok(Some(event)) if event.is_end() => self.state = State::Head(HeadScanner::default()),
            Err(error) => self.state = State::Failed(error),
            Ok(_) => {}
        }
        outcome
    }

    /// How many bytes of the body come next as they are: none outside of a body or when it is chunked, [`u64::MAX`] when only
    /// the end of the connection ends it. So many may be taken from the connection without [`Self::decode`], for [`Self::skip`].
    #[must_use]
    pub fn verbatim(&self) -> u64 {
        match &self.state {
            State::Body(body) => body.verbatim(),
            State::Head(_) | State::Failed(_) => 0,
        }
    }

    /// `count` bytes of the body, at most [`Self::verbatim`], have gone another way. Tells whether they end the response, as
    /// [`Self::decode`] would have.
    pub fn skip(&mut self, count: u64) -> Event {
        let State::Body(body) = &mut self.state else {
            return Event::Data { end_stream: false };
        };
        let event = body.skip(count);
        if event.is_end() {
            self.state = State::Head(HeadScanner::default());
        }
        event
    }

    /// The server closed its sending side. A body without length ends with a last event; None: no
    /// byte of a response was seen (the caller knows whether one was due).
    ///
    /// # Errors
    /// A response was cut off.
    pub fn on_eof(&mut self, input: &Buffer) -> Result<Option<Event>, CodecError> {
        match &self.state {
            State::Head(_) if input.is_empty() => Ok(None),
            State::Body(body) if body.ends_at_eof() => {
                self.state = State::Head(HeadScanner::default());
                Ok(Some(Event::Data { end_stream: true }))
            }
            State::Failed(error) => Err(*error),
            State::Head(_) | State::Body(_) => {
                let error = CodecError::syntax("connection closed in a response");
                self.state = State::Failed(error);
                Err(error)
            }
        }
    }

    /// Facts of the response whose head was decoded last.
    #[must_use]
    pub fn facts(&self) -> ResponseFacts {
        self.facts
    }

    fn decode_head(
        &mut self,
        input: &mut Buffer,
        message: &mut Message,
    ) -> Result<Option<Event>, CodecError> {
        match input.first() {
            None => return Ok(None),
            Some(b'H') => {}
            Some(_) => return Err(CodecError::syntax("invalid status line")),
        }
        if self.is_at_start() {
            if let Some((length, event)) = self.take_usual(input, &mut message.headers) {
                input.consume(length);
                return Ok(Some(event));
            }
            // Of what was not taken something may be in it.
            message.headers.clear();
        }
        let State::Head(scanner) = &mut self.state else {
            return Ok(None);
        };
        let Some(end) = scanner.find_end(input, self.settings.max_head_bytes)? else {
            return Ok(None);
        };
        let lines = scanner.lines();
        if lines > self.settings.max_lines() {
            return Err(error::TOO_MANY_HEADERS);
        }
        message.headers.clear();
        let event = self.parse_head(&input[..end], lines, &mut message.headers)?;
        input.consume(end);
        if event == Event::Informational {
            self.state = State::Head(HeadScanner::default());
        }
        Ok(Some(event))
    }

    /// Whether nothing of a head was looked at yet.
    fn is_at_start(&self) -> bool {
        matches!(&self.state, State::Head(scanner) if !scanner.has_begun())
    }

    /// Takes a usual head; also gives its length. None: it is unusual, or not there whole.
    fn take_usual(&mut self, input: &[u8], headers: &mut HeaderMap) -> Option<(usize, Event)> {
        let settings = &*self.settings;
        if keeps_case(settings) {
            return None;
        }
        let input = &input[..input.len().min(settings.max_head_bytes)];
        let mut head = UsualHead::new(input);
        let status = head.status_line()?;
        let mut whole = WholeHead::begin(headers);
        whole.add_known(Known::Status, 9..12);
        let lengths = head.header_lines(&mut whole, settings, Side::Response)?;
        let head = head.bytes();
        let event = self.judge(status, Version::Http11, lengths, whole.finish(head));
        Some((head.len(), event.ok()?))
    }

    fn parse_head(
        &mut self,
        bytes: &[u8],
        lines: usize,
        headers: &mut HeaderMap,
    ) -> Result<Event, CodecError> {
        head::with_header_room(lines, |room| {
            let mut response = httparse::Response::new(&mut []);
            match httparse::ParserConfig::default().parse_response_with_uninit_headers(
                &mut response,
                bytes,
                room,
            ) {
                Ok(httparse::Status::Complete(_)) => self.take_response(&response, headers),
                Ok(httparse::Status::Partial) => Err(CodecError::syntax("invalid response")),
                Err(reason) => Err(head::classify(bytes, reason)),
            }
        })
    }

    fn take_response(
        &mut self,
        response: &httparse::Response<'_, '_>,
        headers: &mut HeaderMap,
    ) -> Result<Event, CodecError> {
        let settings = &*self.settings;
        let status = response.code.unwrap_or_default();
        if status < 100 {
            return Err(CodecError::syntax("invalid status code"));
        }
        headers.set_name_case(name_case(settings));
        headers.set_status(status);
        if let HeaderCase::Preserve {
            forward_reason: true,
            ..
        } = settings.header_case
        {
            headers.append(
                Known::ReasonPhrase,
                response.reason.unwrap_or_default().as_bytes(),
            );
        }
        let pseudo = headers.len();
        let rules = Receive {
            joined: joined::RESPONSE,
            host_is_authority: false,
        };
        let mut lengths = Lengths::default();
        for header in response.headers.iter() {
            let name = header.name.as_bytes();
            match headers.append_received(name, header.value, rules) {
                Some(Known::ContentLength) => lengths.content_length(header.value)?,
                Some(Known::TransferEncoding) => lengths.transfer_encoding(header.value),
                _ => {}
            }
            if headers.len() - pseudo > settings.max_headers {
                return Err(error::TOO_MANY_HEADERS);
            }
        }
        let version = Version::from_minor(response.version);
        self.judge(status, version, lengths, headers)
    }

    /// What a head means whose lines are in the map.
    fn judge(
        &mut self,
        status: u16,
        version: Version,
        mut lengths: Lengths,
        headers: &mut HeaderMap,
    ) -> Result<Event, CodecError> {
        let chunked = lengths.settle(headers, &self.settings)?;
        let keep_alive = keeps_alive(version, headers);

        if status < 200 || status == 204 {
            if chunked {
                return Err(error::ENCODING_DISALLOWED);
            }
            match lengths.length {
                Some(0) => _ = headers.remove(Known::ContentLength),
                Some(_) => return Err(error::LENGTH_DISALLOWED),
                None => {}
            }
            if status < 200 && status != 101 {
                return Ok(Event::Informational);
            }
        }
        let is_tunnel = (status == 101 && self.request.is_upgrade)
            || (self.request.is_connect && (200..300).contains(&status));
        if is_tunnel {
            // RFC 9110, section 9.3.6: neither header means anything here.
            headers.remove(Known::ContentLength);
            headers.remove(Known::TransferEncoding);
        }
        let bodiless = self.request.is_head || matches!(status, 101 | 204 | 304);
        let body = match lengths.length {
            _ if is_tunnel => Some(Body::UntilClose),
            _ if bodiless => None,
            _ if chunked => Some(Body::Chunked(ChunkedDecoder::new())),
            Some(0) => None,
            Some(length) => Some(Body::Length(length)),
            None => Some(Body::UntilClose),
        };
        self.facts = ResponseFacts {
            version,
            // A 1.0 server that chunks may not have meant it (RFC 9112, section 6.1), and a
            // server that switches protocols unasked is in a state of its own.
            keep_alive: keep_alive
                && !matches!(body, Some(Body::UntilClose))
                && !(chunked && version == Version::Http10)
                && status != 101,
            says_close: !keep_alive,
            is_tunnel,
            chunked,
        };
        let end_stream = body.is_none();
        if let Some(body) = body {
            self.state = State::Body(body);
        }
        Ok(Event::Headers { end_stream })
    }
}
