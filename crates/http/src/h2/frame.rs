//! The frame head (RFC 9113, section 4.1), and writing frames.

use nuncio_buffer::Buffer;

/// Bytes of a frame head.
pub(super) const HEAD: usize = 9;
/// The largest payload that is received and sent: `SETTINGS_MAX_FRAME_SIZE` stays at its default, as Envoy's does.
pub(super) const MAX_PAYLOAD: usize = 16_384;
/// The largest stream id, window, and number of streams.
pub(super) const MAX_31: u32 = 0x7fff_ffff;

pub(super) mod kind {
    pub(in crate::h2) const DATA: u8 = 0x0;
    pub(in crate::h2) const HEADERS: u8 = 0x1;
    pub(in crate::h2) const PRIORITY: u8 = 0x2;
    pub(in crate::h2) const RST_STREAM: u8 = 0x3;
    pub(in crate::h2) const SETTINGS: u8 = 0x4;
    // 0x5 is PUSH_PROMISE, which is refused like the unexpected.
    pub(in crate::h2) const PING: u8 = 0x6;
    pub(in crate::h2) const GOAWAY: u8 = 0x7;
    pub(in crate::h2) const WINDOW_UPDATE: u8 = 0x8;
    pub(in crate::h2) const CONTINUATION: u8 = 0x9;
}

pub(super) mod flag {
    pub(in crate::h2) const ACK: u8 = 0x1;
    pub(in crate::h2) const END_STREAM: u8 = 0x1;
    pub(in crate::h2) const END_HEADERS: u8 = 0x4;
    pub(in crate::h2) const PADDED: u8 = 0x8;
    pub(in crate::h2) const PRIORITY: u8 = 0x20;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of payload.
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// The head at the front of `input`, if it is complete. The reserved bit is ignored.
    #[inline]
    pub(super) fn parse(input: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEAD] = input.first_chunk()?;
        Some(Self {
            len: usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]),
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) & MAX_31,
        })
    }

    #[inline]
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    fn to_bytes(self) -> [u8; HEAD] {
        let len = (self.len as u32).to_be_bytes();
        let stream = self.stream.to_be_bytes();
        [
            len[1], len[2], len[3], self.kind, self.flags, stream[0], stream[1], stream[2],
            stream[3],
        ]
    }
}

/// Appends a frame's head.
#[inline]
pub(super) fn head(out: &mut Buffer, kind: u8, flags: u8, stream: u32, len: usize) {
    let head = Head {
        len,
        kind,
        flags,
        stream,
    };
    out.append_slice(&head.to_bytes());
}

/// Appends a frame whose payload is one number of 32 bits: RST_STREAM, WINDOW_UPDATE.
#[inline]
pub(super) fn number(out: &mut Buffer, kind: u8, stream: u32, number: u32) {
    head(out, kind, 0, stream, 4);
    out.append_slice(&number.to_be_bytes());
}

/// Writes a head over bytes that were left for it, `at` bytes into the readable part of `out`.
pub(super) fn patch(out: &mut Buffer, at: usize, head: Head) {
    out.as_mut_slice()[at..at + HEAD].copy_from_slice(&head.to_bytes());
}

/// The number of 32 bits that begins at `at`.
#[inline]
pub(super) fn u32_at(payload: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([
        payload[at],
        payload[at + 1],
        payload[at + 2],
        payload[at + 3],
    ])
}
