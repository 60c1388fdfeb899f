//! What is wrong with a message, and how Envoy answers it.

use std::fmt;

use crate::status;

/// A message that breaks the protocol. The connection cannot be used any further: answer (server side), then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecError {
    /// What a server answers: 400, 426, 431 or 501. A client turns any of them into a protocol-error reset (502).
    pub status: u16,
    /// Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub details: &'static str,
    /// What exactly was wrong, for debug logs.
    pub reason: &'static str,
}

impl CodecError {
    pub(crate) const fn bad(details: &'static str, reason: &'static str) -> Self {
        Self {
            status: 400,
            details,
            reason,
        }
    }

    /// Syntax errors share one detail.
    pub(crate) const fn syntax(reason: &'static str) -> Self {
        Self::bad("http1.codec_error", reason)
    }

    /// The body of Envoy's answer (`text/plain`): the reason phrase of the status.
    #[must_use]
    pub const fn body(&self) -> &'static str {
        status::reason(self.status)
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "http/1.1 protocol error: {} ({})",
            self.reason, self.details
        )
    }
}

impl std::error::Error for CodecError {}

pub(crate) const INVALID_CHARACTERS: CodecError =
    CodecError::bad("http1.invalid_characters", "control character in the head");
pub(crate) const INVALID_URL: CodecError =
    CodecError::bad("http1.invalid_url", "invalid url in request line");
pub(crate) const INVALID_SCHEME: CodecError = CodecError::bad(
    "http1.invalid_scheme",
    "scheme of the request target is neither http nor https",
);
pub(crate) const HTTPS_IN_PLAINTEXT: CodecError = CodecError {
    status: 403,
    details: "http1.https_url_on_plaintext_connection",
    reason: "https in the clear",
};
pub(crate) const INVALID_AUTHORITY: CodecError =
    CodecError::bad("http.invalid_authority", "invalid byte in the host header");
pub(crate) const SEVERAL_HOSTS: CodecError =
    CodecError::bad("http.invalid_authority", "more than one host header");
/// A header's name has an underscore, which the settings refuse. Counted apart by the connection manager.
pub const UNDERSCORE: CodecError = CodecError::bad(
    "http1.unexpected_underscore",
    "header name contains underscores",
);
pub(crate) const CONNECTION_REJECTED: CodecError = CodecError::bad(
    "http1.connection_header_rejected",
    "connection names headers that must not be removed",
);
pub(crate) const LENGTH_AND_CHUNKED: CodecError = CodecError::bad(
    "http1.content_length_and_chunked_not_allowed",
    "both content-length and transfer-encoding are set",
);
pub(crate) const BODY_DISALLOWED: CodecError =
    CodecError::bad("http1.body_disallowed", "content-length not allowed here");
pub(crate) const LENGTH_DISALLOWED: CodecError = CodecError::bad(
    "http1.content_length_not_allowed",
    "content-length not allowed in 1xx or 204",
);
pub(crate) const ENCODING_DISALLOWED: CodecError = CodecError::bad(
    "http1.transfer_encoding_not_allowed",
    "transfer-encoding not allowed in 1xx or 204",
);
pub(crate) const INVALID_ENCODING: CodecError = CodecError {
    status: 501,
    details: "http1.invalid_transfer_encoding",
    reason: "unsupported transfer encoding",
};
pub(crate) const LOW_VERSION: CodecError = CodecError {
    status: 426,
    details: "low_version",
    reason: "protocol version is not HTTP/1.1",
};
pub(crate) const HEAD_TOO_LARGE: CodecError = CodecError {
    status: 431,
    details: "http1.headers_too_large",
    reason: "headers size exceeds limit",
};
pub(crate) const TOO_MANY_HEADERS: CodecError = CodecError {
    status: 431,
    details: "http1.too_many_headers",
    reason: "headers count exceeds limit",
};
pub(crate) const BARE_LF: CodecError = CodecError::syntax("line ends without CR");
pub(crate) const TOO_MANY_TRAILERS: CodecError = CodecError {
    status: 431,
    details: "http1.too_many_headers",
    reason: "trailers count exceeds limit",
};
