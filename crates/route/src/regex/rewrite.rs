//! `RegexMatchAndSubstitute`: RE2's `GlobalReplace`.

use nuncio_config::api::matcher::RegexMatchAndSubstitute;
use nuncio_config::{ConfigError, Within};
use regex_automata::Input;
use regex_automata::meta;
use regex_automata::util::primitives::NonMaxUsize;

use super::cache::{Memory, SlotId};
use super::{MAX_PATTERN_BYTES, STATE_BYTES, re2, regex_of};

/// Replaces every match of a pattern by a substitution with `\0` … `\9` for its groups.
#[derive(Debug)]
pub struct RegexRewrite {
    regex: meta::Regex,
    slot: SlotId,
    substitution: Box<[Piece]>,
    /// The substitution names a group that the pattern does not have: as in RE2, nothing is ever replaced.
    inert: bool,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(Box<[u8]>),
    Group(usize),
}

impl RegexRewrite {
    /// Compiles a pattern and its substitution.
    ///
    /// # Errors
    /// When the pattern is not valid.
    pub fn new(pattern: &str, substitution: &str) -> Result<RegexRewrite, ConfigError> {
        let hir = re2::parse(pattern).map_err(|error| ConfigError::new("pattern.regex", error))?;
        let config = meta::Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_PATTERN_BYTES))
            .hybrid_cache_capacity(STATE_BYTES);
        let regex = meta::Builder::new()
            .configure(config)
            .build_from_hir(&hir)
            .map_err(|_| ConfigError::new("pattern.regex", "pattern too large - compile failed"))?;
        let substitution = pieces(substitution);
        let groups = regex.captures_len();
        let inert = substitution
            .iter()
            .any(|piece| matches!(piece, Piece::Group(group) if *group >= groups));
        Ok(RegexRewrite {
            regex,
            slot: SlotId::allocate(),
            substitution,
            inert,
        })
    }

    /// Compiles the message.
    ///
    /// # Errors
    /// When the pattern is not valid.
    pub fn from_config(config: &RegexMatchAndSubstitute) -> Result<RegexRewrite, ConfigError> {
        let RegexMatchAndSubstitute {
            pattern,
            substitution,
        } = config;
        let Some(pattern) = pattern else {
            return Err(ConfigError::new("pattern", "value is required"));
        };
        RegexRewrite::new(regex_of(pattern).within("pattern")?, substitution)
    }

    /// Appends `input` to `out` with all matches replaced.
    pub fn replace_all(&self, input: &[u8], out: &mut Vec<u8>) {
        if self.inert {
            out.extend_from_slice(input);
            return;
        }
        self.slot.with(
            || Memory::Meta(Box::new(self.regex.create_cache())),
            |memory| match memory {
                Memory::Meta(cache) => self.replace(cache, input, out),
                Memory::Lazy(_) => out.extend_from_slice(input),
            },
        );
    }

    fn replace(&self, cache: &mut meta::Cache, input: &[u8], out: &mut Vec<u8>) {
        // RE2 substitutes at most nine groups and the whole match.
        let mut slots = [None; 20];
        let mut from = 0;
        let mut copied = 0;
        let mut last_end = None;
        while from <= input.len() {
            slots.fill(None);
            let search = Input::new(input).range(from..);
            if self
                .regex
                .search_slots_with(cache, &search, &mut slots)
                .is_none()
            {
                break;
            }
            let (Some(start), Some(end)) = (at(slots[0]), at(slots[1])) else {
                break;
            };
            if start == end && last_end == Some(end) {
                // An empty match where the last one ended does not count: go on behind the next character.
                from = end + char_len(&input[end..]);
                continue;
            }
            out.extend_from_slice(&input[copied..start]);
            for piece in &self.substitution {
                match piece {
                    Piece::Text(text) => out.extend_from_slice(text),
                    Piece::Group(group) => {
                        if let (Some(start), Some(end)) =
                            (at(slots[2 * group]), at(slots[2 * group + 1]))
                        {
                            out.extend_from_slice(&input[start..end]);
                        }
                    }
                }
            }
            copied = end;
            from = end;
            last_end = Some(end);
        }
        out.extend_from_slice(&input[copied..]);
    }
}

fn at(slot: Option<NonMaxUsize>) -> Option<usize> {
    slot.map(NonMaxUsize::get)
}

/// Length of the first UTF-8 character, or of one byte that begins none; at least 1.
fn char_len(input: &[u8]) -> usize {
    let end = input.len().min(4);
    (1..=end)
        .find(|&n| std::str::from_utf8(&input[..n]).is_ok())
        .unwrap_or(1)
}

fn pieces(substitution: &str) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut text = Vec::new();
    let mut bytes = substitution.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'\\') => text.push(b'\\'),
            Some(digit @ b'0'..=b'9') => {
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text).into()));
                }
                pieces.push(Piece::Group(usize::from(digit - b'0')));
            }
            // Envoy takes such a substitution; RE2 writes what stands before the error, and stops.
            _ => break,
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
    pieces.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(pattern: &str, substitution: &str, input: &str) -> String {
        let mut out = Vec::new();
        RegexRewrite::new(pattern, substitution)
            .unwrap()
            .replace_all(input.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn examples_of_the_proto() {
        assert_eq!(
            rewritten(
                "^/service/([^/]+)(/.*)$",
                r"\2/instance/\1",
                "/service/foo/v1/api"
            ),
            "/v1/api/instance/foo"
        );
        assert_eq!(
            rewritten("one", "two", "/xxx/one/yyy/one/zzz"),
            "/xxx/two/yyy/two/zzz"
        );
        assert_eq!(
            rewritten("^(.*?)one(.*)$", r"\1two\2", "/xxx/one/yyy/one/zzz"),
            "/xxx/two/yyy/one/zzz"
        );
        assert_eq!(
            rewritten("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb"),
            "/aaa/yyy/bbb"
        );
    }

    #[test]
    fn edges() {
        assert_eq!(rewritten("b*", "x", "abé"), "xaxéx");
        assert_eq!(rewritten("a", r"[\0\\]", "ba"), r"b[a\]");
        assert_eq!(rewritten("(a)|(b)", r"<\1\2>", "ab"), "<a><b>");
        assert_eq!(rewritten("a", r"\1", "a"), "a", "no such group");
        assert_eq!(rewritten("a", r"x\yz", "bab"), "bxb", "malformed");
        assert!(RegexRewrite::new("(", "").is_err());
    }
}
