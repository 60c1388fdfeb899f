//! Responses by the sections of RFC 9112, judged as Envoy 1.40 judged the same bytes (or stricter: `h1/DEVIATIONS.md`).

mod common;

use std::sync::Arc;

use common::{responses, responses_in_pieces};
use nuncio_buffer::Buffer;
use nuncio_http::h1::{ClientDecoder, H1Settings, HeaderCase, RequestKind};
use nuncio_http::{Event, Known, Message};

const GET: RequestKind = RequestKind {
    is_head: false,
    is_connect: false,
    is_upgrade: false,
};
const HEAD: RequestKind = RequestKind {
    is_head: true,
    ..GET
};
const UPGRADE: RequestKind = RequestKind {
    is_upgrade: true,
    ..GET
};
const CONNECT: RequestKind = RequestKind {
    is_connect: true,
    ..GET
};

/// Status and body of the first response, whether it is complete, and how many bytes are left; the same byte by byte.
#[track_caller]
fn read(bytes: &[u8], request: RequestKind) -> Result<(u16, String, bool), &'static str> {
    let bytewise = responses_in_pieces(bytes.chunks(1), request, H1Settings::default());
    let transcript = responses(bytes, request, H1Settings::default());
    assert_eq!(bytewise.error, transcript.error, "{}", bytes.escape_ascii());
    assert_eq!(
        bytewise.messages,
        transcript.messages,
        "{}",
        bytes.escape_ascii()
    );
    match transcript.error {
        Some(error) => Err(error.details),
        None => {
            let seen = &transcript.messages[0];
            Ok((
                seen.headers.status().unwrap(),
                String::from_utf8_lossy(&seen.body).into_owned(),
                seen.complete,
            ))
        }
    }
}

fn ok(headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}").into_bytes()
}

fn done(status: u16, body: &str) -> Result<(u16, String, bool), &'static str> {
    Ok((status, body.to_owned(), true))
}

fn open(status: u16, body: &str) -> Result<(u16, String, bool), &'static str> {
    Ok((status, body.to_owned(), false))
}

const CODEC: Result<(u16, String, bool), &str> = Err("http1.codec_error");
const ENCODING: Result<(u16, String, bool), &str> = Err("http1.invalid_transfer_encoding");

#[test]
fn section_4_status_line() {
    for line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 Very fine",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 200 \u{e9}",
    ] {
        let bytes = format!("{line}\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(read(bytes.as_bytes(), GET), done(200, "ok"), "{line}");
    }
    for status in [299, 418, 499, 600, 999] {
        let bytes = format!("HTTP/1.1 {status} Odd\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(read(bytes.as_bytes(), GET), done(status, "ok"));
    }
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.2 200 OK",
        "HTTP/2.0 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
        "hello",
        "HTTP/1.1",
        "HTTP/1.1\t200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 200OK",
        "\r\nHTTP/1.1 200 OK",
    ] {
        let bytes = format!("{line}\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(read(bytes.as_bytes(), GET), CODEC, "{line}");
    }
    assert_eq!(
        read(b"HTTP/1.1 200 O\0K\r\n\r\n", GET),
        Err("http1.invalid_characters")
    );
}

#[test]
fn section_5_fields() {
    for header in [
        "x : a",
        "xa",
        ": a",
        "x(: a",
        ":status: 500",
        "x: a\r\n b",
        "x: a\rb",
    ] {
        assert_eq!(
            read(
                &ok(&format!("{header}\r\ncontent-length: 2\r\n"), "ok"),
                GET
            ),
            CODEC,
            "{header}"
        );
    }
    assert_eq!(
        read(b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", GET),
        CODEC
    );
    assert_eq!(
        read(&ok("x: a\0b\r\n", ""), GET),
        Err("http1.invalid_characters")
    );
    assert_eq!(
        read(&ok("x: \u{e9}\r\ncontent-length: 2\r\n", "ok"), GET),
        done(200, "ok")
    );
    let many = |count| {
        ok(
            &format!("{}content-length: 2\r\n", "x: y\r\n".repeat(count)),
            "ok",
        )
    };
    assert_eq!(read(&many(99), GET), done(200, "ok"));
    assert_eq!(read(&many(100), GET), Err("http1.too_many_headers"));
    assert_eq!(
        read(&ok(&format!("x: {}\r\n", "y".repeat(62_000)), ""), GET),
        Err("http1.headers_too_large")
    );
}

#[test]
fn repeated_headers_are_joined_as_envoy_does() {
    let bytes = ok(
        "set-cookie: a\r\nset-cookie: b\r\nvary: a\r\nVary: b\r\nx-foo: 1\r\nx-foo: 2\r\naccept: 1\r\naccept: 2\r\n",
        "",
    );
    let transcript = responses(&bytes, HEAD, H1Settings::default());
    let headers: Vec<_> = transcript.messages[0]
        .headers
        .iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(
        headers,
        [&b"200"[..], b"a", b"b", b"a,b", b"1", b"2", b"1", b"2"]
    );
}

#[test]
fn section_6_3_body_length() {
    assert_eq!(
        read(&ok("content-length: 2\r\n", "ok"), GET),
        done(200, "ok")
    );
    assert_eq!(read(&ok("content-length: 0\r\n", ""), GET), done(200, ""));
    assert_eq!(
        read(&ok("content-length: 5\r\n", "ok"), GET),
        open(200, "ok")
    );
    assert_eq!(
        read(
            &ok("transfer-encoding: Chunked\r\n", "2\r\nok\r\n0\r\n\r\n"),
            GET
        ),
        done(200, "ok")
    );
    assert_eq!(
        read(&ok("transfer-encoding: chunked\r\n", "2\r\nok\r\n"), GET),
        open(200, "ok")
    );
    assert_eq!(read(&ok("", "hello"), GET), open(200, "hello"));
    for headers in [
        "content-length: 2\r\ncontent-length: 2\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2, 2\r\n",
        "content-length: x\r\n",
        "content-length: -2\r\n",
        "content-length: 2\r\ncontent-length:\r\n",
    ] {
        assert_eq!(read(&ok(headers, "ok"), GET), CODEC, "{headers}");
    }
    assert_eq!(
        read(
            &ok("content-length: 2\r\ntransfer-encoding: chunked\r\n", ""),
            GET
        ),
        Err("http1.content_length_and_chunked_not_allowed")
    );
    for headers in [
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
    ] {
        assert_eq!(read(&ok(headers, ""), GET), ENCODING, "{headers}");
    }
    for body in [
        "g\r\nok",
        "2\nok\r\n",
        "2\r\nokX\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nok",
    ] {
        assert_eq!(
            read(&ok("transfer-encoding: chunked\r\n", body), GET),
            CODEC,
            "{body}"
        );
    }
}

#[test]
fn bytes_behind_a_response_are_left_alone() {
    let mut decoder = ClientDecoder::new(Arc::new(H1Settings::default()));
    let mut input = Buffer::from(ok("content-length: 2\r\n", "okEXTRA").as_slice());
    let mut message = Message::new();
    decoder.decode(&mut input, &mut message).unwrap();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Data { end_stream: true }))
    );
    assert_eq!(
        (message.data.as_slice(), input.as_slice()),
        (&b"ok"[..], &b"EXTRA"[..])
    );
}

#[test]
fn responses_without_a_body() {
    for headers in [
        "content-length: 5\r\n",
        "transfer-encoding: chunked\r\n",
        "",
    ] {
        assert_eq!(read(&ok(headers, ""), HEAD), done(200, ""), "{headers}");
        let not_modified = format!("HTTP/1.1 304 Not Modified\r\n{headers}\r\n");
        assert_eq!(
            read(not_modified.as_bytes(), GET),
            done(304, ""),
            "{headers}"
        );
    }
    assert_eq!(read(b"HTTP/1.1 204 No Content\r\n\r\n", GET), done(204, ""));
    let transcript = responses(
        b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        GET,
        H1Settings::default(),
    );
    assert!(
        transcript.messages[0].complete
            && !transcript.messages[0]
                .headers
                .contains(Known::ContentLength)
    );
    assert_eq!(
        read(
            b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok",
            GET
        ),
        Err("http1.content_length_not_allowed")
    );
    assert_eq!(
        read(
            b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            GET
        ),
        Err("http1.transfer_encoding_not_allowed")
    );
    assert_eq!(
        read(b"HTTP/1.1 205 Reset\r\ncontent-length: 2\r\n\r\nok", GET),
        done(205, "ok")
    );
}

#[test]
fn informational_responses_come_first() {
    let bytes = [
        &b"HTTP/1.1 100 Continue\r\ncontent-length: 0\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 104 Foo\r\n\r\n"[..],
        &ok("content-length: 2\r\n", "ok"),
    ]
    .concat();
    assert_eq!(read(&bytes, GET), done(200, "ok"));
    let transcript = responses(&bytes, GET, H1Settings::default());
    let statuses: Vec<_> = transcript.messages[0]
        .informational
        .iter()
        .map(|map| map.status())
        .collect();
    assert_eq!(statuses, [Some(100), Some(103), Some(104)]);
    assert_eq!(
        transcript.messages[0].informational[1].get_str("link"),
        Some(&b"x"[..])
    );
    assert_eq!(
        read(
            b"HTTP/1.1 100 Continue\r\ntransfer-encoding: chunked\r\n\r\n",
            GET
        ),
        Err("http1.transfer_encoding_not_allowed")
    );
}

#[test]
fn upgrades_and_connect() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(
        read(switch, UPGRADE),
        open(101, "raw HTTP/1.1 200 OK\r\n\r\n")
    );
    assert_eq!(
        read(switch, GET).map(|(status, ..)| status),
        CODEC.map(|(status, ..)| status),
        "what follows is no response"
    );
    assert_eq!(
        read(b"HTTP/1.1 101 X\r\ncontent-length: 3\r\n\r\nraw", UPGRADE),
        Err("http1.content_length_not_allowed")
    );
    assert_eq!(
        read(
            b"HTTP/1.1 101 X\r\ntransfer-encoding: chunked\r\n\r\nraw",
            UPGRADE
        ),
        Err("http1.transfer_encoding_not_allowed")
    );
    assert_eq!(
        read(&ok("content-length: 2\r\n", "ok"), UPGRADE),
        done(200, "ok")
    );
    assert_eq!(
        read(&ok("content-length: 3\r\n", "raw more"), CONNECT),
        open(200, "raw more")
    );
    assert_eq!(
        read(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", CONNECT),
        done(403, "no")
    );
}

#[test]
fn facts() {
    let facts = |head: &str, request| {
        let mut decoder = ClientDecoder::new(Arc::new(H1Settings::default()));
        decoder.begin(request);
        decoder
            .decode(&mut Buffer::from(head), &mut Message::new())
            .unwrap()
            .unwrap();
        decoder.facts()
    };
    assert!(facts("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", GET).keep_alive);
    assert!(
        facts(
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\n",
            GET
        )
        .keep_alive
    );
    for head in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nproxy-connection: close\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 101 Unasked\r\n\r\n",
    ] {
        assert!(!facts(head, GET).keep_alive, "{head}");
    }
    assert!(facts("HTTP/1.1 101 X\r\n\r\n", UPGRADE).is_tunnel);
    assert!(facts("HTTP/1.1 200 X\r\n\r\n", CONNECT).is_tunnel);
    assert!(facts("HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n", GET).chunked);
}

#[test]
fn the_end_of_the_connection() {
    let end = |bytes: &[u8]| {
        let mut decoder = ClientDecoder::new(Arc::new(H1Settings::default()));
        let mut input = Buffer::from(bytes);
        while decoder
            .decode(&mut input, &mut Message::new())
            .unwrap()
            .is_some()
        {}
        decoder.on_eof(&input)
    };
    assert_eq!(end(b""), Ok(None));
    assert_eq!(
        end(&ok("", "hello")),
        Ok(Some(Event::Data { end_stream: true }))
    );
    assert_eq!(end(&ok("", "")), Ok(Some(Event::Data { end_stream: true })));
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-"[..],
        &ok("content-length: 5\r\n", "ok"),
        &ok("transfer-encoding: chunked\r\n", "2\r\nok\r\n"),
    ] {
        assert!(end(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_reason_phrase_is_kept_on_request() {
    let case = HeaderCase::Preserve {
        proper_own: false,
        forward_reason: true,
    };
    let settings = H1Settings {
        header_case: case,
        ..H1Settings::default()
    };
    let transcript = responses(b"HTTP/1.1 200 Fine By Me\r\n\r\n", HEAD, settings);
    assert_eq!(
        transcript.messages[0].headers.get(Known::ReasonPhrase),
        Some(&b"Fine By Me"[..])
    );
}

/// A decoder behind the head of a response with these headers, and with `body` in its input.
fn within(headers: &str, body: &str) -> (ClientDecoder, Buffer, Message) {
    let mut decoder = ClientDecoder::new(Arc::new(H1Settings::default()));
    decoder.begin(GET);
    let mut input = Buffer::new();
    input.append_slice(&ok(headers, body));
    let mut message = Message::new();
    assert_eq!(decoder.verbatim(), 0, "a head is decoded");
    let event = decoder.decode(&mut input, &mut message);
    assert_eq!(event, Ok(Some(Event::Headers { end_stream: false })));
    (decoder, input, message)
}

#[test]
fn a_body_with_a_length_may_go_around_the_decoder_but_not_beyond_it() {
    let (mut decoder, mut input, mut message) = within("content-length: 10\r\n", "abc");
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Data { end_stream: false }))
    );
    assert_eq!(decoder.verbatim(), 7);
    assert_eq!(decoder.skip(5), Event::Data { end_stream: false });
    assert_eq!(decoder.verbatim(), 2);
    assert_eq!(decoder.skip(2), Event::Data { end_stream: true });
    assert_eq!(decoder.verbatim(), 0);
    // The next response is decoded.
    input.append_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Headers { end_stream: true }))
    );
}

#[test]
fn a_body_without_length_goes_around_the_decoder_until_the_end() {
    let (mut decoder, input, _) = within("", "");
    assert_eq!(decoder.verbatim(), u64::MAX);
    assert_eq!(decoder.skip(1 << 40), Event::Data { end_stream: false });
    assert_eq!(
        decoder.on_eof(&input),
        Ok(Some(Event::Data { end_stream: true }))
    );
}

#[test]
fn a_body_that_is_cut_after_bytes_went_around_the_decoder_is_an_error() {
    let (mut decoder, input, _) = within("content-length: 10\r\n", "");
    assert_eq!(decoder.skip(9), Event::Data { end_stream: false });
    assert!(decoder.on_eof(&input).is_err());
    assert_eq!(decoder.verbatim(), 0);
}

#[test]
fn chunks_do_not_go_around_the_decoder() {
    let (decoder, ..) = within("transfer-encoding: chunked\r\n", "");
    assert_eq!(decoder.verbatim(), 0);
}
