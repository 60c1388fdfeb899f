//! The ways in which an origin misbehaves, one at a time.

use std::io;

use crate::{Origin, Peer};

/// What an origin does with every request. Where a body is begun, it is `part` or a piece of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// FIN instead of a response.
    CloseBeforeHead,
    /// RST instead of a response.
    ResetBeforeHead,
    /// RST at the accept, before anything was read.
    ResetAtOnce,
    /// FIN in the middle of the head.
    CloseInHead,
    /// RST in the middle of the head.
    ResetInHead,
    /// FIN before the announced length is reached.
    CloseInBody,
    /// RST before the announced length is reached.
    ResetInBody,
    /// FIN in the middle of a chunk.
    CloseInChunk,
    /// FIN between two chunks, without the last one.
    CloseBetweenChunks,
    /// A chunk size that is no number.
    BadChunk,
    /// Bytes that are no HTTP.
    NotHttp,
    /// More bytes than the length that was announced.
    MoreThanAnnounced,
    /// A second response that nobody asked for.
    SecondResponse,
    /// 100, 102 and 103 before the response.
    InformationalFirst,
    /// A response as soon as the head of the request is there; the rest is not read.
    AnswersEarly,
    /// The response one byte at a time.
    ByteByByte,
    /// A good response, and FIN behind it although it announced to stay.
    CloseAfterwards,
    /// A good response with `connection: close`, and FIN.
    AnnouncedClose,
}

/// What a faulty origin sends of a body.
const PART: &str = "part";

impl Origin {
    /// An origin that has this fault on every connection.
    pub fn faulty(fault: Fault) -> Origin {
        Origin::start(move |peer, _| fault.play(peer))
    }
}

impl Fault {
    /// Whether the origin leaves the connection open for further requests.
    pub fn keeps_connection(self) -> bool {
        matches!(self, Fault::InformationalFirst | Fault::ByteByByte)
    }

    /// Serves a connection with this fault.
    ///
    /// # Errors
    /// When the other side ends the connection.
    pub fn play(self, peer: &mut Peer) -> io::Result<()> {
        if self == Fault::ResetAtOnce {
            peer.reset();
            return Ok(());
        }
        loop {
            match self {
                Fault::AnswersEarly => peer.request_head()?,
                _ => peer.request()?,
            };
            if !self.respond(peer)? {
                return Ok(());
            }
        }
    }

    /// Responds to one request; says whether the connection goes on.
    fn respond(self, peer: &mut Peer) -> io::Result<bool> {
        let good = format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{PART}");
        let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{PART}");
        let chunked =
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{PART}\r\n");
        match self {
            Fault::ResetAtOnce | Fault::ResetBeforeHead => peer.reset(),
            Fault::CloseBeforeHead => {}
            Fault::CloseInHead => peer.send("HTTP/1.1 200 OK\r\ncontent-le")?,
            Fault::ResetInHead => {
                peer.send("HTTP/1.1 200 OK\r\ncontent-le")?;
                peer.reset();
            }
            Fault::CloseInBody => peer.send(announced)?,
            Fault::ResetInBody => {
                peer.send(announced)?;
                peer.reset();
            }
            Fault::CloseInChunk => peer.send(chunked + "64\r\nhalf")?,
            Fault::CloseBetweenChunks => peer.send(chunked)?,
            Fault::BadChunk => peer.send(chunked + "no number\r\n")?,
            Fault::NotHttp => peer.send("SSH-2.0-OpenSSH_9.2\r\n\r\n")?,
            Fault::MoreThanAnnounced => peer.send(good + " and more")?,
            Fault::SecondResponse => peer.send(good.repeat(2))?,
            Fault::AnnouncedClose => {
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\n";
                peer.send(format!("{head}{PART}"))?;
            }
            Fault::CloseAfterwards => peer.send(good)?,
            Fault::AnswersEarly => {
                peer.send(good)?;
                // What is left of the request is read, or closing would reset the connection.
                let _ = peer.wait_for_close();
            }
            Fault::InformationalFirst => {
                for line in ["100 Continue", "102 Processing", "103 Early Hints"] {
                    peer.send(format!("HTTP/1.1 {line}\r\n\r\n"))?;
                }
                peer.answer(PART)?;
                return Ok(true);
            }
            Fault::ByteByByte => {
                for byte in good.as_bytes() {
                    peer.send([*byte])?;
                }
                peer.answered();
                return Ok(true);
            }
        }
        Ok(false)
    }
}
