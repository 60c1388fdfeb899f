//! Length-prefixed messages: a byte of flags, four of length (big-endian), the message.

use std::fmt;

use nuncio_buffer::Buffer;

/// Bytes in front of each message.
pub const PREFIX_LEN: usize = 5;

/// The prefix of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// `1`: the message is compressed. gRPC-Web marks its trailers with `0x80`.
    pub flags: u8,
    /// Bytes of the message.
    pub len: u32,
}

impl FrameHeader {
    /// The prefix of a message of `len` bytes that is not compressed.
    #[must_use]
    pub const fn plain(len: u32) -> FrameHeader {
        FrameHeader { flags: 0, len }
    }

    /// Whether the message is compressed.
    #[must_use]
    pub const fn is_compressed(self) -> bool {
        self.flags & 1 != 0
    }

    /// The prefix as it is sent.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; PREFIX_LEN] {
        let [a, b, c, d] = self.len.to_be_bytes();
        [self.flags, a, b, c, d]
    }

    const fn from_bytes([flags, a, b, c, d]: [u8; PREFIX_LEN]) -> FrameHeader {
        FrameHeader {
            flags,
            len: u32::from_be_bytes([a, b, c, d]),
        }
    }
}

/// Why a body is no sequence of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Flags that gRPC does not have.
    Flags(u8),
    /// A message of this many bytes, more than the receiver takes.
    TooLarge(u32),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Flags(flags) => write!(f, "message with unknown flags {flags:#04x}"),
            FrameError::TooLarge(len) => write!(f, "message of {len} bytes is too large"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Takes messages out of a body that comes in pieces. Holds at most the bytes of one prefix itself; the message grows in
/// the buffer that the caller gives, and never beyond the limit.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    prefix: [u8; PREFIX_LEN],
    prefix_len: usize,
    /// Bytes of the present message that are still to come; meaningful once the prefix is complete.
    missing: usize,
    max_len: u32,
}

impl FrameDecoder {
    /// A decoder that takes messages of at most `max_len` bytes.
    #[must_use]
    pub const fn new(max_len: u32) -> FrameDecoder {
        FrameDecoder {
            prefix: [0; PREFIX_LEN],
            prefix_len: 0,
            missing: 0,
            max_len,
        }
    }

    /// Moves bytes of the present message from `input` to the end of `message`. `Some` when the message is complete:
    /// the caller takes it and calls again; `None` when more input is needed (all of it was taken).
    ///
    /// # Errors
    /// A prefix that cannot be accepted. Nothing that follows can be understood.
    pub fn decode(
        &mut self,
        input: &mut Buffer,
        message: &mut Buffer,
    ) -> Result<Option<FrameHeader>, FrameError> {
        if self.prefix_len < PREFIX_LEN {
            let taken = input.len().min(PREFIX_LEN - self.prefix_len);
            self.prefix[self.prefix_len..self.prefix_len + taken]
                .copy_from_slice(&input.as_slice()[..taken]);
            self.prefix_len += taken;
            input.consume(taken);
            if self.prefix_len < PREFIX_LEN {
                return Ok(None);
            }
            let header = FrameHeader::from_bytes(self.prefix);
            if header.flags & !1 != 0 {
                return Err(FrameError::Flags(header.flags));
            }
            if header.len > self.max_len {
                return Err(FrameError::TooLarge(header.len));
            }
            self.missing = header.len as usize;
        }
        let taken = self.missing.min(input.len());
        if taken > 0 {
            input.move_to(message, taken);
            self.missing -= taken;
        }
        if self.missing > 0 {
            return Ok(None);
        }
        self.prefix_len = 0;
        Ok(Some(FrameHeader::from_bytes(self.prefix)))
    }

    /// Whether the input ended between two messages, as it should at the end of a body.
    #[must_use]
    pub const fn is_at_boundary(&self) -> bool {
        self.prefix_len == 0
    }
}

/// Follows the messages of a body that passes by, without holding any of it, and whatever their flags are.
#[derive(Clone, Debug, Default)]
pub struct FrameWalker {
    prefix: [u8; PREFIX_LEN],
    prefix_len: usize,
    missing: u64,
}

/// One step of a [`FrameWalker`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStep {
    /// Bytes of the piece that belong to the present message, its prefix included.
    pub len: usize,
    /// How many of them belong to the prefix.
    pub prefix_len: usize,
    /// A message begins with the first of them.
    pub begins: bool,
    /// The message ends with the last of them.
    pub ends: bool,
    /// The message's flags.
    pub flags: u8,
}

impl FrameWalker {
    /// Goes through `piece`, which is not empty, up to the end of the present message or of the piece.
    pub fn step(&mut self, piece: &[u8]) -> FrameStep {
        let begins = self.missing == 0 && self.prefix_len == 0;
        let mut prefix_len = 0;
        if self.missing == 0 {
            prefix_len = piece.len().min(PREFIX_LEN - self.prefix_len);
            self.prefix[self.prefix_len..self.prefix_len + prefix_len]
                .copy_from_slice(&piece[..prefix_len]);
            self.prefix_len += prefix_len;
            if self.prefix_len == PREFIX_LEN {
                self.prefix_len = 0;
                self.missing = u64::from(FrameHeader::from_bytes(self.prefix).len);
            }
        }
        let body = self.missing.min((piece.len() - prefix_len) as u64);
        self.missing -= body;
        FrameStep {
            len: prefix_len + body as usize,
            prefix_len,
            begins,
            ends: self.missing == 0 && self.prefix_len == 0,
            flags: self.prefix[0],
        }
    }
}

/// Counts the messages of a body that passes by. A message counts with its first byte (Envoy's `FrameInspector`).
#[derive(Clone, Debug, Default)]
pub struct FrameCounter {
    walker: FrameWalker,
    count: u64,
}

impl FrameCounter {
    /// Looks at the next piece of the body, and returns how many messages began in it.
    pub fn inspect(&mut self, piece: &[u8]) -> u64 {
        self.inspect_with(piece, |_, _| {})
    }

    /// As [`Self::inspect`], and hands every step to `visit`, with the bytes of the message (without prefix) in it.
    pub fn inspect_with(
        &mut self,
        mut piece: &[u8],
        mut visit: impl FnMut(FrameStep, &[u8]),
    ) -> u64 {
        let before = self.count;
        while !piece.is_empty() {
            let step = self.walker.step(piece);
            self.count += u64::from(step.begins);
            let (seen, rest) = piece.split_at(step.len);
            visit(step, &seen[step.prefix_len..]);
            piece = rest;
        }
        self.count - before
    }

    /// Messages that have begun.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            flags,
            len: message.len() as u32,
        };
        [&header.to_bytes(), message].concat()
    }

    fn decode_in_pieces(bytes: &[u8], size: usize) -> Vec<(u8, Vec<u8>)> {
        let mut decoder = FrameDecoder::new(1000);
        let mut found = Vec::new();
        let mut message = Buffer::new();
        for piece in bytes.chunks(size) {
            let mut input = Buffer::from(piece);
            while let Some(header) = decoder.decode(&mut input, &mut message).unwrap() {
                assert_eq!(header.len as usize, message.len());
                found.push((header.flags, message.to_vec()));
                message.clear();
            }
            assert!(input.is_empty());
        }
        assert!(decoder.is_at_boundary());
        found
    }

    #[test]
    fn messages_are_found_however_the_body_is_cut() {
        let body = [frame(0, b"one"), frame(1, b""), frame(0, &[7; 300])].concat();
        let expected = [(0, b"one".to_vec()), (1, vec![]), (0, vec![7; 300])];
        for size in 1..=body.len() {
            assert_eq!(
                decode_in_pieces(&body, size),
                expected,
                "in pieces of {size}"
            );
            let mut counter = FrameCounter::default();
            let counted: u64 = body.chunks(size).map(|piece| counter.inspect(piece)).sum();
            assert_eq!((counted, counter.count()), (3, 3));
        }
    }

    #[test]
    fn an_empty_message_is_complete_with_its_prefix() {
        let mut decoder = FrameDecoder::new(0);
        let (mut input, mut message) = (Buffer::from(&frame(0, b"")[..]), Buffer::new());
        assert_eq!(
            decoder.decode(&mut input, &mut message),
            Ok(Some(FrameHeader::plain(0)))
        );
        assert_eq!(decoder.decode(&mut input, &mut message), Ok(None));
    }

    #[test]
    fn large_messages_and_unknown_flags_are_refused_before_anything_is_held() {
        let mut message = Buffer::new();
        let mut input = Buffer::from(&[0, 0, 0, 1, 0, 9][..]);
        assert_eq!(
            FrameDecoder::new(255).decode(&mut input, &mut message),
            Err(FrameError::TooLarge(256))
        );
        let mut input = Buffer::from(&[0x80, 0, 0, 0, 1][..]);
        assert_eq!(
            FrameDecoder::new(255).decode(&mut input, &mut message),
            Err(FrameError::Flags(0x80))
        );
        assert!(message.is_empty());
    }

    #[test]
    fn the_counter_sees_a_message_with_its_first_byte() {
        let mut counter = FrameCounter::default();
        assert_eq!(counter.inspect(&[0x80]), 1);
        assert_eq!(counter.inspect(&[0, 0, 0]), 0);
        assert_eq!(counter.inspect(&[2, b'a']), 0);
        assert_eq!(counter.inspect(b"b\0"), 1);
        assert_eq!(counter.count(), 2);
    }

    #[test]
    fn steps_end_with_their_message() {
        let mut walker = FrameWalker::default();
        let body = [frame(1, b"ab"), frame(2, b"")].concat();
        let first = walker.step(&body[..6]);
        assert_eq!((first.len, first.prefix_len, first.flags), (6, 5, 1));
        assert!(first.begins && !first.ends);
        let second = walker.step(&body[6..]);
        assert_eq!((second.len, second.prefix_len), (1, 0));
        assert!(!second.begins && second.ends);
        let third = walker.step(&body[7..]);
        assert_eq!((third.len, third.flags), (5, 2));
        assert!(third.begins && third.ends);
    }
}
