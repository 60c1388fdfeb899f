//! What header names and values may consist of.

/// Whether `name` is a token (RFC 9110, section 5.6.2), and so a valid header name in HTTP/1.
#[must_use]
pub fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| TOKEN[usize::from(byte)])
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether `value` has no control character but tab: Envoy's `headerValueIsValid`. Bytes above 127 are allowed.
#[must_use]
pub fn is_header_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        assert!(is_token(b"X-Foo_bar.1!"));
        for bad in [&b""[..], b"a b", b"a:", b"\x80", b"a(", b"a\0"] {
            assert!(!is_token(bad), "{bad:?}");
        }
        assert!(is_header_value(b"") && is_header_value(b"a\tb \xff"));
        for bad in [&b"\0"[..], b"a\rb", b"a\nb", b"\x7f", b"\x1f"] {
            assert!(!is_header_value(bad), "{bad:?}");
        }
    }
}
