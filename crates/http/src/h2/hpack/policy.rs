//! Which fields the encoder puts into its dynamic table.

use super::ENTRY_OVERHEAD;
use crate::Known;
use crate::headers::KnownSet;

/// How a field that no table has is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indexing {
    /// Into the dynamic table: it will be sent again.
    Incremental,
    /// Not into the table: the value rarely comes twice.
    Without,
    /// Not into this table nor any behind it: the value is a secret that could be guessed by
    /// watching sizes (RFC 7541, section 7.1.3).
    Never,
}

/// Values that differ from message to message: entries for them would only push out useful ones. nghttp2's list, and the
/// identifiers that proxies and tracers add.
const DIFFER: KnownSet = KnownSet::of(&[
    Known::Path,
    Known::Age,
    Known::ContentLength,
    Known::Etag,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::Location,
    Known::SetCookie,
    Known::ContentRange,
    Known::Range,
    Known::XRequestId,
    Known::XClientTraceId,
    Known::Traceparent,
    Known::XEnvoyOriginalPath,
    Known::GrpcMessage,
    Known::GrpcStatusDetailsBin,
]);

/// Cookies shorter than this (bytes) are never indexed, as in nghttp2: they could be guessed.
const GUESSABLE_COOKIE: usize = 20;

/// Decides for one field; `table_size` is the table's maximum in bytes.
#[inline]
pub(super) fn indexing(
    known: Option<Known>,
    name: &[u8],
    value: &[u8],
    table_size: u32,
) -> Indexing {
    match known {
        Some(Known::Authorization | Known::ProxyAuthorization) => return Indexing::Never,
        Some(Known::Cookie) if value.len() < GUESSABLE_COOKIE => return Indexing::Never,
        Some(known) if DIFFER.contains(known) => return Indexing::Without,
        _ => {}
    }
    // One entry shall not push out most of the others.
    if name.len() + value.len() + ENTRY_OVERHEAD > table_size as usize / 4 * 3 {
        Indexing::Without
    } else {
        Indexing::Incremental
    }
}
