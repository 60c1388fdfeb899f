//! Patterns of dot-separated tokens (`TagExtractorTokensImpl`).

use std::ops::Range;

use crate::config::TagSpan;

/// One place of a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    /// Exactly this token.
    Word(&'static str),
    /// Any one token: `*`.
    Any,
    /// Any one token or more: `**`.
    Rest,
    /// Any one token, which is the tag's value: `$`.
    Value,
}

/// A name cut at its dots.
pub(super) struct Tokens<'a> {
    name: &'a str,
    tokens: &'a [Range<usize>],
}

impl<'a> Tokens<'a> {
    /// Cuts `name`, keeping the places in `memory`.
    pub(super) fn new(name: &'a str, memory: &'a mut Vec<Range<usize>>) -> Self {
        memory.clear();
        let mut start = 0;
        memory.extend(name.split('.').map(|token| {
            let range = start..start + token.len();
            start = range.end + 1;
            range
        }));
        Self {
            name,
            tokens: memory,
        }
    }

    /// Where the pattern's `$` is, if the whole name matches. The token goes with the dot after it, or the dot
    /// before it if it is the last.
    pub(super) fn find(&self, pattern: &[Token]) -> Option<TagSpan> {
        let at = self.search(pattern, 0)?;
        let value = self.tokens[at].clone();
        let remove = if at + 1 < self.tokens.len() {
            value.start..value.end + 1
        } else {
            value.start.saturating_sub(1)..value.end
        };
        Some(TagSpan { remove, value })
    }

    /// The index of the token that `$` stands for, if the tokens from `at` on match `pattern`. A pattern without
    /// `$` (the rest of one) answers `at`.
    fn search(&self, pattern: &[Token], at: usize) -> Option<usize> {
        let Some((token, rest)) = pattern.split_first() else {
            return (at == self.tokens.len()).then_some(at);
        };
        let here = self.tokens.get(at)?;
        match token {
            Token::Word(word) if self.name[here.clone()] == **word => self.search(rest, at + 1),
            Token::Word(_) => None,
            Token::Any => self.search(rest, at + 1),
            Token::Rest => self
                .search(rest, at + 1)
                .or_else(|| self.search(pattern, at + 1)),
            Token::Value => self.search(rest, at + 1).map(|_| at),
        }
    }
}
