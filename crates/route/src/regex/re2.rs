//! RE2's syntax, which Envoy's regexes are written in, to `regex-syntax`'s.
//!
//! The two dialects share most of their grammar. They differ in: Perl classes and word boundaries (ASCII in RE2),
//! `\Q…\E` and octal escapes (RE2 only), a `{` that begins no repetition (a literal in RE2), set operations and nested
//! brackets inside classes (not in RE2), escaped punctuation, flags, stacked repetitions, and the limit of 1000
//! repetitions. A pattern is rewritten token by token, so that whatever means something else in the other dialect is
//! spelt in a way that does not.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

use regex_syntax::ParserBuilder;
use regex_syntax::ast::{self, ErrorKind};
use regex_syntax::hir::Hir;

/// RE2's limit of one counted repetition.
const MAX_REPEAT: u32 = 1000;

/// Parses a pattern with RE2's meaning; the error is one line in RE2's words.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    let translated = Translator::new(pattern).run()?;
    // Patterns run over bytes that need not be UTF-8; as in RE2, classes match only well-formed characters.
    ParserBuilder::new()
        .utf8(false)
        .build()
        .parse(&translated)
        .map_err(|error| match error {
            regex_syntax::Error::Parse(error) => in_words_of_re2(&error, pattern),
            regex_syntax::Error::Translate(error) => error.kind().to_string(),
            other => other.to_string(),
        })
}

fn in_words_of_re2(error: &ast::Error, pattern: &str) -> String {
    match error.kind() {
        ErrorKind::GroupUnclosed => format!("missing ): {pattern}"),
        ErrorKind::GroupUnopened => format!("unexpected ): {pattern}"),
        ErrorKind::RepetitionMissing => {
            let operator = error.pattern().get(error.span().start.offset..);
            let operator = operator.and_then(|rest| rest.chars().next()).unwrap_or('*');
            format!("no argument for repetition operator: {operator}")
        }
        other => other.to_string(),
    }
}

/// Names that may stand between `[:` and `:]`.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

struct Translator<'a> {
    pattern: &'a str,
    chars: Peekable<CharIndices<'a>>,
    out: String,
}

/// What an escape stands for.
enum Escape {
    Char(char),
    /// The inside of a bracketed class, and whether it is negated.
    Class(&'static str, bool),
    /// Already in the other dialect's spelling (Unicode classes, assertions).
    Verbatim(String),
    /// An assertion (or a byte of any value), which cannot stand in a class.
    Assertion(&'static str),
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Translator<'a> {
        Translator {
            pattern,
            chars: pattern.char_indices().peekable(),
            out: String::with_capacity(pattern.len() + 16),
        }
    }

    fn run(mut self) -> Result<String, String> {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' if self.eat('Q') => self.quoted(),
                '\\' => match self.escape(at)? {
                    Escape::Char(c) => self.push_char(c),
                    Escape::Class(inside, negated) => {
                        let sign = if negated { "^" } else { "" };
                        let _ = write!(self.out, "[{sign}{inside}]");
                    }
                    Escape::Verbatim(text) => self.out.push_str(&text),
                    Escape::Assertion(text) => self.out.push_str(text),
                },
                '[' => self.class(at)?,
                '(' => self.group(at)?,
                '*' | '+' | '?' => {
                    self.out.push(c);
                    self.after_repetition(at)?;
                }
                '{' => self.braces(at)?,
                _ => self.out.push(c),
            }
        }
        Ok(self.out)
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.chars.next_if(|&(_, c)| c == wanted).is_some()
    }

    fn rest(&mut self) -> &'a str {
        self.chars.peek().map_or("", |&(at, _)| &self.pattern[at..])
    }

    fn skip_bytes(&mut self, end: usize) {
        while self.chars.next_if(|&(at, _)| at < end).is_some() {}
    }

    /// A literal character, in a spelling that is safe everywhere.
    fn push_char(&mut self, c: char) {
        if c.is_ascii_alphanumeric() {
            self.out.push(c);
        } else {
            let _ = write!(self.out, "\\x{{{:X}}}", u32::from(c));
        }
    }

    /// `\Q…\E`; the end of the pattern also ends it.
    fn quoted(&mut self) {
        let rest = self.rest();
        let literal = rest.split("\\E").next().unwrap_or(rest);
        for c in literal.chars() {
            self.push_char(c);
        }
        let start = self.pattern.len() - rest.len();
        self.skip_bytes(start + literal.len());
        if self.rest().starts_with("\\E") {
            self.skip_bytes(start + literal.len() + 2);
        }
    }

    /// What follows a backslash at `start`.
    fn escape(&mut self, start: usize) -> Result<Escape, String> {
        let Some((_, c)) = self.chars.next() else {
            return Err("trailing \\".to_owned());
        };
        Ok(match c {
            'd' => Escape::Class("0-9", false),
            'D' => Escape::Class("0-9", true),
            's' => Escape::Class("\\t\\n\\f\\r\\x20", false),
            'S' => Escape::Class("\\t\\n\\f\\r\\x20", true),
            'w' => Escape::Class("0-9A-Za-z_", false),
            'W' => Escape::Class("0-9A-Za-z_", true),
            'b' => Escape::Assertion("(?-u:\\b)"),
            'B' => Escape::Assertion("(?-u:\\B)"),
            // One byte of any value.
            'C' => Escape::Assertion("(?s-u:.)"),
            'A' => Escape::Assertion("\\A"),
            'z' => Escape::Assertion("\\z"),
            'a' => Escape::Char('\x07'),
            'f' => Escape::Char('\x0c'),
            't' => Escape::Char('\t'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            'v' => Escape::Char('\x0b'),
            'x' => self.hex(start)?,
            'p' | 'P' => self.unicode_class(c, start)?,
            // One digit is a back reference, which RE2 does not have; more are an octal number.
            '0'..='7' => {
                let mut value = u32::from(c) - u32::from('0');
                let mut digits = 1;
                while digits < 3
                    && let Some((_, digit)) = self.chars.next_if(|&(_, c)| ('0'..='7').contains(&c))
                {
                    value = value * 8 + (u32::from(digit) - u32::from('0'));
                    digits += 1;
                }
                match char::from_u32(value) {
                    Some(octal) if c == '0' || digits > 1 => Escape::Char(octal),
                    _ => return Err(self.bad_escape(start)),
                }
            }
            c if c.is_ascii_punctuation() => Escape::Char(c),
            _ => return Err(self.bad_escape(start)),
        })
    }

    fn bad_escape(&mut self, start: usize) -> String {
        let end = self.pattern.len() - self.rest().len();
        format!("invalid escape sequence: {}", &self.pattern[start..end])
    }

    /// `\xHH` or `\x{H…}`.
    fn hex(&mut self, start: usize) -> Result<Escape, String> {
        let rest = self.rest();
        let (digits, length) = match rest.strip_prefix('{') {
            Some(inner) => {
                let digits = inner.split('}').next().unwrap_or_default();
                (digits, digits.len() + 2)
            }
            None => (rest.get(..2).unwrap_or_default(), 2),
        };
        let value = u32::from_str_radix(digits, 16)
            .ok()
            .and_then(char::from_u32);
        let from = self.pattern.len() - rest.len();
        self.skip_bytes(from + length);
        match value {
            Some(c) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(Escape::Char(c)),
            _ => Err(self.bad_escape(start)),
        }
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}` and their negations.
    fn unicode_class(&mut self, letter: char, start: usize) -> Result<Escape, String> {
        let rest = self.rest();
        let mut negated = letter == 'P';
        let (name, length) = match rest.strip_prefix('{') {
            Some(inner) if inner.contains('}') => {
                let name = inner.split('}').next().unwrap_or_default();
                (name, name.len() + 2)
            }
            Some(_) => ("", rest.len()),
            None => {
                let length = rest.chars().next().map_or(0, char::len_utf8);
                (&rest[..length], length)
            }
        };
        let from = self.pattern.len() - rest.len();
        self.skip_bytes(from + length);
        let name = name.strip_prefix('^').map_or(name, |name| {
            negated = !negated;
            name
        });
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let end = self.pattern.len() - self.rest().len();
            return Err(format!(
                "invalid character class range: {}",
                &self.pattern[start..end]
            ));
        }
        let letter = if negated { 'P' } else { 'p' };
        // RE2 has no property called `Any` in the other dialect's table of general categories; both know this one.
        Ok(Escape::Verbatim(format!("\\{letter}{{{name}}}")))
    }

    /// `[…]`, whose `[` at `start` was read.
    fn class(&mut self, start: usize) -> Result<(), String> {
        let missing = |pattern: &str| format!("missing ]: {}", &pattern[start..]);
        self.out.push('[');
        if self.eat('^') {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let Some(&(at, c)) = self.chars.peek() else {
                return Err(missing(self.pattern));
            };
            if c == ']' && !first {
                self.chars.next();
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if let Some(name) = posix_class(self.rest()) {
                if !POSIX_CLASSES.contains(&name.trim_matches(['[', ']', ':', '^'])) {
                    return Err(format!("invalid character class range: {name}"));
                }
                self.out.push_str(name);
                self.skip_bytes(at + name.len());
                continue;
            }
            let Some(low) = self.class_char()? else {
                continue;
            };
            self.push_char(low);
            let rest = self.rest();
            if !rest.starts_with('-') || rest.starts_with("-]") || rest.len() == 1 {
                continue;
            }
            self.chars.next();
            let Some(high) = self.class_char()? else {
                return Err(self.bad_range(at));
            };
            if high < low {
                return Err(self.bad_range(at));
            }
            self.out.push('-');
            self.push_char(high);
        }
    }

    fn bad_range(&mut self, start: usize) -> String {
        let end = self.pattern.len() - self.rest().len();
        format!(
            "invalid character class range: {}",
            &self.pattern[start..end]
        )
    }

    /// One character of a class; a class escape is written at once and gives none.
    fn class_char(&mut self) -> Result<Option<char>, String> {
        let Some((at, c)) = self.chars.next() else {
            return Err("missing ]".to_owned());
        };
        if c != '\\' {
            return Ok(Some(c));
        }
        match self.escape(at)? {
            Escape::Char(c) => Ok(Some(c)),
            Escape::Class(inside, false) => {
                self.out.push_str(inside);
                Ok(None)
            }
            Escape::Class(inside, true) => {
                let _ = write!(self.out, "[^{inside}]");
                Ok(None)
            }
            Escape::Verbatim(text) => {
                self.out.push_str(&text);
                Ok(None)
            }
            Escape::Assertion(_) => Err(self.bad_escape(at)),
        }
    }

    /// What follows a `(` at `start`: flags are those of RE2 only.
    fn group(&mut self, start: usize) -> Result<(), String> {
        self.out.push('(');
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix('?') else {
            return Ok(());
        };
        let from = self.pattern.len() - rest.len();
        if inner.starts_with("P<")
            || (inner.starts_with('<') && !inner.starts_with("<=") && !inner.starts_with("<!"))
        {
            let Some(end) = inner.find('>') else {
                return Err(format!(
                    "invalid named capture group: {}",
                    &self.pattern[start..]
                ));
            };
            self.out.push_str(&rest[..end + 2]);
            self.skip_bytes(from + end + 2);
            return Ok(());
        }
        let flags = inner.bytes().take_while(|b| b"imsU-".contains(b)).count();
        let bad = || {
            let end = inner[flags..].chars().next().map_or(0, char::len_utf8);
            format!("invalid perl operator: (?{}", &inner[..flags + end])
        };
        match inner.as_bytes().get(flags) {
            Some(b')' | b':') => {
                self.out.push_str(&rest[..flags + 2]);
                self.skip_bytes(from + flags + 2);
                Ok(())
            }
            Some(_) => Err(bad()),
            None => Err(format!("missing ): {}", self.pattern)),
        }
    }

    /// `{n}`, `{n,}`, `{n,m}` repeat; any other `{` is a literal.
    fn braces(&mut self, at: usize) -> Result<(), String> {
        let rest = self.rest();
        let Some((inside, _)) = rest.split_once('}') else {
            self.push_char('{');
            return Ok(());
        };
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !number(low) || !(high.is_empty() || number(high)) {
            self.push_char('{');
            return Ok(());
        }
        let too_many =
            |text: &str| !text.is_empty() && text.parse::<u32>().map_or(true, |n| n > MAX_REPEAT);
        let reversed = !high.is_empty() && low.parse::<u32>().ok() > high.parse::<u32>().ok();
        if too_many(low) || too_many(high) || reversed {
            return Err(format!("invalid repetition size: {{{inside}}}"));
        }
        let _ = write!(self.out, "{{{inside}}}");
        self.skip_bytes(at + 1 + inside.len() + 1);
        self.after_repetition(at)
    }

    /// A repetition at `start` may be lazy, but must not be repeated itself.
    fn after_repetition(&mut self, start: usize) -> Result<(), String> {
        if self.eat('?') {
            self.out.push('?');
        }
        let rest = self.rest();
        if rest.starts_with(['*', '+', '?']) {
            let end = self.pattern.len() - rest.len() + 1;
            return Err(format!(
                "bad repetition operator: {}",
                &self.pattern[start..end]
            ));
        }
        Ok(())
    }
}

/// `[:alpha:]` or `[:^alpha:]` at the start of `rest`.
fn posix_class(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix("[:")?;
    let end = inner.find(":]")?;
    let name = inner[..end].strip_prefix('^').unwrap_or(&inner[..end]);
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase())).then(|| &rest[..end + 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pattern: &str) -> String {
        Translator::new(pattern).run().unwrap()
    }

    #[test]
    fn what_differs_is_respelt() {
        assert_eq!(translated(r"/\d+\b"), r"/[0-9]+(?-u:\b)");
        assert_eq!(translated(r"[\d\S-]"), r"[0-9[^\t\n\f\r\x20]\x{2D}]");
        assert_eq!(translated(r"a{,2}{x}"), r"a\x{7B},2}\x{7B}x}");
        assert_eq!(translated(r"\Qa.b\E.c"), r"a\x{2E}b.c");
        assert_eq!(translated(r"\Qa."), r"a\x{2E}");
        assert_eq!(translated(r"\<\/\."), r"\x{3C}\x{2F}\x{2E}");
        assert_eq!(translated(r"[a[&&b]"), r"[a\x{5B}\x{26}\x{26}b]");
        assert_eq!(translated(r"[[:alpha:]+--]"), r"[[:alpha:]\x{2B}-\x{2D}]");
        assert_eq!(translated(r"[]a]"), r"[\x{5D}a]");
        assert_eq!(translated(r"\101\x41\x{41}"), "AAA");
        assert_eq!(
            translated(r"(?P<n>a)(?i:b)(?<m>c)"),
            r"(?P<n>a)(?i:b)(?<m>c)"
        );
        assert_eq!(translated(r"\pL\p{^Greek}"), r"\p{L}\P{Greek}");
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            r"\",
            r"a**",
            r"a{1001}",
            r"a{3,2}",
            r"(?=a)",
            r"(?<!a)",
            r"(?x)a",
            r"(",
            r"[a",
            r"\1",
            r"\8",
            r"\y",
            r"\Z",
            r"[b-a]",
            r"[\b]",
            r"\x{110000}",
            r"\p{Nope}",
            r"a)",
            r"*a",
        ] {
            assert!(parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn errors_are_in_the_words_of_re2() {
        for (pattern, error) in [
            ("[b", "missing ]: [b"),
            ("a**", "bad repetition operator: **"),
            ("(?=a)", "invalid perl operator: (?="),
            (r"\y", r"invalid escape sequence: \y"),
            ("a{1001}", "invalid repetition size: {1001}"),
            ("(", "missing ): ("),
            ("a)", "unexpected ): a)"),
            ("*a", "no argument for repetition operator: *"),
            ("a|*", "no argument for repetition operator: *"),
            (r"\1", r"invalid escape sequence: \1"),
            ("(?x)a", "invalid perl operator: (?x"),
            ("[[:nope:]]", "invalid character class range: [:nope:]"),
            ("(?P<a", "invalid named capture group: (?P<a"),
        ] {
            assert_eq!(parse(pattern).unwrap_err(), error);
        }
    }

    #[test]
    fn any_text_is_translated_or_refused_without_a_panic() {
        let pieces = [
            "\\", "Q", "[", "]", "^", "-", "{", "}", "1", ",", "(", "?", "P", "<", "é", ":", "x",
            "*", "p",
        ];
        let mut state = 1_u32;
        for _ in 0..20_000 {
            let mut pattern = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                pattern.push_str(pieces[(state >> 16) as usize % pieces.len()]);
            }
            let _ = parse(&pattern);
        }
    }
}
