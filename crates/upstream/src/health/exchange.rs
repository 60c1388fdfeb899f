//! Requests of the main thread's own to one host: of health checks, and for load reports.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h1::{ClientDecoder, ClientEncoder, H1Settings};
use nuncio_http::h2::{self, H2Settings, Incoming, Role, StreamKey};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_net::Stream;

/// A connection that speaks HTTP.
pub(crate) struct HttpConnection {
    stream: Stream,
    read: Buffer,
    write: Buffer,
    codec: Codec,
}

enum Codec {
    Http1(ClientEncoder, ClientDecoder),
    /// With the stream of the present request.
    Http2(Box<h2::Connection>, Option<StreamKey>),
}

/// What [`HttpConnection::hear`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A part of the answer.
    Answer(Event),
    /// The peer goes away; the answer may still come.
    GoingAway {
        /// Why, as HTTP/2 has it; 0 is no error.
        code: u32,
    },
}

/// A complete answer.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    /// At most as much as was asked for.
    pub(super) body: Buffer,
    pub(super) trailers: HeaderMap,
    /// The connection may be used again.
    pub(super) keep: bool,
}

/// Bytes that one read takes.
const READ: usize = 8 * 1024;

impl HttpConnection {
    pub(super) fn http1(stream: Stream) -> Self {
        let settings = Arc::new(H1Settings::upstream());
        Self::new(
            stream,
            Codec::Http1(
                ClientEncoder::new(settings.clone()),
                ClientDecoder::new(settings),
            ),
        )
    }

    pub(crate) fn http2(stream: Stream) -> Self {
        let settings = Arc::new(H2Settings::upstream());
        let mut codec = Box::new(h2::Connection::new(Role::Client, settings));
        let mut write = Buffer::new();
        codec.start(&mut write);
        Self {
            write,
            ..Self::new(stream, Codec::Http2(codec, None))
        }
    }

    fn new(stream: Stream, codec: Codec) -> Self {
        Self {
            stream,
            read: Buffer::new(),
            write: Buffer::new(),
            codec,
        }
    }

    /// Whether a request may be sent: the peer has not closed.
    pub(super) fn is_open(&self) -> bool {
        let going_away = match &self.codec {
            Codec::Http1(..) => self.stream.is_readable(),
            Codec::Http2(codec, _) => codec.is_going_away(),
        };
        !going_away && !self.stream.is_peer_closed()
    }

    /// Sends a request and reads the answer, of whose body at most `max_body` bytes are kept.
    ///
    /// # Errors
    /// The connection failed, or the peer broke the protocol.
    pub(super) async fn exchange(
        &mut self,
        headers: &HeaderMap,
        body: &[u8],
        max_body: usize,
    ) -> io::Result<Answer> {
        self.send(headers, body)?;
        let mut answer = Answer::default();
        let mut message = Message::new();
        loop {
            if let Heard::Answer(event) = self.hear(&mut message).await?
                && answer.take(event, &mut message, max_body)?
            {
                answer.keep = self.is_reusable();
                return Ok(answer);
            }
        }
    }

    /// Begins a request, with all of its body; [`Self::hear`] writes it. Not while another is under way.
    ///
    /// # Errors
    /// It cannot be encoded, or the peer takes no more requests.
    pub(crate) fn send(&mut self, headers: &HeaderMap, body: &[u8]) -> io::Result<()> {
        let mut body = Buffer::from(body);
        let bodiless = body.is_empty();
        let write = &mut self.write;
        match &mut self.codec {
            Codec::Http1(encoder, decoder) => {
                let kind = encoder
                    .encode_headers(headers, bodiless, write)
                    .map_err(|_| invalid())?;
                decoder.begin(kind);
                if !bodiless {
                    encoder.encode_data(&mut body, true, write);
                }
            }
            Codec::Http2(codec, asked) => {
                let key = codec.open().ok_or_else(invalid)?;
                codec.send_headers(key, headers, bodiless, write);
                if !bodiless {
                    codec.send_data(key, &mut body, true, usize::MAX, write);
                }
                *asked = Some(key);
            }
        }
        Ok(())
    }

    /// Waits for the next part of the answer; what it holds is in `message`, whose data the caller takes out.
    ///
    /// # Errors
    /// The connection failed, or the peer broke the protocol.
    pub(crate) async fn hear(&mut self, message: &mut Message) -> io::Result<Heard> {
        let Self {
            stream,
            read,
            write,
            codec,
        } = self;
        loop {
            flush(stream, write).await?;
            match codec {
                Codec::Http1(_, decoder) => {
                    if let Some(event) = decoder.decode(read, message).map_err(|_| invalid())? {
                        return Ok(Heard::Answer(event));
                    }
                    if poll_fn(|cx| stream.poll_read(cx, read, READ)).await? == 0 {
                        let event = decoder.on_eof(read).map_err(|_| invalid())?;
                        let event = event.ok_or(io::ErrorKind::UnexpectedEof)?;
                        return Ok(Heard::Answer(event));
                    }
                }
                Codec::Http2(codec, asked) => {
                    let incoming = codec.decode(read, message, write).map_err(|_| invalid())?;
                    match incoming {
                        Some(Incoming::Stream { key, event }) if *asked == Some(key) => {
                            if let Event::Data { .. } = event {
                                codec.consumed(key, message.data.len(), write);
                            }
                            if event.is_end() {
                                *asked = None;
                                codec.release(key, write);
                                flush(stream, write).await?;
                            }
                            return Ok(Heard::Answer(event));
                        }
                        // The answer is malformed: it is the stream's last word.
                        Some(Incoming::StreamFailed { key, .. }) if *asked == Some(key) => {
                            codec.release(key, write);
                            // What tells the peer is only a courtesy.
                            let _ = flush(stream, write).await;
                            return Err(invalid());
                        }
                        Some(Incoming::GoAway { code, .. }) => {
                            return Ok(Heard::GoingAway { code });
                        }
                        Some(_) => {}
                        None => {
                            if poll_fn(|cx| stream.poll_read(cx, read, READ)).await? == 0 {
                                return Err(io::ErrorKind::UnexpectedEof.into());
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whether another request may follow, once an answer is complete.
    fn is_reusable(&self) -> bool {
        match &self.codec {
            Codec::Http1(_, decoder) => decoder.facts().keep_alive && self.read.is_empty(),
            Codec::Http2(codec, _) => !codec.is_going_away(),
        }
    }
}

impl Answer {
    /// Takes over what was decoded; whether it is complete.
    fn take(&mut self, event: Event, message: &mut Message, max_body: usize) -> io::Result<bool> {
        match event {
            Event::Headers { .. } => std::mem::swap(&mut self.headers, &mut message.headers),
            Event::Informational => {}
            Event::Data { .. } => {
                let room = max_body.saturating_sub(self.body.len());
                let kept = message.data.len().min(room);
                self.body.append_slice(&message.data[..kept]);
                message.data.clear();
            }
            Event::Trailers => std::mem::swap(&mut self.trailers, &mut message.trailers),
            Event::Reset { .. } => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        Ok(event.is_end())
    }
}

async fn flush(stream: &mut Stream, write: &mut Buffer) -> io::Result<()> {
    while !write.is_empty() {
        poll_fn(|cx| stream.poll_write(cx, write)).await?;
    }
    Ok(())
}

/// The peer, or the request, is not as the protocol wants it.
fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
