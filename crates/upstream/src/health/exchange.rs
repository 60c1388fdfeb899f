//! Requests of the main thread's own to one host: of health checks, and for load reports.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use nuncio_buffer::Buffer;
use nuncio_http::h1::{ClientDecoder, ClientEncoder, H1Settings};
use nuncio_http::h2::{self, ErrorCode, H2Settings, Incoming, Role, StreamKey};
use nuncio_http::{Event, HeaderMap, Message};
use nuncio_net::Stream;
use nuncio_sdk::Http2Stats;
use nuncio_stats::Group;

use crate::stats::ClusterStats;

/// What such connections count for their cluster, as those of Envoy do: they are not pooled, but speak HTTP.
#[derive(Debug)]
pub(crate) struct HttpCounters {
    cluster: Arc<Group>,
    /// Made when it is needed, and kept with what it counts.
    http2: OnceLock<Arc<Group>>,
}

impl HttpCounters {
    /// `cluster`: the stats of the cluster.
    pub(crate) fn new(cluster: Arc<Group>) -> Arc<Self> {
        let http2 = OnceLock::new();
        Arc::new(Self { cluster, http2 })
    }

    /// The stats of the cluster.
    pub(super) fn cluster(&self) -> &Arc<Group> {
        &self.cluster
    }

    fn on_protocol_error(&self) {
        self.cluster.inc(ClusterStats::UPSTREAM_CX_PROTOCOL_ERROR);
    }

    fn http2(&self) -> &Arc<Group> {
        let make = || self.cluster.subgroup("http2", Http2Stats::SCHEMA);
        self.http2.get_or_init(make)
    }

    fn add(&self, codec: &mut h2::Connection) {
        if let Some(counts) = codec.take_counts() {
            // Envoy counts the trailers of requests only.
            let counts = h2::Counts {
                trailers: 0,
                ..counts
            };
            Http2Stats::add(&self.http2().local(), &counts);
        }
    }
}

/// A connection that speaks HTTP.
pub(crate) struct HttpConnection {
    stream: Stream,
    read: Buffer,
    write: Buffer,
    codec: Codec,
    counters: Arc<HttpCounters>,
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

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection has ended, or the peer broke the protocol.
    Connection(io::Error),
    /// HTTP/2: the stream was reset. The connection still serves, unless the peer goes away.
    Stream,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "connection failed: {error}"),
            Self::Stream => f.write_str("stream reset"),
        }
    }
}

impl<E: Into<io::Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Connection(error.into())
    }
}

/// A complete answer.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    /// At most as much as was asked for.
    pub(super) body: Buffer,
    pub(super) trailers: HeaderMap,
}

/// Bytes that one read takes.
const READ: usize = 8 * 1024;

impl HttpConnection {
    pub(super) fn http1(stream: Stream, counters: Arc<HttpCounters>) -> Self {
        let settings = Arc::new(H1Settings::upstream());
        let codec = Codec::Http1(
            ClientEncoder::new(settings.clone()),
            ClientDecoder::new(settings),
        );
        Self::new(stream, codec, counters)
    }

    pub(crate) fn http2(stream: Stream, counters: Arc<HttpCounters>) -> Self {
        let settings = Arc::new(H2Settings::upstream());
        let mut codec = Box::new(h2::Connection::new(Role::Client, settings));
        let mut write = Buffer::new();
        codec.start(&mut write);
        counters
            .http2()
            .inc(Http2Stats::NGHTTP2_UPSTREAM_CONNECTIONS);
        Self {
            write,
            ..Self::new(stream, Codec::Http2(codec, None), counters)
        }
    }

    fn new(stream: Stream, codec: Codec, counters: Arc<HttpCounters>) -> Self {
        Self {
            stream,
            read: Buffer::new(),
            write: Buffer::new(),
            codec,
            counters,
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
    /// There is no answer; of HTTP/2 also, that the peer goes away for an error.
    pub(super) async fn exchange(
        &mut self,
        headers: &HeaderMap,
        body: &[u8],
        max_body: usize,
    ) -> Result<Answer, Broken> {
        self.send(headers, body)?;
        let mut answer = Answer::default();
        let mut message = Message::new();
        loop {
            match self.hear(&mut message).await? {
                Heard::GoingAway { code: 0 } => {}
                Heard::GoingAway { .. } => return Err(self.close_on_goaway()),
                Heard::Answer(event) => {
                    if answer.take(event, &mut message, max_body)? {
                        return Ok(answer);
                    }
                }
            }
        }
    }

    /// Begins a request, with all of its body; [`Self::hear`] writes it. Not while another is under way.
    ///
    /// # Errors
    /// It cannot be encoded, or the peer takes no more requests.
    pub(crate) fn send(&mut self, headers: &HeaderMap, body: &[u8]) -> Result<(), Broken> {
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
    /// Without a request under way: for the end of the connection, while what keeps it alive is answered.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn hear(&mut self, message: &mut Message) -> Result<Heard, Broken> {
        let Self {
            stream,
            read,
            write,
            codec,
            counters,
        } = self;
        loop {
            flush(stream, write).await?;
            match codec {
                Codec::Http1(_, decoder) => {
                    let decoded = decoder.decode(read, message);
                    let event = match decoded {
                        Ok(None) => match poll_fn(|cx| stream.poll_read(cx, read, READ)).await {
                            Ok(count) if count > 0 => continue,
                            // A reset ends the answer as an orderly end does.
                            ended => decoder.on_eof(read).map_or(Err(()), |event| {
                                let why = ended.err();
                                let why = why.unwrap_or(io::ErrorKind::UnexpectedEof.into());
                                Ok(event.ok_or(why))
                            }),
                        },
                        Ok(Some(event)) => Ok(Ok(event)),
                        Err(_) => Err(()),
                    };
                    let event = event.map_err(|()| {
                        counters.on_protocol_error();
                        invalid()
                    })?;
                    return Ok(Heard::Answer(event?));
                }
                Codec::Http2(codec, asked) => {
                    let incoming = codec.decode(read, message, write);
                    counters.add(codec);
                    let Ok(incoming) = incoming else {
                        counters.on_protocol_error();
                        // What tells the peer is only a courtesy.
                        let _ = flush(stream, write).await;
                        return Err(invalid().into());
                    };
                    match incoming {
                        Some(Incoming::Stream { key, event }) if *asked == Some(key) => {
                            if let Event::Data { .. } = event {
                                codec.consumed(key, message.data.len(), write);
                            }
                            if event.is_end() || matches!(event, Event::Reset { .. }) {
                                *asked = None;
                                codec.release(key, write);
                                let _ = flush(stream, write).await;
                            }
                            return match event {
                                Event::Reset { .. } => Err(Broken::Stream),
                                event => Ok(Heard::Answer(event)),
                            };
                        }
                        // The answer is malformed: it is the stream's last word.
                        Some(Incoming::StreamFailed { key, .. }) if *asked == Some(key) => {
                            *asked = None;
                            codec.release(key, write);
                            let _ = flush(stream, write).await;
                            return Err(Broken::Stream);
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

    /// Waits, while no request is under way, until the connection is of no use any more. Answers what keeps it alive.
    pub(super) async fn rest(&mut self) {
        if let Codec::Http1(..) = self.codec {
            let Self { stream, read, .. } = self;
            let end = poll_fn(|cx| stream.poll_read(cx, read, READ)).await;
            // An early timeout is no protocol error, as in Envoy.
            let is_timeout = |bytes: &[u8]| {
                bytes.starts_with(b"HTTP/1.") && bytes.get(8..12) == Some(b" 408".as_slice())
            };
            if matches!(end, Ok(1..)) && !is_timeout(read) {
                self.counters.on_protocol_error();
            }
            return;
        }
        // Nothing was asked, so nothing is answered: it has ended, or the peer goes away.
        let _ = self.hear(&mut Message::new()).await;
    }

    /// HTTP/2: gives up the request that is under way. The connection still serves.
    pub(super) fn abandon(&mut self) {
        if let Codec::Http2(codec, asked) = &mut self.codec
            && let Some(key) = asked.take()
        {
            codec.reset(key, ErrorCode::INTERNAL_ERROR, &mut self.write);
            codec.release(key, &mut self.write);
            self.counters.add(codec);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            // What the socket does not take now goes with the next request.
            while !self.write.is_empty() {
                match self.stream.poll_write(&mut cx, &mut self.write) {
                    Poll::Ready(Ok(_)) => {}
                    // The next read tells of an error.
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
        }
    }

    /// Whether another request may follow, once an answer is complete.
    pub(crate) fn is_reusable(&self) -> bool {
        match &self.codec {
            Codec::Http1(_, decoder) => decoder.facts().keep_alive && self.read.is_empty(),
            Codec::Http2(codec, _) => !codec.is_going_away(),
        }
    }

    /// Ends a connection for what was just heard on it. Envoy's HTTP/2 codec takes that for an error of the protocol:
    /// "Connection was closed while dispatching frames".
    pub(crate) fn close_on_frame(&self) {
        match &self.codec {
            Codec::Http1(..) => {
                if !self.read.is_empty() {
                    self.counters.on_protocol_error();
                }
            }
            Codec::Http2(..) => self.counters.on_protocol_error(),
        }
    }

    /// Ends a connection whose peer goes away for an error while a request is under way.
    pub(super) fn close_on_goaway(&self) -> Broken {
        self.close_on_frame();
        io::ErrorKind::ConnectionAborted.into()
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
