//! Escapes of log messages.

/// Escapes a whole line as `--log-format-escaped` does (Abseil's `CEscape`); white space at its end stays.
pub(crate) fn escape_line(line: &mut Vec<u8>) {
    let end = line.trim_ascii_end().len();
    if !line[..end].iter().any(|byte| needs_escape(*byte)) {
        return;
    }
    let plain = std::mem::take(line);
    for byte in &plain[..end] {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            b'"' | b'\'' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => line.push(*byte),
            _ => line.extend_from_slice(&[
                b'\\',
                b'0' + (byte >> 6),
                b'0' + (byte >> 3 & 7),
                b'0' + (byte & 7),
            ]),
        }
    }
    line.extend_from_slice(&plain[end..]);
}

fn needs_escape(byte: u8) -> bool {
    !matches!(byte, 0x20..=0x7e) || matches!(byte, b'"' | b'\'' | b'\\')
}

/// Shows the line feeds of a message as `\n` (`%_`).
pub(crate) fn escape_line_feeds(message: &str, out: &mut Vec<u8>) {
    for (index, line) in message.split('\n').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\\n");
        }
        out.extend_from_slice(line.as_bytes());
    }
}

/// Escapes a message for a JSON string (`%j`).
pub(crate) fn escape_json(message: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in message.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_escaped_as_envoy_does() {
        let escaped = |text: &str| {
            let mut line = text.as_bytes().to_vec();
            escape_line(&mut line);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(
            escaped("runtime: layers:\n  x: \"q\\nb\\\"c'\\x01é\\\\ \\t\"\n"),
            "runtime: layers:\\n  x: \\\"q\\\\nb\\\\\\\"c\\'\\\\x01\\303\\251\\\\\\\\ \\\\t\\\"\n"
        );
        assert_eq!(escaped("plain text\n"), "plain text\n");
        assert_eq!(escaped("\u{1}\u{7f}\r\n"), "\\001\\177\r\n");
    }

    #[test]
    fn messages_are_escaped() {
        let mut out = Vec::new();
        escape_line_feeds("a\nb\n", &mut out);
        escape_json("|\"\\\n\u{1}é", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a\\nb\\n|\\\"\\\\\\n\\u0001é"
        );
    }
}
