//! Error codes, and how Envoy names what went wrong.

use std::fmt;

use super::StreamKey;

/// An error code of `RST_STREAM` and `GOAWAY` (RFC 9113, section 7). Unknown codes are kept as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Graceful end.
    pub const NO_ERROR: Self = Self(0x0);
    /// An unspecific breach of the protocol.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// The implementation failed; also what Envoy resets a stream with whose headers are beyond a limit.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More bytes than the window allowed, or a window of more than 2^31-1.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// SETTINGS were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame for a half-closed stream.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame of a wrong size.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// The stream was not processed at all; the request may be sent again.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is not needed any more.
    pub const CANCEL: Self = Self(0x8);
    /// The header compression state is lost.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The connection that CONNECT made was reset.
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// Too much load.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    /// The transport is not safe enough.
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    /// HTTP/1.1 is required for this request.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);
}

/// The connection cannot be used any further. What is to be sent before the close (a GOAWAY, where Envoy
/// sends one) is in the output already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// What a GOAWAY says, or would say where Envoy closes without one.
    pub code: ErrorCode,
    /// Envoy's `%RESPONSE_CODE_DETAILS%` of every open stream: `codec_error:` and a text. They end with flag `DPE`.
    pub details: &'static str,
    /// What exactly was wrong, for debug logs.
    pub reason: &'static str,
    /// A limit on frames was exceeded: Envoy does not count that as a protocol error of the connection.
    pub is_flood: bool,
    /// The stream whose frame was at fault, if Envoy gives it details of its own. A server driver may have no object for
    /// it yet: Envoy logs such a request with flag `DPE` and without headers.
    pub stream: Option<StreamKey>,
    /// `%RESPONSE_CODE_DETAILS%` of that stream.
    pub stream_details: &'static str,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "http/2 error {:#x}: {} ({})",
            self.code.0, self.reason, self.details
        )
    }
}

impl std::error::Error for ConnectionError {}

/// A message or frame that ends its stream only. The `RST_STREAM` is in the output already.
///
/// Envoy's flag is `DPE` if the code is `PROTOCOL_ERROR`, otherwise `DR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// What the `RST_STREAM` says.
    pub code: ErrorCode,
    /// Envoy's `%RESPONSE_CODE_DETAILS%`.
    pub details: &'static str,
    /// What exactly was wrong, for debug logs.
    pub reason: &'static str,
}
