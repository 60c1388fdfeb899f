//! Requests by the sections of RFC 9112, judged as Envoy 1.40 judged the same bytes (or stricter: `h1/DEVIATIONS.md`).

mod common;

use common::{requests, requests_in_pieces};
use nuncio_buffer::Buffer;
use nuncio_http::h1::{H1Settings, ServerDecoder, UnderscoreAction, UpgradeMatcher, Version};
use nuncio_http::{Event, Known, Message};
use std::sync::Arc;

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

#[test]
fn section_2_2_message_parsing() {
    accepts(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[""]);
    accepts(
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["", ""],
    );
    refuses(b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", CODEC);
    refuses(b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", CODEC);
    refuses(b"GET / HTTP/1.1\nHost: a\n\n", CODEC);
    refuses(b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", CODEC);
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\n\n", CODEC);
    refuses(b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", CODEC);
    refuses(&with_header(b"X: a\rb"), CODEC);
    refuses(b"\x16\x03\x01\x00\xff", CODEC);
    refuses(b"hello\r\n\r\n", CODEC);
}

#[test]
fn section_2_3_version() {
    for version in [
        "HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "",
    ] {
        refuses(&with_line(&format!("GET / {version}")), LOW_VERSION);
    }
    refuses(b"GET /\r\n\r\n", LOW_VERSION);
    refuses(b"GET /\r HTTP/1.1\r\n\r\n", CODEC);
    for version in [
        "HTTP/1",
        "http/1.1",
        "HTTP/01.1",
        "HTTP/1.10",
        "HTTP/11.1",
        "HTTP/1.1x",
        "HTTQ/1.1",
        "HTTP /1.1",
        "HTTP/1,1",
        "FOO/1.1",
    ] {
        refuses(&with_line(&format!("GET / {version}")), CODEC);
    }
}

#[test]
fn section_3_request_line() {
    for method in [
        "get", "Get", "FOO", "G@T", "G T", "", "PRI", "M-SEARCH", "(GET)", "GETT",
    ] {
        refuses(&with_line(&format!("{method} / HTTP/1.1")), CODEC);
    }
    for method in [
        "GET",
        "QUERY",
        "PROPFIND",
        "PURGE",
        "TRACE",
        "OPTIONS",
        "MKACTIVITY",
        "UNSUBSCRIBE",
    ] {
        accepts(&with_line(&format!("{method} / HTTP/1.1")), &[""]);
    }
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        " GET / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET / HTTP/1.1 ",
    ] {
        refuses(&with_line(line), CODEC);
    }
    for byte in [0, 1, 0x1f, 0x7f] {
        refuses(
            &[b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            CHARACTERS,
        );
    }
    for byte in [b'\t', 0x80, 0xff] {
        refuses(
            &[b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            CODEC,
        );
    }
    refuses("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(), CODEC);
    let custom = H1Settings {
        allow_custom_methods: true,
        ..H1Settings::default()
    };
    for method in ["FOO", "foo", "M-SEARCH", "123", "!"] {
        check(
            &with_line(&format!("{method} / HTTP/1.1")),
            &custom,
            Ok(&[""]),
        );
    }
    check(&with_line("F@O / HTTP/1.1"), &custom, Err(CODEC));
    check(b"\"", &custom, Err(CODEC));
}

#[test]
fn section_3_2_target_and_host() {
    let seen = |bytes: &[u8]| {
        let transcript = requests(bytes, H1Settings::default());
        let headers = &transcript.messages[0].headers;
        [Known::Scheme, Known::Authority, Known::Path].map(|name| {
            headers
                .get(name)
                .map(|value| String::from_utf8(value.to_vec()).unwrap())
        })
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen(b"GET http://x:1/p?q HTTP/1.1\r\nHost: b\r\n\r\n"),
        [some("http"), some("x:1"), some("/p?q")]
    );
    assert_eq!(
        seen(b"GET HTTPS://x HTTP/1.1\r\n\r\n"),
        [some("https"), some("x"), some("/")]
    );
    assert_eq!(
        seen(b"GET http://h?x HTTP/1.1\r\n\r\n"),
        [some("http"), some("h"), some("?x")]
    );
    assert_eq!(
        seen(b"CONNECT h:80 HTTP/1.1\r\nHost: z\r\n\r\n"),
        [None, some("h:80"), None]
    );
    assert_eq!(
        seen(b"OPTIONS * HTTP/1.1\r\nHost: z\r\n\r\n"),
        [None, some("z"), some("*")]
    );
    assert_eq!(
        seen(b"GET / HTTP/1.1\r\n\r\n"),
        [None, None, some("/")],
        "judged by the connection manager"
    );
    assert_eq!(
        seen(b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        [None, some(""), some("/")]
    );
    refuses(&with_line("GET * HTTP/1.1"), (400, "http1.invalid_url"));
    refuses(&with_line("CONNECT / HTTP/1.1"), (400, "http1.invalid_url"));
    refuses(
        &with_line("GET ws://h/p HTTP/1.1"),
        (400, "http1.invalid_scheme"),
    );
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", AUTHORITY);
    refuses(b"GET / HTTP/1.1\r\nHost: a\r\nHost:\r\n\r\n", AUTHORITY);
    for host in [
        "a b", "a/b", "a?b", "a#b", "a\"b", "a<b", "a\\b", "a^b", "a{b", "a|b", "a`b", "a\tb",
        "http://x", "\u{e9}",
    ] {
        refuses(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
            AUTHORITY,
        );
    }
    for host in [
        "a:80",
        "a:x",
        "u:p@b",
        "[::1]:80",
        "::1",
        "a_b",
        "a%20b",
        "*",
        "a!$&'()*+,;=~b",
        ".",
        ":80",
    ] {
        accepts(
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(),
            &[""],
        );
    }
    let relative = H1Settings {
        allow_absolute_url: false,
        ..H1Settings::default()
    };
    check(
        &with_line("CONNECT / HTTP/1.1"),
        &relative,
        Err((400, "http1.invalid_url")),
    );
    let transcript = requests(b"GET http://h/p HTTP/1.1\r\nHost: a\r\n\r\n", relative);
    assert_eq!(
        transcript.messages[0].headers.path(),
        Some(&b"http://h/p"[..])
    );
    assert_eq!(transcript.messages[0].headers.authority(), Some(&b"a"[..]));
}

#[test]
fn section_5_fields() {
    for byte in *b"!#$%&'*+-.^_`|~" {
        accepts(&with_header(&[b'X', byte, b'y', b':', b'b']), &[""]);
    }
    for byte in *b"\t \"(),/;<=>?@[\\]{}\x80\xff" {
        refuses(&with_header(&[b'X', byte, b'y', b':', b'b']), CODEC);
    }
    for header in [
        "X : b",
        "X\t: b",
        " X: b",
        ": b",
        "Xfoo",
        ":method: POST",
        ":path: /x",
    ] {
        refuses(&with_header(header.as_bytes()), CODEC);
    }
    for header in ["X: a\r\n b", "X: a\r\n\tb", "X:\r\n b"] {
        refuses(&with_header(header.as_bytes()), CODEC);
    }
    for byte in [0, 1, 7, 8, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f] {
        refuses(&with_header(&[b'X', b':', b'a', byte, b'b']), CHARACTERS);
    }
    for byte in [b'\t', 0x80, 0xff] {
        accepts(&with_header(&[b'X', b':', b'a', byte, b'b']), &[""]);
    }
}

#[test]
fn repeated_headers_are_joined_as_envoy_does() {
    let transcript = requests(
        b"GET / HTTP/1.1\r\nhost: a\r\ncookie: a\r\ncookie: b\r\nx-forwarded-for: 1\r\nX-Forwarded-For: 2\r\n\
          accept: x\r\nx-foo: 1\r\nx-foo: 2\r\naccept:\r\naccept: y\r\n\r\n",
        H1Settings::default(),
    );
    let headers: Vec<_> = transcript.messages[0].headers.iter().skip(3).collect();
    assert_eq!(
        headers,
        [
            (&b"cookie"[..], &b"a"[..]),
            (b"cookie", b"b"),
            (b"x-forwarded-for", b"1,2"),
            (b"accept", b"x,y"),
            (b"x-foo", b"1"),
            (b"x-foo", b"2"),
        ]
    );
}

#[test]
fn limits() {
    let small = H1Settings {
        max_head_bytes: 1024,
        max_headers: 10,
        ..H1Settings::default()
    };
    let head = |len: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "y".repeat(len - 32)
        )
        .into_bytes()
    };
    assert_eq!(head(1024).len(), 1024);
    check(&head(1024), &small, Ok(&[""]));
    check(&head(1025), &small, Err(TOO_LARGE));
    check(&head(1028)[..1024], &small, Err(TOO_LARGE));
    let many = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
        .into_bytes()
    };
    check(&many(10), &small, Ok(&[""]));
    check(&many(11), &small, Err(TOO_MANY));
    accepts(&many(100), &[""]);
    refuses(&many(101), TOO_MANY);
    let joined = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "accept: y\r\n".repeat(150)
    );
    accepts(joined.as_bytes(), &[""]);
    let lines = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "accept: y\r\n".repeat(400)
    );
    refuses(lines.as_bytes(), TOO_MANY);
    refuses(
        format!("GET /{} HTTP/1.1\r\n", "u".repeat(62_000)).as_bytes(),
        TOO_LARGE,
    );
}

#[test]
fn section_6_2_content_length() {
    accepts(&post("Content-Length: 3\r\n", "abc"), &["abc"]);
    accepts(&post("Content-Length: \t003 \r\n", "abc"), &["abc"]);
    accepts(&post("Content-Length: 0\r\n", ""), &[""]);
    accepts(&post("", ""), &[""]);
    accepts(
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        &["abc"],
    );
    for value in [
        "+3",
        "-3",
        "3,3",
        "3, 3",
        "0x3",
        "3a",
        "",
        "3 3",
        "99999999999999999999999",
        "18446744073709551616",
    ] {
        refuses(&post(&format!("Content-Length: {value}\r\n"), "abc"), CODEC);
    }
    // CL.CL: equal or not, in either order, one of them empty.
    for (first, second) in [("3", "3"), ("3", "4"), ("0", "3"), ("3", ""), ("", "3")] {
        refuses(
            &post(
                &format!("Content-Length: {first}\r\nContent-Length: {second}\r\n"),
                "abc",
            ),
            CODEC,
        );
    }
}

#[test]
fn section_6_1_transfer_encoding() {
    for value in ["chunked", "Chunked", "CHUNKED", "chunked ", "chunked\t"] {
        accepts(
            &post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n"),
            &[""],
        );
    }
    // TE.TE
    for value in [
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity, chunked",
        "xchunked",
        "chunked;q=1",
        "",
        "\"chunked\"",
        ",chunked",
        "chunked,",
    ] {
        refuses(
            &post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n"),
            ENCODING,
        );
    }
    for (first, second) in [
        ("chunked", "chunked"),
        ("identity", "chunked"),
        ("chunked", ""),
        ("", "chunked"),
        ("chunked", "x"),
    ] {
        let headers = format!("Transfer-Encoding: {first}\r\nTransfer-Encoding: {second}\r\n");
        refuses(&post(&headers, "0\r\n\r\n"), ENCODING);
    }
    refuses(&post("Transfer-Encoding: chunked\x0b\r\n", ""), CHARACTERS);
    refuses(&post("Transfer-Encoding : chunked\r\n", ""), CODEC);
    refuses(&post("Transfer Encoding: chunked\r\n", ""), CODEC);
    refuses(&post("Transfer-Encoding:\r\n chunked\r\n", ""), CODEC);
    // CL.TE and TE.CL
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: gzip\r\n",
    ] {
        refuses(&post(headers, "0\r\n\r\n"), BOTH);
    }
    let lax = H1Settings {
        allow_chunked_length: true,
        ..H1Settings::default()
    };
    let both = post(
        "Content-Length: 30\r\nTransfer-Encoding: chunked\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
    );
    check(&both, &lax, Ok(&["abc"]));
    assert!(
        !requests(&both, lax.clone()).messages[0]
            .headers
            .contains(Known::ContentLength)
    );
    check(
        &post("Content-Length: 3\r\nTransfer-Encoding: gzip\r\n", "abc"),
        &lax,
        Err(BOTH),
    );
    check(
        &post(
            "Content-Length: 3\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "",
        ),
        &lax,
        Err(CODEC),
    );
}

#[test]
fn section_7_1_chunks() {
    for body in [
        "3\r\nabc\r\n0\r\n\r\n",
        "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        "03\r\nabc\r\n00\r\n\r\n",
        "00000000000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;ext=1\r\nabc\r\n0;x\r\n\r\n",
        "3 ;ext=\"\u{e9}\"\r\nabc\r\n0\r\n\r\n",
        "3 \t\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
    ] {
        accepts(
            &[chunked(body), with_line("GET /2 HTTP/1.1")].concat(),
            &["abc", ""],
        );
    }
    for body in [
        " 3\r\nabc",
        "0x3\r\nabc",
        "+3\r\nabc",
        "-3\r\nabc",
        "g\r\nabc",
        "\r\nabc",
        ";\r\nabc",
        "3\nabc",
        "3\r\rabc",
        "3;a\nb\r\nabc",
        "3;a\rb\r\nabc",
        "3;a\0b\r\nabc",
        "10000000000000000\r\nabc",
        "fffffffffffffffff\r\nabc",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nab\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\n\r\n",
        "0\r\nfoo\r\n\r\n",
        "0\r\nfoo : x\r\n\r\n",
        "0\r\n: x\r\n\r\n",
        "0\r\n:path: /\r\n\r\n",
        "0\r\na: b\r\n c\r\n\r\n",
    ] {
        refuses(&chunked(body), CODEC);
    }
    refuses(&chunked("0\r\nfoo: \0x\r\n\r\n"), CHARACTERS);
    refuses(
        &chunked(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(70_000))),
        TOO_LARGE,
    );
    refuses(&chunked(&format!("3;{}\r\nabc", "e".repeat(5000))), CODEC);
    refuses(&chunked(&"0".repeat(5000)), CODEC);
    let pending = requests(&chunked("ffffffffffffffff\r\nabc"), H1Settings::default());
    assert_eq!(
        (
            pending.bodies(),
            pending.error,
            pending.messages[0].complete
        ),
        (vec!["abc".into()], None, false)
    );
}

#[test]
fn section_7_1_2_trailers() {
    let with = H1Settings {
        enable_trailers: true,
        max_headers: 100,
        ..H1Settings::default()
    };
    let body = "3\r\nabc\r\n0\r\nX-T: 1\r\nContent-Length: 5\r\nHost: z\r\nTransfer-Encoding: chunked\r\nX-T: 2\r\n\r\n";
    let transcript = requests(&chunked(body), with.clone());
    let seen = &transcript.messages[0];
    assert_eq!(seen.body, b"abc");
    let trailers: Vec<_> = seen.trailers.as_ref().unwrap().iter().collect();
    assert_eq!(trailers, [(&b"x-t"[..], &b"1"[..]), (b"x-t", b"2")]);
    assert!(seen.complete);
    check(
        &chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(100))),
        &with,
        Ok(&[""]),
    );
    check(
        &chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(101))),
        &with,
        Err(TOO_MANY),
    );
    accepts(
        &chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(150))),
        &[""],
    );
    assert_eq!(
        requests(&chunked(body), H1Settings::default()).messages[0].trailers,
        None
    );
}

#[test]
fn section_9_pipelining_leaves_the_next_request_alone() {
    let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
    let second = with_line("GET /2 HTTP/1.1");
    let mut input = Buffer::from(
        [post("Content-Length: 3\r\n", "abc"), second.clone()]
            .concat()
            .as_slice(),
    );
    let mut message = Message::new();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Headers { end_stream: false }))
    );
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Data { end_stream: true }))
    );
    assert_eq!(input.as_slice(), second);
    assert_eq!(message.data.as_slice(), b"abc");
    assert!(decoder.is_idle());
    message.clear();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Headers { end_stream: true }))
    );
    assert_eq!(message.headers.path(), Some(&b"/2"[..]));
    assert_eq!(decoder.decode(&mut input, &mut message), Ok(None));
    assert_eq!(decoder.on_eof(&input), Ok(None));
}

#[test]
fn a_body_that_fills_the_input_is_not_copied() {
    let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
    let mut input = Buffer::from(post("Content-Length: 20000\r\n", "").as_slice());
    let mut message = Message::new();
    decoder.decode(&mut input, &mut message).unwrap();
    input.append_slice(&[b'x'; 10_000]);
    let place = input.as_ptr();
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Ok(Some(Event::Data { end_stream: false }))
    );
    assert_eq!(message.data.as_ptr(), place);
}

#[test]
fn facts() {
    let facts = |head: &str| {
        let settings = H1Settings {
            accept_http_10: true,
            ..H1Settings::default()
        };
        let mut decoder = ServerDecoder::new(Arc::new(settings));
        decoder
            .decode(&mut Buffer::from(head), &mut Message::new())
            .unwrap()
            .unwrap();
        decoder.facts()
    };
    assert!(facts("GET / HTTP/1.1\r\n\r\n").keep_alive);
    for options in [
        "Connection: close",
        "Connection: X-Foo, Close",
        "Proxy-Connection: close",
        "Connection: keep-alive\r\nConnection: close",
    ] {
        assert!(
            !facts(&format!("GET / HTTP/1.1\r\n{options}\r\n\r\n")).keep_alive,
            "{options}"
        );
    }
    assert!(!facts("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert!(facts("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    assert_eq!(facts("GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
    assert!(facts("HEAD / HTTP/1.1\r\n\r\n").is_head);
    assert!(facts("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").chunked);
    assert!(
        facts("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
            .expect_continue
    );
    assert!(!facts("POST / HTTP/1.1\r\nExpect: foo\r\n\r\n").expect_continue);
    assert!(facts("CONNECT a:1 HTTP/1.1\r\n\r\n").is_connect);
}

#[test]
fn a_refused_request_does_not_inherit_facts() {
    let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
    let mut input =
        Buffer::from("HEAD / HTTP/1.1\r\nConnection: close\r\n\r\nGET * HTTP/1.1\r\n\r\n");
    let mut message = Message::new();
    decoder.decode(&mut input, &mut message).unwrap();
    assert!(decoder.facts().is_head);
    let error = decoder.decode(&mut input, &mut message).unwrap_err();
    assert_eq!(
        (error.details, error.body()),
        ("http1.invalid_url", "Bad Request")
    );
    assert!(!decoder.facts().is_head);
    assert_eq!(
        decoder.decode(&mut input, &mut message),
        Err(error),
        "an error stays"
    );
}

#[test]
fn http_10() {
    let settings = H1Settings {
        accept_http_10: true,
        default_host_for_http_10: "dflt".into(),
        ..H1Settings::default()
    };
    let transcript = requests(b"GET / HTTP/1.0\r\n\r\n", settings.clone());
    assert_eq!(
        transcript.messages[0].headers.authority(),
        Some(&b"dflt"[..])
    );
    check(
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &settings,
        Ok(&["abc"]),
    );
    // Faults of the framing and of the target come before the version, those of the host after it.
    refuses(
        b"GET / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n",
        ENCODING,
    );
    refuses(b"GET * HTTP/1.0\r\n\r\n", URL);
    refuses(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", LOW_VERSION);
}

#[test]
fn upgrades_and_connect_pass_everything_on() {
    for (head, facts) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            (true, false),
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, upgrade\r\nUpgrade: foo\r\nContent-Length: 3\r\n\r\n",
            (true, false),
        ),
        (
            "CONNECT h:80 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            (false, true),
        ),
    ] {
        let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
        let mut input = Buffer::from(head);
        let mut message = Message::new();
        assert_eq!(
            decoder.decode(&mut input, &mut message),
            Ok(Some(Event::Headers { end_stream: false }))
        );
        assert_eq!(
            (decoder.facts().is_upgrade, decoder.facts().is_connect),
            facts
        );
        input.append_slice(b"raw GET / HTTP/1.1\r\n\r\n");
        assert_eq!(
            decoder.decode(&mut input, &mut message),
            Ok(Some(Event::Data { end_stream: false }))
        );
        assert_eq!(message.data.as_slice(), b"raw GET / HTTP/1.1\r\n\r\n");
        assert_eq!(
            decoder.on_eof(&input),
            Ok(Some(Event::Data { end_stream: true }))
        );
    }
    refuses(
        b"CONNECT h:80 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        (400, "http1.body_disallowed"),
    );
    refuses(
        b"CONNECT h:80 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ENCODING,
    );
}

#[test]
fn upgrades_that_are_no_upgrades() {
    for (head, expected) in [
        ("Upgrade: websocket\r\n", &["upgrade"][..]),
        ("Connection: upgrade\r\n", &["connection"][..]),
        (
            "Connection: upgrade, http2-settings, x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
            &["connection"][..],
        ),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n",
            &[][..],
        ),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a\r\n{head}\r\n");
        let transcript = requests(bytes.as_bytes(), H1Settings::default());
        assert!(transcript.messages[0].complete, "{head}");
        let names: Vec<_> = transcript.messages[0]
            .headers
            .iter()
            .skip(3)
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            expected
                .iter()
                .map(|name| name.as_bytes())
                .collect::<Vec<_>>(),
            "{head}"
        );
    }
    let settings = H1Settings {
        ignore_upgrade: Some(UpgradeMatcher(Arc::new(|protocol| {
            protocol.starts_with(b"TLS/")
        }))),
        ..H1Settings::default()
    };
    let bytes =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.2, TLS/1.0\r\n\r\n";
    let transcript = requests(bytes, settings.clone());
    assert!(transcript.messages[0].complete);
    assert_eq!(transcript.messages[0].headers.len(), 3);
    let bytes =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.2, websocket\r\n\r\n";
    let transcript = requests(bytes, settings);
    assert_eq!(
        transcript.messages[0].headers.get(Known::Upgrade),
        Some(&b"websocket"[..])
    );
    assert!(!transcript.messages[0].complete);
}

#[test]
fn underscores() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX_a: 1\r\nX-b: 2\r\n\r\n";
    accepts(bytes, &[""]);
    let reject = H1Settings {
        underscores: UnderscoreAction::RejectRequest,
        ..H1Settings::default()
    };
    check(bytes, &reject, Err((400, "http1.unexpected_underscore")));
    let drop = H1Settings {
        underscores: UnderscoreAction::DropHeader,
        ..H1Settings::default()
    };
    let mut decoder = ServerDecoder::new(Arc::new(drop));
    let mut message = Message::new();
    decoder
        .decode(&mut Buffer::from(bytes), &mut message)
        .unwrap();
    assert!(!message.headers.contains("x_a") && message.headers.contains("x-b"));
    assert_eq!(
        (
            decoder.take_dropped_underscores(),
            decoder.take_dropped_underscores()
        ),
        (1, 0)
    );
}

#[test]
fn requests_that_are_cut_off() {
    for bytes in [
        &b"GET / HT"[..],
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
        let mut input = Buffer::from(bytes);
        while decoder
            .decode(&mut input, &mut Message::new())
            .unwrap()
            .is_some()
        {}
        assert!(decoder.on_eof(&input).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_that_is_not_complete_leaves_no_headers() {
    for head in [
        &b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b"[..],
        b"GET / HTTP/1.1\r\nX-A: b\r\nHost: h\r\nHost: i\r\n",
    ] {
        let mut decoder = ServerDecoder::new(Arc::new(H1Settings::default()));
        let mut message = Message::new();
        assert_eq!(
            decoder.decode(&mut Buffer::from(head), &mut message),
            Ok(None)
        );
        assert_eq!(message.headers.iter().count(), 0);
        assert!(!message.headers.contains(Known::Authority));
    }
}
