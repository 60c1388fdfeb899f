//! Feeds bytes to a decoder and writes down what came out.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h1::{ClientDecoder, CodecError, H1Settings, RequestKind, ServerDecoder};
use nuncio_http::{Event, HeaderMap, Message};

/// One message as it was decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Header lists of 1xx responses in front of it.
    pub(crate) informational: Vec<HeaderMap>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) complete: bool,
}

/// All that came out of a connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) messages: Vec<Seen>,
    pub(crate) error: Option<CodecError>,
    /// Bytes that were not consumed.
    pub(crate) left: usize,
}

impl Transcript {
    /// Status and details of the error.
    pub(crate) fn refusal(&self) -> Option<(u16, &'static str)> {
        self.error.map(|error| (error.status, error.details))
    }
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.messages
            .iter()
            .map(|seen| String::from_utf8_lossy(&seen.body).into_owned())
            .collect()
    }
}

/// Decodes `pieces` one after the other.
pub(crate) fn transcribe<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    mut decode: impl FnMut(&mut Buffer, &mut Message) -> Result<Option<Event>, CodecError>,
) -> Transcript {
    let mut transcript = Transcript::default();
    let mut input = Buffer::new();
    let mut message = Message::new();
    let mut seen: Option<Seen> = None;
    for piece in pieces {
        input.append_slice(piece);
        loop {
            let event = match decode(&mut input, &mut message) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    transcript.error = Some(error);
                    transcript.messages.extend(seen);
                    return transcript;
                }
            };
            let current = seen.get_or_insert_with(Seen::default);
            match event {
                Event::Informational => current.informational.push(message.headers.clone()),
                Event::Headers { .. } => current.headers = message.headers.clone(),
                Event::Data { .. } => {
                    current.body.extend_from_slice(&message.data);
                    message.data.clear();
                }
                Event::Trailers => current.trailers = Some(message.trailers.clone()),
                Event::Reset { .. } => panic!("HTTP/1 has no resets"),
            }
            if event.is_end() {
                current.complete = true;
                transcript.messages.extend(seen.take());
                message.clear();
            }
        }
    }
    transcript.messages.extend(seen);
    transcript.left = input.len();
    transcript
}

/// Requests, all bytes at once.
pub(crate) fn requests(bytes: &[u8], settings: H1Settings) -> Transcript {
    requests_in_pieces([bytes], settings)
}

/// Requests in pieces.
pub(crate) fn requests_in_pieces<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    settings: H1Settings,
) -> Transcript {
    let mut decoder = ServerDecoder::new(Arc::new(settings));
    transcribe(pieces, |input, message| decoder.decode(input, message))
}

/// Responses to requests of one kind, all bytes at once.
pub(crate) fn responses(bytes: &[u8], request: RequestKind, settings: H1Settings) -> Transcript {
    responses_in_pieces([bytes], request, settings)
}

/// Responses to requests of one kind, in pieces.
pub(crate) fn responses_in_pieces<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    request: RequestKind,
    settings: H1Settings,
) -> Transcript {
    let mut decoder = ClientDecoder::new(Arc::new(settings));
    decoder.begin(request);
    transcribe(pieces, |input, message| decoder.decode(input, message))
}
