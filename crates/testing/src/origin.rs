//! An origin: a thread per connection that does what the test says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Body, Message, Watermark, Wire};

/// Enough for what a connection's thread does, little enough for thousands.
const STACK: usize = 256 * 1024;

/// An upstream host on a free port. It ends with its value; connections that are served then end with the test.
#[derive(Debug)]
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

/// What an origin has seen so far.
#[derive(Debug, Default)]
struct Seen {
    stopped: AtomicBool,
    connections: AtomicUsize,
    open: Watermark,
    requests: AtomicUsize,
    running: Watermark,
}

impl Origin {
    /// Serves every connection with `serve`, which is given the connection and its number, from 0.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(
        serve: impl Fn(&mut Peer, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Origin::on(listener, serve)
    }

    /// The same on a listener of the test's own.
    ///
    /// # Panics
    /// When the listener is none.
    pub fn on(
        listener: TcpListener,
        serve: impl Fn(&mut Peer, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Origin {
        let address = listener.local_addr().expect("a bound socket");
        let seen = Arc::new(Seen::default());
        let origin = Origin {
            address,
            seen: seen.clone(),
        };
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if seen.stopped.load(SeqCst) {
                    return;
                }
                let Ok(wire) = stream.and_then(Wire::new) else {
                    continue;
                };
                let number = seen.connections.fetch_add(1, SeqCst);
                seen.open.enter();
                let mut peer = Peer {
                    wire: Some(wire),
                    seen: seen.clone(),
                    running: false,
                };
                let serve = serve.clone();
                let name = format!("origin connection {number}");
                let spawned = thread::Builder::new().name(name).stack_size(STACK);
                let spawned = spawned.spawn(move || {
                    // How a connection ends is what tests look at from the other side.
                    let _ = serve(&mut peer, number);
                });
                spawned.expect("a thread");
            }
        });
        origin
    }

    /// Answers every request with 200 and this body.
    pub fn answering(body: &'static str) -> Origin {
        Origin::start(move |peer, _| {
            loop {
                peer.request()?;
                peer.answer(body)?;
            }
        })
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// How many connections are served now.
    pub fn open(&self) -> usize {
        self.seen.open.now()
    }

    /// The most connections that were served at a time.
    pub fn most_open(&self) -> usize {
        self.seen.open.most()
    }

    /// How many requests were read.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(SeqCst)
    }

    /// How many requests are read and not answered yet.
    pub fn running(&self) -> usize {
        self.seen.running.now()
    }

    /// The most requests that were unanswered at a time.
    pub fn most_running(&self) -> usize {
        self.seen.running.most()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.seen.stopped.store(true, SeqCst);
        // Wakes the thread, which then sees that it shall end. It is gone already when this fails.
        let _ = TcpStream::connect(self.address);
    }
}

/// The origin's end of a connection. What a [`Wire`] can do, it can, too.
#[derive(Debug)]
pub struct Peer {
    /// Present until the connection is reset.
    wire: Option<Wire>,
    seen: Arc<Seen>,
    running: bool,
}

impl Peer {
    /// Reads the next request to its end.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn request(&mut self) -> io::Result<Message> {
        let mut message = self.request_head()?;
        self.body(&mut message, Body::Request)?;
        Ok(message)
    }

    /// Reads the head of the next request.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn request_head(&mut self) -> io::Result<Message> {
        let message = self.head()?;
        self.seen.requests.fetch_add(1, SeqCst);
        if !std::mem::replace(&mut self.running, true) {
            self.seen.running.enter();
        }
        Ok(message)
    }

    /// Answers with 200 and a body of known length.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn answer(&mut self, body: &str) -> io::Result<()> {
        self.answered();
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    /// Says that the request that was read last is not running any more.
    pub fn answered(&mut self) {
        if std::mem::take(&mut self.running) {
            self.seen.running.leave();
        }
    }

    /// Waits until the other side has closed; what it sends until then is dropped.
    ///
    /// # Errors
    /// When it resets instead, or stays.
    pub fn wait_for_close(&mut self) -> io::Result<()> {
        self.rest().map(drop)
    }

    /// Ends the connection with RST.
    pub fn reset(&mut self) {
        if let Some(wire) = self.wire.take() {
            crate::reset(wire);
        }
    }
}

impl Deref for Peer {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        self.wire.as_ref().expect("not reset")
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Wire {
        self.wire.as_mut().expect("not reset")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.answered();
        // Closed first: who sees the number fall may rely on it.
        self.wire = None;
        self.seen.open.leave();
    }
}

/// An address where connections are refused.
///
/// The port stays bound while the value lives, so that nobody else gets it; nothing listens.
///
/// # Panics
/// When there is no free port.
pub fn refused_address() -> (SocketAddr, Socket) {
    let socket = bound();
    (local(&socket), socket)
}

/// An address where connection attempts are never answered while the value lives: its backlog is full.
///
/// # Panics
/// When there is no free port.
pub fn hanging_address() -> (SocketAddr, Vec<Socket>) {
    let listener = bound();
    listener.listen(0).expect("listening");
    let address = local(&listener);
    let mut sockets = vec![listener];
    loop {
        let socket = stream_socket();
        let connected = socket.connect_timeout(&address.into(), Duration::from_millis(100));
        sockets.push(socket);
        if connected.is_err() {
            return (address, sockets);
        }
        assert!(sockets.len() < 100, "the backlog does not fill");
    }
}

fn stream_socket() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket")
}

fn bound() -> Socket {
    let socket = stream_socket();
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any_port.into()).expect("a free port");
    socket
}

fn local(socket: &Socket) -> SocketAddr {
    let address = socket.local_addr().expect("a bound socket");
    address.as_socket().expect("an IP socket")
}
