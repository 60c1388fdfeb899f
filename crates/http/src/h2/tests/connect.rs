//! CONNECT: section 8.5, and extended CONNECT (RFC 8441).

use super::*;

fn connect(more: &[(&str, &str)]) -> Vec<u8> {
    let pairs = [&[(":method", "CONNECT")], more].concat();
    frame(kind::HEADERS, flag::END_HEADERS, 1, &fields(&pairs))
}

#[test]
fn s8_5_plain_connect() {
    let mut server = Side::server();
    let seen = server.feed_all(&[connect(&[(":authority", "a:443")]), data(1, b"hello")]);
    assert_eq!(seen, ["headers 1", "data 1 hello"]);
    // Its content-length says nothing.
    let mut server = Side::server();
    let request = connect(&[(":authority", "a:443"), ("content-length", "1")]);
    assert_eq!(
        server.feed_all(&[request, data(1, b"hello")])[1],
        "data 1 hello"
    );
    for more in [
        &[][..],
        &[(":authority", "a"), (":path", "/")],
        &[(":authority", "a"), (":scheme", "http")],
    ] {
        let mut server = Side::server();
        let error = server.error(&[connect(more)]);
        assert_eq!(error.stream_details, "http2.violation.of.messaging.rule");
    }
}

const EXTENDED: &[(&str, &str)] = &[
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "a"),
    (":protocol", "websocket"),
];

#[test]
fn rfc8441_s4_extended_connect() {
    let mut server = Side::server();
    let error = server.error(&[connect(EXTENDED)]);
    assert_eq!(
        error.stream_details, "http2.invalid.header.field",
        "not announced"
    );

    let mut server = Side::server_with(|s| s.allow_connect = true);
    assert_eq!(server.feed(&connect(EXTENDED)), ["headers 1"]);
    assert_eq!(server.header(":protocol"), Some("websocket"));

    let host_only: Vec<_> = EXTENDED
        .iter()
        .filter(|(name, _)| *name != ":authority")
        .copied()
        .chain([("host", "a")])
        .collect();
    let with_get = [GET, &[(":protocol", "websocket")]].concat();
    for request in [
        connect(&host_only),
        connect(&EXTENDED[1..]),
        frame(kind::HEADERS, END, 1, &fields(&with_get)),
    ] {
        let mut server = Side::server_with(|s| s.allow_connect = true);
        let error = server.error(&[request]);
        assert_eq!(error.stream_details, "http2.violation.of.messaging.rule");
    }
}

#[test]
fn rfc8441_s3_clients_know_whether_it_is_allowed() {
    assert!(!Side::client().conn.peer_allows_connect());
    let mut client = Side::client_with(&[(8, 1)], |_| {});
    assert!(client.conn.peer_allows_connect());
    client.request_with(&[(":method", "CONNECT"), (":protocol", "websocket")], false);
    let sent = client.sent();
    assert!(sent[0].contains(":protocol=websocket"), "{sent:?}");
}

#[test]
fn s8_5_responses_to_connect() {
    let response = |status| {
        let pairs = [(":status", status), ("content-length", "3")];
        frame(kind::HEADERS, flag::END_HEADERS, 1, &fields(&pairs))
    };
    let mut client = Side::client();
    let key = client.conn.open().unwrap();
    let headers = HeaderMap::from_iter([(":method", "CONNECT"), (":authority", "a:1")]);
    client
        .conn
        .send_headers(key, &headers, false, &mut client.out);
    let seen = client.feed_all(&[response("200"), data(1, b"tunnel")]);
    assert_eq!(seen, ["headers 1", "data 1 tunnel"]);
    assert_eq!(client.header("content-length"), None);
}
