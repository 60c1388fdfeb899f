//! The `location` of redirects (Envoy's `Http::Utility::newUri`).

use nuncio_http::{HeaderMap, Known};

use crate::action::{Redirect, RedirectPath};

/// The location that a redirect gives. `headers` are the request's, with a rewrite of the path already done;
/// `replacement` is the path that `path_redirect` or `path_rewrite` puts in its place, if any.
pub(crate) fn location(
    redirect: &Redirect,
    headers: &HeaderMap,
    replacement: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let scheme = match &redirect.scheme {
        Some(scheme) => scheme.as_bytes(),
        None => headers.scheme().unwrap_or_default(),
    };
    out.extend_from_slice(scheme);
    out.extend_from_slice(b"://");
    if redirect.host.is_empty() {
        out.extend_from_slice(request_host(headers, scheme, redirect.port.is_some()));
    } else {
        out.extend_from_slice(redirect.host.as_bytes());
    }
    if let Some(port) = redirect.port {
        out.push(b':');
        out.extend_from_slice(port.to_string().as_bytes());
    }
    let path = headers.path().unwrap_or_default();
    let (bare, query) = path.split_at(memchr::memchr(b'?', path).unwrap_or(path.len()));
    match replacement {
        None => out.extend_from_slice(bare),
        Some(replacement) => {
            if !replacement.starts_with(b"/") {
                out.push(b'/');
            }
            out.extend_from_slice(replacement);
            // A query of its own stands in place of the request's, and is never stripped.
            if replacement.contains(&b'?') {
                return out;
            }
        }
    }
    if !redirect.strip_query {
        out.extend_from_slice(query);
    }
    out
}

/// The request's own URL, which answers with status 201 or 3xx carry too.
pub(crate) fn own_location(headers: &HeaderMap) -> Vec<u8> {
    let same = Redirect {
        status: 0,
        scheme: None,
        host: Box::default(),
        port: None,
        path: RedirectPath::Same,
        strip_query: false,
    };
    location(&same, headers, None)
}

/// The request's URL under `https`.
pub(crate) fn tls_location(headers: &HeaderMap) -> Vec<u8> {
    let parts = [
        b"https://".as_slice(),
        headers.authority().unwrap_or_default(),
        headers.path().unwrap_or_default(),
    ];
    parts.concat()
}

/// The request's host, without its port if another is given, or if it is the default port of a scheme that the
/// redirect leaves.
fn request_host<'h>(headers: &'h HeaderMap, scheme: &[u8], other_port: bool) -> &'h [u8] {
    let host = headers.authority().unwrap_or_default();
    let colon = match host.first() {
        Some(b'[') => memchr::memmem::rfind(host, b"]:").map(|at| at + 1),
        _ => memchr::memrchr(b':', host),
    };
    let Some(colon) = colon else { return host };
    let protocol = headers.get(Known::XForwardedProto).unwrap_or_default();
    let default_port = match protocol {
        b"https" => &host[colon..] == b":443",
        b"http" => &host[colon..] == b":80",
        _ => false,
    };
    if other_port || (scheme != protocol && default_port) {
        &host[..colon]
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect() -> Redirect {
        Redirect {
            status: 301,
            scheme: None,
            host: Box::default(),
            port: None,
            path: RedirectPath::Same,
            strip_query: false,
        }
    }

    /// What Envoy 1.40 answered to `/p/a?q=1` and the like.
    #[test]
    fn locations_are_those_of_envoy() {
        let check =
            |redirect: Redirect, replacement: Option<&str>, host: &str, proto: &str, path: &str| {
                let headers: HeaderMap = [
                    (":scheme", proto),
                    (":authority", host),
                    (":path", path),
                    ("x-forwarded-proto", proto),
                ]
                .into_iter()
                .collect();
                let location = location(&redirect, &headers, replacement.map(str::as_bytes));
                String::from_utf8(location).unwrap()
            };
        let https = || Redirect {
            scheme: Some("https".into()),
            ..redirect()
        };
        assert_eq!(
            check(https(), None, "h", "http", "/p/a?q=1"),
            "https://h/p/a?q=1"
        );
        assert_eq!(
            check(https(), None, "h:80", "http", "/p/a"),
            "https://h/p/a"
        );
        assert_eq!(
            check(https(), None, "h:8080", "http", "/p/a"),
            "https://h:8080/p/a"
        );
        assert_eq!(
            check(https(), None, "h:443", "https", "/p"),
            "https://h:443/p"
        );
        assert_eq!(
            check(https(), None, "[::1]:80", "http", "/p"),
            "https://[::1]/p"
        );
        assert_eq!(
            check(https(), None, "[::1]", "http", "/p"),
            "https://[::1]/p"
        );
        let ftp = Redirect {
            scheme: Some("ftp".into()),
            ..redirect()
        };
        assert_eq!(check(ftp, None, "h:443", "https", "/p"), "ftp://h/p");
        let host = Redirect {
            host: "n.com:99".into(),
            ..redirect()
        };
        assert_eq!(
            check(host, None, "h:443", "https", "/p"),
            "https://n.com:99/p"
        );
        let port = Redirect {
            port: Some(8080),
            ..redirect()
        };
        assert_eq!(
            check(port, None, "h:80", "http", "/p/a?q=1"),
            "http://h:8080/p/a?q=1"
        );
        assert_eq!(
            check(redirect(), Some("/np"), "h", "http", "/p/a?q=1"),
            "http://h/np?q=1"
        );
        assert_eq!(
            check(redirect(), Some("np"), "h", "http", "/p/a?q=1"),
            "http://h/np?q=1"
        );
        let strip = || Redirect {
            strip_query: true,
            ..redirect()
        };
        assert_eq!(
            check(strip(), None, "h", "http", "/p/a?q=1"),
            "http://h/p/a"
        );
        assert_eq!(
            check(strip(), Some("/np"), "h", "http", "/p/a?q=1"),
            "http://h/np"
        );
        assert_eq!(
            check(strip(), Some("/np?x=1"), "h", "http", "/p/a?q=1"),
            "http://h/np?x=1"
        );
    }

    #[test]
    fn tls() {
        let headers: HeaderMap = [(":authority", "h:80"), (":path", "/p?q")]
            .into_iter()
            .collect();
        assert_eq!(tls_location(&headers), b"https://h:80/p?q");
    }
}
