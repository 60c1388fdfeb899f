//! Observations as JSON that a person can read.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::admin::{Stats, glob};
use crate::case::Admin;
use crate::h2;
use crate::normalise::Normaliser;
use crate::origin::OriginServer;
use crate::wire::{self, Message, Side};

/// Messages of one connection, what could not be read as a message, and how the connection ended.
pub(crate) fn exchange(
    messages: &[Message],
    rest: &[u8],
    fate: Option<&str>,
    normaliser: &Normaliser,
) -> Value {
    let mut out = Map::new();
    let messages: Vec<Value> = messages
        .iter()
        .map(|message| self::message(message, normaliser))
        .collect();
    out.insert("messages".to_owned(), Value::Array(messages));
    if !rest.is_empty() {
        out.insert("rest".to_owned(), normaliser.bytes(rest).into());
    }
    if let Some(fate) = fate {
        out.insert("fate".to_owned(), fate.into());
    }
    Value::Object(out)
}

fn message(message: &Message, normaliser: &Normaliser) -> Value {
    let mut out = Map::new();
    out.insert("start".to_owned(), normaliser.text(&message.start).into());
    let headers: Vec<String> = message
        .headers
        .iter()
        .map(|line| normaliser.header(line))
        .collect();
    out.insert("headers".to_owned(), json!(headers));
    if !message.body.is_empty() {
        out.insert("body".to_owned(), normaliser.bytes(&message.body).into());
    }
    if !message.trailers.is_empty() {
        let trailers: Vec<String> = message
            .trailers
            .iter()
            .map(|line| normaliser.header(line))
            .collect();
        out.insert("trailers".to_owned(), json!(trailers));
    }
    if !message.complete {
        out.insert("complete".to_owned(), false.into());
    }
    Value::Object(out)
}

/// What the origins received, by connection. Connections without a byte are left out: whether one is opened for a request
/// that fails at the same moment is a race in Envoy too.
pub(crate) fn origins(
    origins: &[OriginServer],
    settings: bool,
    normaliser: &Normaliser,
) -> Map<String, Value> {
    let mut out = Map::new();
    for origin in origins {
        let connections: Vec<Value> = origin
            .received()
            .iter()
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| {
                if h2::is_session(bytes) {
                    return h2::session(&h2::read(bytes), None, settings, normaliser);
                }
                let (messages, rest) = wire::read(bytes, Side::Requests, false);
                exchange(&messages, &rest, None, normaliser)
            })
            .collect();
        if !connections.is_empty() {
            out.insert(origin.name.to_owned(), Value::Array(connections));
        }
    }
    out
}

/// By how much the stats that match `globs` have changed; unchanged ones are left out.
pub(crate) fn stats(
    before: &Stats,
    after: &Stats,
    globs: &[String],
    normaliser: &Normaliser,
) -> Value {
    let mut out = Map::new();
    for (name, value) in after {
        let change = value - before.get(name).copied().unwrap_or(0);
        if change == 0 {
            continue;
        }
        let name = normaliser.text(name);
        // Byte totals vary with the digits of the upstream's service time, so only an exact name asks for them.
        let named = |pattern: &String| {
            glob(pattern, &name) && (!name.ends_with("_bytes_total") || *pattern == name)
        };
        if globs.iter().any(named) {
            out.insert(name, change.into());
        }
    }
    Value::Object(out)
}

/// Lines of the access log; a line that is a JSON object is kept as one.
pub(crate) fn log(bytes: &[u8], normaliser: &Normaliser) -> Value {
    let text = normaliser.bytes(bytes);
    let line = |line: &str| {
        let json: Option<Map<String, Value>> = serde_json::from_str(line).ok();
        json.map_or_else(|| Value::String(without_durations(line)), Value::Object)
    };
    Value::Array(text.lines().map(line).collect())
}

/// In a line of the default format, the duration and the upstream's service time lose their values.
fn without_durations(line: &str) -> String {
    let Some((start, rest)) = line
        .split_once("HTTP/1.1\" ")
        .filter(|_| line.starts_with("[{{time}}]"))
    else {
        return line.to_owned();
    };
    let fields: Vec<&str> = rest
        .split(' ')
        .enumerate()
        // status, flags, bytes received, bytes sent, duration, service time
        .map(|(at, field)| match at {
            4 | 5 if field.parse::<u64>().is_ok() => "{{milliseconds}}",
            _ => field,
        })
        .collect();
    format!("{start}HTTP/1.1\" {}", fields.join(" "))
}

/// An answer of the admin interface, reduced as the case says.
pub(crate) fn admin(how: &Admin, answer: &Message, normaliser: &Normaliser) -> Result<Value> {
    let mut out = Map::new();
    out.insert("start".to_owned(), answer.start.clone().into());
    if how.headers {
        let headers: Vec<String> = answer
            .headers
            .iter()
            .map(|line| normaliser.header(line))
            .collect();
        out.insert("headers".to_owned(), json!(headers));
    } else {
        out.insert(
            "content-type".to_owned(),
            answer.header("content-type").into(),
        );
    }
    if !how.no_body {
        let text = normaliser.bytes(&answer.body);
        let body = if how.json || how.shape {
            let mut value: Value = serde_json::from_slice(&answer.body)
                .with_context(|| format!("{} is not JSON: {text}", how.path))?;
            if let Some(pointer) = &how.pointer {
                value = value.pointer(pointer).cloned().unwrap_or(Value::Null);
            }
            let mut value = reduce(value, how.shape, normaliser);
            if how.sorted {
                sort_by_name(&mut value);
            }
            value
        } else {
            lines(how, &text)
        };
        out.insert("body".to_owned(), body);
    }
    Ok(Value::Object(out))
}

/// Sorts every array of named objects by name, where the order is nobody's promise.
fn sort_by_name(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort_by_name);
            if items.iter().all(|item| item["name"].is_string()) {
                items.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
            }
        }
        Value::Object(map) => map.values_mut().for_each(sort_by_name),
        _ => {}
    }
}

fn lines(how: &Admin, text: &str) -> Value {
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| how.lines.is_empty() || how.lines.iter().any(|pattern| glob(pattern, line)))
        .map(|line| {
            if how.names_only {
                without_number(line)
            } else {
                line.to_owned()
            }
        })
        .collect();
    if how.sorted {
        lines.sort();
    }
    json!(lines)
}

/// `name: 12` and `name{labels} 12` lose their number.
fn without_number(line: &str) -> String {
    line.trim_end_matches(|c: char| c.is_ascii_digit())
        .to_owned()
}

fn reduce(value: Value, shape: bool, normaliser: &Normaliser) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: Vec<(String, Value)> = map
                .into_iter()
                .map(|(key, value)| (key, reduce(value, shape, normaliser)))
                .collect();
            // The order of a JSON object's keys means nothing.
            map.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(map.into_iter().collect())
        }
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .map(|item| reduce(item, shape, normaliser))
                .collect(),
        ),
        Value::String(_) if shape => "a string".into(),
        Value::Number(_) if shape => "a number".into(),
        Value::Bool(_) if shape => "a boolean".into(),
        Value::String(text) => normaliser.text(&text).into(),
        Value::Number(number) => {
            let text = number.to_string();
            let normal = normaliser.text(&text);
            if normal == text {
                Value::Number(number)
            } else {
                normal.into()
            }
        }
        other => other,
    }
}
