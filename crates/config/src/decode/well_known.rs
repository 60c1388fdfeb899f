//! The well-known types that JSON writes in a form of its own.

use crate::{
    front::{Content, Entries, Items, Value},
    path::Step,
    wire::{put_bytes, put_nested, put_tag, put_varint},
};

use super::{Decoder, last_of_each_key};

impl<'t> Decoder<'t> {
    /// The body of a `google.protobuf.Value`.
    pub(super) fn value(&mut self, value: Value<'t>, out: &mut Vec<u8>) {
        match value.content() {
            Content::Null => put_bits(out, 1, 0),
            #[expect(
                clippy::cast_precision_loss,
                reason = "YAML integers have 32 bits here"
            )]
            Content::Int(n) => put_double(out, 2, n as f64),
            Content::Number(text) => put_double(out, 2, text.parse().unwrap_or_default()),
            Content::Str(text) | Content::Word(text) | Content::Bytes(text) => {
                put_bytes(out, 3, text.as_bytes());
            }
            Content::Bool(b) => put_bits(out, 4, u64::from(b)),
            Content::Map(_) | Content::List(_) if self.depth > super::MAX_DEPTH - 4 => {
                self.error(value, "JSON content was too deeply nested", None, None);
            }
            // A Struct, its entry, the Value; a ListValue, the Value.
            Content::Map(entries) => put_nested(out, 5, |out| {
                self.nested(3, |this| this.structure(entries, out))
            }),
            Content::List(items) => {
                put_nested(out, 6, |out| self.nested(2, |this| this.list(items, out)))
            }
        }
    }

    fn nested(&mut self, messages: usize, body: impl FnOnce(&mut Self)) {
        self.depth += messages;
        body(self);
        self.depth -= messages;
    }

    /// The body of a `google.protobuf.Struct`.
    pub(super) fn structure(&mut self, entries: Entries<'t>, out: &mut Vec<u8>) {
        let json = self.syntax == crate::front::Syntax::Json;
        let count = entries.clone().count();
        let unique: Vec<_> = last_of_each_key(entries.clone()).collect();
        if json && unique.len() < count {
            let mut keys = std::collections::HashSet::new();
            for (key, _) in entries {
                if !keys.insert(key.as_str()) {
                    let name = key.as_str().unwrap_or_default();
                    self.error(
                        key,
                        format!("got unexpectedly-repeated repeated map key: '{name}'"),
                        None,
                        None,
                    );
                }
            }
            return;
        }
        for (key, value) in unique {
            let name = key.as_str().unwrap_or_default();
            put_nested(out, 1, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_nested(out, 2, |out| {
                    self.under(Step::Key(name), |this| this.value(value, out))
                });
            });
        }
    }

    /// The body of a `google.protobuf.ListValue`.
    pub(super) fn list(&mut self, items: Items<'t>, out: &mut Vec<u8>) {
        for (index, item) in items.enumerate() {
            put_nested(out, 1, |out| {
                self.under(Step::Index(index), |this| this.value(item, out))
            });
        }
    }

    /// `1s`, `1.5s`, `-0.000000001s`.
    pub(super) fn duration(&mut self, value: Value<'t>, out: &mut Vec<u8>) {
        let Content::Str(text) = value.content() else {
            let help = match value.content() {
                Content::Int(n) => Some(format!("write the unit: {n}s")),
                Content::Number(n) => Some(format!("write the unit: \"{n}s\"")),
                _ => None,
            };
            let message = format!("expected a duration, found {}", value.describe());
            return self.error(value, message, Some(DURATION.into()), help);
        };
        match parse_duration(text) {
            Ok((seconds, nanos)) => put_seconds(out, seconds, nanos),
            Err(message) => {
                let help = in_seconds(text).map(|seconds| format!("did you mean {seconds}?"));
                self.error(
                    value,
                    format!("{message}: '{text}'"),
                    Some(DURATION.into()),
                    help,
                );
            }
        }
    }

    /// RFC 3339.
    pub(super) fn timestamp(&mut self, value: Value<'t>, out: &mut Vec<u8>) {
        match value.as_str().and_then(parse_timestamp) {
            Some((seconds, nanos)) => put_seconds(out, seconds, nanos),
            None => self.error(
                value,
                "bad timestamp",
                Some("a time such as 2026-01-31T12:00:00Z".into()),
                None,
            ),
        }
    }

    /// `a.b,cD`: paths in camelCase, separated by commas.
    pub(super) fn field_mask(&mut self, value: Value<'t>, out: &mut Vec<u8>) {
        let Some(text) = value.as_str() else {
            return self.mismatch(value, "field paths separated by commas");
        };
        for path in text.split(',').filter(|path| !path.is_empty()) {
            let mut snake = String::with_capacity(path.len() + 4);
            for c in path.chars() {
                if c.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.push(c.to_ascii_lowercase());
            }
            put_bytes(out, 1, snake.as_bytes());
        }
    }
}

const DURATION: &str = "seconds with up to nine decimals and an 's', such as 0.25s";

fn put_bits(out: &mut Vec<u8>, number: u32, bits: u64) {
    put_tag(out, number, 0);
    put_varint(out, bits);
}

fn put_double(out: &mut Vec<u8>, number: u32, value: f64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_seconds(out: &mut Vec<u8>, seconds: i64, nanos: i32) {
    for (number, bits) in [(1, seconds), (2, i64::from(nanos))] {
        if bits != 0 {
            put_bits(out, number, bits.cast_unsigned());
        }
    }
}

fn parse_duration(text: &str) -> Result<(i64, i32), &'static str> {
    const MAX_SECONDS: i64 = 3_652_500 * 86_400;
    let end = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'-')
        .count();
    if end == 0 {
        return Err("duration must start with an integer");
    }
    let (integer, rest) = text.split_at(end);
    let seconds: i64 = integer.parse().map_err(|_| "duration had bad seconds")?;
    if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
        return Err("duration out of range");
    }
    let (nanos, rest) = parse_nanos(rest).ok_or("duration had bad nanoseconds")?;
    if rest != "s" {
        return Err("duration must end with a single 's'");
    }
    Ok((
        seconds,
        if integer.starts_with('-') {
            -nanos
        } else {
            nanos
        },
    ))
}

/// An optional fraction of one to nine digits, as nanoseconds, and what follows it.
fn parse_nanos(text: &str) -> Option<(i32, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&len) {
        return None;
    }
    let (fraction, rest) = digits.split_at(len);
    Some((format!("{fraction:0<9}").parse().ok()?, rest))
}

/// What was probably meant by `100ms`, `5m` and the like.
fn in_seconds(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    let unit = match text[end..].trim() {
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
        "s" | "sec" | "seconds" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = format!("{:.9}", number * unit);
    Some(format!(
        "{}s",
        seconds.trim_end_matches('0').trim_end_matches('.')
    ))
}

/// `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)` as seconds since 1970 and nanoseconds.
fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let digits = &text[range];
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse::<i64>().ok())?
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if year == 0
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let (nanos, zone) = parse_nanos(&text[19..])?;
    let offset = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - 5;
            let minutes = number(at..at + 2)? * 60 + number(at + 3..at + 5)?;
            60 * if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    // Days since 1970, counted in years that begin in March.
    let (y, m) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((
        days * 86_400 + hour * 3600 + minute * 60 + second - offset,
        nanos,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1.5s"), Ok((1, 500_000_000)));
        assert_eq!(parse_duration("-0.5s"), Ok((0, -500_000_000)));
        assert_eq!(parse_duration("315576000000s"), Ok((315_576_000_000, 0)));
        for bad in [
            "",
            "s",
            "1",
            "100ms",
            ".5s",
            "5.s",
            "1.0000000001s",
            "315576000001s",
            " 5s",
            "5s ",
            "--5s",
            "1e3s",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(in_seconds("100ms").unwrap(), "0.1s");
        assert_eq!(in_seconds("5m").unwrap(), "300s");
        assert_eq!(in_seconds("5x"), None);
    }

    #[test]
    fn timestamps() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(
            parse_timestamp("2026-11-22T14:00:00.25+01:00"),
            Some((1_795_352_400, 250_000_000))
        );
        assert_eq!(
            parse_timestamp("2000-02-29T23:59:59Z"),
            Some((951_868_799, 0))
        );
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T14:00:00",
            "2026-13-22T14:00:00Z",
            "2026-11-22t14:00:00Z",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }
}
