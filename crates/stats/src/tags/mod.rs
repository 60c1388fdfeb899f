//! Tags: which parts of a stat's name are labels rather than name (`TagProducerImpl`).
//!
//! Rules that begin with a fixed first token apply only to names that begin with it. Every matching rule sees the
//! whole name; what the rules found is cut out at the end. The order of tags is that of the rules: those without a
//! fixed first token, then those with it.

mod builtin;
mod patterns;
mod tokens;
mod walk;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use crate::config::{TagPattern, TagSpan, TagSpecifier, TagValue};
use tokens::{Token, Tokens};

/// A name without its tags, and the tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// The name with the tags cut out.
    pub name: String,
    /// Tag names and values, in the order of the rules.
    pub tags: Vec<(String, String)>,
}

/// A tag that is configured without a value, though Envoy has no rule for a tag of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTag(
    /// The tag's name.
    pub String,
);

impl std::fmt::Display for UnknownTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "No regex specified for tag specifier and no default regex for name: '{}'",
            self.0
        )
    }
}

impl std::error::Error for UnknownTag {}

/// Finds tags in names.
#[derive(Debug, Default)]
pub struct TagExtractors {
    anywhere: Vec<Extractor>,
    by_first_token: HashMap<Cow<'static, str>, Vec<Extractor>>,
}

#[derive(Debug)]
struct Extractor {
    tag: Cow<'static, str>,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// A regular expression of Envoy's, written as code.
    Code(fn(&str) -> Option<TagSpan>),
    /// A pattern of tokens.
    Tokens(&'static [Token]),
    Regex(Box<dyn TagPattern>),
    Fixed(String),
}

impl TagExtractors {
    /// Envoy's own rules.
    #[must_use]
    pub fn with_defaults() -> Self {
        let mut extractors = Self::default();
        extractors.add_builtin(|_| true);
        extractors
    }

    /// The rules of a configuration.
    ///
    /// # Errors
    /// A tag that has neither value nor expression nor default rule.
    pub fn new(use_all_default_tags: bool, tags: Vec<TagSpecifier>) -> Result<Self, UnknownTag> {
        let mut extractors = if use_all_default_tags {
            Self::with_defaults()
        } else {
            Self::default()
        };
        for TagSpecifier { name, value } in tags {
            match value {
                TagValue::Default => {
                    if extractors.add_builtin(|tag| tag == name) == 0 {
                        return Err(UnknownTag(name));
                    }
                }
                TagValue::Regex { source, pattern } => {
                    let first = first_token(&source).map(|token| Cow::Owned(token.to_owned()));
                    extractors.add(first, Cow::Owned(name), Rule::Regex(pattern));
                }
                TagValue::Fixed(value) => {
                    extractors.add(None, Cow::Owned(name), Rule::Fixed(value))
                }
            }
        }
        Ok(extractors)
    }

    /// Takes the tags out of a name.
    #[must_use]
    pub fn extract(&self, name: &str) -> Tagged {
        let mut finder = Finder::new(self);
        finder.search(name);
        let mut tagged = Tagged::default();
        finder.write_name(name, &mut tagged.name);
        tagged.tags = finder
            .tags(name)
            .map(|(tag, value)| (tag.to_owned(), value.to_owned()))
            .collect();
        tagged
    }

    /// Adds Envoy's own rules for the tags that are `wanted`; tells how many. As in Envoy, those that were regular
    /// expressions come before those that were tokens.
    fn add_builtin(&mut self, wanted: impl Fn(&str) -> bool) -> usize {
        let mut added = 0;
        for &(tag, first, find) in builtin::CODE {
            if wanted(tag) {
                self.add(
                    first.map(Cow::Borrowed),
                    Cow::Borrowed(tag),
                    Rule::Code(find),
                );
                added += 1;
            }
        }
        for &(tag, pattern) in builtin::TOKENS {
            if wanted(tag) {
                let first = match pattern.first() {
                    Some(&Token::Word(word)) => Some(Cow::Borrowed(word)),
                    _ => None,
                };
                self.add(first, Cow::Borrowed(tag), Rule::Tokens(pattern));
                added += 1;
            }
        }
        added
    }

    fn add(&mut self, first: Option<Cow<'static, str>>, tag: Cow<'static, str>, rule: Rule) {
        let list = match first {
            Some(first) => self.by_first_token.entry(first).or_default(),
            None => &mut self.anywhere,
        };
        list.push(Extractor { tag, rule });
    }
}

/// Searches names for tags, reusing its memory.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    extractors: &'a TagExtractors,
    tokens: Vec<Range<usize>>,
    found: Vec<(&'a str, Found<'a>)>,
    cut: Vec<Range<usize>>,
}

/// A tag's value.
#[derive(Debug)]
enum Found<'a> {
    /// Part of the name.
    Span(Range<usize>),
    Fixed(&'a str),
}

impl<'a> Finder<'a> {
    pub(crate) fn new(extractors: &'a TagExtractors) -> Self {
        Self {
            extractors,
            tokens: Vec::new(),
            found: Vec::new(),
            cut: Vec::new(),
        }
    }

    /// Finds the tags of `name`.
    pub(crate) fn search(&mut self, name: &str) {
        self.found.clear();
        self.cut.clear();
        let tokens = Tokens::new(name, &mut self.tokens);
        let rooted = &self.extractors.by_first_token;
        let rooted = name
            .split_once('.')
            .and_then(|(first, _)| rooted.get(first));
        for extractor in self
            .extractors
            .anywhere
            .iter()
            .chain(rooted.into_iter().flatten())
        {
            let span = match &extractor.rule {
                Rule::Code(find) => find(name),
                Rule::Tokens(pattern) => tokens.find(pattern),
                Rule::Regex(pattern) => pattern.find(name),
                Rule::Fixed(value) => {
                    if self.found.iter().all(|(tag, _)| *tag != extractor.tag) {
                        self.found.push((&extractor.tag, Found::Fixed(value)));
                    }
                    None
                }
            };
            // Of several rules for one tag the first that finds it wins.
            if let Some(TagSpan { remove, value }) = span
                && self.found.iter().all(|(tag, _)| *tag != extractor.tag)
            {
                self.found.push((&extractor.tag, Found::Span(value)));
                self.cut.push(remove);
            }
        }
        self.cut.sort_unstable_by_key(|range| range.start);
    }

    /// The tags that the last search found in `name`.
    pub(crate) fn tags<'n>(&self, name: &'n str) -> impl Iterator<Item = (&'a str, &'n str)>
    where
        'a: 'n,
    {
        self.found.iter().map(move |(tag, value)| match value {
            Found::Span(range) => (*tag, &name[range.clone()]),
            Found::Fixed(value) => (*tag, *value),
        })
    }

    /// Replaces `out` by `name` without what the last search found in it.
    pub(crate) fn write_name(&self, name: &str, out: &mut String) {
        out.clear();
        let mut at = 0;
        for range in &self.cut {
            if range.start > at {
                out.push_str(&name[at..range.start]);
            }
            at = at.max(range.end);
        }
        out.push_str(&name[at..]);
    }
}

/// The fixed first token of a regular expression: `^name` followed by an escaped dot, or by `$` at the end.
fn first_token(source: &str) -> Option<&str> {
    let rest = source.strip_prefix('^')?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    let (token, after) = rest.split_at(end);
    let bounded = after == "$" || after.starts_with("\\.") || after.starts_with("(?=\\.)");
    (!token.is_empty() && bounded).then_some(token)
}

#[cfg(test)]
mod tests;
