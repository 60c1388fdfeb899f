//! An origin that dies, hangs, fails, slows down and comes back, at one address.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::{Origin, until};

/// How it does now.
const WELL: u8 = 0;
const DEAD: u8 = 1;
const STUCK: u8 = 2;
const FAILING: u8 = 3;
const SLOW: u8 = 4;

/// How long the work of a slow one lasts.
const SLOWNESS: Duration = Duration::from_millis(30);

/// An origin whose answer to each request is its name and the length of the request's body.
#[derive(Debug)]
pub struct Mortal {
    /// Where it listens while it lives.
    pub address: SocketAddr,
    name: &'static str,
    state: Arc<AtomicU8>,
    origin: Option<Origin>,
}

impl Mortal {
    /// One that is well.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn new(name: &'static str) -> Mortal {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let mut mortal = Mortal {
            address: listener.local_addr().expect("a bound socket"),
            name,
            state: Arc::default(),
            origin: None,
        };
        mortal.serve(listener);
        mortal
    }

    fn serve(&mut self, listener: TcpListener) {
        let (name, state) = (self.name, Arc::new(AtomicU8::new(WELL)));
        self.state = state.clone();
        self.origin = Some(Origin::on(listener, move |peer, _| {
            loop {
                let request = peer.request()?;
                if state.load(SeqCst) == STUCK {
                    until("the end of a long wait", || state.load(SeqCst) != STUCK);
                }
                if state.load(SeqCst) == SLOW {
                    thread::sleep(SLOWNESS);
                }
                match state.load(SeqCst) {
                    DEAD => {
                        peer.reset();
                        return Ok(());
                    }
                    FAILING => {
                        peer.answered();
                        peer.send(
                            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad",
                        )?;
                    }
                    _ => peer.answer(&format!("{name} {}", request.body.len()))?,
                }
            }
        }));
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
        self.origin.as_ref().map_or(0, Origin::requests)
    }
}
