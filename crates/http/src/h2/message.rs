//! Header blocks as messages: which fields may be there, and what they say together (RFC 9113, section 8).
//!
//! The rules are nghttp2's, with which Envoy 1.40 speaks HTTP/2; where they are not, `DEVIATIONS.md` says so.

use super::H2Settings;
use super::bytes;
use super::fault::Fault;
use super::hpack::{Field, Limit, Limits, Visit};
use super::stream::{Method, Stream};
use crate::h1::{UnderscoreAction, joins_in_requests, joins_in_responses};
use crate::headers::KnownSet;
use crate::{HeaderMap, Known};

/// Fields that belong to a connection and have no place here (section 8.2.2).
const CONNECTION_FIELDS: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Request {
        /// `:protocol` is allowed (RFC 8441).
        connect_protocol: bool,
    },
    /// A response to a request of this method.
    Response(Method),
    Trailers {
        of_request: bool,
    },
}

/// What was learned of a valid block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Body bytes that are to come, if that is known.
    pub(super) content_length: Option<u64>,
    /// 1xx: the final response follows.
    pub(super) informational: bool,
}

/// What the pseudo headers of a request were seen to say.
#[derive(Clone, Copy, Debug, Default)]
struct RequestLine {
    has_method: bool,
    is_connect: bool,
    is_options: bool,
    has_scheme: bool,
    /// `http` or `https`, for which a path has a form.
    is_http: bool,
    has_path: bool,
    /// It begins with a slash.
    is_path_absolute: bool,
    is_path_asterisk: bool,
    has_authority: bool,
    has_protocol: bool,
}

/// Checks the fields of one block as they are decoded.
pub(super) struct Reader<'a> {
    settings: &'a H2Settings,
    trusts_tables: bool,
    section: Section,
    /// Cookie crumbs, to be joined (section 8.2.3).
    cookies: &'a mut Vec<u8>,
    crumbs: usize,
    /// Fields shown, joined ones included.
    fields: usize,
    regular_seen: bool,
    hosts: u8,
    request: RequestLine,
    status: u16,
    content_length: Option<u64>,
    fault: Option<Fault>,
    /// Fields left out because of an underscore.
    pub(super) dropped: u32,
}

impl<'a> Reader<'a> {
    /// A reader for one block. `cookies` is scratch space.
    ///
    /// `trusts_tables`: every field that the tables hold has been checked when it was put there.
    pub(super) fn new(
        settings: &'a H2Settings,
        section: Section,
        trusts_tables: bool,
        cookies: &'a mut Vec<u8>,
    ) -> Self {
        cookies.clear();
        Self {
            settings,
            trusts_tables,
            section,
            cookies,
            crumbs: 0,
            fields: 0,
            regular_seen: false,
            hosts: 0,
            request: RequestLine::default(),
            status: 0,
            content_length: None,
            fault: None,
            dropped: 0,
        }
    }

    /// For [`hpack::Decoder::decode`](super::hpack::Decoder::decode).
    pub(super) fn limits(&self) -> Limits {
        Limits {
            bytes: self.settings.max_header_bytes,
            count: self.settings.max_headers,
        }
    }

    /// Looks at one field.
    #[inline]
    pub(super) fn visit(&mut self, headers: &mut HeaderMap, field: Field<'_>) -> Visit {
        if self.fault.is_some() {
            return Visit::Skip;
        }
        match self.check(headers, field) {
            Ok(visit) => visit,
            Err(fault) => {
                self.fault = Some(fault);
                Visit::Skip
            }
        }
    }

    #[inline]
    fn check(&mut self, headers: &mut HeaderMap, field: Field<'_>) -> Result<Visit, Fault> {
        self.fields += 1;
        let Field {
            known,
            name,
            value,
            indexed,
        } = field;
        let is_checked = indexed && self.trusts_tables;
        if name.len().max(value.len()) > self.settings.max_header_field_bytes {
            return Err(Fault::FieldTooLong);
        }
        if let Some(known) = known.filter(|known| known.is_pseudo()) {
            return self.pseudo(headers, known, value, is_checked);
        }
        self.regular_seen = true;
        if known == Some(Known::Host) && self.is_request() {
            return self.host(headers, value);
        }
        if !is_checked {
            if known.is_none() && !bytes::is_name(name) {
                return Err(Fault::Header("invalid header name"));
            }
            if !bytes::is_value(value, self.settings.disallow_obs_text) {
                return Err(Fault::Header("invalid byte in a header value"));
            }
        }
        let Some(known) = known else {
            return self.underscores(name);
        };
        if CONNECTION_FIELDS.contains(known) {
            return Err(Fault::Header("connection-specific header"));
        }
        match known {
            Known::ContentLength => self.content_length(value),
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                Err(Fault::Header("te other than trailers"))
            }
            Known::Cookie if matches!(self.section, Section::Request { .. }) => {
                self.cookie(headers, value)
            }
            Known::Host if matches!(self.section, Section::Trailers { .. }) => Ok(Visit::Skip),
            _ => self.repetition(headers, known, value),
        }
    }

    fn is_request(&self) -> bool {
        matches!(
            self.section,
            Section::Request { .. } | Section::Trailers { of_request: true }
        )
    }

    #[inline]
    fn underscores(&mut self, name: &[u8]) -> Result<Visit, Fault> {
        if self.settings.underscores == UnderscoreAction::Allow
            || !self.is_request()
            || !name.contains(&b'_')
        {
            return Ok(Visit::Store);
        }
        if self.settings.underscores == UnderscoreAction::RejectRequest {
            return Err(Fault::Underscore);
        }
        self.dropped += 1;
        Ok(Visit::Skip)
    }

    /// Section 8.3: in front of all others, each once, and only those that are defined for this kind of message.
    #[inline]
    fn pseudo(
        &mut self,
        headers: &HeaderMap,
        known: Known,
        value: &[u8],
        is_checked: bool,
    ) -> Result<Visit, Fault> {
        if self.regular_seen {
            return Err(Fault::Header("pseudo header behind others"));
        }
        let request = &mut self.request;
        let valid = match (self.section, known) {
            (Section::Request { .. }, Known::Method) => {
                request.has_method = true;
                request.is_connect = value == b"CONNECT";
                request.is_options = value == b"OPTIONS";
                is_checked || bytes::is_method(value)
            }
            (Section::Request { .. }, Known::Scheme) => {
                request.has_scheme = true;
                request.is_http = matches!(value, b"http" | b"https");
                is_checked || bytes::is_scheme(value)
            }
            (Section::Request { .. }, Known::Authority) => {
                request.has_authority = true;
                is_checked || bytes::is_authority(value)
            }
            (Section::Request { .. }, Known::Path) => {
                request.has_path = true;
                request.is_path_absolute = value.first() == Some(&b'/');
                request.is_path_asterisk = value == b"*";
                is_checked || bytes::is_path(value)
            }
            (
                Section::Request {
                    connect_protocol: true,
                },
                Known::Protocol,
            ) => {
                request.has_protocol = true;
                !value.is_empty() && (is_checked || bytes::is_value(value, true))
            }
            (Section::Response(_), Known::Status) => {
                self.status = three_digits(value);
                self.status >= 100 && self.status != 101
            }
            _ => return Err(Fault::Header("pseudo header not allowed here")),
        };
        if !valid {
            return Err(Fault::Header("invalid value of a pseudo header"));
        }
        if headers.contains(known) {
            return Err(Fault::Header("repeated pseudo header"));
        }
        Ok(Visit::Store)
    }

    /// `host` stands for `:authority` where there is none, and is left out otherwise, as in Envoy.
    fn host(&mut self, headers: &mut HeaderMap, value: &[u8]) -> Result<Visit, Fault> {
        self.hosts = self.hosts.saturating_add(1);
        if self.hosts > 1 || !bytes::is_authority(value) {
            return Err(Fault::Header("invalid host"));
        }
        if !self.request.has_authority && matches!(self.section, Section::Request { .. }) {
            headers.append(Known::Authority, value);
            self.check_limits(headers)?;
        }
        Ok(Visit::Skip)
    }

    fn content_length(&mut self, value: &[u8]) -> Result<Visit, Fault> {
        if let Section::Response(method) = self.section {
            if self.status == 204 && self.content_length.is_none() && value == b"0" {
                self.content_length = Some(0);
                return Ok(Visit::Skip);
            }
            if self.status == 204 {
                return Err(Fault::Header("content-length in a 204 response"));
            }
            let success = self.status / 100 == 2;
            if self.status < 200 || (success && method == Method::Connect) {
                return Ok(Visit::Skip);
            }
        }
        let length = decimal(value).filter(|_| self.content_length.is_none());
        self.content_length = Some(length.ok_or(Fault::Header("invalid content-length"))?);
        Ok(match self.section {
            // It has been checked against the body; behind the body it is of no use to anybody.
            Section::Trailers { .. } => Visit::Skip,
            _ => Visit::Store,
        })
    }

    fn cookie(&mut self, headers: &HeaderMap, value: &[u8]) -> Result<Visit, Fault> {
        if self.crumbs > 0 {
            self.cookies.extend_from_slice(b"; ");
        }
        self.cookies.extend_from_slice(value);
        self.crumbs += 1;
        self.check_limits(headers)?;
        Ok(Visit::Skip)
    }

    /// Envoy keeps one value of its inline headers and joins others to it.
    #[inline]
    fn repetition(
        &mut self,
        headers: &mut HeaderMap,
        known: Known,
        value: &[u8],
    ) -> Result<Visit, Fault> {
        if headers.contains(known)
            && if self.is_request() {
                joins_in_requests(known)
            } else {
                joins_in_responses(known)
            }
        {
            // Each join may move the value. What a peer writes with one byte must not cost kilobytes too often.
            if self.fields > self.settings.max_headers.saturating_mul(4) {
                return Err(Fault::TooMany);
            }
            headers.append_to_value(known, b",", value);
            self.check_limits(headers)?;
            return Ok(Visit::Skip);
        }
        Ok(Visit::Store)
    }

    fn check_limits(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let cookies = if self.crumbs > 0 {
            Known::Cookie.as_bytes().len() + self.cookies.len()
        } else {
            0
        };
        if headers.byte_size() + cookies > self.settings.max_header_bytes {
            return Err(Fault::TooLarge);
        }
        if headers.len() + self.crumbs > self.settings.max_headers {
            return Err(Fault::TooMany);
        }
        Ok(())
    }

    /// Judges the block as a whole. `exceeded` is what the decoder said, `stream` has what was learned of its message so far.
    pub(super) fn finish(
        &mut self,
        exceeded: Option<Limit>,
        headers: &mut HeaderMap,
        end_stream: bool,
        stream: Option<&Stream>,
    ) -> Result<Facts, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        match exceeded {
            Some(Limit::Bytes) => return Err(Fault::TooLarge),
            Some(Limit::Count) => return Err(Fault::TooMany),
            None => {}
        }
        if self.crumbs > 0 {
            self.check_limits(headers)?;
            headers.append(Known::Cookie, self.cookies);
        }
        match self.section {
            Section::Request { .. } => self.finish_request(end_stream),
            Section::Response(method) => self.finish_response(method, end_stream),
            Section::Trailers { .. } => self.finish_trailers(end_stream, stream),
        }
    }

    fn finish_request(&self, end_stream: bool) -> Result<Facts, Fault> {
        let line = &self.request;
        let has_host = line.has_authority || self.hosts > 0;
        if line.is_connect && !line.has_protocol {
            if line.has_path || line.has_scheme || !line.has_authority {
                return Err(Fault::Messaging("malformed CONNECT request"));
            }
            return Ok(Facts::default());
        }
        if !(line.has_method && line.has_path && line.has_scheme && has_host) {
            return Err(Fault::Messaging("a pseudo header is missing"));
        }
        if line.has_protocol && !(line.is_connect && line.has_authority) {
            return Err(Fault::Messaging("malformed extended CONNECT request"));
        }
        if line.is_http && !line.is_path_absolute && !(line.is_options && line.is_path_asterisk) {
            return Err(Fault::Messaging("path does not begin with a slash"));
        }
        self.length(end_stream)
    }

    fn finish_response(&self, method: Method, end_stream: bool) -> Result<Facts, Fault> {
        match self.status {
            0 => Err(Fault::Messaging("response without :status")),
            100..200 if end_stream => Err(Fault::Messaging("1xx response ends the stream")),
            100..200 => Ok(Facts {
                informational: true,
                content_length: None,
            }),
            204 | 304 => Ok(Facts {
                content_length: Some(0),
                informational: false,
            }),
            _ if method == Method::Head => Ok(Facts {
                content_length: Some(0),
                informational: false,
            }),
            200..300 if method == Method::Connect => Ok(Facts::default()),
            _ => self.length(end_stream),
        }
    }

    fn finish_trailers(&self, end_stream: bool, stream: Option<&Stream>) -> Result<Facts, Fault> {
        if !end_stream {
            return Err(Fault::Messaging("trailers do not end the stream"));
        }
        let Some(stream) = stream else {
            return Ok(Facts::default());
        };
        if self.content_length.is_some() && stream.expected.is_some() {
            return Err(Fault::Header("repeated content-length"));
        }
        let expected = stream.expected.or(self.content_length);
        if expected.is_some_and(|expected| expected != stream.received) {
            return Err(Fault::Messaging("body shorter than content-length"));
        }
        Ok(Facts {
            content_length: self.content_length,
            informational: false,
        })
    }

    fn length(&self, end_stream: bool) -> Result<Facts, Fault> {
        if end_stream && self.content_length.is_some_and(|length| length > 0) {
            return Err(Fault::Messaging("no body, but a content-length"));
        }
        Ok(Facts {
            content_length: self.content_length,
            informational: false,
        })
    }

    /// Whether the cookies alone were beyond the byte limit.
    pub(super) fn cookies_too_large(&self) -> bool {
        self.cookies.len() > self.settings.max_header_bytes
    }
}

/// A number of three digits, or 0.
fn three_digits(value: &[u8]) -> u16 {
    match *value {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => 0,
    }
}

/// A decimal number below 2^63.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        let number = number.checked_mul(10)?.checked_add(digit)?;
        (number <= i64::MAX as u64).then_some(number)
    })
}
