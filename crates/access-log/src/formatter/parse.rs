//! From format text to parts.

use std::borrow::Cow;

use nuncio_config::ConfigError;

use super::{Extensions, Part, command};

/// `%NAME(argument):length%`
pub(super) struct Command<'a> {
    pub(super) name: &'a str,
    /// What is between the parentheses; empty when there are none, as in Envoy.
    pub(super) argument: &'a str,
    pub(super) length: Option<usize>,
}

/// Splits a format into literals and operators. `%%` is a percent sign.
pub(super) fn parse(format: &str, extensions: Extensions) -> Result<Box<[Part]>, ConfigError> {
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
            parts.push(Part::Operator(command::compile_with(&command, extensions)?));
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

/// Rewrites what only header values know: `%DYNAMIC_METADATA(["a", "b"])%` and `%UPSTREAM_METADATA([…])%` become
/// `(a:b)`, `%PER_REQUEST_STATE(a)%` becomes `%FILTER_STATE(a:PLAIN)%`.
pub(super) fn translate_older(format: &str) -> Cow<'_, str> {
    const STATE: &str = "%PER_REQUEST_STATE(";
    let mut out = Cow::Borrowed(format);
    while let Some((before, after)) = out.split_once(STATE) {
        let Some((key, rest)) = after.split_once(")%") else {
            break;
        };
        out = Cow::Owned(format!("{before}%FILTER_STATE({key}:PLAIN)%{rest}"));
    }
    for name in ["%DYNAMIC_METADATA(", "%UPSTREAM_METADATA("] {
        let mut from = 0;
        while let Some(at) = out[from..].find(name) {
            let start = from + at + name.len();
            from = start;
            let Some((list, rest)) = out[start..]
                .strip_prefix('[')
                .and_then(|list| list.split_once("])"))
            else {
                continue;
            };
            if let Some(keys) = string_list(list) {
                out = Cow::Owned(format!("{}{}){rest}", &out[..start], keys.join(":")));
            }
        }
    }
    out
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
