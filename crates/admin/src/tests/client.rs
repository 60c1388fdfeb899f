//! A blocking HTTP client that sees every byte.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No wait of a test comes near it.
pub(super) const BOUND: Duration = Duration::from_secs(20);

/// A response as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Status line and headers, without the empty line.
    pub(super) head: String,
    /// Without chunk sizes.
    pub(super) body: String,
}

impl Answer {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1);
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A connection to the interface.
pub(super) struct Client(TcpStream);

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_write_timeout(Some(BOUND)).unwrap();
        Self(stream)
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Everything until the other side closes; what a reset cut off is lost.
    pub(super) fn read_to_end(&mut self) -> String {
        let mut all = Vec::new();
        let _ = self.0.read_to_end(&mut all);
        String::from_utf8(all).unwrap()
    }

    /// At most so many bytes; 0 at the end.
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> usize {
        self.0.read(buffer).unwrap()
    }

    /// Sends a request and reads its response.
    pub(super) fn ask(&mut self, method: &str, target: &str) -> Answer {
        self.send(format!("{method} {target} HTTP/1.1\r\nHost: admin\r\n\r\n"));
        self.answer(method != "HEAD")
    }

    /// Reads a response.
    pub(super) fn answer(&mut self, with_body: bool) -> Answer {
        let head = self.read_until("\r\n\r\n");
        let head = head.strip_suffix("\r\n\r\n").unwrap().to_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        if !with_body {
            return answer;
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = self.read_exactly(length.parse().unwrap());
            return answer;
        }
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        let mut body = Vec::new();
        loop {
            let size = self.read_until("\r\n");
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            // A character may be split between chunks.
            body.extend(self.read_bytes(size));
            assert_eq!(self.read_exactly(2), "\r\n");
            if size == 0 {
                answer.body = String::from_utf8(body).unwrap();
                return answer;
            }
        }
    }

    fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.extend(self.read_bytes(1));
        }
        String::from_utf8(text).unwrap()
    }

    fn read_exactly(&mut self, length: usize) -> String {
        String::from_utf8(self.read_bytes(length)).unwrap()
    }

    fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}
