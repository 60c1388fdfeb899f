//! `%XFCC_VALUE(KEY)%`: a value in the request's `x-forwarded-client-cert`.
//!
//! The header is a list of elements, one for each proxy, of `Key=value` pairs: `By=…;URI=…,By=…`. Values may stand in
//! quotes, in which separators mean nothing.

use std::borrow::Cow;

use nuncio_config::ConfigError;
use nuncio_http::Known;
use nuncio_sdk::LogContext;

use super::operator::Written;

const KEYS: [&str; 7] = ["by", "hash", "cert", "chain", "subject", "uri", "dns"];

/// The operator: the first value of this key, whichever element has it.
#[derive(Debug)]
pub(super) struct XfccValue {
    /// Lower case.
    key: &'static str,
}

impl XfccValue {
    pub(super) fn parse(argument: &str) -> Result<XfccValue, ConfigError> {
        let mut keys = KEYS.into_iter();
        match keys.find(|key| key.eq_ignore_ascii_case(argument)) {
            Some(key) => Ok(XfccValue { key }),
            None => {
                let message = format!("XFCC_VALUE command does not support subcommand: {argument}");
                Err(ConfigError::new("", message))
            }
        }
    }

    pub(super) fn write(&self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        let header = cx.request_headers.get(Known::XForwardedClientCert);
        let value = header.and_then(|header| find(header, self.key));
        let found = value.is_some();
        out.extend_from_slice(&value.unwrap_or_default());
        Written::text_if(found)
    }
}

/// The first value of `key`. An element whose quotes do not end has none, and nothing is behind it.
fn find<'a>(header: &'a [u8], key: &str) -> Option<Cow<'a, [u8]>> {
    let mut rest = Some(header);
    while let Some(list) = rest {
        let element;
        (element, rest) = split(list, b',')?;
        let mut pairs = Some(element);
        while let Some(list) = pairs {
            let pair;
            (pair, pairs) = split(list, b';')?;
            let (name, value) = match pair.iter().position(|&byte| byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            if name.trim_ascii().eq_ignore_ascii_case(key.as_bytes()) {
                return Some(unquoted(value.trim_ascii()));
            }
        }
    }
    None
}

/// What comes before the first separator outside quotes, and what comes behind it; `None` when a quote does not end.
fn split(text: &[u8], separator: u8) -> Option<(&[u8], Option<&[u8]>)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => return Some((&text[..at], Some(&text[at + 1..]))),
            _ => {}
        }
    }
    (!quoted).then_some((text, None))
}

/// Without quotes around it, and without the backslashes before quotes and backslashes.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    let value = inner.unwrap_or(value);
    if !value.contains(&b'\\') {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(&next) if byte == b'\\' && matches!(next, b'"' | b'\\') => {
                plain.push(next);
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_as_envoy_finds_them() {
        for (header, uri) in [
            (r#"By=x;URI=one;URI=two,URI=three"#, Some("one")),
            ("Hash=q,uri=y", Some("y")),
            ("Uri = z ; hash=q", Some("z")),
            ("a=b;URI", Some("")),
            ("URI=,URI=second", Some("")),
            ("URI=a=b", Some("a=b")),
            ("By=x,,;;URI=y", Some("y")),
            (r#"URI="a,b;c=d",By="q"#, Some("a,b;c=d")),
            (r#"URI="a\\b\"\q""#, Some(r#"a\b"\q"#)),
            (r#"URI=a\"b"c""#, Some(r#"a"b"c""#)),
            (r#"URI="a" b"#, Some(r#""a" b"#)),
            (r#"URI=" a ""#, Some(" a ")),
            (r#"By=q","r;URI=x"#, Some("x")),
            (r#"URI=x;By="q"#, None),
            (r#"By="q;URI=x"#, None),
            (r#""URI"=x"#, None),
            (r#"URI="#, Some("")),
            (r#"URI=""#, None),
            ("rubbish", None),
            ("", None),
        ] {
            let found = find(header.as_bytes(), "uri");
            assert_eq!(found.as_deref(), uri.map(str::as_bytes), "{header}");
        }
    }

    #[test]
    fn keys_are_known() {
        assert_eq!(XfccValue::parse("URI").unwrap().key, "uri");
        assert!(XfccValue::parse("issuer").is_err());
    }
}
