//! [`Cursor`]: a place in a text that knows its line and column.

use std::cell::Cell;

use super::{SyntaxError, tree::Place};

/// Where a parser is.
pub(super) struct Cursor<'s> {
    pub(super) text: &'s str,
    /// Offset of the next byte.
    pub(super) at: usize,
    blanks: Blanks,
    line: u32,
    /// Up to which offset the characters of the current line are counted, and how many they are: each is counted once,
    /// however long the line.
    counted: Cell<(usize, usize)>,
}

/// What may stand between tokens, beside line breaks.
#[derive(Clone, Copy)]
pub(super) enum Blanks {
    /// Space, tab and carriage return.
    Json,
    /// Vertical tab, form feed and comments, too.
    Text,
}

impl<'s> Cursor<'s> {
    /// # Errors
    /// A text of 4 GiB or more, whose offsets a tree could not hold.
    pub(super) fn new(text: &'s str, blanks: Blanks) -> Result<Self, SyntaxError> {
        let cursor = Self {
            text,
            at: 0,
            blanks,
            line: 1,
            counted: Cell::new((0, 0)),
        };
        match u32::try_from(text.len()) {
            Ok(_) => Ok(cursor),
            Err(_) => Err(cursor.error("a configuration cannot be larger than 4 GiB")),
        }
    }

    pub(super) fn place(&self) -> Place {
        let (from, before) = self.counted.get();
        let more = self.text.get(from..self.at).unwrap_or_default();
        let column = before + more.chars().count();
        self.counted.set((self.at, column));
        Place {
            line: self.line,
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
        }
    }

    /// Steps over a line break, which is next.
    pub(super) fn break_line(&mut self) {
        self.at += 1;
        self.line += 1;
        self.counted.set((self.at, 0));
    }

    /// What is still to be read.
    pub(super) fn rest(&self) -> &'s str {
        &self.text[self.at..]
    }

    /// The next byte.
    pub(super) fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips what stands between tokens and shows the next byte.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match (self.byte()?, self.blanks) {
                (b'\n', _) => self.break_line(),
                (b' ' | b'\t' | b'\r', _) | (0x0b | 0x0c, Blanks::Text) => self.at += 1,
                (b'#', Blanks::Text) => {
                    let rest = self.rest();
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                (byte, _) => return Some(byte),
            }
        }
    }

    /// Steps over `byte` if it is the next token.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// What lies ahead as long as `belongs` takes it.
    pub(super) fn word(&self, belongs: impl Fn(u8) -> bool) -> &'s str {
        let rest = self.rest();
        let end = rest.bytes().position(|byte| !belongs(byte));
        &rest[..end.unwrap_or(rest.len())]
    }

    /// The value of the `len` hexadecimal digits that stand `ahead` bytes from here, if that many do.
    pub(super) fn hex(&self, ahead: usize, len: usize) -> Option<u32> {
        let digits = self.rest().get(ahead..ahead + len)?;
        // A sign is no digit.
        let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| u32::from_str_radix(digits, 16).ok())?
    }

    pub(super) fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.place(), message)
    }

    pub(super) fn unexpected(&self, expected: &str) -> SyntaxError {
        match self.rest().chars().next() {
            None => self.error(format!("unexpected EOF; {expected}")),
            Some(c) => self.error(format!(
                "unexpected character: '{}'; {expected}",
                c.escape_debug()
            )),
        }
    }
}

/// Whether this half of a UTF-16 pair needs another one behind it.
pub(super) fn is_high_surrogate(code: u32) -> bool {
    (0xd800..=0xdbff).contains(&code)
}

/// What two halves of UTF-16 stand for; nothing when the second is none.
pub(super) fn surrogate_pair(high: u32, low: u32) -> Option<char> {
    let is_low = (0xdc00..=0xdfff).contains(&low);
    is_low.then(|| char::from_u32(0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff))))?
}
