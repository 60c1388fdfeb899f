//! `Referer` (RFC 9110, section 10.1.3): a URI reference without fragment and user information.

use crate::h1::{is_host, split_authority, split_port};

/// Whether Envoy passes this value of `Referer` on. It may be empty.
#[must_use]
pub fn is_valid_referer(value: &[u8]) -> bool {
    // What has a colon in front of the first slash is absolute.
    let slash = value.iter().position(|&byte| byte == b'/');
    match value.iter().position(|&byte| byte == b':') {
        Some(colon) if slash.is_none_or(|slash| colon < slash) => is_absolute(value, colon),
        _ => value.iter().all(|&byte| is_reference_byte(byte)),
    }
}

fn is_absolute(value: &[u8], colon: usize) -> bool {
    let (scheme, rest) = value.split_at(colon);
    let Some(rest) = rest.strip_prefix(b"://") else {
        return false;
    };
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    let (authority, path) = split_authority(rest);
    let authority = authority.strip_prefix(b"@").unwrap_or(authority);
    let is_authority = split_port(authority).is_some_and(|(host, _)| {
        is_host(host) || without_zone(host).is_some_and(|host| is_host(&host))
    });
    // A fragment may be there as long as it is empty.
    let path = path.strip_suffix(b"#").unwrap_or(path);
    is_scheme
        && is_authority
        && path
            .iter()
            .all(|&byte| byte.is_ascii_graphic() && byte != b'#')
}

/// `[fe80::1%eth0]` without the zone.
fn without_zone(host: &[u8]) -> Option<Vec<u8>> {
    let inner = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let at = inner.iter().position(|&byte| byte == b'%')?;
    let zone = &inner[at + 1..];
    let is_zone = zone.first().is_some_and(u8::is_ascii_alphabetic)
        && zone.iter().all(u8::is_ascii_alphanumeric);
    is_zone.then(|| [b"[", &inner[..at], b"]"].concat())
}

/// Bytes of paths and queries (RFC 3986, appendix A), percent signs included.
fn is_reference_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Envoy 1.40 answered.
    #[test]
    fn referers_are_judged_as_envoy_does() {
        for value in [
            "",
            "a",
            "*",
            "/a:b",
            "/a?b",
            "a/b:c",
            "//h:80",
            "a,b",
            "/%zz",
            "a@b",
            "http://h",
            "HTTP://H/",
            "x+y://h",
            "x1://h",
            "http://-",
            "http://@h/",
            "http://h?",
            "http://h/#",
            "http://h?#",
            "http://h:080/",
            "http://h:80?x",
            "http://[::1]:80/",
            "http://[fe80::1%eth0]/",
            "http://h/a\"b<>\\^`{|}[]",
            "http://h/u:p@x",
            "http://a/,http://b/",
            "android-app://com.x.y/",
        ] {
            assert!(is_valid_referer(value.as_bytes()), "{value}");
        }
        for value in [
            "#",
            "/#",
            "/a#b",
            "/a b",
            "/a\tb",
            "/a\"b",
            "/a[b]",
            "/a\\b",
            "/\u{e9}",
            "?a:b",
            "a:b",
            "1http://x/",
            "://h",
            "http:",
            "http:/h",
            "http:///x",
            "http://?x",
            "http://h#",
            "http://h/#x",
            "http://h/?x#y",
            "http://h/a b",
            "http://h/\u{e9}",
            "http://\u{e9}/",
            "http://h:/",
            "http://h:65536",
            "http://h:x/",
            "http://h_x/",
            "http://h%41/",
            "http://u@h/",
            "http://u:p@h",
            "http://[x]/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "a://b@c@d/",
            "about:blank",
        ] {
            assert!(!is_valid_referer(value.as_bytes()), "{value}");
        }
    }
}
