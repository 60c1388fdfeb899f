//! What is done to `:path` and `:authority` before anything looks at them
//! (Envoy's `maybeNormalizePath` and `maybeNormalizeHost`).

use nuncio_config::api::hcm::http_connection_manager::PathWithEscapedSlashesAction;
use nuncio_http::{HeaderMap, Known, path};

/// `path_with_escaped_slashes_action`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EscapedSlashes {
    Keep,
    Reject,
    UnescapeAndRedirect,
    UnescapeAndForward,
}

impl EscapedSlashes {
    pub(crate) fn from_proto(action: i32) -> EscapedSlashes {
        match PathWithEscapedSlashesAction::try_from(action) {
            Ok(PathWithEscapedSlashesAction::RejectRequest) => EscapedSlashes::Reject,
            Ok(PathWithEscapedSlashesAction::UnescapeAndRedirect) => {
                EscapedSlashes::UnescapeAndRedirect
            }
            Ok(PathWithEscapedSlashesAction::UnescapeAndForward) => {
                EscapedSlashes::UnescapeAndForward
            }
            _ => EscapedSlashes::Keep,
        }
    }
}

/// Path and host rules of a connection manager.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathRules {
    pub(crate) normalize: bool,
    pub(crate) merge_slashes: bool,
    pub(crate) escaped_slashes: EscapedSlashes,
    pub(crate) strip_any_host_port: bool,
    pub(crate) strip_matching_host_port: bool,
    pub(crate) strip_trailing_host_dot: bool,
}

/// What becomes of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathVerdict {
    Continue,
    Reject,
    /// Redirect to the path that is now in the headers.
    Redirect,
}

impl PathRules {
    /// Applies the path rules.
    pub(crate) fn apply_to_path(&self, headers: &mut HeaderMap) -> PathVerdict {
        let Some(path) = headers.path() else {
            return PathVerdict::Continue;
        };
        // A fragment is no part of a request target (RFC 9112 §3.2).
        if memchr::memchr(b'#', path).is_some() {
            return PathVerdict::Reject;
        }
        if !self.normalize && !self.merge_slashes && self.escaped_slashes == EscapedSlashes::Keep {
            return PathVerdict::Continue;
        }
        let mut verdict = PathVerdict::Continue;
        let (mut now, mut next) = (path.to_vec(), Vec::new());
        if self.escaped_slashes != EscapedSlashes::Keep && path::escaped_slashes(&now, &mut next) {
            match self.escaped_slashes {
                EscapedSlashes::Reject => {
                    // The log shows the path for which it was refused.
                    headers.set(Known::Path, &next);
                    return PathVerdict::Reject;
                }
                EscapedSlashes::UnescapeAndRedirect => verdict = PathVerdict::Redirect,
                EscapedSlashes::UnescapeAndForward | EscapedSlashes::Keep => {}
            }
            std::mem::swap(&mut now, &mut next);
        }
        if self.normalize {
            next.clear();
            if !path::normalize(&now, &mut next) {
                return PathVerdict::Reject;
            }
            std::mem::swap(&mut now, &mut next);
        }
        if self.merge_slashes {
            next.clear();
            if path::merge_slashes(&now, &mut next) {
                std::mem::swap(&mut now, &mut next);
            }
        }
        if now != path {
            headers.set(Known::Path, &now);
        }
        verdict
    }

    /// Applies the host rules; `local_port` is the port of the listener.
    pub(crate) fn apply_to_host(&self, headers: &mut HeaderMap, local_port: Option<u16>) {
        if !(self.strip_any_host_port
            || self.strip_matching_host_port
            || self.strip_trailing_host_dot)
        {
            return;
        }
        let Some(host) = headers.authority() else {
            return;
        };
        let mut now = host.to_vec();
        if self.strip_trailing_host_dot {
            strip_dot(&mut now);
        }
        if self.strip_any_host_port || self.strip_matching_host_port {
            let wanted = if self.strip_any_host_port {
                None
            } else {
                local_port
            };
            if self.strip_any_host_port || wanted.is_some() {
                strip_port(&mut now, wanted);
            }
        }
        if now != host {
            headers.set(Known::Authority, &now);
        }
    }
}

/// Where the port begins (its colon); none for a bare IPv6 literal or without a port.
fn port_start(host: &[u8]) -> Option<usize> {
    let colon = host.iter().rposition(|&b| b == b':')?;
    let in_brackets = host
        .iter()
        .rposition(|&b| b == b']')
        .is_some_and(|bracket| bracket > colon);
    (!in_brackets).then_some(colon)
}

fn strip_port(host: &mut Vec<u8>, only: Option<u16>) {
    let Some(colon) = port_start(host) else {
        return;
    };
    let Some(port) = std::str::from_utf8(&host[colon + 1..])
        .ok()
        .and_then(|text| text.parse::<u16>().ok())
    else {
        return;
    };
    if only.is_none_or(|only| only == port) {
        host.truncate(colon);
    }
}

fn strip_dot(host: &mut Vec<u8>) {
    let end = port_start(host).unwrap_or(host.len());
    if end > 0 && host[end - 1] == b'.' {
        host.remove(end - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: PathRules = PathRules {
        normalize: false,
        merge_slashes: false,
        escaped_slashes: EscapedSlashes::Keep,
        strip_any_host_port: false,
        strip_matching_host_port: false,
        strip_trailing_host_dot: false,
    };

    fn host(rules: PathRules, host: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.append(Known::Authority, host.as_bytes());
        rules.apply_to_host(&mut headers, Some(80));
        String::from_utf8(headers.authority().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn ports_and_dots_are_stripped() {
        let any = PathRules {
            strip_any_host_port: true,
            ..NONE
        };
        assert_eq!(host(any, "a.b:8080"), "a.b");
        assert_eq!(host(any, "[::1]:8080"), "[::1]");
        assert_eq!(host(any, "[::1]"), "[::1]");
        assert_eq!(host(any, "a.b:x"), "a.b:x");
        let matching = PathRules {
            strip_matching_host_port: true,
            ..NONE
        };
        assert_eq!(host(matching, "a.b:80"), "a.b");
        assert_eq!(host(matching, "a.b:81"), "a.b:81");
        let dot = PathRules {
            strip_trailing_host_dot: true,
            ..NONE
        };
        assert_eq!(host(dot, "a.b.:80"), "a.b:80");
        assert_eq!(host(dot, "a.b."), "a.b");
    }

    #[test]
    fn fragments_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(Known::Path, b"/a#b");
        assert_eq!(NONE.apply_to_path(&mut headers), PathVerdict::Reject);
    }
}
