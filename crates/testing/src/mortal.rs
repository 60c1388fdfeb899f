//! An origin that dies, hangs, fails, slows down and comes back, at one address; it speaks HTTP/1.1 or HTTP/2.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nuncio_http::h2::H2Settings;

use crate::{H2Origin, H2Peer, Origin, Peer, until};

/// How it does now.
const WELL: u8 = 0;
const DEAD: u8 = 1;
const STUCK: u8 = 2;
const FAILING: u8 = 3;
const SLOW: u8 = 4;

/// How long the work of a slow one lasts.
const SLOWNESS: Duration = Duration::from_millis(30);

/// An origin whose answer to each request is its name and the length of the request's body. A host that hangs lets all
/// requests of a connection wait.
#[derive(Debug)]
pub struct Mortal {
    /// Where it listens while it lives.
    pub address: SocketAddr,
    name: &'static str,
    state: Arc<AtomicU8>,
    speaks_http2: bool,
    origin: Option<Living>,
}

#[derive(Debug)]
enum Living {
    Http1(Origin),
    Http2(H2Origin),
}

/// What it does with a request that it has read.
enum Deed {
    Die,
    Fail,
    Answer,
}

/// How it does when it has done its work, which may take long.
fn work(state: &AtomicU8) -> Deed {
    if state.load(SeqCst) == STUCK {
        until("the end of a long wait", || state.load(SeqCst) != STUCK);
    }
    if state.load(SeqCst) == SLOW {
        thread::sleep(SLOWNESS);
    }
    match state.load(SeqCst) {
        DEAD => Deed::Die,
        FAILING => Deed::Fail,
        _ => Deed::Answer,
    }
}

fn serve_http1(peer: &mut Peer, name: &str, state: &AtomicU8) -> io::Result<()> {
    loop {
        let request = peer.request()?;
        match work(state) {
            Deed::Die => {
                peer.reset();
                return Ok(());
            }
            Deed::Fail => {
                peer.answered();
                peer.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad")?;
            }
            Deed::Answer => peer.answer(&answer(name, &request.body))?,
        }
    }
}

/// One request after the other: a long wait is one for all streams of the connection.
fn serve_http2(peer: &mut H2Peer, name: &str, state: &AtomicU8) -> io::Result<()> {
    loop {
        let key = peer.request()?;
        let deed = work(state);
        if peer.seen(key).reset.is_some() {
            peer.forget(key)?;
            continue;
        }
        match deed {
            Deed::Die => return Ok(()),
            Deed::Fail => {
                peer.head(key, &[(":status", "503")], true)?;
                peer.forget(key)?;
            }
            Deed::Answer => {
                let answer = answer(name, &peer.seen(key).body);
                peer.answer(key, &answer)?;
            }
        }
    }
}

fn answer(name: &str, body: &[u8]) -> String {
    format!("{name} {}", body.len())
}

impl Mortal {
    /// One that is well.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn new(name: &'static str) -> Mortal {
        Mortal::born(name, false)
    }

    /// One that is well and speaks HTTP/2 with prior knowledge.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn http2(name: &'static str) -> Mortal {
        Mortal::born(name, true)
    }

    fn born(name: &'static str, speaks_http2: bool) -> Mortal {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let mut mortal = Mortal {
            address: listener.local_addr().expect("a bound socket"),
            name,
            state: Arc::default(),
            speaks_http2,
            origin: None,
        };
        mortal.serve(listener);
        mortal
    }

    fn serve(&mut self, listener: TcpListener) {
        let (name, state) = (self.name, Arc::new(AtomicU8::new(WELL)));
        self.state = state.clone();
        self.origin = Some(match self.speaks_http2 {
            false => Living::Http1(Origin::on(listener, move |peer, _| {
                serve_http1(peer, name, &state)
            })),
            true => Living::Http2(H2Origin::on(
                listener,
                H2Settings::default(),
                move |peer, _| serve_http2(peer, name, &state),
            )),
        });
    }

    /// Listens no more; who has a connection finds it reset when it uses that.
    pub fn kill(&mut self) {
        self.state.store(DEAD, SeqCst);
        self.origin = None;
    }

    /// Answers nothing until it is [well again](Self::revive).
    pub fn hang(&mut self) {
        self.state.store(STUCK, SeqCst);
    }

    /// Takes its time for each answer.
    pub fn slow_down(&mut self) {
        self.state.store(SLOW, SeqCst);
    }

    /// Answers all requests with 503.
    pub fn fail(&mut self) {
        self.state.store(FAILING, SeqCst);
    }

    /// Is well again.
    ///
    /// # Panics
    /// When somebody else has taken the port meanwhile.
    pub fn revive(&mut self) {
        if self.origin.is_some() {
            return self.state.store(WELL, SeqCst);
        }
        let mut listener = None;
        // The old listener may take a moment to close.
        until("the port to be free again", || {
            listener = TcpListener::bind(self.address).ok();
            listener.is_some()
        });
        self.serve(listener.expect("waited for"));
    }

    /// How many requests it has read since it last came to life.
    pub fn requests(&self) -> usize {
        match &self.origin {
            None => 0,
            Some(Living::Http1(origin)) => origin.requests(),
            Some(Living::Http2(origin)) => origin.requests(),
        }
    }
}
