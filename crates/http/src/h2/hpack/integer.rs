//! Integers and strings on the wire (RFC 7541, section 5).

use super::Error;

/// Continuation bytes that a number of 32 bits may take.
const MAX_CONTINUATION: u32 = 5;

/// A string as it stands in the block.
#[derive(Clone, Copy, Debug)]
pub(super) struct StringRef<'a> {
    pub(super) huffman: bool,
    pub(super) bytes: &'a [u8],
}

/// What is left of a header block.
#[derive(Debug)]
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) const fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// The number whose first byte, with a prefix of `bits` bits, has just been taken.
    #[inline]
    pub(super) fn integer(&mut self, first: u8, bits: u32) -> Result<u32, Error> {
        let max = (1_u32 << bits) - 1;
        let prefix = u32::from(first) & max;
        if prefix < max {
            Ok(prefix)
        } else {
            self.continuation(max)
        }
    }

    #[cold]
    #[inline(never)]
    fn continuation(&mut self, prefix: u32) -> Result<u32, Error> {
        let mut value = u64::from(prefix);
        for i in 0..MAX_CONTINUATION {
            let byte = self.next().ok_or(Error::Truncated)?;
            value += u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Error::IntegerOverflow);
            }
        }
        Err(Error::IntegerOverflow)
    }

    #[inline]
    pub(super) fn string(&mut self) -> Result<StringRef<'a>, Error> {
        let first = self.next().ok_or(Error::Truncated)?;
        let len = self.integer(first, 7)? as usize;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(StringRef {
            huffman: first & 0x80 != 0,
            bytes,
        })
    }
}

/// Appends `value` with a prefix of `bits` bits; `flags` are the bits above the prefix.
#[inline]
pub(super) fn write(flags: u8, bits: u32, value: u32, out: &mut Vec<u8>) {
    let max = (1_u32 << bits) - 1;
    if value < max {
        out.push(flags | value as u8);
        return;
    }
    write_long(flags | max as u8, value - max, out);
}

#[cold]
fn write_long(first: u8, mut rest: u32, out: &mut Vec<u8>) {
    out.push(first);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
