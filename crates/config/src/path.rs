//! Proto paths such as `static_resources.listeners[0].metadata.filter_metadata["a.b"]`: built while walking,
//! written when something is wrong, read when a place is wanted.

use std::fmt;

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Into a field, by its proto name.
    Field(&'a str),
    /// Into an element of the repeated field before it.
    Index(usize),
    /// Into an entry of the map field before it.
    Key(&'a str),
}

/// A path while it is walked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path<'a>(pub(crate) Vec<Step<'a>>);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if i == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

/// A step of a path that was read from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Field(String),
    Index(usize),
    Key(String),
}

/// Reads a path; stops at what it does not understand, since half a path still leads near the place.
pub(crate) fn parse(path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = path;
    loop {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return segments;
        }
        let Some(inner) = rest.strip_prefix('[') else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            segments.push(Segment::Field(rest[..end].to_owned()));
            rest = &rest[end..];
            continue;
        };
        if let Some(quoted) = inner.strip_prefix('"') {
            let Some((key, after)) = unquote(quoted) else {
                return segments;
            };
            segments.push(Segment::Key(key));
            rest = after;
        } else {
            let Some((text, after)) = inner.split_once(']') else {
                return segments;
            };
            segments.push(
                text.parse()
                    .map_or_else(|_| Segment::Key(text.to_owned()), Segment::Index),
            );
            rest = after;
        }
    }
}

/// The key up to its closing quote and what follows the closing bracket. Undoes the escapes of `{:?}`
/// that keys have in practice.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((key, text[at + 1..].strip_prefix(']')?)),
            '\\' => key.push(chars.next()?.1),
            _ => key.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = Path(vec![
            Step::Field("a"),
            Step::Index(3),
            Step::Field("b"),
            Step::Key("x.\"y]"),
            Step::Field("c"),
        ]);
        let text = path.to_string();
        assert_eq!(text, r#"a[3].b["x.\"y]"].c"#);
        let field = |name: &str| Segment::Field(name.into());
        assert_eq!(
            parse(&text),
            [
                field("a"),
                Segment::Index(3),
                field("b"),
                Segment::Key("x.\"y]".into()),
                field("c")
            ]
        );
        assert_eq!(
            parse("a[key].b"),
            [field("a"), Segment::Key("key".into()), field("b")]
        );
        assert_eq!(parse(""), []);
        assert_eq!(parse("a[\"x"), [field("a")]);
    }
}
