//! What was received on a connection, sorted by stream; nothing is judged.

use std::collections::BTreeMap;

use nuncio_http::HeaderMap;
use nuncio_http::h2::hpack::{Decoder, Limits, Visit};

use super::{FRAME_HEAD, PREFACE, flag, kind};

/// Header tables may be of any size that a case allows.
const TABLE_LIMIT: u32 = 1 << 20;

const LIMITS: Limits = Limits {
    bytes: usize::MAX,
    count: usize::MAX,
};

/// One stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Header lists in order: 1xx, the final head, trailers. Each a list of lines.
    pub heads: Vec<Vec<String>>,
    pub body: Vec<u8>,
    /// The peer has ended its side.
    pub ended: bool,
    pub reset: Option<u32>,
}

impl Stream {
    /// Nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// All that came on one connection.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub streams: BTreeMap<u32, Stream>,
    /// The first SETTINGS frame.
    pub settings: Option<Vec<(u16, u32)>>,
    /// Last stream and code of each GOAWAY.
    pub goaways: Vec<(u32, u32)>,
    /// Answers to PING.
    pub pongs: usize,
    /// PINGs that ask for an answer.
    pub pings: usize,
    /// What stands behind the last whole frame, or behind a header block that cannot be decoded.
    pub rest: Vec<u8>,
}

impl Session {
    /// Requests or responses of which at least the head has come.
    pub(crate) fn heads(&self) -> usize {
        self.streams
            .values()
            .filter(|stream| !stream.heads.is_empty())
            .count()
    }

    /// Streams of which nothing more will come.
    pub(crate) fn over(&self) -> usize {
        let over = self.streams.values().filter(|stream| stream.is_over());
        over.count()
    }
}

/// Whether these bytes are HTTP/2: a client's preface, or a server's SETTINGS.
pub(crate) fn is_session(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    match bytes.first_chunk::<FRAME_HEAD>() {
        Some(head) => head[0] == 0 && head[3] == kind::SETTINGS && head[5..] == [0; 4],
        None => false,
    }
}

/// Reads as far as whole frames have arrived.
pub(crate) fn read(bytes: &[u8]) -> Session {
    let mut session = Session::default();
    let mut decoder = Decoder::new();
    decoder.set_limit(TABLE_LIMIT);
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(bytes);
    // HEADERS that wait for their CONTINUATION.
    let mut block = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<FRAME_HEAD>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, after)) = tail.split_at_checked(length) else {
            break;
        };
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        match kind {
            kind::HEADERS | kind::CONTINUATION => {
                let plain = if kind == kind::HEADERS {
                    unpadded(flags, payload)
                } else {
                    payload
                };
                block.extend_from_slice(plain);
                let stream = session.streams.entry(id).or_default();
                stream.ended |= kind == kind::HEADERS && flags & flag::END_STREAM != 0;
                if flags & flag::END_HEADERS != 0 {
                    let Some(lines) = lines(&mut decoder, &block) else {
                        break;
                    };
                    block.clear();
                    stream.heads.push(lines);
                }
            }
            kind::DATA => {
                let stream = session.streams.entry(id).or_default();
                stream.body.extend_from_slice(unpadded(flags, payload));
                stream.ended |= flags & flag::END_STREAM != 0;
            }
            kind::RST_STREAM => {
                let stream = session.streams.entry(id).or_default();
                stream.reset = Some(number(payload));
            }
            kind::SETTINGS if flags & flag::ACK == 0 => {
                let pair = |pair: &[u8; 6]| {
                    let id = u16::from_be_bytes([pair[0], pair[1]]);
                    (id, number(&pair[2..]))
                };
                let pairs = payload.as_chunks::<6>().0.iter().map(pair).collect();
                session.settings.get_or_insert(pairs);
            }
            kind::PING if flags & flag::ACK == 0 => session.pings += 1,
            kind::PING => session.pongs += 1,
            kind::GOAWAY => {
                let code = payload.get(4..).map_or(0, number);
                session.goaways.push((number(payload), code));
            }
            _ => {}
        }
        rest = after;
    }
    session.rest = rest.to_vec();
    session
}

/// The four bytes that a payload begins with.
fn number(payload: &[u8]) -> u32 {
    let bytes = payload.first_chunk::<4>().copied().unwrap_or_default();
    u32::from_be_bytes(bytes)
}

/// Without padding and priority.
fn unpadded(flags: u8, payload: &[u8]) -> &[u8] {
    let mut payload = payload;
    let mut padding = 0;
    if flags & flag::PADDED != 0
        && let Some((&length, rest)) = payload.split_first()
    {
        padding = usize::from(length);
        payload = rest;
    }
    if flags & flag::PRIORITY != 0 {
        payload = payload.get(5..).unwrap_or_default();
    }
    &payload[..payload.len().saturating_sub(padding)]
}

fn lines(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<String>> {
    let mut headers = HeaderMap::new();
    decoder
        .decode(block, &mut headers, LIMITS, |_, _| Visit::Store)
        .ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = |(name, value): (&[u8], &[u8])| format!("{}: {}", text(name), text(value));
    Some(headers.iter().map(line).collect())
}
