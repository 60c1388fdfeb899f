//! JSON documents in Envoy's layout, whole or piece by piece.

use std::fmt::{self, Write};
use std::time::SystemTime;

use nuncio_config::api::protobuf::Timestamp;
use nuncio_config::json::{self, Style};

/// One entry a line; only what is set.
pub(crate) const PRETTY: Style = Style {
    pretty: true,
    defaults: false,
    redact: false,
};

/// One entry a line, with plain fields that are not set.
pub(crate) const WITH_DEFAULTS: Style = Style {
    defaults: true,
    ..PRETTY
};

/// As in `/config_dump`: what is secret is not shown.
pub(crate) const REDACTED: Style = Style {
    redact: true,
    ..PRETTY
};

/// A whole document: Envoy ends it with a line feed.
pub(crate) fn document<M: prost::Message + prost::Name>(message: &M, style: Style) -> String {
    let mut text = json::print_message(message, style);
    text.push('\n');
    text
}

/// Writes a document `{"<list>": [ … ]}` whose items come one by one, so that only one is held at a time. Without items it
/// is `{}`.
pub(crate) fn write_list(
    out: &mut dyn Write,
    list: &str,
    items: impl IntoIterator<Item = String>,
) -> fmt::Result {
    let mut items = items.into_iter().peekable();
    if items.peek().is_none() {
        return out.write_str("{}\n");
    }
    write!(out, "{{\n \"{list}\": ")?;
    write_array(out, 1, items)?;
    out.write_str("\n}\n")
}

/// Writes an array of printed values at an indentation of `level` blanks.
pub(crate) fn write_array(
    out: &mut dyn Write,
    level: usize,
    items: impl IntoIterator<Item = String>,
) -> fmt::Result {
    let mut separator = "[\n";
    for item in items {
        out.write_str(separator)?;
        write!(out, "{:1$}", "", level + 1)?;
        write_indented(out, level + 1, &item)?;
        separator = ",\n";
    }
    write!(out, "\n{:level$}]", "")
}

/// Writes a printed value; its lines but the first are moved right by `level` blanks.
pub(crate) fn write_indented(out: &mut dyn Write, level: usize, value: &str) -> fmt::Result {
    // Strings hold no line feeds: they are escaped.
    let mut lines = value.split('\n');
    out.write_str(lines.next().unwrap_or_default())?;
    lines.try_for_each(|line| write!(out, "\n{:level$}{line}", ""))
}

/// A time with Envoy's precision, milliseconds.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // Below a thousand million: fits.
        nanos: (since.subsec_millis() * 1_000_000) as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_look_as_if_printed_whole() {
        let mut out = String::new();
        let items = ["{\n \"a\": 1\n}", "2"].map(String::from);
        write_list(&mut out, "all", items).unwrap();
        assert_eq!(out, "{\n \"all\": [\n  {\n   \"a\": 1\n  },\n  2\n ]\n}\n");
        out.clear();
        write_list(&mut out, "all", []).unwrap();
        assert_eq!(out, "{}\n");
    }
}
