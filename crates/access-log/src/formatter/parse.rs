//! From format text to parts.

use std::borrow::Cow;

use nuncio_config::ConfigError;

use super::Part;
use super::command;

/// `%NAME(argument):length%`
pub(super) struct Command<'a> {
    pub(super) name: &'a str,
    /// What is between the parentheses; empty when there are none, as in Envoy.
    pub(super) argument: &'a str,
    pub(super) length: Option<usize>,
}

/// Splits a format into literals and operators. `%%` is a percent sign.
pub(super) fn parse(format: &str) -> Result<Box<[Part]>, ConfigError> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut at = 0;
    while at < format.len() {
        let rest = &format[at..];
        let plain = rest.find('%').unwrap_or(rest.len());
        if plain > 0 {
            literal.extend_from_slice(&rest.as_bytes()[..plain]);
            at += plain;
        } else if rest.starts_with("%%") {
            literal.push(b'%');
            at += 2;
        } else {
            let (command, length) = scan(rest).ok_or_else(|| {
                ConfigError::new(
                    "",
                    format!(
                        "Incorrect configuration: {format}. Couldn't find valid command at position {at}"
                    ),
                )
            })?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            parts.push(Part::Operator(command::compile(&command)?));
            at += length;
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(parts.into())
}

/// The command at the start of `text`, and its length: Envoy's
/// `^%((?:[A-Z]|[0-9]|_)+)(?:\((.*?)\))?(?::([0-9]+))?%`.
fn scan(text: &str) -> Option<(Command<'_>, usize)> {
    let body = text.strip_prefix('%')?;
    let name_end =
        body.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
    let (name, rest) = body.split_at(name_end);
    if name.is_empty() {
        return None;
    }
    let Some(inner) = rest.strip_prefix('(') else {
        let (length, tail) = scan_tail(rest)?;
        return Some((
            Command {
                name,
                argument: "",
                length,
            },
            text.len() - tail.len(),
        ));
    };
    // The argument ends at the first parenthesis after which the command ends; it holds no line feed.
    let line = inner.split('\n').next()?;
    line.match_indices(')').find_map(|(close, _)| {
        let (length, tail) = scan_tail(&inner[close + 1..])?;
        let argument = &inner[..close];
        Some((
            Command {
                name,
                argument,
                length,
            },
            text.len() - tail.len(),
        ))
    })
}

/// An optional `:length`, then the closing `%`; also returns what follows.
fn scan_tail(text: &str) -> Option<(Option<usize>, &str)> {
    let Some(digits) = text.strip_prefix(':') else {
        return Some((None, text.strip_prefix('%')?));
    };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let length = digits[..end].parse().ok()?;
    Some((Some(length), digits[end..].strip_prefix('%')?))
}

/// Rewrites the older `%DYNAMIC_METADATA(["a", "b"])%` and `%UPSTREAM_METADATA([…])%` to `(a:b)`.
pub(super) fn translate_metadata_lists(format: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once("_METADATA([") {
        let named = before.ends_with("%DYNAMIC") || before.ends_with("%UPSTREAM");
        let keys = after
            .split_once("])")
            .filter(|_| named)
            .and_then(|(list, tail)| Some((string_list(list)?, tail)));
        out.push_str(before);
        match keys {
            Some((keys, tail)) => {
                out.push_str("_METADATA(");
                out.push_str(&keys.join(":"));
                out.push(')');
                rest = tail;
            }
            None => {
                out.push_str("_METADATA([");
                rest = after;
            }
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(format);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The strings of `"a", "b"`; JSON escapes are not taken.
fn string_list(list: &str) -> Option<Vec<&str>> {
    list.split(',')
        .map(|item| {
            let text = item.trim().strip_prefix('"')?.strip_suffix('"')?;
            (!text.contains(['"', '\\'])).then_some(text)
        })
        .collect()
}
