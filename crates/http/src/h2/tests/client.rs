//! The client's side: responses, and what servers may not do.

use super::*;
use crate::h2::ErrorCode;

fn response(stream: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, flag::END_HEADERS, stream, &fields(pairs))
}

const OK: &[(&str, &str)] = &[(":status", "200")];

#[test]
fn s8_1_a_request_and_its_response() {
    let mut client = Side::client();
    let key = client.request(false);
    assert_eq!(client.send(key, b"hello", false), 5);
    let end = HeaderMap::from_iter([("x", "y"), (":path", "/")]);
    client.conn.send_trailers(key, &end, &mut client.out);
    assert_eq!(
        client.sent(),
        [
            "HEADERS 1 :method=GET :scheme=http :path=/ :authority=a",
            "DATA 1 hello",
            "HEADERS 1 x=y end"
        ]
    );
    let seen = client.feed_all(&[
        response(1, OK),
        data(1, b"world"),
        trailers(1, &[("a", "b")]),
    ]);
    assert_eq!(seen, ["headers 1", "data 1 world", "trailers 1"]);
    client.conn.release(key, &mut client.out);
    assert!(client.sent().is_empty());
    client.request(true);
    assert_eq!(
        client.sent(),
        ["HEADERS 3 :method=GET :scheme=http :path=/ :authority=a end"]
    );
}

#[test]
fn s8_1_informational_responses() {
    let mut client = Side::client();
    client.request(true);
    let seen = client.feed_all(&[
        response(1, &[(":status", "100")]),
        response(1, &[(":status", "103"), ("link", "x")]),
        trailers(1, OK),
    ]);
    assert_eq!(
        seen,
        ["informational 1", "informational 1", "headers 1 end"]
    );
    for (script, details) in [
        (
            vec![trailers(1, &[(":status", "100")])],
            "http2.violation.of.messaging.rule",
        ),
        (
            vec![response(1, &[(":status", "101")])],
            "http2.invalid.header.field",
        ),
    ] {
        let mut client = Side::client();
        client.request(true);
        assert_eq!(client.error(&script).stream_details, details);
    }
    let mut client = Side::client();
    client.request(true);
    let script = [response(1, &[(":status", "100")]), data(1, b"x")];
    // Of this stream alone, as for Envoy; without any headers it is the connection's.
    assert_eq!(
        client.feed_all(&script),
        ["informational 1", "failed 1 0x1 http2.remote_reset"]
    );
    let mut client = Side::client();
    client.request(true);
    assert_eq!(client.error(&[data(1, b"x")]).code.0, 1);
}

#[test]
fn s8_3_2_status() {
    for bad in ["", "20", "2000", "abc", "099", "+20", "101"] {
        let mut client = Side::client();
        client.request(true);
        let error = client.error(&[trailers(1, &[(":status", bad)])]);
        assert_eq!(error.stream_details, "http2.invalid.header.field", "{bad}");
    }
    for pairs in [&[][..], &[("a", "b")]] {
        let mut client = Side::client();
        client.request(true);
        let error = client.error(&[trailers(1, pairs)]);
        assert_eq!(error.stream_details, "http2.violation.of.messaging.rule");
    }
    for bad in [":path", ":method", ":protocol", ":foo"] {
        let mut client = Side::client();
        client.request(true);
        let error = client.error(&[trailers(1, &[(":status", "200"), (bad, "x")])]);
        assert_eq!(error.stream_details, "http2.invalid.header.field", "{bad}");
    }
}

#[test]
fn s8_1_1_content_length_and_status() {
    let get = |method: &str, pairs: &[(&str, &str)], body: &[u8]| {
        let mut client = Side::client_with(&[], |s| s.stream_error_on_invalid_messages = true);
        client.request_with(&[(":method", method)], true);
        let seen = client.feed_all(&[response(1, pairs), last_data(1, body)]);
        let length = client.header("content-length").map(str::to_owned);
        (seen.last().unwrap().clone(), length)
    };
    let length = |status, length| [(":status", status), ("content-length", length)];
    let failed = "failed 1 0x1 http2.remote_reset".to_owned();
    assert_eq!(get("GET", &length("200", "3"), b"abc").0, "data 1 abc end");
    assert_eq!(get("GET", &length("200", "2"), b"abc").0, failed);
    assert_eq!(
        get("HEAD", &length("200", "9"), b""),
        ("data 1  end".into(), Some("9".into()))
    );
    assert_eq!(get("HEAD", &length("200", "9"), b"x").0, failed);
    assert_eq!(
        get("GET", &length("304", "9"), b""),
        ("data 1  end".into(), Some("9".into()))
    );
    assert_eq!(
        get("GET", &length("204", "0"), b""),
        ("data 1  end".into(), None)
    );
    assert_eq!(get("GET", &[(":status", "204")], b"x").0, failed);
    let mut client = Side::client();
    client.request(true);
    assert_eq!(client.error(&[response(1, &length("204", "3"))]).code.0, 1);
}

#[test]
fn s8_2_headers_that_are_not_sent() {
    let mut client = Side::client();
    let key = client.conn.open().unwrap();
    let mut headers = HeaderMap::from_iter(GET.iter().copied());
    for (name, value) in [
        ("connection", "te"),
        ("keep-alive", "x"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "x"),
        ("http2-settings", "x"),
        ("te", "gzip"),
        ("x", "y"),
    ] {
        headers.append(name, value.as_bytes());
    }
    client
        .conn
        .send_headers(key, &headers, true, &mut client.out);
    assert_eq!(
        client.sent(),
        ["HEADERS 1 :method=GET :scheme=http :path=/ :authority=a x=y end"]
    );
    client.request_with(&[("te", "trailers")], true);
    assert!(client.sent()[0].ends_with("te=trailers end"));
}

#[test]
fn s4_3_long_header_blocks_are_continued() {
    let mut client = Side::client();
    let long: String = (0..40_000_u32)
        .map(|n| char::from(b'!' + (n * 7919 % 90) as u8))
        .collect();
    client.request_with(&[("x-long", &long)], true);
    let bytes = client.out.to_vec();
    assert_eq!(
        client.sent()[..2],
        ["HEADERS 1 [16384] end ...", "CONTINUATION 1 [16384]"]
    );
    let mut server = Side::server();
    assert_eq!(server.feed(&bytes), ["headers 1 end"]);
    assert_eq!(server.header("x-long"), Some(long.as_str()));
}

#[test]
fn s5_1_2_the_servers_limit() {
    let mut client = Side::client_with(&[(3, 2)], |_| {});
    assert_eq!(client.conn.peer_max_streams(), 2);
    client.request(true);
    let key = client.conn.open().unwrap();
    assert!(client.conn.open().is_none());
    client.conn.release(key, &mut client.out);
    assert!(
        client.sent().len() == 1,
        "nothing is said of a stream that was not begun"
    );
    client.request(true);
    assert!(client.conn.open().is_none());
    client.feed(&trailers(1, OK));
    assert!(client.conn.open().is_some());
    client.feed(&settings(&[(3, 0)]));
    assert!(client.conn.open().is_none());
    let fresh = Side::new(Role::Client, |_| {});
    assert_eq!(fresh.conn.peer_max_streams(), 100);
    let unlimited = Side::client();
    assert_eq!(unlimited.conn.peer_max_streams(), 1024);
}

#[test]
fn s5_1_1_ids_are_given_when_headers_go() {
    let mut client = Side::client();
    let first = client.conn.open().unwrap();
    let second = client.conn.open().unwrap();
    let headers = HeaderMap::from_iter(GET.iter().copied());
    client
        .conn
        .send_headers(second, &headers, true, &mut client.out);
    client
        .conn
        .send_headers(first, &headers, true, &mut client.out);
    assert_eq!(client.conn.stream_id(second), 1);
    assert_eq!(client.conn.stream_id(first), 3);
}

#[test]
fn s8_7_refused_streams_may_be_tried_again() {
    let mut client = Side::client();
    client.request(false);
    assert_eq!(client.feed(&rst(1, 7)), ["reset 1 0x7"]);
}

#[test]
fn s8_1_a_response_may_come_before_the_request_is_complete() {
    let mut client = Side::client();
    let key = client.request(false);
    let seen = client.feed_all(&[trailers(1, OK), rst(1, 0)]);
    assert_eq!(seen, ["headers 1 end", "reset 1 0x0"]);
    let key2 = client.request(false);
    client.feed(&trailers(3, OK));
    client.sent();
    client.conn.release(key, &mut client.out);
    client.conn.release(key2, &mut client.out);
    assert_eq!(client.sent(), ["RST_STREAM 3 0x2"]);
}

#[test]
fn s5_1_what_servers_may_not_send() {
    type Script = (&'static str, Vec<Vec<u8>>, bool, u32);
    let push = [&2_u32.to_be_bytes()[..], &fields(GET)].concat();
    let scripts: [Script; 8] = [
        ("headers of an idle stream", vec![response(3, OK)], true, 1),
        ("headers of an even stream", vec![response(2, OK)], true, 1),
        ("data before headers", vec![data(1, b"x")], false, 1),
        ("data of an idle stream", vec![data(3, b"x")], false, 1),
        ("reset of an idle stream", vec![rst(3, 0)], true, 1),
        ("a push", vec![frame(0x5, 4, 1, &push)], true, 1),
        ("enabling push", vec![settings(&[(2, 1)])], true, 1),
        (
            "disabling extended CONNECT",
            vec![settings(&[(8, 1)]), settings(&[(8, 0)])],
            true,
            1,
        ),
    ];
    for (name, frames, quiet, code) in scripts {
        let mut client = Side::client();
        client.request(true);
        client.sent();
        let error = client.error(&frames);
        assert_eq!(error.code, ErrorCode(code), "{name}: {error}");
        let sent = client.sent();
        assert_eq!(
            !sent.iter().any(|f| f.starts_with("GOAWAY")),
            quiet,
            "{name}: {sent:?}"
        );
    }
}

#[test]
fn s5_1_after_the_end() {
    // Closed both ways: ignored, as Envoy does.
    let mut client = Side::client();
    client.request(true);
    client.sent();
    let late = [
        trailers(1, OK),
        trailers(1, OK),
        data(1, b"x"),
        window_update(1, 1),
        rst(1, 8),
    ];
    assert_eq!(client.feed_all(&late), ["headers 1 end"]);
    assert!(client.sent().is_empty());
    // Half-closed.
    for (late, quiet) in [(data(1, b"x"), false), (trailers(1, OK), true)] {
        let mut client = Side::client();
        client.request(false);
        client.sent();
        assert_eq!(
            client.error(&[trailers(1, OK), late]).code,
            ErrorCode::STREAM_CLOSED
        );
        assert_eq!(client.sent().is_empty(), quiet);
    }
}

#[test]
fn resets_by_a_server_are_not_limited() {
    let mut client = Side::client_with(&[], |s| s.stream_reset_burst = 1);
    for n in 0..10 {
        let key = client.request(true);
        assert_eq!(client.feed(&rst(1 + 2 * n, 8)).len(), 1);
        client.conn.release(key, &mut client.out);
    }
}
