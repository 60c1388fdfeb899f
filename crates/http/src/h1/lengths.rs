//! `Content-Length` and `Transfer-Encoding` of one message (RFC 9112, sections 6.1 and 6.2).

use super::error::{self, CodecError};
use super::settings::H1Settings;
use crate::{HeaderMap, Known};

/// What the two headers say, gathered line by line: lines are judged before they are joined, so that an empty
/// second line cannot hide.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// The one content length.
    pub(super) length: Option<u64>,
    encodings: u32,
    chunked: bool,
}

impl Lengths {
    /// A `Content-Length` line. Envoy refuses a second one even if it is equal.
    pub(super) fn content_length(&mut self, value: &[u8]) -> Result<(), CodecError> {
        if self.length.is_some() {
            return Err(CodecError::syntax("more than one content-length"));
        }
        let mut length = 0_u64;
        for byte in value {
            let digit = byte.wrapping_sub(b'0');
            let next = length
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(digit)));
            length = next.filter(|_| digit <= 9).ok_or(INVALID_LENGTH)?;
        }
        if value.is_empty() {
            return Err(INVALID_LENGTH);
        }
        self.length = Some(length);
        Ok(())
    }

    /// A `Transfer-Encoding` line.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) {
        self.encodings += 1;
        self.chunked = self.encodings == 1 && value.eq_ignore_ascii_case(b"chunked");
    }

    /// Whether the body is chunked. Only one `Transfer-Encoding: chunked` is understood; a
    /// `Content-Length` beside it is removed where that is allowed.
    pub(super) fn settle(
        &mut self,
        headers: &mut HeaderMap,
        settings: &H1Settings,
    ) -> Result<bool, CodecError> {
        if self.encodings == 0 {
            return Ok(false);
        }
        if self.length.is_some() {
            if !(self.chunked && settings.allow_chunked_length) {
                return Err(error::LENGTH_AND_CHUNKED);
            }
            headers.remove(Known::ContentLength);
            self.length = None;
        }
        if self.chunked {
            Ok(true)
        } else {
            Err(error::INVALID_ENCODING)
        }
    }
}

const INVALID_LENGTH: CodecError = CodecError::syntax("invalid content-length");
