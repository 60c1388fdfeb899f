//! Scalars and enums: what protobuf's JSON takes for a number, a boolean, a string, bytes.

use crate::{
    front::{Content, Value},
    schema::{FieldType, Kind},
    suggest::nearest,
    wire::{put_bytes, put_tag, put_varint},
};

use super::{Decoder, Default, Doubt};

impl<'t> Decoder<'t> {
    /// One value of a field that holds no message.
    pub(super) fn scalar(
        &mut self,
        field: FieldType,
        value: Value<'t>,
        default: Default,
        out: &mut Vec<u8>,
    ) {
        let number = field.number();
        match field.kind() {
            Kind::String | Kind::Bytes => {
                let Content::Str(text) = string_like(value) else {
                    return self.not_a_string(value);
                };
                if field.kind() == Kind::String {
                    if default == Default::Write || !text.is_empty() {
                        put_bytes(out, number, text.as_bytes());
                    }
                    return;
                }
                match base64(text) {
                    Some(bytes) if default == Default::Write || !bytes.is_empty() => {
                        put_bytes(out, number, &bytes)
                    }
                    Some(_) => {}
                    None => self.error(
                        value,
                        "corrupt base64",
                        Some("bytes in base64".into()),
                        None,
                    ),
                }
            }
            Kind::Double | Kind::Float => {
                let Some(float) = self.float(value, field.kind() == Kind::Float) else {
                    return;
                };
                put_float(out, number, field.kind(), float, default);
            }
            kind => {
                let Some(bits) = self.integral(field, kind, value) else {
                    return;
                };
                if default == Default::Write || bits != 0 {
                    put_integral(out, number, kind, bits);
                }
            }
        }
    }

    /// The key of a map entry; keys are strings in JSON whatever their type.
    pub(super) fn map_key(&mut self, field: FieldType, key: Value<'t>, out: &mut Vec<u8>) {
        let text = key.as_str().unwrap_or_default();
        match field.kind() {
            Kind::String => put_bytes(out, field.number(), text.as_bytes()),
            Kind::Bool => match text {
                "true" | "false" => {
                    put_integral(out, field.number(), Kind::Bool, u64::from(text == "true"))
                }
                _ => self.error(
                    key,
                    format!("expected bool string, got '{text}'"),
                    None,
                    None,
                ),
            },
            kind => match integer(text).filter(|n| in_range(*n, kind)) {
                Some(n) => put_integral(out, field.number(), kind, low_bits(n)),
                None => self.error(
                    key,
                    "non-number characters in quoted number",
                    Some("an integer".into()),
                    None,
                ),
            },
        }
    }

    /// Numbers, booleans and enums, as the bits of their varint (before zigzag).
    fn integral(&mut self, field: FieldType, kind: Kind, value: Value<'t>) -> Option<u64> {
        match kind {
            Kind::Bool => self.boolean(value).map(u64::from),
            Kind::Enum => self.enumeration(field, value),
            _ => self.integer(value, kind).map(low_bits),
        }
    }

    pub(super) fn not_a_string(&mut self, value: Value<'t>) {
        let help = match value.content() {
            Content::Bool(_) => Some(
                "YAML takes y, n, yes, no, on, off, true and false for booleans: put it in quotes"
                    .into(),
            ),
            Content::Int(n) => Some(format!("put it in quotes: \"{n}\"")),
            Content::Number(text) | Content::Word(text) => {
                Some(format!("put it in quotes: \"{text}\""))
            }
            _ => None,
        };
        self.error(
            value,
            format!("expected a string, found {}", value.describe()),
            Some("a string".into()),
            help,
        );
    }

    fn boolean(&mut self, value: Value<'t>) -> Option<bool> {
        let known = match value.content() {
            Content::Bool(b) => Some(b),
            Content::Null => Some(false),
            Content::Str(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" => Some(true),
                "false" | "f" | "no" | "n" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if known.is_none() {
            self.error(
                value,
                "expected 'true' or 'false'",
                Some("true or false".into()),
                None,
            );
        }
        known
    }

    fn enumeration(&mut self, field: FieldType, value: Value<'t>) -> Option<u64> {
        let Content::Str(text) = value.content() else {
            return self.integer(value, Kind::Int32).map(low_bits);
        };
        let descriptor = field.enumeration()?;
        let number = descriptor
            .by_name(text)
            .map(|v| v.number)
            .or_else(|| text.trim().parse().ok());
        if let Some(number) = number {
            return Some(low_bits(i128::from(number)));
        }
        let names: Vec<_> = descriptor.values().map(|v| v.name).collect();
        let suggestion =
            nearest(text, names.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
        let mut problem = self.problem(
            value,
            format!("unknown enum value: '{text}'"),
            None,
            suggestion,
        );
        problem.expected = Some(format!("one of {}", names.join(", ")));
        if self.allow_unknown {
            self.out.unknown.push(problem);
        } else {
            self.out.doubts.push(Doubt::Value(problem.path.clone()));
            self.out.errors.push(problem);
        }
        None
    }

    fn integer(&mut self, value: Value<'t>, kind: Kind) -> Option<i128> {
        let found = match value.content() {
            Content::Int(n) => Ok(i128::from(n)),
            Content::Null => Ok(0),
            Content::Number(text) => integer_of_number(text),
            Content::Str(text) if text.bytes().any(|b| b.is_ascii_whitespace()) => {
                Err("non-number characters in quoted number")
            }
            Content::Str(text) => integer_of_number(text),
            _ => Err("expected number or string"),
        };
        match found {
            Ok(n) => self.in_range(value, n, kind),
            Err(message) => {
                self.error(value, message, Some("an integer".into()), None);
                None
            }
        }
    }

    /// The number, if the kind can hold it.
    pub(super) fn in_range(&mut self, value: Value<'t>, n: i128, kind: Kind) -> Option<i128> {
        if in_range(n, kind) {
            return Some(n);
        }
        let (low, high) = range(kind);
        let expected = format!("an integer from {low} to {high}");
        self.error(value, "integer out of range", Some(expected), None);
        None
    }

    fn float(&mut self, value: Value<'t>, single: bool) -> Option<f64> {
        let parsed = match value.content() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "YAML integers have 32 bits here"
            )]
            Content::Int(n) => Some(n as f64),
            Content::Null => Some(0.0),
            Content::Number(text) | Content::Str(text) => text.trim().parse().ok(),
            _ => None,
        };
        let Some(float) = parsed else {
            self.mismatch(value, "a number");
            return None;
        };
        #[expect(clippy::cast_possible_truncation, reason = "that is what is tested")]
        if single && float.is_finite() && !(float as f32).is_finite() {
            self.error(value, "float out of range", None, None);
            return None;
        }
        Some(float)
    }
}

/// Null in a list or map stands for the empty string.
fn string_like(value: Value<'_>) -> Content<'_> {
    match value.content() {
        Content::Null => Content::Str(""),
        content => content,
    }
}

/// A decimal integer, or a hexadecimal one (which protobuf reads as a floating-point literal).
fn integer(text: &str) -> Option<i128> {
    text.parse::<i128>().ok()
}

/// An integer, or a floating-point literal without a fraction.
fn integer_of_number(text: &str) -> Result<i128, &'static str> {
    if let Some(n) = integer(text) {
        return Ok(n);
    }
    let (negative, unsigned) = text
        .strip_prefix('-')
        .map_or((false, text), |rest| (true, rest));
    if let Some(hex) = unsigned
        .strip_prefix("0x")
        .or_else(|| unsigned.strip_prefix("0X"))
    {
        let magnitude = i128::from(u64::from_str_radix(hex, 16).map_err(|_| "invalid number")?);
        return Ok(if negative { -magnitude } else { magnitude });
    }
    let float: f64 = text
        .parse()
        .map_err(|_| "non-number characters in quoted number")?;
    if !float.is_finite() || float.abs() > 18_014_398_509_481_984.0 {
        return Err("JSON number out of range for int");
    }
    if float.fract() != 0.0 {
        return Err("expected integer, but JSON number had fractional part");
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an integer of at most 54 bits"
    )]
    Ok(float as i128)
}

fn range(kind: Kind) -> (i128, i128) {
    match kind {
        Kind::Uint32 | Kind::Fixed32 => (0, i128::from(u32::MAX)),
        Kind::Uint64 | Kind::Fixed64 => (0, i128::from(u64::MAX)),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        _ => (i128::from(i32::MIN), i128::from(i32::MAX)),
    }
}

fn in_range(n: i128, kind: Kind) -> bool {
    let (low, high) = range(kind);
    (low..=high).contains(&n)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "two's complement of a 64-bit integer"
)]
pub(super) fn low_bits(n: i128) -> u64 {
    n as u64
}

pub(super) fn put_integral(out: &mut Vec<u8>, number: u32, kind: Kind, bits: u64) {
    match kind {
        Kind::Fixed64 | Kind::Sfixed64 => {
            put_tag(out, number, 1);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Kind::Fixed32 | Kind::Sfixed32 => {
            put_tag(out, number, 5);
            out.extend_from_slice(&bits.to_le_bytes()[..4]);
        }
        Kind::Sint32 | Kind::Sint64 => {
            put_tag(out, number, 0);
            put_varint(
                out,
                (bits << 1) ^ (bits.cast_signed() >> 63).cast_unsigned(),
            );
        }
        _ => {
            put_tag(out, number, 0);
            put_varint(out, bits);
        }
    }
}

pub(super) fn put_float(out: &mut Vec<u8>, number: u32, kind: Kind, float: f64, default: Default) {
    if default == Default::Skip && float.to_bits() == 0 {
        return;
    }
    if kind == Kind::Double {
        put_tag(out, number, 1);
        out.extend_from_slice(&float.to_le_bytes());
    } else {
        put_tag(out, number, 5);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the nearest float is meant"
        )]
        out.extend_from_slice(&(float as f32).to_le_bytes());
    }
}

/// Base64 in either alphabet, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let padding = match bytes {
        [.., b'=', b'='] => 2,
        [.., b'='] => 1,
        _ => 0,
    };
    let digits = if bytes.len().is_multiple_of(4) {
        &bytes[..bytes.len() - padding]
    } else {
        bytes
    };
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - chunk.len());
        match chunk.len() {
            1 => return None,
            len => out.extend_from_slice(&bits.to_be_bytes()[1..len]),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_protobuf_reads_it() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("aGk=", b"hi"),
            ("aGk", b"hi"),
            ("aGV5", b"hey"),
            ("_-8=", b"\xff\xef"),
            ("/+8", b"\xff\xef"),
        ] {
            assert_eq!(base64(text).as_deref(), Some(bytes), "{text}");
        }
        for bad in ["a", "a===", "!!!!", "aGk= "] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn integers() {
        assert_eq!(integer_of_number("1e3"), Ok(1000));
        assert_eq!(integer_of_number("0x50"), Ok(80));
        assert!(
            integer_of_number("1.5").is_err()
                && integer_of_number("x").is_err()
                && integer_of_number("inf").is_err()
        );
    }
}
