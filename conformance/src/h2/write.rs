//! Frames from a case's words.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use super::{flag, frame, kind};
use crate::case::Frame;
use crate::template;

/// The last stream in a GOAWAY that names none.
const ALL_STREAMS: u32 = 0x7fff_ffff;

/// The bytes of `frames`. `usual` is the stream of those that name none, `expand` replaces placeholders in text.
pub(crate) fn bytes(
    frames: &[Frame],
    usual: u32,
    expand: &dyn Fn(&str) -> Result<String>,
) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for frame in frames {
        write(frame, usual, 0, expand, &mut out)?;
    }
    Ok(out)
}

/// Keeps account of the streams that a client has opened and not reset.
pub(crate) fn track(frames: &[Frame], open: &mut BTreeSet<u32>) {
    track_from(frames, 0, open);
}

fn track_from(frames: &[Frame], shift: u32, open: &mut BTreeSet<u32>) {
    for frame in frames {
        for nth in 0..frame.repeat.unwrap_or(1) {
            let shift = shift + 2 * nth;
            let stream = frame.stream.unwrap_or(1) + shift;
            if frame.headers.is_some() || frame.block.is_some() {
                open.insert(stream);
            }
            if frame.reset.is_some() {
                open.remove(&stream);
            }
            track_from(&frame.frames, shift, open);
        }
    }
}

/// Takes the settings that `frames` begin with, for the connection's beginning; an empty SETTINGS frame if there are none.
pub(crate) fn first_settings(frames: &[Frame]) -> (Vec<u8>, &[Frame]) {
    match frames.split_first() {
        Some((
            Frame {
                settings: Some(pairs),
                ..
            },
            rest,
        )) => (settings(pairs), rest),
        _ => (settings(&[]), frames),
    }
}

/// Writes one entry; its streams are moved on by `shift`.
fn write(
    spec: &Frame,
    usual: u32,
    shift: u32,
    expand: &dyn Fn(&str) -> Result<String>,
    out: &mut Vec<u8>,
) -> Result<()> {
    for nth in 0..spec.repeat.unwrap_or(1) {
        let shift = shift + 2 * nth;
        write_once(spec, usual, shift, expand, out)?;
        for inner in &spec.frames {
            write(inner, usual, shift, expand, out)?;
        }
    }
    Ok(())
}

fn write_once(
    spec: &Frame,
    usual: u32,
    shift: u32,
    expand: &dyn Fn(&str) -> Result<String>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let named = spec.stream.map(|stream| stream + shift);
    let stream = named.unwrap_or(usual + shift);
    let end = if spec.end { flag::END_STREAM } else { 0 };
    let block = match (&spec.headers, &spec.block) {
        (Some(head), _) => Some(literal_block(&expand(head)?)?),
        (None, Some(dump)) => Some(hex(&expand(dump)?)?),
        (None, None) => None,
    };
    if let Some(block) = block {
        headers(&block, spec.pieces.unwrap_or(1), end, stream, out);
    }
    if let Some(text) = &spec.data {
        let data = template::bytes(&expand(text)?);
        out.extend(frame(kind::DATA, end, stream, &data));
    }
    if let Some(code) = spec.reset {
        out.extend(frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes()));
    }
    if let Some(increment) = spec.window {
        // Without a stream it is the connection's window.
        let stream = named.unwrap_or(0);
        out.extend(frame(
            kind::WINDOW_UPDATE,
            0,
            stream,
            &increment.to_be_bytes(),
        ));
    }
    if let Some(settings) = &spec.settings {
        out.extend(self::settings(settings));
    }
    if let Some(opaque) = &spec.ping {
        out.extend(frame(kind::PING, 0, 0, opaque.as_bytes()));
    }
    if let Some(code) = spec.goaway {
        let mut payload = named.unwrap_or(ALL_STREAMS).to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        out.extend(frame(kind::GOAWAY, 0, 0, &payload));
    }
    if let Some(raw) = &spec.raw {
        let payload = hex(&expand(&raw.payload)?)?;
        let stream = named.unwrap_or(0);
        out.extend(frame(raw.kind, raw.flags, stream, &payload));
    }
    Ok(())
}

/// A SETTINGS frame.
pub(crate) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in pairs {
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// HEADERS and as many CONTINUATIONs as make `pieces` frames.
fn headers(block: &[u8], pieces: usize, flags: u8, stream: u32, out: &mut Vec<u8>) {
    let size = block.len().div_ceil(pieces).max(1);
    let mut chunks: Vec<&[u8]> = block.chunks(size).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let last = chunks.len() - 1;
    for (nth, chunk) in chunks.into_iter().enumerate() {
        let kind = if nth == 0 {
            kind::HEADERS
        } else {
            kind::CONTINUATION
        };
        let mut flags = if nth == 0 { flags } else { 0 };
        if nth == last {
            flags |= flag::END_HEADERS;
        }
        out.extend(frame(kind, flags, stream, chunk));
    }
}

/// Fields as literals that are neither indexed nor Huffman-coded.
fn literal_block(head: &str) -> Result<Vec<u8>> {
    let mut block = Vec::new();
    for (name, value) in fields(head)? {
        block.push(0);
        for text in [name, value] {
            let text = template::bytes(&text);
            length(text.len(), &mut block);
            block.extend(text);
        }
    }
    Ok(block)
}

/// A string's length (RFC 7541, section 5.1).
fn length(mut length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(length as u8 | 128);
        length /= 128;
    }
    block.push(length as u8);
}

/// `GET /x` or `200` and further lines, or only lines; a request gets `:scheme` and `:authority` where they are missing.
fn fields(head: &str) -> Result<Vec<(String, String)>> {
    let mut lines = head.lines().peekable();
    let first = lines.peek().copied().unwrap_or_default();
    let mut fields = Vec::new();
    if first.len() == 3 && first.bytes().all(|byte| byte.is_ascii_digit()) {
        lines.next();
        fields.push((":status".to_owned(), first.to_owned()));
    } else if let Some((method, path)) = first
        .split_once(' ')
        .filter(|(word, _)| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()))
    {
        lines.next();
        fields.push((":method".to_owned(), method.to_owned()));
        fields.push((":path".to_owned(), path.to_owned()));
        for (name, value) in [(":scheme", "http"), (":authority", "a")] {
            if !head.lines().any(|line| line.starts_with(name)) {
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    for line in lines {
        // A name's own colon is its first character.
        let colon = line.get(1..).and_then(|rest| rest.find(':'));
        let colon = colon.with_context(|| format!("no header line: {line:?}"))? + 1;
        let value = &line[colon + 1..];
        let value = value.strip_prefix(' ').unwrap_or(value);
        fields.push((line[..colon].to_owned(), value.to_owned()));
    }
    Ok(fields)
}

fn hex(dump: &str) -> Result<Vec<u8>> {
    let digits: Vec<u32> = dump
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).with_context(|| format!("no hex digit: {c}")))
        .collect::<Result<_>>()?;
    if !digits.len().is_multiple_of(2) {
        bail!("an odd number of hex digits");
    }
    Ok(digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_completed() {
        let names = |head: &str| -> Vec<String> {
            let fields = fields(head).unwrap();
            fields
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect()
        };
        assert_eq!(
            names("GET /x\nx-a: b c"),
            [
                ":method=GET",
                ":path=/x",
                ":scheme=http",
                ":authority=a",
                "x-a=b c"
            ]
        );
        assert_eq!(names("200\nx: y"), [":status=200", "x=y"]);
        assert_eq!(names(":path: /\nA:"), [":path=/", "A="]);
    }

    #[test]
    fn repeated_frames_move_on_to_the_next_stream() {
        let spec = Frame {
            repeat: Some(3),
            frames: vec![
                Frame {
                    headers: Some("GET /".to_owned()),
                    end: true,
                    ..Frame::default()
                },
                Frame {
                    reset: Some(8),
                    ..Frame::default()
                },
            ],
            ..Frame::default()
        };
        let mut open = BTreeSet::new();
        track(std::slice::from_ref(&spec), &mut open);
        assert!(open.is_empty());
        let bytes = bytes(&[spec], 1, &|text| Ok(text.to_owned())).unwrap();
        let session = super::super::read(&bytes);
        assert_eq!(session.streams.len(), 3);
        assert_eq!(session.streams[&5].reset, Some(8));
    }

    #[test]
    fn a_block_in_pieces_is_one_block() {
        let mut out = Vec::new();
        headers(&[0, 1, b'a', 1, b'b'], 3, 0, 1, &mut out);
        let session = super::super::read(&out);
        assert_eq!(session.streams[&1].heads, [["a: b"]]);
    }
}
