//! Names of hosts as requests give them.

use std::borrow::Cow;

/// A host as `:authority` names it (Envoy's `Http::Utility::parseAuthority`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    /// The name, or the address without brackets.
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
}

impl<'a> Authority<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (host, port) = match split_port(text) {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Self {
            host: bare.unwrap_or(host),
            port,
        }
    }
}

/// What stands before the last colon of an authority, and the port behind it; `None` when it has none.
pub fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    // The colons of an IPv6 address are no port's.
    if host.contains(':') && !host.ends_with(']') {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// By what a host is known: its name with a port, which is `default_port` unless given.
pub(crate) fn host_key(authority: &str, default_port: u16) -> Cow<'_, str> {
    if split_port(authority).is_some() {
        return Cow::Borrowed(authority);
    }
    let bare_v6 = authority.contains(':') && !authority.starts_with('[');
    Cow::Owned(match bare_v6 {
        true => format!("[{authority}]:{default_port}"),
        false => format!("{authority}:{default_port}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, host, port, key) in [
            ("a", "a", None, "a:80"),
            ("a:8", "a", Some(8), "a:8"),
            ("a:x", "a:x", None, "[a:x]:80"),
            ("a:70000", "a:70000", None, "[a:70000]:80"),
            ("[::1]", "::1", None, "[::1]:80"),
            ("[::1]:8", "::1", Some(8), "[::1]:8"),
            ("::1", "::1", None, "[::1]:80"),
            ("1.2.3.4:5", "1.2.3.4", Some(5), "1.2.3.4:5"),
        ] {
            assert_eq!(Authority::parse(text), Authority { host, port }, "{text}");
            assert_eq!(host_key(text, 80), key);
        }
    }
}
