//! YAML as Envoy reads it: yaml-cpp's scalars, made into a `google.protobuf.Value`, then JSON.
//!
//! What that chain means, each point tried on Envoy 1.40:
//! - a quoted or block scalar, or one tagged `!`, is a string; other tags do not count;
//! - `y n yes no true false on off` in lower, upper or title case are booleans;
//! - an integer (hexadecimal and octal too) within 32 bits is a number; a larger one and a fraction are strings,
//!   which protobuf's JSON takes for a number where the field is one;
//! - a key tagged `!ignore` is dropped with its value, at any depth; merge keys are plain keys;
//! - of equal keys the last counts, unseen by any check; only the first document is read;
//! - lines within braces or brackets may be indented less than what is around them (pasted JSON).

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{
    MAX_DEPTH, SyntaxError,
    tree::{Builder, Place, Tree},
};

/// How many bytes may be read anew, a line pushed to the right each time, before giving up.
const MAX_READ_AGAIN: usize = 64 << 20;

/// Parses the first document of `text`.
pub(super) fn parse(text: &str) -> Result<Tree, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if u32::try_from(text.len()).is_err() {
        return Err(SyntaxError::new(
            Place { line: 1, column: 1 },
            "a configuration cannot be larger than 4 GiB",
        ));
    }
    let first = match parse_first(text, &Pushed::default()) {
        Err(error) if is_little_indented(&error) => error,
        other => return other,
    };
    // The parser insists on indentation where YAML's braces have taken its place. Such lines mean the same further right.
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let mut pushed = Pushed {
        lines: vec![first.place.line],
        by: text.lines().map(indent).max().unwrap_or_default() + 1,
    };
    loop {
        match parse_first(&pushed.applied_to(text), &pushed) {
            Err(error)
                if is_little_indented(&error)
                    && pushed.lines.len() * text.len() < MAX_READ_AGAIN
                    && pushed
                        .lines
                        .last()
                        .is_some_and(|last| *last < error.place.line) =>
            {
                pushed.lines.push(error.place.line);
            }
            Err(error) if is_little_indented(&error) => return Err(first),
            other => return other,
        }
    }
}

fn is_little_indented(error: &SyntaxError) -> bool {
    matches!(
        error.message.as_str(),
        "invalid indentation" | "invalid indentation in flow construct"
    )
}

/// Lines that were pushed to the right, in order, and by how many columns.
#[derive(Default)]
struct Pushed {
    lines: Vec<u32>,
    by: usize,
}

impl Pushed {
    fn applied_to(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + self.lines.len() * self.by);
        for (line, number) in text.split_inclusive('\n').zip(1..) {
            if self.lines.binary_search(&number).is_ok() {
                out.extend(std::iter::repeat_n(' ', self.by));
            }
            out.push_str(line);
        }
        out
    }

    /// Where this is in the text as it was written.
    fn place(&self, marker: &Marker) -> Place {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let line = clamp(marker.line());
        let by = match self.lines.binary_search(&line) {
            Ok(_) => self.by,
            Err(_) => 0,
        };
        Place {
            line,
            column: clamp(marker.col().saturating_sub(by) + 1),
        }
    }
}

fn parse_first(text: &str, pushed: &Pushed) -> Result<Tree, SyntaxError> {
    let place = |marker: &Marker| pushed.place(marker);
    let start = Place { line: 1, column: 1 };
    let mut builder = Builder::new(text.len());
    let mut anchors: HashMap<usize, usize> = HashMap::new();
    let mut aliased = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| SyntaxError::new(place(e.marker()), e.info()))?;
        let place = place(&span.start);
        let fail = |message: &str| Err(SyntaxError::new(place, message));
        if let Event::Scalar(_, _, anchor, _)
        | Event::SequenceStart(anchor, _)
        | Event::MappingStart(anchor, _) = event
            && anchor != 0
        {
            anchors.insert(anchor, builder.next_index());
        }
        match event {
            Event::Scalar(text, style, _, tag) if builder.at_key() => {
                key(&mut builder, place, &text, style, tag.as_deref())
            }
            Event::Scalar(text, style, _, tag) => {
                scalar(&mut builder, place, &text, style, tag.as_deref())
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if builder.at_key() => {
                return fail("a key must be a scalar");
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if builder.depth() == MAX_DEPTH => {
                return fail("content was too deeply nested");
            }
            Event::SequenceStart(..) => builder.open_list(place),
            Event::MappingStart(..) => builder.open_map(place),
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Alias(_) if builder.at_key() => return fail("an alias cannot be a key"),
            Event::Alias(anchor) => {
                let Some(&index) = anchors.get(&anchor) else {
                    return fail("the referenced anchor is not defined");
                };
                builder
                    .alias(index, &mut aliased)
                    .map_err(|message| SyntaxError::new(place, message))?;
            }
            Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
    }
    if builder.next_index() == 0 {
        builder.null(start);
    }
    Ok(builder.finish())
}

fn is_plain(style: ScalarStyle, tag: Option<&Tag>) -> bool {
    style == ScalarStyle::Plain
        && !tag.is_some_and(|tag| tag.handle.is_empty() && tag.suffix == "!")
}

fn key(builder: &mut Builder, place: Place, text: &str, style: ScalarStyle, tag: Option<&Tag>) {
    if tag.is_some_and(|tag| tag.handle == "!" && tag.suffix == "ignore") {
        builder.ignored_key(place);
    } else if is_null(text, style, tag) {
        builder.string(place, "null");
    } else {
        builder.string(place, text);
    }
}

fn scalar(builder: &mut Builder, place: Place, text: &str, style: ScalarStyle, tag: Option<&Tag>) {
    if is_null(text, style, tag) {
        builder.null(place);
    } else if !is_plain(style, tag) {
        builder.string(place, text);
    } else if let Some(value) = boolean(text) {
        builder.bool(place, value);
    } else {
        match integer(text) {
            Some(value) if i32::try_from(value).is_ok() => builder.int(place, value),
            Some(value) => builder.string(place, &value.to_string()),
            None => builder.string(place, text),
        }
    }
}

fn is_null(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> bool {
    style == ScalarStyle::Plain
        && tag.is_none()
        && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn boolean(text: &str) -> Option<bool> {
    if !(1..=5).contains(&text.len()) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let (first, rest) = text.split_at_checked(1)?;
    let all_lower = text == lower;
    let title = first.bytes().all(|b| b.is_ascii_uppercase()) && rest == &lower[1..];
    let all_upper = text.bytes().all(|b| b.is_ascii_uppercase());
    if !(all_lower || title || all_upper) {
        return None;
    }
    match lower.as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// What `std::istream >> int64_t` makes of the text when the base is told by the prefix.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None; // a second sign
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tree::{Content, Value},
        *,
    };

    fn show(value: Value<'_>) -> String {
        match value.content() {
            Content::Null => "null".into(),
            Content::Bool(b) => b.to_string(),
            Content::Int(i) => i.to_string(),
            Content::Number(n) => n.into(),
            Content::Str(s) | Content::Word(s) | Content::Bytes(s) => format!("{s:?}"),
            Content::List(items) => format!("[{}]", items.map(show).collect::<Vec<_>>().join(",")),
            Content::Map(entries) => {
                let shown: Vec<_> = entries
                    .map(|(k, v)| format!("{}:{}", show(k), show(v)))
                    .collect();
                format!("{{{}}}", shown.join(","))
            }
        }
    }

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(tree) => show(tree.root()),
            Err(e) => format!("{}:{} {}", e.place.line, e.place.column, e.message),
        }
    }

    #[test]
    fn scalars() {
        assert_eq!(
            shown("[y, No, ON, tRUE, 'yes', ! yes, !!str 5, ~, null, '', 'null', !!str null]"),
            r#"[true,false,true,"tRUE","yes","yes",5,null,null,"","null","null"]"#
        );
        assert_eq!(
            shown(
                "[1, -1, +7, 0x1F, 010, 08, 2147483647, 2147483648, -2147483649, 1.5, 1e3, .inf, 1_0, 99999999999999999999]"
            ),
            r#"[1,-1,7,31,8,"08",2147483647,"2147483648","-2147483649","1.5","1e3",".inf","1_0","99999999999999999999"]"#
        );
        assert_eq!(shown("a: |\n  5\n"), r#"{"a":"5\n"}"#);
    }

    #[test]
    fn keys() {
        assert_eq!(
            shown("{1: a, ~: b, yes: c}"),
            r#"{"1":"a","null":"b","yes":"c"}"#
        );
        assert_eq!(
            shown("!ignore x: &a {k: [1, 2]}\ny: *a\nz: {!ignore b: 1}"),
            r#"{"y":{"k":[1,2]},"z":{}}"#
        );
        assert_eq!(shown("<<: 1"), r#"{"<<":1}"#);
        assert!(shown("? [a]\n: b").contains("a key must be a scalar"));
    }

    #[test]
    fn braces_may_hang_out() {
        assert_eq!(
            shown("a:\n  b: {\nc: 1,\n \"d\": [\n2\n]\n}\n  e: x\n"),
            r#"{"a":{"b":{"c":1,"d":[2]},"e":"x"}}"#
        );
        let tree = parse("a:\n  b: {\n c: 1\n}\n").unwrap();
        let (_, a) = tree.root().get("a").unwrap();
        let (_, b) = a.get("b").unwrap();
        let (key, _) = b.get("c").unwrap();
        assert_eq!(key.place(), Place { line: 3, column: 2 });
        assert!(
            shown("a:\n  b: {\nc: 1\n").contains(':'),
            "and must be closed"
        );
        assert!(
            shown("a:\n  b: 1\n c: 2\n").contains("3:"),
            "no other line may"
        );
    }

    #[test]
    fn documents() {
        assert_eq!(shown(""), "null");
        assert_eq!(shown("\u{feff}a: 1"), r#"{"a":1}"#);
        assert_eq!(shown("---\na: 1\n---\nb: ["), r#"{"a":1}"#);
    }

    #[test]
    fn hostile_documents_are_refused() {
        assert!(shown("a: &a {b: *a}").contains("cannot contain itself"));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let alias = format!("*a{},", i - 1).repeat(10);
            bomb.push_str(&format!("a{i}: &a{i} [{alias}]\n"));
        }
        assert!(shown(&bomb).contains("too large"));
        assert!(shown(&"[".repeat(101)).contains("too deeply nested"));
        assert!(!shown("a: [").starts_with("{"));
        assert!(!shown("a: *b").starts_with("{"));
    }

    #[test]
    fn places() {
        let tree = parse("a:\n  - b: cé\n    d: e\n").unwrap();
        let (_, list) = tree.root().get("a").unwrap();
        let Content::List(mut items) = list.content() else {
            panic!()
        };
        let (key, value) = items.next().unwrap().get("d").unwrap();
        assert_eq!(
            (key.place(), value.place()),
            (Place { line: 3, column: 5 }, Place { line: 3, column: 8 })
        );
    }
}
