//! The request target (RFC 9112, section 3.2), judged as Envoy judges it.

use memchr::memchr;

use super::error::{self, CodecError};

/// A request target in one of its forms.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// Origin form or `*`; also what looks absolute where `allow_absolute_url` is off.
    Path(&'a [u8]),
    /// Absolute form. `path` is empty or begins with `/` or `?`.
    Absolute {
        scheme: &'static str,
        authority: &'a [u8],
        path: &'a [u8],
    },
    /// Authority form (CONNECT): `host:port`.
    Authority(&'a [u8]),
}

impl Target<'_> {
    pub(super) fn is_https(&self) -> bool {
        matches!(self, Self::Absolute { scheme, .. } if *scheme == "https")
    }
}

const INVALID_TARGET: CodecError = CodecError::syntax("invalid byte in the request target");

/// The syntax check that comes first, before any header is looked at. The target has neither
/// white space nor control characters: `httparse` saw to that.
pub(super) fn check(target: &[u8], is_connect: bool) -> Result<(), CodecError> {
    if !target.is_ascii() {
        return Err(INVALID_TARGET);
    }
    if matches!(target.first(), Some(b'/' | b'*')) {
        return Ok(());
    }
    let rest = if is_connect {
        target
    } else {
        let scheme = target
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        match target[scheme..].strip_prefix(b"://") {
            Some(rest) if scheme > 0 => rest,
            _ => return Err(INVALID_TARGET),
        }
    };
    let authority = split_authority(rest).0;
    let repeated_at = authority.windows(2).any(|pair| pair == b"@@");
    if repeated_at || !authority.iter().all(|&byte| is_authority_byte(byte)) {
        return Err(INVALID_TARGET);
    }
    Ok(())
}

/// Takes a checked target apart.
pub(super) fn parse<'a>(
    target: &'a [u8],
    method: &[u8],
    allow_absolute: bool,
) -> Result<Target<'a>, CodecError> {
    if method == b"CONNECT" {
        return match split_port(target) {
            Some((host, Some(_))) if is_host(host) => Ok(Target::Authority(target)),
            _ => Err(error::INVALID_URL),
        };
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") || !allow_absolute
    {
        return Ok(Target::Path(target));
    }
    let Some(colon) = memchr(b':', target) else {
        return Err(error::INVALID_URL);
    };
    let (with_userinfo, path) = split_authority(target.get(colon + 3..).unwrap_or_default());
    let authority = match memchr(b'@', with_userinfo) {
        Some(at) => &with_userinfo[at + 1..],
        None => with_userinfo,
    };
    match split_port(authority) {
        Some((host, _)) if is_host(host) => {}
        _ => return Err(error::INVALID_URL),
    }
    let scheme = &target[..colon];
    if scheme.eq_ignore_ascii_case(b"http") {
        Ok(Target::Absolute {
            scheme: "http",
            authority,
            path,
        })
    } else if scheme.eq_ignore_ascii_case(b"https") {
        Ok(Target::Absolute {
            scheme: "https",
            authority,
            path,
        })
    } else {
        Err(error::INVALID_SCHEME)
    }
}

/// Splits in front of the first `/` or `?`.
pub(crate) fn split_authority(rest: &[u8]) -> (&[u8], &[u8]) {
    let end = rest
        .iter()
        .position(|&byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    rest.split_at(end)
}

/// Splits `host:port`. None: there is a colon without a valid port behind it.
pub(crate) fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let host_end = match authority.first() {
        Some(b'[') => memchr(b']', authority)? + 1,
        _ => memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    match port.split_first() {
        None => Some((host, None)),
        Some((b':', digits)) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            Some((host, Some(std::str::from_utf8(digits).ok()?.parse().ok()?)))
        }
        Some(_) => None,
    }
}

/// A host name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_host(host: &[u8]) -> bool {
    if let Some(inner) = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
    {
        return std::str::from_utf8(inner)
            .is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

const AUTHORITY_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~%!$&'()*+,;=:[]@";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
};

fn is_authority_byte(byte: u8) -> bool {
    AUTHORITY_BYTES[byte as usize]
}

/// Whether a `Host` header's value has only bytes that an authority may have. It may be empty.
pub(super) fn is_valid_authority(value: &[u8]) -> bool {
    value.iter().all(|&byte| is_authority_byte(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge<'a>(method: &str, target: &'a str) -> Result<Target<'a>, &'static str> {
        let (method, target) = (method.as_bytes(), target.as_bytes());
        check(target, method == b"CONNECT").map_err(|error| error.details)?;
        parse(target, method, true).map_err(|error| error.details)
    }

    /// As Envoy 1.40 answered.
    #[test]
    fn targets_are_judged_as_envoy_does() {
        const CODEC: &str = "http1.codec_error";
        const URL: &str = "http1.invalid_url";
        for target in ["/", "//h/p", "/%zz", "/a#b", "/a<b>\"|{}^`\\"] {
            assert_eq!(judge("GET", target), Ok(Target::Path(target.as_bytes())));
        }
        assert_eq!(judge("OPTIONS", "*"), Ok(Target::Path(b"*")));
        for (target, authority, path) in [
            ("http://h/p", "h", "/p"),
            ("HTTP://h", "h", ""),
            ("http://h:81/p?q", "h:81", "/p?q"),
            ("http://h?x", "h", "?x"),
            ("http://u:p@h/p", "h", "/p"),
            ("http://@h/", "h", "/"),
            ("http://[::1]/p", "[::1]", "/p"),
            ("http://ExAmple.COM:080/Path", "ExAmple.COM:080", "/Path"),
            ("http://-h..x./", "-h..x.", "/"),
        ] {
            let (authority, path) = (authority.as_bytes(), path.as_bytes());
            assert_eq!(
                judge("GET", target),
                Ok(Target::Absolute {
                    scheme: "http",
                    authority,
                    path
                }),
                "{target}"
            );
        }
        for target in [
            "http:/p",
            "://h/p",
            "h:80",
            "foo",
            "?x",
            "#f",
            "http://h#f",
            "http://h\\x/p",
            "1http://x/y",
            "a/b",
            "/\u{e9}",
            "http://a@@h/",
        ] {
            assert_eq!(judge("GET", target), Err(CODEC), "{target}");
        }
        for target in [
            "*",
            "http://",
            "http:///p",
            "http://[::1/p",
            "http://h:x/p",
            "http://h:99999/p",
            "http://h:/p",
            "http://*/p",
            "http://h%41/",
            "http://h_x/",
            "http://a@b@h/",
            "http://h:+80/",
        ] {
            assert_eq!(judge("GET", target), Err(URL), "{target}");
        }
        assert_eq!(judge("GET", "ftp://h/p"), Err("http1.invalid_scheme"));
        for target in ["h:80", "[::1]:80", "h:0", "h:080"] {
            assert_eq!(
                judge("CONNECT", target),
                Ok(Target::Authority(target.as_bytes()))
            );
        }
        for target in [
            "h",
            "/",
            "h:80/x",
            "*",
            "http://h:80/",
            "u@h:80",
            ":80",
            "h:",
            "h:x",
            "h:65536",
            "[h]:80",
        ] {
            assert_eq!(judge("CONNECT", target), Err(URL), "{target}");
        }
        assert_eq!(judge("CONNECT", "h:80#x"), Err(CODEC));
    }
}
