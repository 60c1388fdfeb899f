//! The few frames of HTTP/2 that this program speaks itself, with prior knowledge: a client, and an origin that is silent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::http;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_LIMIT: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

/// What the protocol's first window of 65,535 bytes lacks to the largest one.
const WINDOW: u32 = (1 << 31) - 1 - 65_535;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame's head without its length, and its payload.
struct Frame {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

fn write_frame(stream: &mut TcpStream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Result<()> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).context("writing a frame")
}

fn read_frame(stream: &mut TcpStream) -> Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).context("reading a frame")?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    ensure!(length <= FRAME_LIMIT, "a frame of {length} bytes");
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).context("reading a frame")?;
    Ok(Frame {
        kind: head[3],
        flags: head[4],
        payload,
    })
}

/// A client's connection.
pub(crate) struct Client {
    stream: TcpStream,
    next_id: u32,
}

impl Client {
    /// Connects and waits for the server's settings.
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let mut stream = http::connect(port)?;
        stream.write_all(PREFACE).context("preface")?;
        write_frame(&mut stream, SETTINGS, 0, 0, &[])?;
        let first = read_frame(&mut stream)?;
        ensure!(
            first.kind == SETTINGS && first.flags & ACK == 0,
            "no settings, but a frame of type {}",
            first.kind
        );
        write_frame(&mut stream, SETTINGS, ACK, 0, &[])?;
        // The connection's window, which is never looked after, for as many bodies as anybody asks for.
        write_frame(&mut stream, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes())?;
        Ok(Self { stream, next_id: 1 })
    }

    /// Sends a GET on a stream of its own.
    pub(crate) fn send(&mut self, path: &str) -> Result<()> {
        // GET, http, then path and authority as literals that are not indexed.
        let mut block = vec![0x82, 0x86];
        for (name, value) in [(0x04, path), (0x01, "localhost")] {
            block.extend([name, value.len() as u8]);
            block.extend(value.as_bytes());
        }
        let id = self.next_id;
        self.next_id += 2;
        write_frame(
            &mut self.stream,
            HEADERS,
            END_STREAM | END_HEADERS,
            id,
            &block,
        )
    }

    /// Sends a GET and reads to the end of its answer.
    pub(crate) fn exchange(&mut self, path: &str) -> Result<u16> {
        self.send(path)?;
        let mut answered = None;
        loop {
            let frame = read_frame(&mut self.stream)?;
            match frame.kind {
                HEADERS => answered = Some(status(&frame.payload)?),
                RST_STREAM | GOAWAY => bail!("the stream or connection was ended"),
                DATA => {}
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                return answered.context("a body without headers");
            }
        }
    }

    /// Reads to the next response's headers and returns its status.
    pub(crate) fn status(&mut self) -> Result<u16> {
        loop {
            let frame = read_frame(&mut self.stream)?;
            match frame.kind {
                HEADERS => return status(&frame.payload),
                RST_STREAM | GOAWAY => bail!("the stream or connection was ended"),
                _ => {}
            }
        }
    }

    /// An error if the connection was closed. What has come is thrown away.
    pub(crate) fn is_open(&mut self) -> Result<()> {
        self.stream.set_nonblocking(true)?;
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("closed"),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.stream.set_nonblocking(false)?)
    }
}

/// The status at the beginning of a header block, if it is one that the static table has.
fn status(mut block: &[u8]) -> Result<u16> {
    // Size updates come first.
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
        if first & 0x1f == 0x1f {
            let more = block.iter().take_while(|byte| *byte & 0x80 != 0).count();
            block = block.get(more + 1..).context("a cut size update")?;
        }
    }
    let first = block.first().context("an empty block")?;
    (0x88..)
        .zip([200, 204, 206, 304, 400, 404, 500])
        .find_map(|(index, status)| (index == *first).then_some(status))
        .context("another status than usual")
}

/// An origin that takes requests and never answers them. It runs as long as this program does.
pub(crate) fn silent_origin() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding a port")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // The proxy closing its connection ends the thread.
                let _ = be_silent(stream);
            });
        }
    });
    Ok(port)
}

fn be_silent(mut stream: TcpStream) -> Result<()> {
    // SETTINGS_MAX_CONCURRENT_STREAMS: as many as anybody may want.
    write_frame(&mut stream, SETTINGS, 0, 0, &[0, 3, 0, 0, 0xff, 0xff])?;
    write_frame(&mut stream, SETTINGS, ACK, 0, &[])?;
    let mut chunk = vec![0; 64 << 10];
    while stream.read(&mut chunk)? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_found_behind_size_updates() {
        assert_eq!(status(&[0x88, 0x76]).unwrap(), 200);
        assert_eq!(status(&[0x20, 0x8d]).unwrap(), 404);
        assert_eq!(status(&[0x20, 0x3f, 0xe1, 0x1f, 0x89]).unwrap(), 204);
        assert!(status(&[0x20]).is_err() && status(&[0x48, 1, b'x']).is_err());
    }

    #[test]
    fn a_silent_origin_takes_requests() {
        let mut client = Client::connect(silent_origin().unwrap()).unwrap();
        client.send("/").unwrap();
        client.is_open().unwrap();
    }
}
