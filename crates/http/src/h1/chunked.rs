//! The chunked transfer coding (RFC 9112, section 7.1).

use nuncio_buffer::Buffer;

use super::error::{self, CodecError};
use super::head::{self, HeadScanner};
use super::settings::H1Settings;
use crate::{Event, Known, Message};

/// Longest chunk-size line in bytes, extensions included. Envoy has no limit, which lets a peer spend a
/// megabyte of extensions per byte of body.
const MAX_SIZE_LINE: usize = 4096;

#[derive(Debug)]
enum State {
    /// In the digits of a chunk size. `line` counts the bytes of the line so far.
    Size {
        size: u64,
        line: usize,
        digits: bool,
    },
    /// Behind the digits: white space, then an extension or the end of the line.
    Pad { size: u64, line: usize },
    /// In an extension, which is ignored.
    Extension { size: u64, line: usize },
    /// Behind the CR of a size line.
    SizeLf { size: u64 },
    /// In the data of a chunk: so many bytes remain.
    Data { remaining: u64 },
    /// Behind the data of a chunk.
    DataCr,
    /// Behind the CR that follows the data of a chunk.
    DataLf,
    /// Behind the line of the last chunk: trailers up to an empty line.
    Trailers(HeadScanner),
}

const LINE_START: State = State::Size {
    size: 0,
    line: 0,
    digits: false,
};

/// Decodes one chunked body.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        Self { state: LINE_START }
    }

    /// Takes what it can from `input`. None: more input is needed. Consumes nothing beyond the message.
    ///
    /// Data in front of an error is reported first, so that what comes out does not depend on how the
    /// input was cut; the error is found again at the next call.
    pub(super) fn decode(
        &mut self,
        settings: &H1Settings,
        input: &mut Buffer,
        message: &mut Message,
    ) -> Result<Option<Event>, CodecError> {
        let before = message.data.len();
        let outcome = self.advance(settings, input, message, before);
        if matches!(outcome, Ok(None) | Err(_)) && message.data.len() > before {
            return Ok(Some(Event::Data { end_stream: false }));
        }
        outcome
    }

    /// Goes as far as the input allows. None: the input is used up, or data must be reported before trailers.
    fn advance(
        &mut self,
        settings: &H1Settings,
        input: &mut Buffer,
        message: &mut Message,
        before: usize,
    ) -> Result<Option<Event>, CodecError> {
        loop {
            match &mut self.state {
                State::Data { remaining } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let n = usize::try_from(*remaining)
                        .unwrap_or(usize::MAX)
                        .min(input.len());
                    input.move_to(&mut message.data, n);
                    *remaining -= n as u64;
                    if *remaining == 0 {
                        self.state = State::DataCr;
                    }
                }
                State::Trailers(scanner) => {
                    let Some(end) = scanner.find_end(input, settings.max_head_bytes)? else {
                        return Ok(None);
                    };
                    if scanner.lines() > 0 {
                        if settings.enable_trailers && message.data.len() > before {
                            return Ok(None);
                        }
                        parse_trailers(settings, &input[..end], scanner.lines(), message)?;
                    }
                    let has_trailers = scanner.lines() > 0 && settings.enable_trailers;
                    input.consume(end);
                    return Ok(Some(if has_trailers {
                        Event::Trailers
                    } else {
                        Event::Data { end_stream: true }
                    }));
                }
                _ => {
                    let Some(&byte) = input.first() else {
                        return Ok(None);
                    };
                    self.line_byte(byte)?;
                    input.consume(1);
                }
            }
        }
    }

    /// One byte of a size line or of the line end behind chunk data.
    fn line_byte(&mut self, byte: u8) -> Result<(), CodecError> {
        self.state = match self.state {
            State::Size { size, line, digits } => match (char::from(byte).to_digit(16), byte) {
                (Some(_), _) if line >= MAX_SIZE_LINE => return Err(SIZE_LINE_TOO_LONG),
                (Some(_), _) if size >> 60 != 0 => return Err(INVALID_SIZE),
                (Some(digit), _) => State::Size {
                    size: size << 4 | u64::from(digit),
                    line: line + 1,
                    digits: true,
                },
                (None, b' ' | b'\t') if digits => State::Pad {
                    size,
                    line: line + 1,
                },
                (None, b';') if digits => State::Extension {
                    size,
                    line: line + 1,
                },
                (None, b'\r') if digits => State::SizeLf { size },
                _ => return Err(INVALID_SIZE),
            },
            State::Pad { line, .. } | State::Extension { line, .. } if line >= MAX_SIZE_LINE => {
                return Err(SIZE_LINE_TOO_LONG);
            }
            State::Pad { size, line } => match byte {
                b' ' | b'\t' => State::Pad {
                    size,
                    line: line + 1,
                },
                b';' => State::Extension {
                    size,
                    line: line + 1,
                },
                b'\r' => State::SizeLf { size },
                _ => return Err(INVALID_SIZE),
            },
            State::Extension { size, line } => match byte {
                b'\r' => State::SizeLf { size },
                b'\t' | b' '..=b'~' | 0x80.. => State::Extension {
                    size,
                    line: line + 1,
                },
                _ => return Err(INVALID_EXTENSION),
            },
            State::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => State::Trailers(HeadScanner::default()),
                (b'\n', remaining) => State::Data { remaining },
                _ => return Err(INVALID_SIZE),
            },
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => LINE_START,
            State::DataCr | State::DataLf => return Err(MISSING_LINE_END),
            State::Data { .. } | State::Trailers(_) => unreachable!("not in a line"),
        };
        Ok(())
    }
}

const INVALID_SIZE: CodecError = CodecError::syntax("invalid chunk size");
const INVALID_EXTENSION: CodecError = CodecError::syntax("invalid chunk extension");
const SIZE_LINE_TOO_LONG: CodecError = CodecError::syntax("chunk size line too long");
const MISSING_LINE_END: CodecError = CodecError::syntax("no line end behind chunk data");

/// Checks a trailer section and stores it if trailers are enabled.
fn parse_trailers(
    settings: &H1Settings,
    section: &[u8],
    lines: usize,
    message: &mut Message,
) -> Result<(), CodecError> {
    let mut room = vec![httparse::EMPTY_HEADER; lines];
    match httparse::parse_headers(section, &mut room) {
        Ok(httparse::Status::Complete((_, trailers))) if settings.enable_trailers => {
            for trailer in trailers {
                message
                    .trailers
                    .append_text(trailer.name.as_bytes(), trailer.value);
                if message.trailers.len() > settings.max_headers {
                    return Err(error::TOO_MANY_TRAILERS);
                }
            }
            // Framing and routing must not be changed by what comes last (RFC 9110, section 6.5.1).
            for name in [Known::ContentLength, Known::TransferEncoding, Known::Host] {
                message.trailers.remove(name);
            }
            Ok(())
        }
        Ok(httparse::Status::Complete(_)) => Ok(()),
        Ok(httparse::Status::Partial) => Err(CodecError::syntax("invalid trailers")),
        Err(reason) => Err(head::classify(section, reason)),
    }
}
