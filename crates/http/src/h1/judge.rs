//! What the head of a request means, once its lines are in the map.

use super::Version;
use super::body::Body;
use super::chunked::ChunkedDecoder;
use super::error::{self, CodecError};
use super::lengths::Lengths;
use super::nominated;
use super::request::RequestFacts;
use super::settings::H1Settings;
use super::target::{self, Target};
use super::upgrade::take_upgrade;
use crate::{HeaderMap, Known};

/// What was seen of a request while its lines were put into the map.
pub(super) struct SeenRequest<'a> {
    pub(super) method: &'a [u8],
    pub(super) version: Version,
    /// A target that is not in the map yet, since what it says takes the place of `Host`.
    pub(super) target: Option<&'a [u8]>,
    pub(super) lengths: Lengths,
    /// `Host` lines.
    pub(super) hosts: usize,
}

impl SeenRequest<'_> {
    /// The checks are in Envoy's order, so that a request with several faults gets Envoy's answer.
    pub(super) fn judge(
        self,
        headers: &mut HeaderMap,
        settings: &H1Settings,
    ) -> Result<(RequestFacts, Option<Body>), CodecError> {
        let Self {
            method,
            version,
            mut lengths,
            ..
        } = self;
        let is_connect = method == b"CONNECT";
        let is_upgrade = take_upgrade(headers, settings);
        if is_connect && lengths.length.is_some() {
            if lengths.length != Some(0) {
                return Err(error::BODY_DISALLOWED);
            }
            headers.remove(Known::ContentLength);
            lengths.length = None;
        }
        let chunked = lengths.settle(headers, settings)?;
        if chunked && is_connect {
            return Err(error::INVALID_ENCODING);
        }
        if !is_upgrade && !is_connect {
            nominated::remove(headers)?;
        }
        if let Some(url) = self.target {
            let target = target::parse(url, method, settings.allow_absolute_url)?;
            if settings.refuse_https_targets && target.is_https() {
                return Err(error::HTTPS_IN_PLAINTEXT);
            }
            take_target(target, headers);
        }
        if version == Version::Http10 && !settings.accept_http_10 {
            return Err(error::LOW_VERSION);
        }
        if self.hosts > 1 {
            return Err(error::SEVERAL_HOSTS);
        }
        match headers.authority() {
            Some(authority) if !target::is_valid_authority(authority) => {
                return Err(error::INVALID_AUTHORITY);
            }
            None if version == Version::Http10 && !settings.default_host_for_http_10.is_empty() => {
                headers.append(
                    Known::Authority,
                    settings.default_host_for_http_10.as_bytes(),
                );
            }
            _ => {}
        }

        let facts = RequestFacts {
            version,
            keep_alive: super::keeps_alive(version, headers),
            is_upgrade,
            is_connect,
            is_head: method == b"HEAD",
            chunked,
            expect_continue: headers
                .get(Known::Expect)
                .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue")),
        };
        let body = if is_upgrade || is_connect {
            Some(Body::UntilClose)
        } else if chunked {
            Some(Body::Chunked(ChunkedDecoder::new()))
        } else {
            lengths
                .length
                .filter(|&length| length > 0)
                .map(Body::Length)
        };
        Ok((facts, body))
    }
}

/// Stores what a target in absolute or authority form says, in place of `Host` (RFC 9112, section 3.2.2).
fn take_target(target: Target<'_>, headers: &mut HeaderMap) {
    match target {
        Target::Path(path) => headers.append(Known::Path, path),
        Target::Authority(authority) => headers.set(Known::Authority, authority),
        Target::Absolute {
            scheme,
            authority,
            path,
        } => {
            headers.append(Known::Scheme, scheme.as_bytes());
            headers.set(Known::Authority, authority);
            headers.append(Known::Path, if path.is_empty() { b"/" } else { path });
        }
    }
}
