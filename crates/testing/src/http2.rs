//! An HTTP/2 client: opens streams, sends what it is told, and does not read unless it is asked to.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nuncio_buffer::Buffer;
use nuncio_http::h2::{Connection, ErrorCode, H2Settings, Incoming, Role, StreamKey};
use nuncio_http::{Event, HeaderMap, Message};

use crate::BOUND;

/// What came of one stream.
#[derive(Clone, Debug, Default)]
pub struct H2Response {
    /// 1xx responses.
    pub informational: Vec<HeaderMap>,
    /// The final headers; empty until they come.
    pub headers: HeaderMap,
    /// The body so far.
    pub body: Vec<u8>,
    /// Trailers; empty if there are none.
    pub trailers: HeaderMap,
    /// The response is complete.
    pub ended: bool,
    /// The stream was reset with this code.
    pub reset: Option<u64>,
}

impl H2Response {
    /// The status; 0 until it comes.
    pub fn status(&self) -> u16 {
        self.headers.status().unwrap_or(0)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        text_of(&self.headers, name)
    }

    /// The first value of a trailer.
    pub fn trailer(&self, name: &str) -> Option<String> {
        text_of(&self.trailers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get_str(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// A connection to a proxy that speaks HTTP/2.
#[derive(Debug)]
pub struct H2Client {
    socket: TcpStream,
    codec: Connection,
    input: Buffer,
    out: Buffer,
    scratch: Message,
    streams: HashMap<u32, H2Response>,
    /// Whether windows open again when a body has come.
    pub takes_bodies: bool,
    /// GOAWAY frames that came: last stream and code.
    pub go_aways: Vec<(u32, u32)>,
    /// The connection has ended.
    pub closed: bool,
}

impl H2Client {
    /// Connects with prior knowledge.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> H2Client {
        H2Client::with(address, H2Settings::upstream())
    }

    /// Connects with these settings.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn with(address: SocketAddr, settings: H2Settings) -> H2Client {
        let socket = TcpStream::connect(address).expect("a listener");
        socket.set_nodelay(true).expect("a socket");
        socket.set_write_timeout(Some(BOUND)).expect("a socket");
        let mut client = H2Client {
            socket,
            codec: Connection::new(Role::Client, Arc::new(settings)),
            input: Buffer::new(),
            out: Buffer::new(),
            scratch: Message::new(),
            streams: HashMap::new(),
            takes_bodies: true,
            go_aways: Vec::new(),
            closed: false,
        };
        client.codec.start(&mut client.out);
        client.flush();
        client
    }

    /// The socket, to be looked at or bent.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The codec, for what this client has no method for. [`H2Client::flush`] is to follow.
    pub fn codec(&mut self) -> (&mut Connection, &mut Buffer) {
        (&mut self.codec, &mut self.out)
    }

    /// Sends what is encoded. A connection that the other side has ended is no failure.
    pub fn flush(&mut self) {
        if self.socket.write_all(&self.out).is_err() {
            self.closed = true;
        }
        self.out.clear();
    }

    /// Sends these bytes behind the frames so far.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.out.append_slice(bytes);
        self.flush();
    }

    /// Opens a stream with these headers.
    ///
    /// # Panics
    /// When the proxy allows no more of them.
    #[track_caller]
    pub fn open(&mut self, headers: &[(&str, &str)], end: bool) -> StreamKey {
        let key = self.codec.open().expect("a stream may be opened");
        let headers: HeaderMap = headers.iter().copied().collect();
        self.streams.insert(key.0, H2Response::default());
        self.codec.send_headers(key, &headers, end, &mut self.out);
        self.flush();
        key
    }

    /// The headers of a request.
    pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
        vec![
            (":method", method),
            (":scheme", "http"),
            (":authority", "test"),
            (":path", path),
        ]
    }

    /// Sends a request without body.
    #[track_caller]
    pub fn start(&mut self, path: &str) -> StreamKey {
        self.open(&H2Client::request("GET", path), true)
    }

    /// Sends the head of a request with a body.
    #[track_caller]
    pub fn post(&mut self, path: &str) -> StreamKey {
        self.open(&H2Client::request("POST", path), false)
    }

    /// Asks for a path and reads the whole response.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> H2Response {
        let key = self.start(path);
        self.response(key)
    }

    /// Sends a piece of a body, as far as the windows allow; returns how much that was.
    pub fn send(&mut self, key: StreamKey, bytes: &[u8], end: bool) -> usize {
        let mut data = Buffer::from(bytes);
        let sent = self
            .codec
            .send_data(key, &mut data, end, usize::MAX, &mut self.out);
        self.flush();
        sent
    }

    /// Sends a whole body, reading what comes in the meantime, windows among it.
    #[track_caller]
    pub fn send_all(&mut self, key: StreamKey, bytes: &[u8], end: bool) {
        // Also where there are none: the end is to be sent.
        let mut sent = self.send(key, bytes, end);
        while sent < bytes.len() {
            let moved = self.send(key, &bytes[sent..], end);
            sent += moved;
            if moved == 0 && sent < bytes.len() {
                self.read_once(BOUND).expect("a window");
            }
        }
    }

    /// Sends trailers, which end the request.
    pub fn send_trailers(&mut self, key: StreamKey, trailers: &[(&str, &str)]) {
        let trailers: HeaderMap = trailers.iter().copied().collect();
        self.codec.send_trailers(key, &trailers, &mut self.out);
        self.flush();
    }

    /// Resets a stream.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode) {
        self.codec.reset(key, code, &mut self.out);
        self.release(key);
        self.flush();
    }

    /// Opens the windows by as much as has come.
    pub fn take(&mut self, key: StreamKey) {
        let bytes = self.codec.unconsumed(key);
        self.codec.consumed(key, bytes, &mut self.out);
        self.flush();
    }

    /// What has come of a stream so far.
    pub fn seen(&self, key: StreamKey) -> &H2Response {
        &self.streams[&key.0]
    }

    /// Reads until the stream has ended, and forgets it.
    #[track_caller]
    pub fn response(&mut self, key: StreamKey) -> H2Response {
        self.until("the end of a stream", |client| {
            let seen = client.seen(key);
            seen.ended || seen.reset.is_some()
        });
        let response = self.streams[&key.0].clone();
        self.release(key);
        self.flush();
        response
    }

    fn release(&mut self, key: StreamKey) {
        self.streams.remove(&key.0);
        self.codec.release(key, &mut self.out);
    }

    /// Reads until `condition` holds.
    ///
    /// # Panics
    /// When it does not within [`BOUND`], or the connection ends before.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut condition: impl FnMut(&H2Client) -> bool) {
        let deadline = Instant::now() + BOUND;
        while !condition(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain: {what}");
            let closed = self.read_once(left).is_err() || self.closed;
            assert!(
                !closed || condition(self),
                "the connection ended: {what}; GOAWAY {:?}",
                self.go_aways
            );
        }
    }

    /// Reads to the end of the connection.
    #[track_caller]
    pub fn wait_for_close(&mut self) {
        let deadline = Instant::now() + BOUND;
        while !self.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the connection stays open");
            // An error is an end, too.
            let _ = self.read_once(left);
        }
    }

    /// Reads what has come, and waits for it at most so long.
    ///
    /// # Errors
    /// When nothing comes, or something that is no HTTP/2.
    pub fn read_once(&mut self, wait: Duration) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        self.socket.set_read_timeout(Some(wait))?;
        match self.socket.read(&mut bytes) {
            Ok(0) => self.closed = true,
            Ok(read) => {
                self.input.append_slice(&bytes[..read]);
                self.decode()?;
            }
            Err(error) if is_timeout(&error) => return Err(error),
            Err(_) => self.closed = true,
        }
        Ok(())
    }

    fn decode(&mut self) -> io::Result<()> {
        while let Some(incoming) = self
            .codec
            .decode(&mut self.input, &mut self.scratch, &mut self.out)
            .map_err(io::Error::other)?
        {
            match incoming {
                Incoming::Stream { key, event } => self.on_event(key, event),
                Incoming::StreamFailed { key, error } => {
                    if let Some(seen) = self.streams.get_mut(&key.0) {
                        seen.reset = Some(error.code.0.into());
                    }
                }
                Incoming::GoAway { last_stream, code } => self.go_aways.push((last_stream, code)),
                Incoming::Settings | Incoming::Pong { .. } | Incoming::Progress => {}
            }
        }
        self.flush();
        Ok(())
    }

    fn on_event(&mut self, key: StreamKey, event: Event) {
        let Some(seen) = self.streams.get_mut(&key.0) else {
            self.scratch.data.clear();
            return;
        };
        match event {
            Event::Headers { .. } => seen.headers = std::mem::take(&mut self.scratch.headers),
            Event::Informational => seen
                .informational
                .push(std::mem::take(&mut self.scratch.headers)),
            Event::Data { .. } => {
                seen.body.extend_from_slice(&self.scratch.data);
                let came = self.scratch.data.len();
                self.scratch.data.clear();
                if self.takes_bodies {
                    self.codec.consumed(key, came, &mut self.out);
                }
            }
            Event::Trailers => seen.trailers = std::mem::take(&mut self.scratch.trailers),
            Event::Reset { code } => seen.reset = Some(code),
        }
        seen.ended |= event.is_end() && !matches!(event, Event::Reset { .. });
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// A frame as it is on the wire.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block that uses no table and no Huffman code.
pub fn header_block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "longer texts have longer lengths");
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
