//! Headers that `Connection` names (RFC 9110, section 7.6.1): they end here.

use super::error::{self, CodecError};
use crate::{HeaderMap, Known};

/// A `Connection` with this many options is refused.
const TOO_MANY: usize = 10;
/// A `TE` of this many bytes that `Connection` names is refused.
const TOO_LONG_TE: usize = 256;

/// Options that are no names of headers, or whose headers others remove.
const OPTIONS: [&[u8]; 5] = [
    b"close",
    b"keep-alive",
    b"upgrade",
    b"http2-settings",
    b"connection",
];

/// Names whose removal would hide where a request comes from.
const PROTECTED: [&[u8]; 3] = [
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
];

/// Removes the headers that `Connection` names, as Envoy does (`sanitizeConnectionHeader`). Of `TE` remains
/// `trailers`, if that is in it.
///
/// # Errors
/// It names what must not be removed, or too much.
pub(super) fn remove(headers: &mut HeaderMap) -> Result<(), CodecError> {
    let Some(value) = headers.get(Known::Connection) else {
        return Ok(());
    };
    let mut count = 0;
    let mut plain = true;
    for name in names(value) {
        count += 1;
        plain &= is_option(name);
    }
    if count >= TOO_MANY {
        return Err(error::CONNECTION_REJECTED);
    }
    if plain {
        return Ok(());
    }
    let value = value.to_ascii_lowercase();
    for name in names(&value) {
        if name.starts_with(b":") || PROTECTED.contains(&name) {
            return Err(error::CONNECTION_REJECTED);
        }
        match name {
            b"" => {}
            b"te" => keep_trailers(headers)?,
            b"host" => {
                headers.remove(Known::Authority);
            }
            _ if is_option(name) => {}
            _ => {
                headers.remove(name);
            }
        }
    }
    Ok(())
}

fn names(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .filter(|name| !name.is_empty())
        .map(<[u8]>::trim_ascii)
}

fn is_option(name: &[u8]) -> bool {
    OPTIONS
        .iter()
        .any(|option| option.eq_ignore_ascii_case(name))
}

fn keep_trailers(headers: &mut HeaderMap) -> Result<(), CodecError> {
    let Some(te) = headers.get(Known::Te) else {
        return Ok(());
    };
    if te.len() >= TOO_LONG_TE {
        return Err(error::CONNECTION_REJECTED);
    }
    if names(te).any(|name| name.eq_ignore_ascii_case(b"trailers")) {
        headers.set(Known::Te, b"trailers");
    } else {
        headers.remove(Known::Te);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(connection: &str, te: &str) -> Option<Vec<String>> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", connection),
            ("x-a", "1"),
            ("cookie", "2"),
            ("te", te),
            (":authority", "h"),
        ] {
            headers.append(name.as_bytes(), value.as_bytes());
        }
        remove(&mut headers).ok()?;
        let names = headers
            .iter()
            .skip(1)
            .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()));
        Some(names.collect())
    }

    #[test]
    fn what_connection_names_is_removed() {
        let all = ["x-a=1", "cookie=2", "te=gzip", ":authority=h"];
        for connection in ["close", "Keep-Alive,upgrade", "", " ,", "connection", "y"] {
            assert_eq!(left(connection, "gzip").unwrap(), all, "{connection}");
        }
        assert_eq!(
            left("X-A, close,TE", "gzip").unwrap(),
            ["cookie=2", ":authority=h"]
        );
        assert_eq!(
            left("host,cookie,te", "gzip, Trailers").unwrap(),
            ["x-a=1", "te=trailers"]
        );
    }

    #[test]
    fn what_must_stay_is_not_removed() {
        for connection in [
            "close, X-Forwarded-For",
            "x-forwarded-host",
            "x-forwarded-proto",
            ":path",
            ":x",
            "1,2,3,4,5,6,7,8,9,10",
        ] {
            assert_eq!(left(connection, ""), None, "{connection}");
        }
        assert!(left("1,2,3,4,5,6,7,8,9,", "").is_some());
        assert_eq!(left("te", &"x".repeat(256)), None);
        assert!(left("te", &"x".repeat(255)).is_some());
    }
}
