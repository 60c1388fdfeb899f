//! `Upgrade` in requests.

use super::head::list_contains;
use super::settings::H1Settings;
use crate::{HeaderMap, Known};

/// Whether the request asks for an upgrade. Upgrades that are ignored (`h2c` always) are removed, with the
/// connection options that belong to them.
pub(super) fn take_upgrade(headers: &mut HeaderMap, settings: &H1Settings) -> bool {
    if let Some(matcher) = &settings.ignore_upgrade
        && let Some(upgrade) = headers.get(Known::Upgrade)
    {
        let kept: Vec<&[u8]> = upgrade
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|protocol| !(matcher.0)(protocol))
            .collect();
        let kept = kept.join(&b","[..]);
        if kept.is_empty() {
            headers.remove(Known::Upgrade);
            remove_options(headers, &[b"upgrade"]);
        } else {
            headers.set(Known::Upgrade, &kept);
        }
    }
    if !is_upgrade(headers) {
        return false;
    }
    let is_h2c = headers
        .get(Known::Upgrade)
        .is_some_and(|value| value.eq_ignore_ascii_case(b"h2c"));
    if is_h2c {
        headers.remove(Known::Upgrade);
        headers.remove(Known::Http2Settings);
        remove_options(headers, &[b"upgrade", b"http2-settings"]);
    }
    !is_h2c
}

/// Whether `Upgrade` is there and `Connection` names it.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains(Known::Upgrade)
        && headers
            .get(Known::Connection)
            .is_some_and(|options| list_contains(options, b"upgrade"))
}

fn remove_options(headers: &mut HeaderMap, options: &[&[u8]]) {
    let Some(list) = headers.get(Known::Connection) else {
        return;
    };
    let kept: Vec<&[u8]> = list
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| {
            !options
                .iter()
                .any(|option| item.eq_ignore_ascii_case(option))
        })
        .collect();
    let kept = kept.join(&b","[..]);
    if kept.is_empty() {
        headers.remove(Known::Connection);
    } else {
        headers.set(Known::Connection, &kept);
    }
}
