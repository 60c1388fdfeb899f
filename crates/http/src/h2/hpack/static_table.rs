//! The static table (RFC 7541, appendix A).

use crate::Known;

/// Number of entries; the dynamic table's indices begin behind them.
pub(super) const STATIC_ENTRIES: u32 = 61;

/// One entry.
#[derive(Debug)]
pub(super) struct StaticEntry {
    /// The name, if the proxy knows it.
    pub(super) known: Option<Known>,
    pub(super) name: &'static str,
    pub(super) value: &'static str,
}

const fn pair(known: Known, value: &'static str) -> StaticEntry {
    StaticEntry {
        known: Some(known),
        name: known.as_str(),
        value,
    }
}

const fn name(known: Known) -> StaticEntry {
    pair(known, "")
}

const fn other(name: &'static str) -> StaticEntry {
    StaticEntry {
        known: None,
        name,
        value: "",
    }
}

/// All entries; the one with index 1 comes first.
pub(super) static ENTRIES: [StaticEntry; STATIC_ENTRIES as usize] = ALL;

const ALL: [StaticEntry; STATIC_ENTRIES as usize] = [
    name(Known::Authority),
    pair(Known::Method, "GET"),
    pair(Known::Method, "POST"),
    pair(Known::Path, "/"),
    pair(Known::Path, "/index.html"),
    pair(Known::Scheme, "http"),
    pair(Known::Scheme, "https"),
    pair(Known::Status, "200"),
    pair(Known::Status, "204"),
    pair(Known::Status, "206"),
    pair(Known::Status, "304"),
    pair(Known::Status, "400"),
    pair(Known::Status, "404"),
    pair(Known::Status, "500"),
    other("accept-charset"),
    pair(Known::AcceptEncoding, "gzip, deflate"),
    name(Known::AcceptLanguage),
    name(Known::AcceptRanges),
    name(Known::Accept),
    name(Known::AccessControlAllowOrigin),
    name(Known::Age),
    name(Known::Allow),
    name(Known::Authorization),
    name(Known::CacheControl),
    name(Known::ContentDisposition),
    name(Known::ContentEncoding),
    name(Known::ContentLanguage),
    name(Known::ContentLength),
    other("content-location"),
    name(Known::ContentRange),
    name(Known::ContentType),
    name(Known::Cookie),
    name(Known::Date),
    name(Known::Etag),
    name(Known::Expect),
    name(Known::Expires),
    other("from"),
    name(Known::Host),
    name(Known::IfMatch),
    name(Known::IfModifiedSince),
    name(Known::IfNoneMatch),
    name(Known::IfRange),
    name(Known::IfUnmodifiedSince),
    name(Known::LastModified),
    other("link"),
    name(Known::Location),
    other("max-forwards"),
    name(Known::ProxyAuthenticate),
    name(Known::ProxyAuthorization),
    name(Known::Range),
    name(Known::Referer),
    other("refresh"),
    name(Known::RetryAfter),
    name(Known::Server),
    name(Known::SetCookie),
    name(Known::StrictTransportSecurity),
    name(Known::TransferEncoding),
    name(Known::UserAgent),
    name(Known::Vary),
    name(Known::Via),
    name(Known::WwwAuthenticate),
];

/// The first index of each known name, 0 for those that the table does not have.
static FIRST: [u8; 128] = {
    let mut first = [0; 128];
    let mut at = ALL.len();
    while at > 0 {
        if let Some(known) = ALL[at - 1].known {
            first[known as usize] = at as u8;
        }
        at -= 1;
    }
    first
};

/// What the static table has for a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StaticMatch {
    /// Name and value.
    Full(u32),
    /// Only the name.
    Name(u32),
    /// Nothing.
    None,
}

/// Looks a field up.
#[inline]
pub(super) fn find(known: Option<Known>, name: &[u8], value: &[u8]) -> StaticMatch {
    let Some(known) = known else {
        return find_other(name, value);
    };
    let first = u32::from(FIRST[known as usize & 127]);
    if first == 0 {
        return StaticMatch::None;
    }
    let mut index = first;
    // Entries of one name stand together.
    while let Some(entry) = ENTRIES.get(index as usize - 1)
        && entry.known == Some(known)
    {
        if entry.value.as_bytes() == value {
            return StaticMatch::Full(index);
        }
        index += 1;
    }
    StaticMatch::Name(first)
}

/// The names that are in the static table, but not known to the proxy.
fn find_other(name: &[u8], value: &[u8]) -> StaticMatch {
    let index = match name {
        b"accept-charset" => 15,
        b"content-location" => 29,
        b"from" => 37,
        b"link" => 45,
        b"max-forwards" => 47,
        b"refresh" => 52,
        _ => return StaticMatch::None,
    };
    if value.is_empty() {
        StaticMatch::Full(index)
    } else {
        StaticMatch::Name(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_finds_itself() {
        for (index, entry) in (1..).zip(&ENTRIES) {
            let (name, value) = (entry.name.as_bytes(), entry.value.as_bytes());
            assert_eq!(entry.known, Known::from_lower(name));
            assert_eq!(
                find(entry.known, name, value),
                StaticMatch::Full(index),
                "{entry:?}"
            );
        }
        assert_eq!(
            find(Some(Known::Status), b":status", b"201"),
            StaticMatch::Name(8)
        );
        assert_eq!(find(None, b"link", b"x"), StaticMatch::Name(45));
        assert_eq!(
            find(Some(Known::XRequestId), b"x-request-id", b""),
            StaticMatch::None
        );
        assert_eq!(find(None, b"linc", b"x"), StaticMatch::None);
    }
}
