//! Which bytes header names and values may consist of, by kind (RFC 9113, section 8.2.1; the tables are nghttp2's).

const NAME: u8 = 1;
const METHOD: u8 = 4;
const SCHEME: u8 = 8;
const AUTHORITY: u8 = 16;
const PATH: u8 = 32;

static CLASSES: [u8; 256] = build();

const fn build() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let mut class = 0;
        let token = byte.is_ascii_alphanumeric() || is_one_of(byte, b"!#$%&'*+-.^_`|~");
        if token {
            class |= METHOD;
            if !byte.is_ascii_uppercase() {
                class |= NAME;
            }
        }
        if byte > b' ' && byte != 0x7f {
            class |= PATH;
        }
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"+-.") {
            class |= SCHEME;
        }
        if byte.is_ascii_alphanumeric() || is_one_of(byte, b"!$%&'()*+,-.:;=[]_~") {
            class |= AUTHORITY;
        }
        table[i] = class;
        i += 1;
    }
    table
}

const fn is_one_of(byte: u8, list: &[u8]) -> bool {
    let mut i = 0;
    while i < list.len() {
        if list[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

#[inline]
fn all(text: &[u8], class: u8) -> bool {
    // Without an early exit: texts are short, and nearly all are valid.
    text.iter()
        .fold(class, |and, &byte| and & CLASSES[byte as usize])
        == class
}

/// A token in lower case, not empty.
#[inline]
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && all(name, NAME)
}

/// No control characters but tab; nothing above 127 if `ascii`.
#[inline]
pub(super) fn is_value(value: &[u8], ascii: bool) -> bool {
    let mut bad = false;
    for &byte in value {
        bad |= (byte < b' ' && byte != b'\t') | (byte == 0x7f);
    }
    !bad && (!ascii || value.is_ascii())
}

/// A token, not empty.
#[inline]
pub(super) fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && all(method, METHOD)
}

/// RFC 3986, section 3.1
#[inline]
pub(super) fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && all(scheme, SCHEME)
}

/// What a host and port consist of (RFC 3986, section 3.2); no user information. Not empty.
#[inline]
pub(super) fn is_authority(authority: &[u8]) -> bool {
    !authority.is_empty() && all(authority, AUTHORITY)
}

/// No blanks and no control characters; not empty.
#[inline]
pub(super) fn is_path(path: &[u8]) -> bool {
    !path.is_empty() && all(path, PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert!(is_name(b"x-a_b.1!") && is_method(b"Get-x"));
        for bad in [&b""[..], b"A", b"a b", b"a:", b":a", b"\x80", b"a(", b"a\t"] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert!(is_value(b" a\t\xff", false) && !is_value(b"a\xff", true) && is_value(b"", true));
        for bad in [&b"\0"[..], b"a\r", b"\n", b"\x7f", b"\x1f"] {
            assert!(!is_value(bad, false), "{bad:?}");
        }
        assert!(
            is_scheme(b"HTTPS") && is_scheme(b"a+b") && !is_scheme(b"1a") && !is_scheme(b"a_b")
        );
        assert!(is_authority(b"[::1]:80") && is_authority(b"a%20!$&'()*+,;=~_"));
        for bad in [
            &b""[..],
            b"a@b",
            b"a/b",
            b"a\"b",
            b"a b",
            b"a\x80",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a|b",
        ] {
            assert!(!is_authority(bad), "{bad:?}");
        }
        assert!(
            is_path(b"/a\"<>|{}^`\\\x80#")
                && !is_path(b"/a b")
                && !is_path(b"/\x01")
                && !is_path(b"")
        );
    }
}
