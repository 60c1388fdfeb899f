//! An origin that speaks HTTP/2: a thread per connection that does what the test says.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use nuncio_buffer::Buffer;
use nuncio_http::h2::{Connection, ErrorCode, GoAway, H2Settings, Incoming, Role, StreamKey};
use nuncio_http::{Event, HeaderMap, Message};

use crate::BOUND;

/// An upstream host on a free port that speaks HTTP/2 with prior knowledge.
#[derive(Debug)]
pub struct H2Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    stopped: AtomicBool,
    connections: AtomicUsize,
    requests: AtomicUsize,
    resets: AtomicUsize,
}

impl H2Origin {
    /// Serves every connection with `serve`, which is given the connection and its number, from 0.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(
        serve: impl Fn(&mut H2Peer, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> H2Origin {
        H2Origin::with(H2Settings::default(), serve)
    }

    /// The same with these settings.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn with(
        settings: H2Settings,
        serve: impl Fn(&mut H2Peer, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> H2Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        H2Origin::on(listener, settings, serve)
    }

    /// The same on a listener of the test's own.
    ///
    /// # Panics
    /// When the listener is none.
    pub fn on(
        listener: TcpListener,
        settings: H2Settings,
        serve: impl Fn(&mut H2Peer, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> H2Origin {
        let address = listener.local_addr().expect("a bound socket");
        let seen = Arc::new(Seen::default());
        let origin = H2Origin {
            address,
            seen: seen.clone(),
        };
        let (serve, settings) = (Arc::new(serve), Arc::new(settings));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.stopped.load(SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let number = seen.connections.fetch_add(1, SeqCst);
                let (serve, settings, seen) = (serve.clone(), settings.clone(), seen.clone());
                thread::spawn(move || {
                    // How a connection ends is what tests look at from the other side.
                    let _ = H2Peer::new(stream, settings, seen)
                        .and_then(|mut peer| serve(&mut peer, number));
                });
            }
        });
        origin
    }

    /// Answers every request with 200 and this body.
    pub fn answering(body: &'static str) -> H2Origin {
        H2Origin::start(move |peer, _| {
            loop {
                let key = peer.request()?;
                peer.answer(key, body)?;
            }
        })
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// How many requests have begun.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(SeqCst)
    }

    /// How many streams the proxy has reset.
    pub fn resets(&self) -> usize {
        self.seen.resets.load(SeqCst)
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.seen.stopped.store(true, SeqCst);
        // Wakes the thread, which then sees that it shall end. It is gone already when this fails.
        let _ = TcpStream::connect(self.address);
    }
}

/// What has come of one request.
#[derive(Debug, Default)]
pub struct H2Request {
    /// Headers, pseudo headers among them.
    pub headers: HeaderMap,
    /// The body so far.
    pub body: Vec<u8>,
    /// Trailers; empty if there are none.
    pub trailers: HeaderMap,
    /// The request is complete.
    pub ended: bool,
    /// The proxy has reset the stream with this code.
    pub reset: Option<u64>,
    /// [`H2Peer::request`] and [`H2Peer::request_head`] have told of it.
    told: bool,
}

impl H2Request {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get_str(name)?).ok()
    }

    /// Where it goes.
    pub fn path(&self) -> &str {
        self.header(":path").unwrap_or("")
    }
}

/// The origin's end of a connection.
#[derive(Debug)]
pub struct H2Peer {
    socket: TcpStream,
    codec: Connection,
    input: Buffer,
    out: Buffer,
    scratch: Message,
    requests: BTreeMap<StreamKey, H2Request>,
    seen: Arc<Seen>,
    /// Whether windows open again when a body has come.
    pub takes_bodies: bool,
}

impl H2Peer {
    fn new(socket: TcpStream, settings: Arc<H2Settings>, seen: Arc<Seen>) -> io::Result<H2Peer> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(BOUND))?;
        socket.set_write_timeout(Some(BOUND))?;
        let mut peer = H2Peer {
            socket,
            codec: Connection::new(Role::Server, settings),
            input: Buffer::new(),
            out: Buffer::new(),
            scratch: Message::new(),
            requests: BTreeMap::new(),
            seen,
            takes_bodies: true,
        };
        peer.codec.start(&mut peer.out);
        peer.flush()?;
        Ok(peer)
    }

    /// The codec, for what there is no method for. [`H2Peer::flush`] is to follow.
    pub fn codec(&mut self) -> (&mut Connection, &mut Buffer) {
        (&mut self.codec, &mut self.out)
    }

    /// Sends what is encoded.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Waits for the next request to be complete.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn request(&mut self) -> io::Result<StreamKey> {
        self.tell(|request| request.ended)
    }

    /// Waits for the head of the next request.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn request_head(&mut self) -> io::Result<StreamKey> {
        self.tell(|_| true)
    }

    fn tell(&mut self, ready: impl Fn(&H2Request) -> bool) -> io::Result<StreamKey> {
        loop {
            let mut untold = self.requests.iter_mut().filter(|(_, it)| !it.told);
            if let Some((key, request)) = untold.find(|(_, it)| ready(it)) {
                request.told = true;
                return Ok(*key);
            }
            self.read()?;
        }
    }

    /// What has come of a request.
    pub fn seen(&self, key: StreamKey) -> &H2Request {
        &self.requests[&key]
    }

    /// Whether a request is complete of which [`H2Peer::request`] has not told yet.
    pub fn has_request(&self) -> bool {
        self.requests.values().any(|it| it.ended && !it.told)
    }

    /// How many bytes of a body may be sent now.
    pub fn capacity(&self, key: StreamKey) -> usize {
        self.codec.capacity(key)
    }

    /// Reads until `condition` holds.
    ///
    /// # Errors
    /// When the connection ends before, or nothing comes.
    pub fn until(&mut self, mut condition: impl FnMut(&H2Peer) -> bool) -> io::Result<()> {
        while !condition(self) {
            self.read()?;
        }
        Ok(())
    }

    /// Answers with 200 and this body, and forgets the request.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn answer(&mut self, key: StreamKey, body: &str) -> io::Result<()> {
        let length = body.len().to_string();
        self.head(
            key,
            &[(":status", "200"), ("content-length", &length)],
            false,
        )?;
        self.send_all(key, body.as_bytes(), true)?;
        self.forget(key)
    }

    /// Sends response headers.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn head(&mut self, key: StreamKey, headers: &[(&str, &str)], end: bool) -> io::Result<()> {
        let headers: HeaderMap = headers.iter().copied().collect();
        self.codec.send_headers(key, &headers, end, &mut self.out);
        self.flush()
    }

    /// Sends a 1xx response.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn informational(&mut self, key: StreamKey, headers: &[(&str, &str)]) -> io::Result<()> {
        let headers: HeaderMap = headers.iter().copied().collect();
        self.codec.send_informational(key, &headers, &mut self.out);
        self.flush()
    }

    /// Sends as much of a body as the windows allow; returns how much that was.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, key: StreamKey, bytes: &[u8], end: bool) -> io::Result<usize> {
        let mut data = Buffer::from(bytes);
        let codec = &mut self.codec;
        let sent = codec.send_data(key, &mut data, end, usize::MAX, &mut self.out);
        self.flush()?;
        Ok(sent)
    }

    /// Sends a whole body, reading what comes in the meantime, windows among it.
    ///
    /// # Errors
    /// When the connection is gone, or the stream reset.
    pub fn send_all(&mut self, key: StreamKey, bytes: &[u8], end: bool) -> io::Result<()> {
        let mut sent = self.send(key, bytes, end)?;
        while sent < bytes.len() {
            if self.seen(key).reset.is_some() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            self.read()?;
            sent += self.send(key, &bytes[sent..], end)?;
        }
        Ok(())
    }

    /// Sends trailers, which end the response.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_trailers(&mut self, key: StreamKey, trailers: &[(&str, &str)]) -> io::Result<()> {
        let trailers: HeaderMap = trailers.iter().copied().collect();
        self.codec.send_trailers(key, &trailers, &mut self.out);
        self.flush()
    }

    /// Resets a stream, and forgets the request.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn reset(&mut self, key: StreamKey, code: ErrorCode) -> io::Result<()> {
        self.codec.reset(key, code, &mut self.out);
        self.forget(key)
    }

    /// Says that no more streams are taken.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn go_away(&mut self) -> io::Result<()> {
        self.codec.go_away(GoAway::Final, &mut self.out);
        self.flush()
    }

    /// Forgets a request, which ends its stream if that has not ended yet.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn forget(&mut self, key: StreamKey) -> io::Result<()> {
        self.requests.remove(&key);
        self.codec.release(key, &mut self.out);
        self.flush()
    }

    /// Waits until the other side has closed; what it sends until then is dropped.
    ///
    /// # Errors
    /// When it stays.
    pub fn wait_for_close(&mut self) -> io::Result<()> {
        loop {
            match self.read() {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                other => other?,
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        let read = self.socket.read(&mut bytes)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.append_slice(&bytes[..read]);
        while let Some(incoming) = self
            .codec
            .decode(&mut self.input, &mut self.scratch, &mut self.out)
            .map_err(io::Error::other)?
        {
            if let Incoming::Stream { key, event } = incoming {
                self.on_event(key, event);
            }
        }
        self.flush()
    }

    fn on_event(&mut self, key: StreamKey, event: Event) {
        if let (Event::Headers { .. }, false) = (event, self.requests.contains_key(&key)) {
            self.seen.requests.fetch_add(1, SeqCst);
            self.requests.insert(key, H2Request::default());
        }
        let Some(request) = self.requests.get_mut(&key) else {
            self.scratch.data.clear();
            return;
        };
        match event {
            Event::Headers { .. } => request.headers = std::mem::take(&mut self.scratch.headers),
            Event::Data { .. } => {
                request.body.extend_from_slice(&self.scratch.data);
                let came = self.scratch.data.len();
                self.scratch.data.clear();
                if self.takes_bodies {
                    self.codec.consumed(key, came, &mut self.out);
                }
            }
            Event::Trailers => request.trailers = std::mem::take(&mut self.scratch.trailers),
            Event::Reset { code } => {
                self.seen.resets.fetch_add(1, SeqCst);
                request.reset = Some(code);
            }
            Event::Informational => {}
        }
        request.ended |= event.is_end() && !matches!(event, Event::Reset { .. });
    }
}
