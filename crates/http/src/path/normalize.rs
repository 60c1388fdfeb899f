//! `normalize_path`: RFC 3986 normalization as Envoy's URL canonicalizer does it.

use super::split_query;

/// What becomes of a byte of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Unreserved (RFC 3986, section 2.3): written plain, also when it comes percent-encoded.
    Unreserved,
    /// Written as it comes.
    Pass,
    /// Percent-encoded.
    Escape,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
        b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' | 0..=b' ' | 0x7f.. => Class::Escape,
        _ => Class::Pass,
    }
}

/// Whether normalization would leave the path alone for sure: no dot segment, nothing to encode or decode.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in path {
        if matches!(byte, b'%' | b'\\')
            || class(byte) == Class::Escape
            || (byte == b'.' && previous == b'/')
        {
            return false;
        }
        previous = byte;
    }
    true
}

/// Normalizes the path in front of the query into `out`: dot segments are resolved (also percent-encoded ones, and
/// ones with parameters such as `..;x`), a backslash becomes a slash, unreserved bytes are decoded, bytes that do not
/// belong into a path are encoded. The query is copied as it is.
///
/// False (`out` is then worthless): the path does not begin with a slash or contains `%00`;
/// Envoy answers 400 `path_normalization_failed`.
#[must_use]
pub fn normalize(path_and_query: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (path, query) = split_query(path_and_query);
    if path.first() != Some(&b'/') {
        return false;
    }
    if is_plain(path) {
        out.extend_from_slice(path_and_query);
        return true;
    }
    let mut rest = &path[1..];
    out.push(b'/');
    loop {
        // `rest` begins a segment, and `out` ends in a slash.
        match dot_segment(rest) {
            Some((dots, after)) => {
                if dots == 2 {
                    out.pop();
                    let parent = out
                        .iter()
                        .rposition(|&byte| byte == b'/')
                        .map_or(0, |slash| slash + 1);
                    out.truncate(parent);
                    if out.is_empty() {
                        out.push(b'/');
                    }
                }
                match after.split_first() {
                    None => break,
                    Some((_, next)) => rest = next,
                }
            }
            None => match copy_segment(rest, out) {
                Ok(Some(next)) => rest = next,
                Ok(None) => break,
                Err(NulByte) => return false,
            },
        }
    }
    out.extend_from_slice(query);
    true
}

/// Whether the first segment is `.` or `..`: how many dots, and what follows them (nothing, or a slash and more).
fn dot_segment(rest: &[u8]) -> Option<(usize, &[u8])> {
    let literal = rest.iter().take_while(|&&byte| byte == b'.').count();
    if matches!(literal, 1 | 2) && rest.get(literal) == Some(&b';') {
        // Parameters of a dot segment end at the next slash; a backslash does not end them.
        let end = rest
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(rest.len());
        return Some((literal, &rest[end..]));
    }
    let mut dots = 0;
    let mut after = rest;
    while let Some(next) = strip_dot(after) {
        dots += 1;
        after = next;
    }
    let ends = matches!(after.first(), None | Some(b'/' | b'\\'));
    (ends && matches!(dots, 1 | 2)).then_some((dots, after))
}

fn strip_dot(rest: &[u8]) -> Option<&[u8]> {
    match rest {
        [b'.', next @ ..] | [b'%', b'2', b'e' | b'E', next @ ..] => Some(next),
        _ => None,
    }
}

struct NulByte;

/// Copies a segment and the slash behind it. None: it was the last one.
fn copy_segment<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<Option<&'a [u8]>, NulByte> {
    while let Some((&byte, next)) = rest.split_first() {
        match byte {
            b'/' | b'\\' => {
                out.push(b'/');
                return Ok(Some(next));
            }
            b'%' => match decode(next) {
                Some(0) => return Err(NulByte),
                Some(decoded) if class(decoded) == Class::Unreserved => {
                    out.push(decoded);
                    rest = &next[2..];
                    continue;
                }
                _ => out.push(b'%'),
            },
            _ if class(byte) == Class::Escape => {
                out.push(b'%');
                out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[digit as usize]));
            }
            _ => out.push(byte),
        }
        rest = next;
    }
    Ok(None)
}

/// The byte that the two hexadecimal digits at the front stand for.
pub(super) fn decode(digits: &[u8]) -> Option<u8> {
    let &[high, low, ..] = digits else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(path: &str) -> Option<String> {
        let mut out = Vec::new();
        normalize(path.as_bytes(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    /// As Envoy 1.40 passed them on.
    #[test]
    fn as_envoy_does() {
        for (path, expected) in [
            ("/", "/"),
            ("/.", "/"),
            ("/..", "/"),
            ("/./", "/"),
            ("/../", "/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/a/b/../..", "/"),
            ("/a/../../b", "/b"),
            ("/a/%2e/b", "/a/b"),
            ("/a/%2E%2e/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a/%2e.", "/"),
            ("/a/...", "/a/..."),
            ("/a/.b", "/a/.b"),
            ("/a/..b", "/a/..b"),
            ("/a/b..", "/a/b.."),
            ("//", "//"),
            ("//a", "//a"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/a\\b", "/a/b"),
            ("/a\\..\\b", "/b"),
            ("/a/%5c../b", "/a/%5c../b"),
            ("/a/%2f../b", "/a/%2f../b"),
            ("/a%2fb", "/a%2fb"),
            ("/?a/../b", "/?a/../b"),
            ("/a/../b?c/../d", "/b?c/../d"),
            ("/a/..?x", "/?x"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz", "/%zz"),
            ("/%%41", "/%A"),
            ("/%41%7a%2d%5f%7e", "/Az-_~"),
            ("/%c3%a9", "/%c3%a9"),
            ("/a%20b", "/a%20b"),
            ("/%2541", "/%2541"),
            ("/a%2e%2e/b", "/a../b"),
            ("/a/%2e%2e%2fb", "/a/..%2fb"),
            ("/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"),
            ("/!$&'()*+,:;=@[]", "/!$&'()*+,:;=@[]"),
            ("/\\", "//"),
            ("/a/.;x", "/a/"),
            ("/a/.;x/b", "/a/b"),
            ("/a/..;", "/"),
            ("/a/..;x=1;y/b", "/b"),
            ("/a/%2e%2e;/b", "/a/..;/b"),
            ("/a/...;x/b", "/a/...;x/b"),
            ("/a/;x/b", "/a/;x/b"),
            ("/a;x/../b", "/b"),
            ("/a/..;x\\b", "/"),
            ("/a/..%3bx/b", "/a/..%3bx/b"),
            ("/a/..;/..;/b", "/b"),
            ("/a/b/..;//c", "/a//c"),
            ("/a/..;x?y", "/?y"),
            ("/\u{e9}", "/%C3%A9"),
        ] {
            assert_eq!(normalized(path).as_deref(), Some(expected), "{path}");
        }
        for path in ["", "*", "a", "?x", "/x%00", "/a/.%00"] {
            assert_eq!(normalized(path), None, "{path}");
        }
        assert_eq!(normalized("/?%00").as_deref(), Some("/?%00"));
    }
}
