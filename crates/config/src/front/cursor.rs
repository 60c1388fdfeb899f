//! [`Cursor`]: a place in a text that knows its line and column.

use std::cell::Cell;

use super::{SyntaxError, tree::Place};

/// Where a parser is.
pub(super) struct Cursor<'s> {
    pub(super) text: &'s str,
    /// Offset of the next byte.
    pub(super) at: usize,
    line: u32,
    /// Up to which offset the characters of the current line are counted, and how many they are: each is counted once,
    /// however long the line.
    counted: Cell<(usize, usize)>,
}

impl<'s> Cursor<'s> {
    /// # Errors
    /// A text of 4 GiB or more, whose offsets a tree could not hold.
    pub(super) fn new(text: &'s str) -> Result<Self, SyntaxError> {
        let cursor = Self {
            text,
            at: 0,
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
