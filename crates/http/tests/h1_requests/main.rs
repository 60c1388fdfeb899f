//! Requests by the sections of RFC 9112, judged as Envoy 1.40 judged the same bytes (or stricter: `h1/DEVIATIONS.md`).

#[path = "../common/mod.rs"]
mod common;
mod connection;
mod fields;
mod framing;
mod start_line;

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h1::{H1Settings, ServerDecoder, UnderscoreAction, UpgradeMatcher, Version};
use nuncio_http::{Event, Known, Message};

use common::{requests, requests_in_pieces};

const CODEC: (u16, &str) = (400, "http1.codec_error");
const CHARACTERS: (u16, &str) = (400, "http1.invalid_characters");
const ENCODING: (u16, &str) = (501, "http1.invalid_transfer_encoding");
const BOTH: (u16, &str) = (400, "http1.content_length_and_chunked_not_allowed");
const AUTHORITY: (u16, &str) = (400, "http.invalid_authority");
const URL: (u16, &str) = (400, "http1.invalid_url");
const LOW_VERSION: (u16, &str) = (426, "low_version");
const TOO_LARGE: (u16, &str) = (431, "http1.headers_too_large");
const TOO_MANY: (u16, &str) = (431, "http1.too_many_headers");

/// The bytes decode to complete messages with these bodies, or are refused in this way; at once and byte by byte.
#[track_caller]
fn check(bytes: &[u8], settings: &H1Settings, expected: Result<&[&str], (u16, &str)>) {
    for bytewise in [false, true] {
        let transcript = if bytewise {
            requests_in_pieces(bytes.chunks(1), settings.clone())
        } else {
            requests(bytes, settings.clone())
        };
        let shown = bytes.escape_ascii();
        match expected {
            Ok(bodies) => {
                assert_eq!(transcript.refusal(), None, "{shown}: {transcript:?}");
                assert_eq!(transcript.bodies(), bodies, "{shown}");
                assert!(
                    transcript.messages.iter().all(|seen| seen.complete),
                    "{shown}"
                );
            }
            Err(refusal) => assert_eq!(
                transcript.refusal(),
                Some(refusal),
                "{shown}: {transcript:?}"
            ),
        }
    }
}

#[track_caller]
fn accepts(bytes: &[u8], bodies: &[&str]) {
    check(bytes, &H1Settings::default(), Ok(bodies));
}

#[track_caller]
fn refuses(bytes: &[u8], refusal: (u16, &str)) {
    check(bytes, &H1Settings::default(), Err(refusal));
}

fn with_line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

fn with_header(header: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", header, b"\r\n\r\n"].concat()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

#[test]
fn a_plain_request_becomes_headers() {
    let transcript = requests(
        b"GET /x?y=1 HTTP/1.1\r\nHost: a:80\r\nUser-Agent: c\r\nX-Foo:  bar \t\r\nX-Foo:\r\n\r\n",
        H1Settings::default(),
    );
    let headers: Vec<_> = transcript.messages[0].headers.iter().collect();
    assert_eq!(
        headers,
        [
            (&b":method"[..], &b"GET"[..]),
            (b":path", b"/x?y=1"),
            (b":authority", b"a:80"),
            (b"user-agent", b"c"),
            (b"x-foo", b"bar"),
            (b"x-foo", b""),
        ]
    );
    assert!(transcript.messages[0].complete);
    assert_eq!(transcript.left, 0);
}
