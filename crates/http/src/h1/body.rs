//! How the body of a message is delimited (RFC 9112, section 6), and reading it.

use nuncio_buffer::Buffer;

use super::chunked::ChunkedDecoder;
use super::error::CodecError;
use super::settings::H1Settings;
use crate::{Event, Message};

/// What remains of the current message.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, then trailers.
    Chunked(ChunkedDecoder),
    /// Everything until the connection ends: a response without length, or a tunnel.
    UntilClose,
}

impl Body {
    /// Takes what it can from `input`. None: more input is needed.
    pub(super) fn decode(
        &mut self,
        settings: &H1Settings,
        input: &mut Buffer,
        message: &mut Message,
    ) -> Result<Option<Event>, CodecError> {
        if input.is_empty() {
            return Ok(None);
        }
        match self {
            Self::Length(remaining) => {
                let n = usize::try_from(*remaining)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                input.move_to(&mut message.data, n);
                *remaining -= n as u64;
                Ok(Some(Event::Data {
                    end_stream: *remaining == 0,
                }))
            }
            Self::Chunked(chunks) => chunks.decode(settings, input, message),
            Self::UntilClose => {
                message.data.append(input);
                Ok(Some(Event::Data { end_stream: false }))
            }
        }
    }

    /// How many bytes come next that need no decoding.
    pub(super) fn verbatim(&self) -> u64 {
        match self {
            Self::Length(remaining) => *remaining,
            Self::Chunked(_) => 0,
            Self::UntilClose => u64::MAX,
        }
    }

    /// So many bytes, at most [`Self::verbatim`], were taken from the connection by somebody else.
    pub(super) fn skip(&mut self, count: u64) -> Event {
        if let Self::Length(remaining) = self {
            *remaining -= count;
        }
        Event::Data {
            end_stream: matches!(self, Self::Length(0)),
        }
    }

    /// Whether the end of the connection ends the message properly.
    pub(super) fn ends_at_eof(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}
