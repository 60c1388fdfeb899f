//! The few lines of HTTP/1.1 that this program speaks itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const LIMIT: Duration = Duration::from_secs(30);
const HEAD_LIMIT: usize = 64 * 1024;

/// An answer's head and the body bytes that came with it.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) content_length: Option<usize>,
    pub(crate) body: Vec<u8>,
}

/// A loopback connection whose reads and writes end in time.
pub(crate) fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("connecting to port {port}"))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a GET on a keep-alive connection.
pub(crate) fn send(stream: &mut TcpStream, host: &str, path: &str) -> Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).context("request")
}

/// Reads up to the end of the head, perhaps further.
pub(crate) fn read_head(stream: &mut TcpStream) -> Result<Head> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 2048];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let count = stream.read(&mut chunk).context("response")?;
        if count == 0 || bytes.len() > HEAD_LIMIT {
            bail!("no whole response: {:?}", String::from_utf8_lossy(&bytes));
        }
        bytes.extend_from_slice(&chunk[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.get(9..12).and_then(|code| code.parse().ok());
    let content_length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    Ok(Head {
        status: status.with_context(|| format!("odd response: {head}"))?,
        content_length,
        body: bytes.split_off(end + 4),
    })
}

/// One whole exchange with an answer that tells its length; returns status and body.
pub(crate) fn exchange(stream: &mut TcpStream, host: &str, path: &str) -> Result<(u16, Vec<u8>)> {
    send(stream, host, path)?;
    let mut head = read_head(stream)?;
    let length = head.content_length.context("no content-length")?;
    let have = head.body.len();
    if length > have {
        head.body.resize(length, 0);
        stream.read_exact(&mut head.body[have..]).context("body")?;
    }
    Ok((head.status, head.body))
}

/// The answer to a GET of an admin interface, which comes in chunks.
pub(crate) fn text(port: u16, path: &str) -> Result<String> {
    let mut stream = connect(port)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).context("request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("answer")?;
    Ok(answer)
}

/// The status of a GET on a connection of its own, whatever follows the head.
pub(crate) fn status(port: u16, host: &str, path: &str) -> Result<u16> {
    let mut stream = connect(port)?;
    send(&mut stream, host, path)?;
    Ok(read_head(&mut stream)?.status)
}
