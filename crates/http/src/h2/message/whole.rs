//! What the fields of a block say together.

use super::{Facts, Reader};
use crate::h2::fault::Fault;
use crate::h2::stream::{Method, Stream};

impl Reader<'_> {
    pub(super) fn finish_request(&self, end_stream: bool) -> Result<Facts, Fault> {
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

    pub(super) fn finish_response(&self, method: Method, end_stream: bool) -> Result<Facts, Fault> {
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

    pub(super) fn finish_trailers(
        &self,
        end_stream: bool,
        stream: Option<&Stream>,
    ) -> Result<Facts, Fault> {
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
}
