//! Placeholders: `{{name}}` for ports, paths and the blocks a case gives to its template, `{{text*count}}` for repetition.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// Fills the block placeholders of a template.
///
/// A line that holds nothing but `{{name}}` or `{{name:default}}` is replaced by the lines of the value, each indented
/// as the placeholder was; a name without value and default leaves no line. Names that are not blocks of the case stay
/// for [`expand`].
pub(crate) fn fill(template: &str, blocks: &BTreeMap<String, String>) -> Result<String> {
    let mut used = Vec::new();
    let mut out = String::new();
    for line in template.lines() {
        let text = line.trim();
        let Some(inner) = text
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
        else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (name, default) = match inner.split_once(':') {
            Some((name, default)) => (name.trim(), default.trim()),
            None => (inner.trim(), ""),
        };
        used.push(name);
        let indent = &line[..line.len() - line.trim_start().len()];
        let value = blocks.get(name).map_or(default, String::as_str);
        for value_line in value.lines().filter(|line| !line.trim().is_empty()) {
            out.push_str(indent);
            out.push_str(value_line);
            out.push('\n');
        }
    }
    for name in blocks.keys() {
        if !used.contains(&name.as_str()) {
            bail!("the template has no placeholder {name:?}; it has {used:?}");
        }
    }
    Ok(out)
}

/// Replaces `{{name}}` through `lookup` and `{{text*count}}` by repetition.
pub(crate) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after.find("}}").context("`{{` without `}}`")?;
        let inner = &after[..end];
        if let Some((unit, count)) = repetition(inner) {
            for _ in 0..count {
                out.push_str(unit);
            }
        } else {
            out.push_str(&lookup(inner).with_context(|| format!("unknown placeholder {inner:?}"))?);
        }
        rest = &after[end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

fn repetition(inner: &str) -> Option<(&str, usize)> {
    let (unit, count) = inner.rsplit_once('*')?;
    Some((unit, count.parse().ok()?))
}

/// Line ends become CRLF, for text written as a YAML block. Text without an empty line is a head that still needs one:
/// YAML blocks lose theirs.
pub(crate) fn crlf(text: &str) -> String {
    let end = if text.ends_with('\n') && !text.contains("\n\n") {
        "\r\n"
    } else {
        ""
    };
    text.replace('\n', "\r\n") + end
}

/// Characters below U+0100 become single bytes, so that `"\xff"` in YAML is one byte on the wire.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => out.push(byte),
            Err(_) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_the_indentation_of_their_placeholder() {
        let blocks = BTreeMap::from([("b".to_owned(), "x: 1\ny: 2\n".to_owned())]);
        assert_eq!(
            fill("a:\n  {{b}}\n  {{c:z: 3}}\n  {{d}}\n", &blocks).unwrap(),
            "a:\n  x: 1\n  y: 2\n  z: 3\n"
        );
    }

    #[test]
    fn a_block_the_template_lacks_is_an_error() {
        let blocks = BTreeMap::from([("nope".to_owned(), String::new())]);
        assert!(fill("a: 1\n", &blocks).is_err());
    }

    #[test]
    fn names_and_repetitions_expand() {
        let lookup = |name: &str| (name == "p").then(|| "80".to_owned());
        assert_eq!(expand("h:{{p}} {{ab*3}}", &lookup).unwrap(), "h:80 ababab");
        assert!(expand("{{q}}", &lookup).is_err());
    }

    #[test]
    fn latin_characters_are_single_bytes() {
        assert_eq!(bytes("a\u{ff}\u{0}"), b"a\xff\x00");
    }
}
