//! Header blocks as messages: which fields may be there, and what they say together (RFC 9113, section 8).
//!
//! The rules are nghttp2's, with which Envoy 1.40 speaks HTTP/2; where they are not, `DEVIATIONS.md` says so.

mod fields;
mod whole;

use super::H2Settings;
use super::fault::Fault;
use super::hpack::{Field, Limit, Limits, Visit};
use super::stream::{Method, Stream};
use crate::{HeaderMap, Known};

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
        self.check(headers, field)
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

    /// Whether the cookies alone were beyond the byte limit.
    pub(super) fn cookies_too_large(&self) -> bool {
        self.cookies.len() > self.settings.max_header_bytes
    }
}
