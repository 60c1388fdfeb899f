//! How a route matches a path.

use std::borrow::Cow;

use memchr::{memchr, memchr2};
use nuncio_http::{HeaderMap, Known};

use crate::regex::Regex;

/// `RouteMatch.path_specifier`. All but the last look at the path without query and fragment.
#[derive(Debug)]
pub(crate) enum PathMatcher {
    Exact(Box<[u8]>),
    ExactFolded(Box<[u8]>),
    Prefix(Box<[u8]>),
    PrefixFolded(Box<[u8]>),
    /// A prefix that ends where the path ends or has a slash.
    Separated(Box<[u8]>),
    SeparatedFolded(Box<[u8]>),
    Regex(Box<Regex>),
    /// A URI template, which sees the path's parameters whatever is configured of them.
    Template(Box<Regex>),
    /// Any `CONNECT`, with or without a path.
    Connect,
}

impl PathMatcher {
    /// Whether `path`, as [`matchable`] gives it, matches. [`PathMatcher::Connect`] is decided by [`is_connect`].
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            PathMatcher::Exact(text) => path == &**text,
            PathMatcher::ExactFolded(text) => path.eq_ignore_ascii_case(text),
            PathMatcher::Prefix(text) => path.starts_with(text),
            PathMatcher::PrefixFolded(text) => starts_with_folded(path, text),
            PathMatcher::Separated(text) => {
                path.starts_with(text) && ends_segment(path, text.len())
            }
            PathMatcher::SeparatedFolded(text) => {
                starts_with_folded(path, text) && ends_segment(path, text.len())
            }
            PathMatcher::Regex(regex) | PathMatcher::Template(regex) => regex.is_match(path),
            PathMatcher::Connect => false,
        }
    }

    /// How many bytes of a matching `:path` `prefix_rewrite` replaces.
    pub(crate) fn matched_len(&self, path: &[u8]) -> usize {
        let length = match self {
            PathMatcher::Exact(text)
            | PathMatcher::ExactFolded(text)
            | PathMatcher::Prefix(text)
            | PathMatcher::PrefixFolded(text)
            | PathMatcher::Separated(text)
            | PathMatcher::SeparatedFolded(text) => text.len(),
            PathMatcher::Regex(_) | PathMatcher::Template(_) | PathMatcher::Connect => {
                without_query(path).len()
            }
        };
        // A filter may have made the path shorter since it was matched.
        length.min(path.len())
    }
}

fn starts_with_folded(path: &[u8], text: &[u8]) -> bool {
    path.get(..text.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(text))
}

/// Whether a segment of the path ends at `at`.
pub(crate) fn ends_segment(path: &[u8], at: usize) -> bool {
    path.get(at).is_none_or(|&byte| byte == b'/')
}

/// A `:path` without its query and fragment.
pub(crate) fn without_query(path: &[u8]) -> &[u8] {
    &path[..memchr2(b'?', b'#', path).unwrap_or(path.len())]
}

/// The part of a `:path` that matchers look at.
///
/// Parameters end with their segment: without them, `/a;x=1/b` is `/a/b`.
pub(crate) fn matchable(path: &[u8], ignore_path_parameters: bool) -> Cow<'_, [u8]> {
    let path = without_query(path);
    if !ignore_path_parameters || memchr(b';', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut kept = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(start) = memchr(b';', rest) {
        kept.extend_from_slice(&rest[..start]);
        rest = match memchr(b'/', &rest[start..]) {
            Some(length) => &rest[start + length..],
            None => b"",
        };
    }
    kept.extend_from_slice(rest);
    Cow::Owned(kept)
}

/// Whether `connect_matcher` matches: `CONNECT`, or an upgrade to `connect-udp`.
pub(crate) fn is_connect(headers: &HeaderMap) -> bool {
    headers.method() == Some(b"CONNECT")
        || headers
            .get(Known::Upgrade)
            .is_some_and(|upgrade| upgrade.eq_ignore_ascii_case(b"connect-udp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let text = |text: &str| Box::<[u8]>::from(text.as_bytes());
        let check = |matcher: PathMatcher, yes: &[&str], no: &[&str]| {
            for path in yes {
                assert!(matcher.matches(path.as_bytes()), "{matcher:?} {path}");
            }
            for path in no {
                assert!(!matcher.matches(path.as_bytes()), "{matcher:?} {path}");
            }
        };
        check(
            PathMatcher::Exact(text("/foo")),
            &["/foo"],
            &["/foo/", "/FOO", "/fo"],
        );
        check(
            PathMatcher::ExactFolded(text("/FOO")),
            &["/foo", "/Foo"],
            &["/foo/"],
        );
        check(
            PathMatcher::Prefix(text("/foo")),
            &["/foo", "/foox"],
            &["/fo", "/FOO"],
        );
        check(
            PathMatcher::PrefixFolded(text("/FOO")),
            &["/foox"],
            &["/fo"],
        );
        check(
            PathMatcher::Separated(text("/foo")),
            &["/foo", "/foo/", "/foo/x"],
            &["/foox", "/FOO", "/foo;p"],
        );
        check(
            PathMatcher::SeparatedFolded(text("/Foo")),
            &["/foo", "/FOO/x"],
            &["/foox"],
        );
    }

    #[test]
    fn what_is_matched() {
        assert_eq!(*matchable(b"/a;x/b?c#d", false), *b"/a;x/b");
        assert_eq!(*matchable(b"/a;x/b?c", true), *b"/a/b");
        assert_eq!(*matchable(b"/a;x;y/b/;/c;", true), *b"/a/b//c");
        assert_eq!(*matchable(b"/a?b;c", true), *b"/a");
        assert_eq!(*matchable(b"/a#b?c", false), *b"/a");
    }
}
