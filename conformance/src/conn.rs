//! A TCP connection whose received bytes are collected by a thread of its own. Both sides of the proxy use it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

/// How long a writer may be blocked by a peer that does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(2);

/// How the peer ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Closed,
    Reset,
}

/// What has arrived so far.
#[derive(Debug, Default)]
pub(crate) struct Received {
    pub bytes: Vec<u8>,
    pub ended: Option<Ended>,
}

/// One connection; the reading thread ends when either side ends the connection.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    received: Arc<Mutex<Received>>,
}

impl Conn {
    /// Takes over a connected stream and starts to read.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let received = Arc::new(Mutex::new(Received::default()));
        let (reader, sink) = (stream.try_clone()?, Arc::clone(&received));
        std::thread::spawn(move || collect(reader, &sink));
        Ok(Self { stream, received })
    }

    /// A look at what has arrived.
    pub(crate) fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends everything; a peer that has gone away is no error here, it shows in what is received.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = (&self.stream).write_all(bytes);
    }

    /// Orderly close of both directions.
    pub(crate) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Orderly close of the sending side.
    pub(crate) fn half_close(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with RST.
    ///
    /// The reading thread and other owners hold handles of the same socket, so dropping this one would not close it:
    /// connecting the socket to `AF_UNSPEC` is how the kernel is told to abort a connection at once.
    pub(crate) fn reset(&self) {
        let _ = rustix::net::connect_unspec(&self.stream);
    }
}

fn collect(mut stream: TcpStream, sink: &Mutex<Received>) {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let result = stream.read(&mut chunk);
        let mut received = sink.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(0) => received.ended = Some(Ended::Closed),
            Ok(count) => received.bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => received.ended = Some(Ended::Reset),
        }
        if received.ended.is_some() {
            return;
        }
    }
}

/// Looks at a condition until it holds; false when `limit` passes first.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}
