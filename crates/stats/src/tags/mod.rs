//! Tags: which parts of a stat's name are labels rather than name (`TagProducerImpl`).
//!
//! Rules that begin with a fixed first token apply only to names that begin with it. Every matching rule sees the
//! whole name; what the rules found is cut out at the end. The order of tags is that of the rules: those without a
//! fixed first token, then those with it.

mod builtin;
mod tokens;

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
        let mut tagged = Tagged::default();
        self.extract_into(name, &mut tagged);
        tagged
    }

    /// As [`TagExtractors::extract`], replacing what `tagged` held.
    pub fn extract_into(&self, name: &str, tagged: &mut Tagged) {
        tagged.tags.clear();
        tagged.name.clear();
        let tokens = Tokens::new(name);
        let mut cut: Vec<Range<usize>> = Vec::new();
        let rooted = name
            .split_once('.')
            .and_then(|(first, _)| self.by_first_token.get(first));
        for extractor in self.anywhere.iter().chain(rooted.into_iter().flatten()) {
            if tagged.tags.iter().any(|(tag, _)| *tag == extractor.tag) {
                continue; // Of several rules for one tag the first that finds it wins.
            }
            let span = match &extractor.rule {
                Rule::Code(find) => find(name),
                Rule::Tokens(pattern) => tokens.find(pattern),
                Rule::Regex(pattern) => pattern.find(name),
                Rule::Fixed(value) => {
                    tagged.tags.push((extractor.tag.to_string(), value.clone()));
                    None
                }
            };
            if let Some(TagSpan { remove, value }) = span {
                tagged
                    .tags
                    .push((extractor.tag.to_string(), name[value].to_owned()));
                cut.push(remove);
            }
        }
        cut.sort_unstable_by_key(|range| range.start);
        let mut at = 0;
        for range in cut {
            if range.start > at {
                tagged.name.push_str(&name[at..range.start]);
            }
            at = at.max(range.end);
        }
        tagged.name.push_str(&name[at..]);
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
