//! The ways in which a connection or a stream fails, with Envoy's words for each.

use super::{ConnectionError, ErrorCode, StreamError, StreamKey};

/// What Envoy logs for every stream of a connection that ends because of what nghttp2 refused.
const CALLBACK: &str = "codec_error:The_user_callback_function_failed";

/// Details of the stream at fault.
pub(super) const INVALID_HEADER: &str = "http2.invalid.header.field";
pub(super) const MESSAGING: &str = "http2.violation.of.messaging.rule";
pub(super) const UNKNOWN: &str = "http2.unknown.nghttp2.error";
pub(super) const EMPTY_FRAMES: &str = "http2.inbound_empty_frames_flood";
pub(super) const OUTBOUND_FRAMES: &str = "http2.outbound_frames_flood";
pub(super) const UNDERSCORE: &str = "http2.unexpected_underscore";
pub(super) const TOO_MANY_HEADERS: &str = "http2.too_many_headers";
pub(super) const LIST_TOO_LARGE: &str = "http2.header_list_size_too_large";
pub(super) const REMOTE_RESET: &str = "http2.remote_reset";

/// A failed connection, before it is known whether a GOAWAY is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) error: ConnectionError,
    /// Say goodbye, with `reason` as debug data if it is nghttp2's own text.
    pub(super) go_away: Option<&'static str>,
}

/// Closed without a GOAWAY: what Envoy makes of a frame that nghttp2 calls invalid.
#[cold]
pub(super) fn silent(code: ErrorCode, reason: &'static str) -> Failure {
    Failure {
        error: ConnectionError {
            code,
            details: CALLBACK,
            reason,
            is_flood: false,
            stream: None,
            stream_details: UNKNOWN,
        },
        go_away: None,
    }
}

/// Closed without a GOAWAY because of a frame of this stream.
#[cold]
pub(super) fn on_stream(
    key: StreamKey,
    code: ErrorCode,
    stream_details: &'static str,
    reason: &'static str,
) -> Failure {
    let mut failure = silent(code, reason);
    failure.error.stream = Some(key);
    failure.error.stream_details = stream_details;
    failure
}

/// Closed after a GOAWAY with these words: what nghttp2 does itself.
#[cold]
pub(super) fn farewell(code: ErrorCode, reason: &'static str) -> Failure {
    Failure {
        go_away: Some(reason),
        ..silent(code, reason)
    }
}

/// Closed after a GOAWAY without words.
#[cold]
pub(super) fn wordless(code: ErrorCode, reason: &'static str) -> Failure {
    Failure {
        go_away: Some(""),
        ..silent(code, reason)
    }
}

/// A limit on frames was exceeded.
#[cold]
pub(super) fn flood(details: &'static str, reason: &'static str) -> Failure {
    let mut failure = silent(ErrorCode::ENHANCE_YOUR_CALM, reason);
    failure.error.details = details;
    failure.error.stream_details = details;
    failure.error.is_flood = true;
    failure
}

impl Failure {
    /// Found in the header block of a request that Envoy has counted by then, and logs without headers.
    #[cold]
    pub(super) fn in_request(mut self, key: StreamKey) -> Self {
        self.error.stream = Some(key);
        self.error.stream_details = self.error.details;
        self
    }
}

#[cold]
pub(super) fn bad_preface() -> Failure {
    let mut failure = silent(ErrorCode::PROTOCOL_ERROR, "bad client preface");
    failure.error.details = "codec_error:Received_bad_client_magic_byte_string";
    failure
}

/// A message that breaks a rule of HTTP, or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A field is invalid.
    Header(&'static str),
    /// The fields do not make a message.
    Messaging(&'static str),
    /// A name has an underscore.
    Underscore,
    /// More headers than allowed.
    TooMany,
    /// More bytes of headers than allowed.
    TooLarge,
    /// A name or value beyond the limit of one field. The connection ends as by a compression error.
    FieldTooLong,
}

impl Fault {
    /// Whether Envoy ends the connection for it unless told otherwise.
    pub(super) fn is_invalid_message(self) -> bool {
        matches!(self, Self::Header(_) | Self::Messaging(_))
    }

    #[cold]
    pub(super) fn error(self) -> StreamError {
        let (code, details, reason) = match self {
            Self::Header(reason) => (ErrorCode::PROTOCOL_ERROR, INVALID_HEADER, reason),
            Self::Messaging(reason) => (ErrorCode::PROTOCOL_ERROR, MESSAGING, reason),
            Self::Underscore => (
                ErrorCode::INTERNAL_ERROR,
                UNDERSCORE,
                "header name contains underscores",
            ),
            Self::TooMany => (
                ErrorCode::INTERNAL_ERROR,
                TOO_MANY_HEADERS,
                "headers count exceeds limit",
            ),
            Self::TooLarge => (
                ErrorCode::INTERNAL_ERROR,
                LIST_TOO_LARGE,
                "headers size exceeds limit",
            ),
            Self::FieldTooLong => (
                ErrorCode::COMPRESSION_ERROR,
                UNKNOWN,
                "header field exceeds limit",
            ),
        };
        StreamError {
            code,
            details,
            reason,
        }
    }
}
