//! Query parameters and percent-encoding.

use std::borrow::Cow;

use memchr::memchr;

use super::{normalize::decode, split_query};

/// Iterator over query parameters: [`query_params`].
#[derive(Clone, Debug)]
pub struct QueryParams<'a> {
    rest: Option<&'a [u8]>,
}

/// The parameters of a path's query as (key, value), in order, not decoded; the value of `?a` is empty. As in Envoy an
/// empty parameter (`&&`) has an empty key.
#[must_use]
pub fn query_params(path_and_query: &[u8]) -> QueryParams<'_> {
    let (_, query) = split_query(path_and_query);
    QueryParams {
        rest: query.get(1..).filter(|query| !query.is_empty()),
    }
}

impl<'a> Iterator for QueryParams<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let parameter = match memchr(b'&', rest) {
            Some(end) => {
                // Nothing behind a trailing `&`.
                self.rest = Some(&rest[end + 1..]).filter(|rest| !rest.is_empty());
                &rest[..end]
            }
            None => {
                self.rest = None;
                rest
            }
        };
        Some(match memchr(b'=', parameter) {
            Some(at) => (&parameter[..at], &parameter[at + 1..]),
            None => (parameter, b""),
        })
    }
}

/// Decodes percent-encoding; what is no valid escape stays as it is, and so does `+`.
#[must_use]
pub fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'%', text) else {
        return Cow::Borrowed(text);
    };
    let mut decoded = text[..first].to_vec();
    let mut rest = &text[first..];
    while let Some((&byte, next)) = rest.split_first() {
        match decode(next).filter(|_| byte == b'%') {
            Some(value) => {
                decoded.push(value);
                rest = &next[2..];
            }
            None => {
                decoded.push(byte);
                rest = next;
            }
        }
    }
    Cow::Owned(decoded)
}

/// Appends `text`, with everything percent-encoded that is not unreserved in URLs (RFC 3986, section 2.3).
pub fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |half: u8| DIGITS[usize::from(half)];
            out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding() {
        let mut out = Vec::new();
        percent_encode(b"aZ0-._~ /&=%\xff\r", &mut out);
        assert_eq!(out, b"aZ0-._~%20%2F%26%3D%25%FF%0D");
    }

    #[test]
    fn parameters() {
        let all = |path: &'static str| {
            query_params(path.as_bytes())
                .map(|(key, value)| {
                    (
                        std::str::from_utf8(key).unwrap(),
                        std::str::from_utf8(value).unwrap(),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(all("/a"), []);
        assert_eq!(all("/a?"), []);
        assert_eq!(all("/a?b"), [("b", "")]);
        assert_eq!(
            all("/a?b=1&c=2=3&b=&=x&d&"),
            [("b", "1"), ("c", "2=3"), ("b", ""), ("", "x"), ("d", "")]
        );
        assert_eq!(all("/a?b=%20?c"), [("b", "%20?c")]);
    }

    #[test]
    fn decoding() {
        assert!(matches!(percent_decode(b"abc+"), Cow::Borrowed(b"abc+")));
        assert_eq!(
            percent_decode(b"a%20b%zz%4%C3%a9%").as_ref(),
            "a b%zz%4\u{e9}%".as_bytes()
        );
    }
}
