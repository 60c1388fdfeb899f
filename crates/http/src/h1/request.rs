//! Decoding requests: the server side.

use std::sync::Arc;

use nuncio_buffer::Buffer;

use super::body::Body;
use super::error::{self, CodecError};
use super::head::{self, HeadScanner};
use super::joined;
use super::judge::SeenRequest;
use super::settings::{H1Settings, UnderscoreAction};
use super::target;
use super::usual::{Side, UsualHead};
use super::{Version, keeps_case, lengths::Lengths, name_case};
use crate::headers::{Receive, WholeHead};
use crate::{Event, HeaderMap, Known, Message, method, validate};

/// What a header line has besides name and value, as Envoy counts: a colon and the line end.
const LINE_BYTES: usize = 3;
/// What `Host` is shorter than the pseudo header that it becomes.
const AUTHORITY_FOR_HOST: usize = ":authority".len() - "host".len();

/// What a connection needs to know of a request besides its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Protocol version of the request.
    pub version: Version,
    /// Whether the client lets the connection be used again (`shouldCloseConnection` of Envoy, reversed).
    pub keep_alive: bool,
    /// An upgrade was asked for (and not ignored): everything behind the head is passed on as data.
    pub is_upgrade: bool,
    /// The method is CONNECT: everything behind the head is passed on as data.
    pub is_connect: bool,
    /// The method is HEAD: the response has no body.
    pub is_head: bool,
    /// The body is chunked.
    pub chunked: bool,
    /// `Expect: 100-continue`: the client waits for a 100 before it sends the body.
    pub expect_continue: bool,
}

#[derive(Debug)]
enum State {
    /// In front of, or in, a head.
    Head(HeadScanner),
    /// In a body, or in a tunnel after an upgrade or CONNECT request.
    Body(Body),
    /// Refused; nothing more is read.
    Failed(CodecError),
}

/// Decodes the requests of one connection, one after the other.
#[derive(Debug)]
pub struct ServerDecoder {
    settings: Arc<H1Settings>,
    state: State,
    facts: RequestFacts,
    /// Version of the head that is being judged.
    judged: Version,
    dropped_underscores: u64,
    header_bytes: usize,
}

impl ServerDecoder {
    /// A decoder for a new connection.
    #[must_use]
    pub fn new(settings: Arc<H1Settings>) -> Self {
        Self {
            settings,
            state: State::Head(HeadScanner::default()),
            facts: RequestFacts::default(),
            judged: Version::default(),
            dropped_underscores: 0,
            header_bytes: 0,
        }
    }

    /// Takes the next event from `input` into `message`.
    ///
    /// None: more input is needed; until then the input may only grow. An event that ends a request leaves
    /// the bytes of the next one in `input`; call again (with the message cleared) when that one is wanted.
    ///
    /// # Errors
    /// The request is malformed or beyond a limit. Every later call returns the same error.
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
            Err(error) => {
                if matches!(self.state, State::Head(_)) {
                    // The answer must not be shaped by the request before.
                    self.facts = RequestFacts {
                        version: self.judged,
                        ..RequestFacts::default()
                    };
                }
                self.state = State::Failed(error);
            }
            Ok(_) => {}
        }
        outcome
    }

    /// The client closed its sending side. A tunnel ends with a last event; None: nothing was under way.
    ///
    /// # Errors
    /// A request was cut off.
    pub fn on_eof(&mut self, input: &Buffer) -> Result<Option<Event>, CodecError> {
        match &self.state {
            State::Head(_) if input.is_empty() => Ok(None),
            State::Body(body) if body.ends_at_eof() => Ok(Some(Event::Data { end_stream: true })),
            State::Failed(error) => Err(*error),
            State::Head(_) | State::Body(_) => {
                Err(CodecError::syntax("connection closed in a request"))
            }
        }
    }

    /// Facts of the request whose head was decoded last.
    #[must_use]
    pub fn facts(&self) -> RequestFacts {
        self.facts
    }

    /// Bytes of the header lines of the head that was decoded last, as Envoy counts them: names, values and three bytes
    /// for each line.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// Whether nothing of a further request has been seen or is expected.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(&self.state, State::Head(scanner) if !scanner.has_begun())
    }

    /// Headers dropped since the last call because of an underscore (`dropped_headers_with_underscores`).
    pub fn take_dropped_underscores(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_underscores)
    }

    fn decode_head(
        &mut self,
        input: &mut Buffer,
        message: &mut Message,
    ) -> Result<Option<Event>, CodecError> {
        let State::Head(scanner) = &self.state else {
            return Ok(None);
        };
        self.judged = Version::default();
        if !scanner.has_begun() {
            // RFC 9112, section 2.2: empty lines in front of a request line are ignored.
            while input.starts_with(b"\r\n") {
                input.consume(2);
            }
            match input.first() {
                None => return Ok(None),
                Some(b'\r') if input.len() == 1 => return Ok(None),
                Some(&byte) if !may_begin_method(byte, &self.settings) => {
                    return Err(INVALID_METHOD);
                }
                Some(_) => {}
            }
            if let Some((length, facts, body)) = self.take_usual(input, &mut message.headers) {
                input.consume(length);
                return Ok(Some(self.taken(facts, body)));
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
        let (facts, body) = self.parse_head(&input[..end], lines, &mut message.headers)?;
        input.consume(end);
        Ok(Some(self.taken(facts, body)))
    }

    /// A head was taken.
    fn taken(&mut self, facts: RequestFacts, body: Option<Body>) -> Event {
        self.facts = facts;
        let end_stream = body.is_none();
        if let Some(body) = body {
            self.state = State::Body(body);
        }
        Event::Headers { end_stream }
    }

    /// Takes a usual head; also gives its length. None: it is unusual, or not there whole.
    fn take_usual(
        &mut self,
        input: &[u8],
        headers: &mut HeaderMap,
    ) -> Option<(usize, RequestFacts, Option<Body>)> {
        let settings = &*self.settings;
        let input = &input[..input.len().min(settings.max_head_bytes)];
        let mut head = UsualHead::new(input);
        let (method_end, target_end) = head.request_line()?;
        let (method, target) = (&input[..method_end], method_end + 1..target_end);
        let is_origin_form = input[target.start] == b'/' && method != b"CONNECT";
        if !is_origin_form || !method::is_registered(method) || keeps_case(settings) {
            return None;
        }
        let mut whole = WholeHead::begin(headers);
        whole.add_known(Known::Method, 0..method_end);
        whole.add_known(Known::Path, target);
        let pseudo_bytes = whole.byte_size();
        let lengths = head.header_lines(&mut whole, settings, Side::Request)?;
        let mut header_bytes = whole.byte_size() - pseudo_bytes + LINE_BYTES * (whole.len() - 2);
        if whole.contains(Known::Authority) {
            header_bytes -= AUTHORITY_FOR_HOST;
        }
        let seen = SeenRequest {
            method,
            version: Version::Http11,
            target: None,
            lengths,
            hosts: 1,
        };
        let head = head.bytes();
        let (facts, body) = seen.judge(whole.finish(head), settings).ok()?;
        self.header_bytes = header_bytes;
        Some((head.len(), facts, body))
    }

    fn parse_head(
        &mut self,
        bytes: &[u8],
        lines: usize,
        headers: &mut HeaderMap,
    ) -> Result<(RequestFacts, Option<Body>), CodecError> {
        head::with_header_room(lines, |room| {
            let mut request = httparse::Request::new(&mut []);
            match httparse::ParserConfig::default().parse_request_with_uninit_headers(
                &mut request,
                bytes,
                room,
            ) {
                Ok(httparse::Status::Complete(_)) => self.take_request(&request, headers),
                Ok(httparse::Status::Partial) => Err(CodecError::syntax("invalid request")),
                Err(reason) => Err(self.classify(bytes, lines, reason)),
            }
        })
    }

    /// The checks are in Envoy's order, so that a request with several faults gets Envoy's answer.
    fn take_request(
        &mut self,
        request: &httparse::Request<'_, '_>,
        headers: &mut HeaderMap,
    ) -> Result<(RequestFacts, Option<Body>), CodecError> {
        let settings = &*self.settings;
        let method = request.method.unwrap_or_default().as_bytes();
        let url = request.path.unwrap_or_default().as_bytes();
        let is_connect = method == b"CONNECT";
        if !settings.allow_custom_methods && !method::is_registered(method) {
            return Err(INVALID_METHOD);
        }
        target::check(url, is_connect)?;

        headers.set_name_case(name_case(settings));
        headers.append(Known::Method, method);
        let path_at_end = is_connect || (settings.allow_absolute_url && url.first() != Some(&b'/'));
        if !path_at_end {
            headers.append(Known::Path, url);
        }
        let pseudo = headers.len();
        let rules = Receive {
            joined: joined::REQUEST,
            host_is_authority: true,
        };
        let mut lengths = Lengths::default();
        let mut hosts = 0;
        self.header_bytes = 0;
        for header in request.headers.iter() {
            let name = header.name.as_bytes();
            self.header_bytes += name.len() + header.value.len() + LINE_BYTES;
            if settings.underscores != UnderscoreAction::Allow && name.contains(&b'_') {
                if settings.underscores == UnderscoreAction::RejectRequest {
                    return Err(error::UNDERSCORE);
                }
                self.dropped_underscores += 1;
                continue;
            }
            match headers.append_received(name, header.value, rules) {
                Some(Known::ContentLength) => lengths.content_length(header.value)?,
                Some(Known::TransferEncoding) => lengths.transfer_encoding(header.value),
                Some(Known::Authority) => hosts += 1,
                _ => {}
            }
            if headers.len() - pseudo > settings.max_headers {
                return Err(error::TOO_MANY_HEADERS);
            }
        }

        self.judged = Version::from_minor(request.version);
        let seen = SeenRequest {
            method,
            version: self.judged,
            target: path_at_end.then_some(url),
            lengths,
            hosts,
        };
        seen.judge(headers, settings)
    }

    /// The error of a head that `httparse` refused. It knows only HTTP/1.0 and 1.1, where Envoy
    /// tells any other version (or none) to upgrade.
    #[cold]
    fn classify(&mut self, head: &[u8], lines: usize, reason: httparse::Error) -> CodecError {
        let error = head::classify(head, reason);
        let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = line.split(|&byte| byte == b' ');
        let (method, url) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let valid_method = method::is_registered(method)
            || (self.settings.allow_custom_methods && validate::is_token(method));
        let valid_target = !url.is_empty()
            && !url.contains(&b'\r')
            && !head::has_control(url)
            && target::check(url, method == b"CONNECT").is_ok();
        if !valid_method || !valid_target {
            return error;
        }
        match (words.next(), words.next()) {
            (None, _) | (Some(b""), None) => error::LOW_VERSION,
            (Some(b"HTTP/1.0" | b"HTTP/1.1"), _) => error,
            (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                // Other faults go before the version, as in a request of HTTP/1.0.
                let at_end_of_line = &head[line.len()..];
                let head = [method, b" ", url, b" HTTP/1.0", at_end_of_line].concat();
                let judged = self.parse_head(&head, lines, &mut HeaderMap::new());
                judged.err().unwrap_or(error::LOW_VERSION)
            }
            _ => error,
        }
    }
}

const INVALID_METHOD: CodecError = CodecError::syntax("invalid method");

/// Envoy judges the first byte at once, so that another protocol's bytes are not waited on.
fn may_begin_method(byte: u8, settings: &H1Settings) -> bool {
    if settings.allow_custom_methods {
        byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
    } else {
        b"ABCDGHLMNOPQRSTU".contains(&byte)
    }
}
