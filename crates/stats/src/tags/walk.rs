//! Reading a name from the left.

use std::ops::Range;

use crate::config::TagSpan;

/// Walks a name token by token; `at` is where the next token begins (past the end once the last was taken).
pub(super) struct Walk<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Self { name, at: 0 }
    }

    /// Takes the next token if it is `word`.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self
            .peek()
            .filter(|token| self.name[token.clone()] == *word);
        self.at = found.as_ref().map_or(self.at, |token| token.end + 1);
        found.is_some()
    }

    /// Takes the next token if it is not empty.
    pub(super) fn any(&mut self) -> Option<Range<usize>> {
        let token = self.peek().filter(|token| !token.is_empty())?;
        self.at = token.end + 1;
        Some(token)
    }

    /// Takes the next token, which must not be the last, as a tag that goes with the dot after it.
    pub(super) fn any_and_dot(&mut self) -> Option<TagSpan> {
        let value = self.any()?;
        (value.end < self.name.len()).then_some(TagSpan {
            remove: value.start..value.end + 1,
            value,
        })
    }

    /// What follows the tokens taken, if a dot did.
    pub(super) fn rest(&self) -> Option<&'a str> {
        self.name.get(self.at..)
    }

    fn peek(&self) -> Option<Range<usize>> {
        let rest = self.rest()?;
        let length = rest.find('.').unwrap_or(rest.len());
        Some(self.at..self.at + length)
    }
}
