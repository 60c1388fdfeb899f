//! Changes of a request's path and host on its way upstream.

use nuncio_access_log::Formatter;
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::{LogContext, StreamInfo};

use crate::action::{HostRewrite, PathRewrite};
use crate::path::{PathMatcher, without_query};

/// Appends a value formatted for a request that is on its way in.
pub(crate) fn format_request(
    formatter: &Formatter,
    headers: &HeaderMap,
    info: &StreamInfo,
    out: &mut Vec<u8>,
) {
    formatter.format(&LogContext::of_request(headers, info), out);
}

/// Rewrites `:path`; `keep_original` puts the old one into `x-envoy-original-path`.
/// A rewrite whose result is empty changes nothing.
pub(crate) fn rewrite_path(
    rewrite: &PathRewrite,
    matcher: &PathMatcher,
    headers: &mut HeaderMap,
    info: &StreamInfo,
    keep_original: bool,
) {
    let Some(path) = headers.path() else { return };
    let bare = without_query(path);
    let mut new = Vec::new();
    let replaced = match rewrite {
        PathRewrite::None => return,
        PathRewrite::Prefix(prefix) => {
            new.extend_from_slice(prefix.as_bytes());
            matcher.matched_len(path)
        }
        PathRewrite::Regex(regex) => {
            regex.replace_all(bare, &mut new);
            bare.len()
        }
        PathRewrite::Format(formatter) => {
            format_request(formatter, headers, info, &mut new);
            bare.len()
        }
    };
    if new.is_empty() {
        return;
    }
    new.extend_from_slice(&path[replaced..]);
    if keep_original {
        let old = path.to_vec();
        headers.set(Known::XEnvoyOriginalPath, &old);
    }
    headers.set(Known::Path, &new);
}

/// Rewrites `:authority` as far as that can be done before an upstream host is chosen.
pub(crate) fn rewrite_host(
    rewrite: &HostRewrite,
    append_x_forwarded_host: bool,
    headers: &mut HeaderMap,
    info: &StreamInfo,
    keep_original: bool,
) {
    let mut computed = Vec::new();
    let host: &[u8] = match rewrite {
        HostRewrite::None | HostRewrite::Auto => return,
        HostRewrite::Literal(host) => host.as_bytes(),
        HostRewrite::Header(name) => {
            computed.extend_from_slice(headers.get_name(name.as_ref()).unwrap_or_default());
            &computed
        }
        HostRewrite::PathRegex(regex) => {
            regex.replace_all(
                without_query(headers.path().unwrap_or_default()),
                &mut computed,
            );
            &computed
        }
        HostRewrite::Format(formatter) => {
            format_request(formatter, headers, info, &mut computed);
            &computed
        }
    };
    if !host.is_empty() {
        update_authority(headers, host, append_x_forwarded_host, keep_original);
    }
}

/// Sets `:authority`. `append_x_forwarded_host` adds the old one to `x-forwarded-host` unless it is its last
/// element, `keep_original` puts it into `x-envoy-original-host` (Envoy's `Http::Utility::updateAuthority`).
pub fn update_authority(
    headers: &mut HeaderMap,
    host: &[u8],
    append_x_forwarded_host: bool,
    keep_original: bool,
) {
    let old = headers.authority().unwrap_or_default().to_vec();
    if keep_original && !old.is_empty() {
        headers.set(Known::XEnvoyOriginalHost, &old);
    }
    if append_x_forwarded_host && !old.is_empty() {
        let last = headers.get(Known::XForwardedHost).and_then(|list| {
            list.split(|&byte| byte == b',')
                .rfind(|element| !element.is_empty())
        });
        if last != Some(old.as_slice()) {
            headers.append_to_value(Known::XForwardedHost, b",", &old);
        }
    }
    headers.set(Known::Authority, host);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarded_host_is_not_repeated() {
        let forwarded = |given: Option<&str>| {
            let mut headers: HeaderMap = [(":authority", "old")].into_iter().collect();
            if let Some(given) = given {
                headers.append(Known::XForwardedHost, given.as_bytes());
            }
            update_authority(&mut headers, b"new", true, true);
            assert_eq!(headers.authority(), Some(&b"new"[..]));
            assert_eq!(headers.get(Known::XEnvoyOriginalHost), Some(&b"old"[..]));
            String::from_utf8(headers.get(Known::XForwardedHost).unwrap().to_vec()).unwrap()
        };
        assert_eq!(forwarded(None), "old");
        assert_eq!(forwarded(Some("old")), "old");
        assert_eq!(forwarded(Some("a,b")), "a,b,old");
    }
}
