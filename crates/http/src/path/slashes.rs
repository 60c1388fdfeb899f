//! `merge_slashes` and `path_with_escaped_slashes_action`.

use memchr::{memchr, memmem};

use super::split_query;

/// `merge_slashes`: writes the path with runs of slashes merged into `out`. False: there is nothing to
/// merge and `out` is empty. As in Envoy, `//` alone stays `//`.
#[must_use]
pub fn merge_slashes(path_and_query: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (path, query) = split_query(path_and_query);
    if memmem::find(path, b"//").is_none() {
        return false;
    }
    if path.first() == Some(&b'/') {
        out.push(b'/');
    }
    for (number, segment) in path
        .split(|&byte| byte == b'/')
        .filter(|segment| !segment.is_empty())
        .enumerate()
    {
        if number > 0 {
            out.push(b'/');
        }
        out.extend_from_slice(segment);
    }
    if path.last() == Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(query);
    true
}

/// `path_with_escaped_slashes_action`: looks for `%2F` and `%5C` (in either case) in front of the query, and writes the
/// path with them decoded into `out`. False: there are none and `out` is empty. What follows (refuse, redirect, go on)
/// is the caller's.
#[must_use]
pub fn escaped_slashes(path_and_query: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (path, query) = split_query(path_and_query);
    let mut found = false;
    let mut rest = path;
    while let Some(at) = memchr(b'%', rest) {
        let slash = match rest.get(at + 1..at + 3) {
            Some([b'2', b'f' | b'F']) => Some(b'/'),
            Some([b'5', b'c' | b'C']) => Some(b'\\'),
            _ => None,
        };
        out.extend_from_slice(&rest[..at]);
        out.push(slash.unwrap_or(b'%'));
        found |= slash.is_some();
        rest = &rest[at + if slash.is_some() { 3 } else { 1 }..];
    }
    if !found {
        out.clear();
        return false;
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(query);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy 1.40 passed them on.
    #[test]
    fn merging() {
        for (path, expected) in [
            ("//", "//"),
            ("///", "//"),
            ("///a//b///c", "/a/b/c"),
            ("/a//b?c//d", "/a/b?c//d"),
            ("/a//../b", "/a/../b"),
            ("//..//a", "/../a"),
            ("/a//", "/a/"),
        ] {
            let mut out = Vec::new();
            assert!(merge_slashes(path.as_bytes(), &mut out));
            assert_eq!(out, expected.as_bytes(), "{path}");
        }
        for path in ["/a/", "/?a//b", "/"] {
            assert!(!merge_slashes(path.as_bytes(), &mut Vec::new()));
        }
    }

    #[test]
    fn unescaping() {
        for (path, expected) in [
            ("/a%2fb", "/a/b"),
            ("/a%5Cb", "/a\\b"),
            ("/a%2f%2Fb?x%5c", "/a//b?x%5c"),
            ("/%2f..%2f", "//../"),
            ("/%41%2f%", "/%41/%"),
        ] {
            let mut out = Vec::new();
            assert!(escaped_slashes(path.as_bytes(), &mut out));
            assert_eq!(out, expected.as_bytes(), "{path}");
        }
        for path in ["/a?b%2fc", "/a%252fb", "/a\\b", "/%2", "/%"] {
            let mut out = Vec::new();
            assert!(!escaped_slashes(path.as_bytes(), &mut out));
            assert!(out.is_empty());
        }
    }
}
