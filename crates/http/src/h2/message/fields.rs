//! One field at a time.

use super::{Reader, Section};
use crate::h1::{UnderscoreAction, joins_in_requests, joins_in_responses};
use crate::h2::bytes;
use crate::h2::fault::Fault;
use crate::h2::hpack::{Field, Visit};
use crate::h2::stream::Method;
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

/// Fields that are more than names and values here.
const SPECIAL: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::ContentLength,
    Known::Te,
    Known::Cookie,
    Known::Host,
]);

impl Reader<'_> {
    #[inline]
    pub(super) fn check(&mut self, headers: &mut HeaderMap, field: Field<'_>) -> Visit {
        self.fields += 1;
        let Field {
            known,
            name,
            value,
            indexed,
        } = field;
        let is_checked = indexed && self.trusts_tables;
        if name.len().max(value.len()) > self.settings.max_header_field_bytes {
            return self.fail(Fault::FieldTooLong);
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
                return self.fail(Fault::Header("invalid header name"));
            }
            if !bytes::is_value(value, self.settings.disallow_obs_text) {
                return self.fail(Fault::Header("invalid byte in a header value"));
            }
        }
        let Some(known) = known else {
            return self.underscores(name);
        };
        if !SPECIAL.contains(known) && !headers.contains(known) {
            return Visit::Store;
        }
        self.special(headers, known, value)
    }

    /// A field with a rule of its own, or one that is there already.
    fn special(&mut self, headers: &mut HeaderMap, known: Known, value: &[u8]) -> Visit {
        match known {
            _ if CONNECTION_FIELDS.contains(known) => {
                self.fail(Fault::Header("connection-specific header"))
            }
            Known::ContentLength => self.content_length(value),
            Known::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                self.fail(Fault::Header("te other than trailers"))
            }
            Known::Cookie if matches!(self.section, Section::Request { .. }) => {
                self.cookie(headers, value)
            }
            Known::Host if matches!(self.section, Section::Trailers { .. }) => Visit::Skip,
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
    fn underscores(&mut self, name: &[u8]) -> Visit {
        if self.settings.underscores == UnderscoreAction::Allow
            || !self.is_request()
            || !name.contains(&b'_')
        {
            return Visit::Store;
        }
        if self.settings.underscores == UnderscoreAction::RejectRequest {
            return self.fail(Fault::Underscore);
        }
        self.dropped += 1;
        Visit::Skip
    }

    /// Section 8.3: in front of all others, each once, and only those that are defined for this kind of message.
    #[inline]
    fn pseudo(
        &mut self,
        headers: &HeaderMap,
        known: Known,
        value: &[u8],
        is_checked: bool,
    ) -> Visit {
        if self.regular_seen {
            return self.fail(Fault::Header("pseudo header behind others"));
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
                request.is_http =
                    value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https");
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
            _ => return self.fail(Fault::Header("pseudo header not allowed here")),
        };
        if !valid {
            return self.fail(Fault::Header("invalid value of a pseudo header"));
        }
        if headers.contains(known) {
            return self.fail(Fault::Header("repeated pseudo header"));
        }
        Visit::Store
    }

    /// `host` stands for `:authority` where there is none, and is left out otherwise, as in Envoy.
    fn host(&mut self, headers: &mut HeaderMap, value: &[u8]) -> Visit {
        self.hosts = self.hosts.saturating_add(1);
        if self.hosts > 1 || !bytes::is_authority(value) {
            return self.fail(Fault::Header("invalid host"));
        }
        if !self.request.has_authority && matches!(self.section, Section::Request { .. }) {
            headers.append(Known::Authority, value);
            return self.stored(headers);
        }
        Visit::Skip
    }

    fn content_length(&mut self, value: &[u8]) -> Visit {
        if let Section::Response(method) = self.section {
            if self.status == 204 && self.content_length.is_none() && value == b"0" {
                self.content_length = Some(0);
                return Visit::Skip;
            }
            if self.status == 204 {
                return self.fail(Fault::Header("content-length in a 204 response"));
            }
            if self.status < 200 {
                return self.fail(Fault::Header("content-length in a 1xx response"));
            }
            let success = self.status / 100 == 2;
            if success && method == Method::Connect {
                return Visit::Skip;
            }
        }
        let length = decimal(value).filter(|_| self.content_length.is_none());
        if length.is_none() {
            return self.fail(Fault::Header("invalid content-length"));
        }
        self.content_length = length;
        match self.section {
            // It is checked against the body; behind the body it is of no use to anybody.
            Section::Trailers { .. } => Visit::Skip,
            _ => Visit::Store,
        }
    }

    fn cookie(&mut self, headers: &HeaderMap, value: &[u8]) -> Visit {
        if self.crumbs > 0 {
            self.cookies.extend_from_slice(b"; ");
        }
        self.cookies.extend_from_slice(value);
        self.crumbs += 1;
        self.stored(headers)
    }

    /// Envoy keeps one value of its inline headers and joins others to it.
    fn repetition(&mut self, headers: &mut HeaderMap, known: Known, value: &[u8]) -> Visit {
        if headers.contains(known)
            && if self.is_request() {
                joins_in_requests(known)
            } else {
                joins_in_responses(known)
            }
        {
            // Each join may move the value. What a peer writes with one byte must not cost kilobytes too often.
            if self.fields > self.settings.max_headers.saturating_mul(4) {
                return self.fail(Fault::TooMany);
            }
            headers.append_to_value(known, b",", value);
            return self.stored(headers);
        }
        Visit::Store
    }

    /// The field has been put where it belongs.
    fn stored(&mut self, headers: &HeaderMap) -> Visit {
        match self.check_limits(headers) {
            Ok(()) => Visit::Skip,
            Err(fault) => self.fail(fault),
        }
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> Visit {
        self.fault = Some(fault);
        Visit::Skip
    }

    pub(super) fn check_limits(&self, headers: &HeaderMap) -> Result<(), Fault> {
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
