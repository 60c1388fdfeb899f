//! A session as JSON that a person can read.

use serde_json::{Map, Value, json};

use super::read::{Session, Stream};
use crate::normalise::Normaliser;

/// Names of error codes (RFC 9113, section 7), by number.
const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// More streams than this are counted only.
const MOST_STREAMS: usize = 12;

/// Streams, what was said about the connection, and how it ended. The peer's settings only when they are asked for.
pub(crate) fn session(
    session: &Session,
    fate: Option<&str>,
    settings: bool,
    normaliser: &Normaliser,
) -> Value {
    let mut out = Map::new();
    if session.streams.len() > MOST_STREAMS {
        out.insert("streams".to_owned(), session.streams.len().into());
    } else {
        let streams: Vec<Value> = session
            .streams
            .iter()
            .map(|(id, stream)| self::stream(*id, stream, normaliser))
            .collect();
        out.insert("messages".to_owned(), streams.into());
    }
    if let Some(mut pairs) = session.settings.clone().filter(|_| settings) {
        // Their order means nothing.
        pairs.sort_unstable();
        out.insert("settings".to_owned(), json!(pairs));
    }
    if !session.goaways.is_empty() {
        let goaways: Vec<String> = session
            .goaways
            .iter()
            .map(|(last, code)| format!("last={last} {}", code_name(*code)))
            .collect();
        out.insert("goaway".to_owned(), json!(goaways));
    }
    for (name, count) in [("pongs", session.pongs), ("pings", session.pings)] {
        if count > 0 {
            out.insert(name.to_owned(), count.into());
        }
    }
    if !session.rest.is_empty() {
        out.insert("rest".to_owned(), normaliser.bytes(&session.rest).into());
    }
    if let Some(fate) = fate {
        out.insert("fate".to_owned(), fate.into());
    }
    Value::Object(out)
}

fn stream(id: u32, stream: &Stream, normaliser: &Normaliser) -> Value {
    let mut out = Map::new();
    out.insert("stream".to_owned(), id.into());
    let is_informational = |lines: &Vec<String>| {
        let first = lines.first();
        first.is_some_and(|line| line.starts_with(":status: 1") && line != ":status: 101")
    };
    let final_head = stream
        .heads
        .iter()
        .position(|lines| !is_informational(lines));
    let heads = final_head.map_or(stream.heads.len(), |at| at + 1);
    let (heads, trailers) = stream.heads.split_at(heads);
    let list = |lines: &Vec<String>| -> Vec<String> {
        lines.iter().map(|line| normaliser.header(line)).collect()
    };
    if let Some((last, informational)) = heads.split_last() {
        if !informational.is_empty() {
            let lists: Vec<_> = informational.iter().map(list).collect();
            out.insert("informational".to_owned(), json!(lists));
        }
        out.insert("headers".to_owned(), json!(list(last)));
    }
    if !stream.body.is_empty() {
        out.insert("body".to_owned(), normaliser.bytes(&stream.body).into());
    }
    for lines in trailers {
        out.insert("trailers".to_owned(), json!(list(lines)));
    }
    if let Some(code) = stream.reset {
        out.insert("reset".to_owned(), code_name(code).into());
    }
    if !stream.ended {
        out.insert("complete".to_owned(), false.into());
    }
    Value::Object(out)
}

fn code_name(code: u32) -> String {
    let name = CODES.get(code as usize).copied();
    name.map_or_else(|| code.to_string(), str::to_owned)
}
