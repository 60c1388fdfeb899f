//! HTTP/1.1 messages over a blocking socket, read as they come and without any leniency.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::BOUND;

/// Most bytes of a head; a test that gets more has failed.
const HEAD_LIMIT: usize = 1 << 20;

/// How the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none, whatever the headers say (the response to HEAD, 1xx, 204, 304).
    None,
    /// As its headers say; without any, a response lasts until the connection ends.
    Response,
    /// As its headers say; without any, a request has none.
    Request,
}

/// A request or a response.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The first line, without its end.
    pub start: String,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// What follows a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Message {
    /// The status of a response.
    pub fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1);
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The target of a request.
    pub fn path(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or("")
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }

    /// The first value of a trailer.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let found = self.trailers.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the other side said that it closes.
    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// A connection with what was read ahead of need.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    at: usize,
}

impl Wire {
    /// Takes a connection over; from now on every read and write of it is bounded.
    ///
    /// # Errors
    /// When the socket is of no use any more.
    pub fn new(stream: TcpStream) -> io::Result<Wire> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(BOUND))?;
        stream.set_write_timeout(Some(BOUND))?;
        Ok(Wire {
            stream,
            read: Vec::new(),
            at: 0,
        })
    }

    /// The socket, to be looked at or bent.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// When the other side is gone, or does not read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends one chunk; an empty one would end the body.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(format!("{:x}\r\n", bytes.len()))?;
        self.send(bytes)?;
        self.send("\r\n")
    }

    /// Sends FIN; reading goes on.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Reads up to and including the empty line, and gives start line and headers.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before, `TimedOut`/`WouldBlock` when nothing comes.
    pub fn head(&mut self) -> io::Result<Message> {
        let mut message = Message {
            start: self.line()?,
            ..Message::default()
        };
        message.headers = self.fields()?;
        Ok(message)
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// As [`head`](Self::head), and `InvalidData` for a body that is none.
    pub fn message(&mut self, body: Body) -> io::Result<Message> {
        let mut message = self.head()?;
        self.body(&mut message, body)?;
        Ok(message)
    }

    /// Reads the body that belongs to this head.
    ///
    /// # Errors
    /// As [`message`](Self::message).
    pub fn body(&mut self, message: &mut Message, body: Body) -> io::Result<()> {
        if body == Body::None || matches!(message.status(), 100..200 | 204 | 304) {
            return Ok(());
        }
        if message.header("transfer-encoding").is_some() {
            while let Some(mut chunk) = self.chunk()? {
                message.body.append(&mut chunk);
            }
            message.trailers = self.fields()?;
        } else if let Some(length) = message.header("content-length") {
            let length = length.parse().map_err(|_| wrong("content-length"))?;
            message.body = self.exactly(length)?;
        } else if body == Body::Response {
            message.body = self.rest()?;
        }
        Ok(())
    }

    /// Reads the next chunk; nothing for the last, behind which the trailers stand.
    ///
    /// # Errors
    /// As [`message`](Self::message).
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = usize::from_str_radix(&line, 16).map_err(|_| wrong("chunk size"))?;
        if size == 0 {
            return Ok(None);
        }
        let chunk = self.exactly(size)?;
        match self.line()?.is_empty() {
            true => Ok(Some(chunk)),
            false => Err(wrong("chunk end")),
        }
    }

    /// Reads this many bytes.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.at == self.read.len() {
                self.fill()?;
            }
            let take = (length - bytes.len()).min(self.read.len() - self.at);
            bytes.extend_from_slice(&self.read[self.at..self.at + take]);
            self.at += take;
        }
        Ok(bytes)
    }

    /// Reads on, keeping nothing, until this many bytes went by.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn skip(&mut self, mut length: usize) -> io::Result<()> {
        while length > 0 {
            let take = length.min(1 << 16);
            self.exactly(take)?;
            length -= take;
        }
        Ok(())
    }

    /// Reads until the other side has sent FIN.
    ///
    /// # Errors
    /// When the connection is reset, or nothing comes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = self.read.split_off(self.at);
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads what comes next, however much that is; nothing at the end.
    ///
    /// # Errors
    /// As [`head`](Self::head).
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = self.read.split_off(self.at);
        if bytes.is_empty() {
            bytes.resize(64 * 1024, 0);
            let count = self.stream.read(&mut bytes)?;
            bytes.truncate(count);
        }
        Ok(bytes)
    }

    /// Waits until the connection is closed or reset by the other side; gives what came before.
    ///
    /// # Panics
    /// When it stays open.
    #[track_caller]
    pub fn closed(&mut self) -> Vec<u8> {
        let mut bytes = self.read.split_off(self.at);
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if is_timeout(&error) => panic!("the connection stays open"),
            Err(_) => bytes,
        }
    }

    /// Whether nothing comes and nothing ends for as long as `quiet`.
    pub fn is_quiet(&mut self, quiet: Duration) -> bool {
        if self.at < self.read.len() {
            return false;
        }
        let set = |stream: &TcpStream, time| stream.set_read_timeout(Some(time)).is_ok();
        let mut byte = [0];
        let quiet = set(&self.stream, quiet)
            && matches!(self.stream.peek(&mut byte), Err(error) if is_timeout(&error));
        set(&self.stream, BOUND) && quiet
    }

    /// Whether the other side has closed or reset the connection, as far as is known now.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let peeked = self.stream.peek(&mut byte);
        let _ = self.stream.set_nonblocking(false);
        match peeked {
            Ok(count) => count == 0,
            Err(error) => !is_timeout(&error),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut searched = self.at;
        loop {
            if let Some(end) = self.read[searched..].iter().position(|&b| b == b'\n') {
                let line = &self.read[self.at..searched + end];
                let line = line.strip_suffix(b"\r").ok_or_else(|| wrong("line end"))?;
                // Bytes beyond ASCII may stand in values; no test compares them.
                let line = String::from_utf8_lossy(line).into_owned();
                self.at = searched + end + 1;
                return Ok(line);
            }
            if self.read.len() - self.at > HEAD_LIMIT {
                return Err(wrong("endless line"));
            }
            let unread = self.read.len() - self.at;
            self.fill()?;
            searched = self.at + unread;
        }
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong("header"))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads what is there behind what was not used yet.
    fn fill(&mut self) -> io::Result<()> {
        self.read.drain(..self.at);
        self.at = 0;
        let kept = self.read.len();
        self.read.resize(kept + (1 << 16), 0);
        let count = self.stream.read(&mut self.read[kept..]);
        let count_or_none = *count.as_ref().unwrap_or(&0);
        self.read.truncate(kept + count_or_none);
        match count? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Ends the connection with RST.
pub fn reset(wire: Wire) {
    // A socket that is gone already needs no reset.
    let _ = SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO));
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}
