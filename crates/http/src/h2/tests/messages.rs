//! Section 8: requests as Envoy 1.40 takes or refuses them. The tables were read off the wire of the real one.

use super::*;

const HEADER: &str = "http2.invalid.header.field";
const MESSAGING: &str = "http2.violation.of.messaging.rule";

/// A request with exactly these fields.
fn exactly(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    frame(kind::HEADERS, END, 1, &fields(pairs))
}

/// A GET request with one pseudo header replaced, or left out.
fn with_pseudo(name: &str, value: Option<&[u8]>) -> Vec<u8> {
    let mut pairs: Vec<(&str, &[u8])> = Vec::new();
    for &(usual, usual_value) in GET {
        if usual != name {
            pairs.push((usual, usual_value.as_bytes()));
        } else if let Some(value) = value {
            pairs.push((name, value));
        }
    }
    exactly(&pairs)
}

fn with_field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut pairs: Vec<(&[u8], &[u8])> = GET
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    pairs.push((name, value));
    frame(kind::HEADERS, END, 1, &fields(&pairs))
}

#[track_caller]
fn refused(details: &str, request: Vec<u8>, why: &str) {
    let mut server = Side::server();
    let error = server.error(std::slice::from_ref(&request));
    assert_eq!((error.stream_details, error.code.0), (details, 1), "{why}");
    assert_eq!(
        error.details,
        "codec_error:The_user_callback_function_failed"
    );
    let key = error.stream.expect(why);
    assert_eq!(server.conn.stream_id(key), 1);
    assert!(server.sent().is_empty(), "closed without a word: {why}");
    assert_eq!(server.conn.take_counts().unwrap().rx_messaging_error, 1);

    let mut server = Side::server_with(|s| s.stream_error_on_invalid_messages = true);
    assert_eq!(
        server.feed(&request),
        [format!("failed 1 0x1 {details}")],
        "{why}"
    );
    assert_eq!(server.sent(), ["RST_STREAM 1 0x1"]);
    server.release(1);
    assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
}

#[track_caller]
fn taken(request: Vec<u8>, why: &str) {
    let mut server = Side::server();
    assert_eq!(server.feed(&request), ["headers 1 end"], "{why}");
}

#[test]
fn s8_2_1_names() {
    for name in [
        &b"X-A"[..],
        b"x y",
        b"x:",
        b"",
        b"x\x80",
        b"x\t",
        b"x(",
        b"\"x",
        b"x\0",
    ] {
        refused(HEADER, with_field(name, b"a"), &format!("{name:?}"));
    }
    for name in [&b"x_y"[..], b"x!#$%&'*+-.^_`|~9"] {
        taken(with_field(name, b"a"), &format!("{name:?}"));
    }
}

#[test]
fn s8_2_1_values() {
    for value in [&b"a\rb"[..], b"a\nb", b"a\0b", b"a\x7fb", b"a\x01b"] {
        refused(HEADER, with_field(b"x", value), &format!("{value:?}"));
        refused(HEADER, with_field(b"accept", value), &format!("{value:?}"));
    }
    for value in [&b""[..], b" a", b"a ", b"\ta", b"a\x80b"] {
        taken(with_field(b"x", value), &format!("{value:?}"));
    }
    let mut server = Side::server_with(|s| s.disallow_obs_text = true);
    let error = server.error(&[with_field(b"x", b"a\x80b")]);
    assert_eq!(error.stream_details, HEADER);
}

#[test]
fn s8_2_2_connection_fields() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "x"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
        ("te", "gzip"),
        ("te", "trailers, deflate"),
    ] {
        let request = with_field(name.as_bytes(), value.as_bytes());
        refused(HEADER, request, name);
    }
    taken(with_field(b"te", b"trailers"), "te");
    taken(with_field(b"te", b"Trailers"), "te");
}

#[test]
fn s8_2_3_cookies_are_joined() {
    let mut server = Side::server();
    server.feed(&get_with(
        1,
        &[
            ("cookie", "a=b"),
            ("x", "y"),
            ("cookie", "c=d"),
            ("cookie", ""),
        ],
    ));
    let cookies: Vec<_> = server.scratch.headers.get_all("cookie").collect();
    assert_eq!(cookies, [b"a=b; c=d; "]);
    assert_eq!(server.header("x"), Some("y"));
}

#[test]
fn s8_2_repeated_fields_are_joined_as_envoy_joins_them() {
    let mut server = Side::server();
    let more = [
        ("accept", "a"),
        ("x", "1"),
        ("accept", "b"),
        ("x", "2"),
        ("accept", "c"),
    ];
    server.feed(&get_with(1, &more));
    let headers = &server.scratch.headers;
    assert_eq!(headers.get_all("accept").collect::<Vec<_>>(), [b"a,b,c"]);
    assert_eq!(headers.get_all("x").collect::<Vec<_>>(), [b"1", b"2"]);
}

#[test]
fn s8_3_pseudo_headers() {
    for missing in [":method", ":scheme", ":path", ":authority"] {
        refused(MESSAGING, with_pseudo(missing, None), missing);
    }
    for (name, value) in [
        (":status", "200"),
        (":foo", "x"),
        (":protocol", "websocket"),
        (":reason-phrase", "x"),
        (":path", "/x"),
        (":", ""),
    ] {
        refused(HEADER, with_field(name.as_bytes(), value.as_bytes()), name);
    }
    let behind: Vec<(&str, &[u8])> = [("a", "b")]
        .iter()
        .chain(GET)
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    refused(HEADER, exactly(&behind), "pseudo headers behind others");
}

#[test]
fn s8_3_1_path() {
    for path in [&b""[..], b"/a b", b"/a\x01"] {
        refused(
            HEADER,
            with_pseudo(":path", Some(path)),
            &format!("{path:?}"),
        );
    }
    for path in [&b"foo"[..], b"*"] {
        refused(
            MESSAGING,
            with_pseudo(":path", Some(path)),
            &format!("{path:?}"),
        );
    }
    for path in [&b"/a#b"[..], b"/a\x80", b"/\"<>|{}^`\\"] {
        taken(with_pseudo(":path", Some(path)), &format!("{path:?}"));
    }
    let options = |path: &'static [u8]| {
        exactly(&[
            (":method", b"OPTIONS"),
            (":scheme", b"http"),
            (":path", path),
            (":authority", b"a"),
        ])
    };
    taken(options(b"*"), "OPTIONS *");
    refused(MESSAGING, options(b"x"), "OPTIONS x");
    let other_scheme = |path: &'static [u8]| {
        exactly(&[
            (":method", b"GET"),
            (":scheme", b"ftp"),
            (":path", path),
            (":authority", b"a"),
        ])
    };
    taken(other_scheme(b"x"), "what a path is depends on the scheme");
}

#[test]
fn s8_3_1_method_and_scheme() {
    for method in [&b""[..], b"G T", b"G\0"] {
        refused(
            HEADER,
            with_pseudo(":method", Some(method)),
            &format!("{method:?}"),
        );
    }
    refused(
        MESSAGING,
        with_pseudo(":method", Some(b"CONNECT")),
        "CONNECT with a path",
    );
    for method in [&b"get"[..], b"FOO"] {
        taken(with_pseudo(":method", Some(method)), &format!("{method:?}"));
    }
    for scheme in [&b""[..], b"1a", b"a_b"] {
        refused(
            HEADER,
            with_pseudo(":scheme", Some(scheme)),
            &format!("{scheme:?}"),
        );
    }
    for scheme in [&b"ftp"[..], b"HTTPS", b"https"] {
        taken(with_pseudo(":scheme", Some(scheme)), &format!("{scheme:?}"));
    }
}

#[test]
fn s8_3_1_authority_and_host() {
    for bad in [
        "", "a@b", "a b", "a/b", "a\"b", "a\u{80}", "a<b", "a?b", "a#b", "a\\b", "a^b", "a{b",
        "a|b",
    ] {
        refused(HEADER, with_pseudo(":authority", Some(bad.as_bytes())), bad);
        refused(HEADER, with_field(b"host", bad.as_bytes()), bad);
    }
    for good in [
        "A",
        "[::1]:80",
        "a:x",
        "a_b",
        "a%20",
        "a,b",
        "a;b",
        "a!$&'()*+=b",
        "a~b",
    ] {
        taken(with_pseudo(":authority", Some(good.as_bytes())), good);
    }
    let mut server = Side::server();
    server.feed(&get_with(1, &[("host", "b")]));
    assert_eq!(
        (server.header(":authority"), server.header("host")),
        (Some("a"), None)
    );
    let only_host: Vec<(&str, &str)> = [&GET[..3], &[("host", "b")]].concat();
    server.feed(&trailers(3, &only_host));
    assert_eq!(
        (server.header(":authority"), server.header("host")),
        (Some("b"), None)
    );
    refused(
        HEADER,
        get_with(1, &[("host", "a"), ("host", "a")]),
        "two hosts",
    );
}

#[test]
fn s8_1_1_content_length_of_headers() {
    for value in ["x", "", "+0", "-1", "5 ", "9223372036854775808", "0x1"] {
        refused(
            HEADER,
            with_field(b"content-length", value.as_bytes()),
            value,
        );
    }
    refused(
        HEADER,
        get_with(1, &[("content-length", "0"), ("content-length", "0")]),
        "two",
    );
    refused(MESSAGING, with_field(b"content-length", b"5"), "no body");
    taken(with_field(b"content-length", b"0"), "0");
    taken(with_field(b"content-length", b"00"), "00");
}

#[test]
fn s8_1_1_content_length_and_body() {
    let with_length = |length| post_with(1, &[("content-length", length)]);
    for body in [
        &[last_data(1, b"abc")][..],
        &[data(1, b"abc")],
        &[data(1, b"a"), last_data(1, b"bc")],
    ] {
        let mut server = Side::server();
        assert_eq!(server.feed(&with_length("2")), ["headers 1"]);
        let seen = server.feed_all(body);
        assert_eq!(seen.last().unwrap(), "failed 1 0x1 http2.remote_reset");
        assert_eq!(server.sent(), ["RST_STREAM 1 0x1"]);
        assert_eq!(server.feed(&data(1, b"late")), [""; 0]);
        assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
    }
    let mut server = Side::server();
    let seen = server.feed_all(&[with_length("4"), data(1, b"abc"), last_data(1, b"")]);
    assert_eq!(seen[1..], ["data 1 abc", "failed 1 0x1 http2.remote_reset"]);
    let mut server = Side::server();
    let seen = server.feed_all(&[with_length("3"), data(1, b"abc"), last_data(1, b"")]);
    assert_eq!(seen[1..], ["data 1 abc", "data 1  end"]);
    let mut server = Side::server();
    let error = server.error(&[
        with_length("4"),
        data(1, b"abc"),
        trailers(1, &[("a", "b")]),
    ]);
    assert_eq!(error.stream_details, MESSAGING);
}

#[test]
fn s8_1_trailers() {
    let mut server = Side::server();
    let empty = [post(1), trailers(1, &[])];
    assert_eq!(server.feed_all(&empty), ["headers 1", "trailers 1"]);
    assert_eq!(server.conn.take_counts().unwrap().trailers, 1);
    let behind = |pairs: &[(&str, &str)]| {
        let mut server = Side::server();
        let error = server.error(&[post(1), data(1, b"abc"), trailers(1, pairs)]);
        error.stream_details
    };
    assert_eq!(behind(&[(":path", "/")]), HEADER);
    assert_eq!(behind(&[("A", "b")]), HEADER);
    assert_eq!(behind(&[("connection", "b")]), HEADER);
    assert_eq!(behind(&[("transfer-encoding", "chunked")]), HEADER);
    assert_eq!(behind(&[("content-length", "5")]), MESSAGING);
    let mut server = Side::server();
    let open_ended = frame(kind::HEADERS, flag::END_HEADERS, 1, &fields(&[("a", "b")]));
    assert_eq!(
        server.error(&[post(1), open_ended]).stream_details,
        MESSAGING
    );
}

#[test]
fn s8_1_trailers_do_not_carry_what_frames_or_routes_a_message() {
    let mut server = Side::server();
    let pairs = [("content-length", "3"), ("host", "b"), ("x", "y")];
    server.feed_all(&[post(1), data(1, b"abc"), trailers(1, &pairs)]);
    let names: Vec<_> = server
        .scratch
        .trailers
        .iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [b"x"]);
}

#[test]
fn s8_1_an_empty_block_is_no_request() {
    refused(MESSAGING, frame(kind::HEADERS, END, 1, b""), "empty");
}

#[test]
fn underscores() {
    use crate::h1::UnderscoreAction::{DropHeader, RejectRequest};
    let mut server = Side::server_with(|s| s.underscores = DropHeader);
    server.feed(&get_with(1, &[("a_b", "c"), ("d", "e_f")]));
    assert_eq!(
        (server.header("a_b"), server.header("d")),
        (None, Some("e_f"))
    );
    assert_eq!(
        server
            .conn
            .take_counts()
            .unwrap()
            .dropped_headers_with_underscores,
        1
    );
    let mut server = Side::server_with(|s| s.underscores = RejectRequest);
    let seen = server.feed(&get_with(1, &[("a_b", "c")]));
    assert_eq!(seen, ["failed 1 0x2 http2.unexpected_underscore"]);
    let counts = server.conn.take_counts().unwrap();
    assert_eq!(counts.requests_rejected_with_underscores_in_headers, 1);
}
