//! A small HTTP/1.1 client: one request, one response.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::BOUND;

/// A response, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Response {
    /// The first value of this header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }
}

/// Connects to a port of this machine.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connecting");
    stream.set_read_timeout(Some(BOUND)).expect("a time limit");
    stream.set_write_timeout(Some(BOUND)).expect("a time limit");
    stream
}

/// Sends the request and reads the response to its end.
///
/// # Errors
/// When the connection ends before the response does, or when the response makes no sense.
pub(crate) fn exchange(mut stream: impl Read + Write, request: &str) -> io::Result<Response> {
    stream.write_all(request.as_bytes())?;
    read_response(&mut stream)
}

/// Reads one response.
///
/// # Errors
/// As [`exchange`].
pub(crate) fn read_response(stream: &mut impl Read) -> io::Result<Response> {
    let head = read_until(stream, b"\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .ok_or_else(|| wrong(&head))?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        body: String::new(),
    };
    if status == 101 {
        return Ok(response);
    }
    if response.header("transfer-encoding") == Some("chunked") {
        loop {
            let line = read_until(stream, b"\r\n")?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| wrong(&line))?;
            let chunk = read_exactly(stream, size + 2)?;
            response.body.push_str(&chunk[..size]);
            if size == 0 {
                return Ok(response);
            }
        }
    }
    let length = match response.header("content-length") {
        Some(length) => length.parse().map_err(|_| wrong(length))?,
        None => 0,
    };
    response.body = read_exactly(stream, length)?;
    Ok(response)
}

/// Byte by byte, so that nothing of what follows is lost.
fn read_until(stream: &mut impl Read, end: &[u8]) -> io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))
}

fn read_exactly(stream: &mut impl Read, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| wrong("not UTF-8"))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
