//! JSON text: escapes, numbers, and protobuf values.

use nuncio_config::api::protobuf::{Struct, Value, value::Kind};

use super::operator::Written;

/// Appends a quoted and escaped string.
pub(super) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.extend_from_slice(text);
    escape_from(out, start);
    out.push(b'"');
}

/// Escapes what lies at the end of `out`, from `start` on, for a JSON string (Envoy's `Json::sanitize`): nothing
/// changes in most texts; where one is not UTF-8, every byte beyond ASCII is shown as the code point of its number.
pub(super) fn escape_from(out: &mut Vec<u8>, start: usize) {
    let text = &out[start..];
    if !text.iter().any(|byte| needs_look(*byte)) {
        return;
    }
    let valid = std::str::from_utf8(text).is_ok();
    if valid && !text.iter().any(|byte| needs_escape(*byte)) {
        return;
    }
    let text = out.split_off(start);
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..0x20 => write_code_point(byte, out),
            0x80.. if !valid => write_code_point(byte, out),
            _ => out.push(byte),
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn needs_look(byte: u8) -> bool {
    needs_escape(byte) || byte >= 0x80
}

fn write_code_point(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&digits);
}

/// Appends a number as C++'s `std::to_chars` does: the shortest text that reads back as the same number, plain or
/// with an exponent, whichever is shorter. What JSON has no number for is `null`.
pub(super) fn write_number(number: f64, out: &mut Vec<u8>) {
    if !number.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let plain = format!("{number}");
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    let scientific = format!("{digits}e{sign}{exponent:0>2}");
    let shorter = if scientific.len() < plain.len() {
        &scientific
    } else {
        &plain
    };
    out.extend_from_slice(shorter.as_bytes());
}

/// Appends a JSON object, keys sorted.
pub(super) fn write_struct(value: &Struct, out: &mut Vec<u8>) {
    let mut fields: Vec<_> = value.fields.iter().collect();
    fields.sort_unstable_by_key(|(key, _)| key.as_bytes());
    out.push(b'{');
    for (index, (key, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key.as_bytes(), out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Appends a JSON value.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => out.extend_from_slice(b"null"),
        Some(Kind::NumberValue(number)) => write_number(*number, out),
        Some(Kind::StringValue(text)) => write_string(text.as_bytes(), out),
        Some(Kind::BoolValue(value)) => {
            out.extend_from_slice(if *value { b"true" } else { b"false" })
        }
        Some(Kind::StructValue(inner)) => write_struct(inner, out),
        Some(Kind::ListValue(list)) => {
            out.push(b'[');
            for (index, value) in list.values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(value, out);
            }
            out.push(b']');
        }
    }
}

/// Appends a value as an operator does: a string without quotes, null as missing.
pub(super) fn write_plain(value: &Value, out: &mut Vec<u8>) -> Written {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Written::Nothing,
        Some(Kind::StringValue(text)) => {
            out.extend_from_slice(text.as_bytes());
            Written::Text
        }
        Some(_) => {
            write_value(value, out);
            Written::Json
        }
    }
}
