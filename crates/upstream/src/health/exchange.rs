//! One request and its answer on a connection of a health check's own.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h1::{ClientDecoder, ClientEncoder, H1Settings};
use nuncio_http::h2::{self, H2Settings, Incoming, Role};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_net::Stream;

/// A connection that speaks HTTP.
pub(super) struct HttpConnection {
    stream: Stream,
    read: Buffer,
    write: Buffer,
    codec: Codec,
}

enum Codec {
    Http1(ClientEncoder, ClientDecoder),
    Http2(Box<h2::Connection>),
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

    pub(super) fn http2(stream: Stream) -> Self {
        let settings = Arc::new(H2Settings::upstream());
        let mut codec = Box::new(h2::Connection::new(Role::Client, settings));
        let mut write = Buffer::new();
        codec.start(&mut write);
        Self {
            write,
            ..Self::new(stream, Codec::Http2(codec))
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
            Codec::Http2(codec) => codec.is_going_away(),
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
        let Self {
            stream,
            read,
            write,
            codec,
        } = self;
        let mut body = Buffer::from(body);
        let bodiless = body.is_empty();
        let mut answer = Answer::default();
        let mut message = Message::new();
        match codec {
            Codec::Http1(encoder, decoder) => {
                let kind = encoder
                    .encode_headers(headers, bodiless, write)
                    .map_err(|_| invalid())?;
                decoder.begin(kind);
                if !bodiless {
                    encoder.encode_data(&mut body, true, write);
                }
                loop {
                    flush(stream, write).await?;
                    let event = decoder.decode(read, &mut message).map_err(|_| invalid())?;
                    let event = match event {
                        Some(event) => event,
                        None => match poll_fn(|cx| stream.poll_read(cx, read, READ)).await? {
                            0 => match decoder.on_eof(read).map_err(|_| invalid())? {
                                Some(event) => event,
                                None => return Err(io::ErrorKind::UnexpectedEof.into()),
                            },
                            _ => continue,
                        },
                    };
                    if answer.take(event, &mut message, max_body)? {
                        answer.keep = decoder.facts().keep_alive && read.is_empty();
                        return Ok(answer);
                    }
                }
            }
            Codec::Http2(codec) => {
                let key = codec.open().ok_or_else(invalid)?;
                codec.send_headers(key, headers, bodiless, write);
                if !bodiless {
                    codec.send_data(key, &mut body, true, usize::MAX, write);
                }
                loop {
                    flush(stream, write).await?;
                    let incoming = codec
                        .decode(read, &mut message, write)
                        .map_err(|_| invalid())?;
                    match incoming {
                        Some(Incoming::Stream { key: of, event }) if of == key => {
                            if let Event::Data { .. } = event {
                                codec.consumed(key, message.data.len(), write);
                            }
                            if answer.take(event, &mut message, max_body)? {
                                codec.release(key, write);
                                flush(stream, write).await?;
                                answer.keep = !codec.is_going_away();
                                return Ok(answer);
                            }
                        }
                        // The answer is malformed: it is the stream's last word.
                        Some(Incoming::StreamFailed { key: of, .. }) if of == key => {
                            codec.release(key, write);
                            // What tells the peer is only a courtesy.
                            let _ = flush(stream, write).await;
                            return Err(invalid());
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
