//! Stat names: how parts are joined, and which characters are replaced.

use std::borrow::Cow;

/// Cleans a name or prefix as Envoy's `Stats::Utility::sanitizeStatsName` does: one dot at the end and one at the
/// start go, and `://`, `:/`, `:` and NUL become `_`.
#[must_use]
pub fn sanitize(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let name = name.strip_prefix('.').unwrap_or(name);
    if !name.contains([':', '\0']) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(
        name.replace("://", "_")
            .replace(":/", "_")
            .replace([':', '\0'], "_"),
    )
}

/// Writes `prefix.name` (or one alone, if the other is empty) into `out`, replacing what was there.
pub(crate) fn join_into(out: &mut String, prefix: &str, name: &str) {
    out.clear();
    out.push_str(prefix);
    if !prefix.is_empty() && !name.is_empty() {
        out.push('.');
    }
    out.push_str(name);
}
