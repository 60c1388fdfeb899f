//! What is written, byte for byte as Envoy 1.40 wrote it for the same message.

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_http::h1::{
    ClientEncoder, H1Settings, HeaderCase, MissingPseudoHeader, RequestFacts, RequestKind,
    ServerDecoder, ServerEncoder, Version,
};
use nuncio_http::{HeaderMap, Known, Message};

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().copied().collect()
}

fn request(settings: H1Settings, pairs: &[(&'static str, &str)], end_stream: bool) -> String {
    let mut out = Buffer::new();
    ClientEncoder::new(Arc::new(settings))
        .encode_headers(&map(pairs), end_stream, &mut out)
        .unwrap();
    String::from_utf8(out.to_vec()).unwrap()
}

fn response(facts: RequestFacts, pairs: &[(&'static str, &str)], end_stream: bool) -> String {
    let mut out = Buffer::new();
    let settings = H1Settings {
        accept_http_10: true,
        ..H1Settings::default()
    };
    ServerEncoder::new(Arc::new(settings)).encode_headers(
        &facts,
        &map(pairs),
        end_stream,
        &mut out,
    );
    String::from_utf8(out.to_vec()).unwrap()
}

const GET: RequestFacts = RequestFacts {
    version: Version::Http11,
    keep_alive: true,
    is_upgrade: false,
    is_connect: false,
    is_head: false,
    chunked: false,
    expect_continue: false,
};
const HEAD: RequestFacts = RequestFacts {
    is_head: true,
    ..GET
};
const HTTP_10: RequestFacts = RequestFacts {
    version: Version::Http10,
    ..GET
};
const CONNECT: RequestFacts = RequestFacts {
    is_connect: true,
    ..GET
};

#[test]
fn the_host_comes_first() {
    let pairs = [
        (":method", "GET"),
        (":path", "/x?y"),
        ("x-a", "1"),
        (":authority", "a"),
        (":scheme", "http"),
        ("y", ""),
    ];
    assert_eq!(
        request(H1Settings::default(), &pairs, true),
        "GET /x?y HTTP/1.1\r\nhost: a\r\nx-a: 1\r\ny: \r\n\r\n"
    );
    let full = H1Settings {
        send_fully_qualified_url: true,
        ..H1Settings::default()
    };
    assert!(request(full, &pairs, true).starts_with("GET http://a/x?y HTTP/1.1\r\nhost: a\r\n"));
}

#[test]
fn requests_without_a_body() {
    for method in ["GET", "HEAD", "DELETE", "TRACE"] {
        let written = request(
            H1Settings::default(),
            &[(":method", method), (":path", "/")],
            true,
        );
        assert_eq!(written, format!("{method} / HTTP/1.1\r\n\r\n"));
    }
    for method in ["POST", "PUT", "OPTIONS", "PATCH", "QUERY", "PURGE", "FOO"] {
        let written = request(
            H1Settings::default(),
            &[(":method", method), (":path", "/")],
            true,
        );
        assert_eq!(
            written,
            format!("{method} / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        );
    }
}

#[test]
fn framing_of_requests() {
    let mut encoder = ClientEncoder::new(Arc::new(H1Settings::default()));
    let mut out = Buffer::new();
    let post = map(&[
        (":method", "POST"),
        (":path", "/"),
        ("transfer-encoding", "gzip"),
    ]);
    encoder.encode_headers(&post, false, &mut out).unwrap();
    encoder.encode_data(&mut Buffer::from("abc"), false, &mut out);
    encoder.encode_data(&mut Buffer::new(), false, &mut out);
    encoder.encode_data(&mut Buffer::from(&[b'x'; 300]), false, &mut out);
    encoder.encode_data(&mut Buffer::new(), true, &mut out);
    let expected = format!(
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n12c\r\n{}\r\n0\r\n\r\n",
        "x".repeat(300)
    );
    assert_eq!(String::from_utf8_lossy(&out), expected);

    let mut out = Buffer::new();
    encoder
        .encode_headers(
            &map(&[(":method", "POST"), (":path", "/"), ("content-length", "3")]),
            false,
            &mut out,
        )
        .unwrap();
    encoder.encode_data(&mut Buffer::from("abc"), true, &mut out);
    assert_eq!(&out[..], b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc");

    let mut out = Buffer::new();
    let upgrade = map(&[
        (":method", "GET"),
        (":path", "/"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
    ]);
    let kind = encoder.encode_headers(&upgrade, false, &mut out).unwrap();
    assert_eq!(
        kind,
        RequestKind {
            is_upgrade: true,
            ..RequestKind::default()
        }
    );
    encoder.encode_data(&mut Buffer::from("raw"), false, &mut out);
    assert_eq!(
        &out[..],
        b"GET / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nraw"
    );

    let mut out = Buffer::new();
    let kind = encoder
        .encode_headers(
            &map(&[(":method", "CONNECT"), (":authority", "h:80")]),
            false,
            &mut out,
        )
        .unwrap();
    assert!(kind.is_connect);
    assert_eq!(&out[..], b"CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n");
    assert_eq!(
        encoder.encode_headers(&map(&[(":method", "GET")]), true, &mut out),
        Err(MissingPseudoHeader(Known::Path))
    );
}

#[test]
fn framing_of_responses() {
    let ok = &[(":status", "200"), ("server", "envoy")][..];
    let sized = &[(":status", "200"), ("content-length", "5")][..];
    let start = "HTTP/1.1 200 OK\r\nserver: envoy\r\n";
    assert_eq!(
        response(GET, ok, true),
        format!("{start}content-length: 0\r\n\r\n")
    );
    assert_eq!(
        response(GET, ok, false),
        format!("{start}transfer-encoding: chunked\r\n\r\n")
    );
    assert_eq!(
        response(GET, sized, false),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    );
    for end_stream in [true, false] {
        assert_eq!(
            response(HEAD, sized, end_stream),
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        );
        assert_eq!(
            response(HEAD, ok, end_stream),
            format!("{start}transfer-encoding: chunked\r\n\r\n")
        );
        assert_eq!(response(CONNECT, ok, end_stream), format!("{start}\r\n"));
        for (status, line) in [("204", "204 No Content"), ("304", "304 Not Modified")] {
            let written = format!("HTTP/1.1 {line}\r\n\r\n");
            assert_eq!(response(GET, &[(":status", status)], end_stream), written);
            assert_eq!(response(HEAD, &[(":status", status)], end_stream), written);
        }
    }
    assert_eq!(
        response(HTTP_10, ok, false),
        "HTTP/1.0 200 OK\r\nserver: envoy\r\n\r\n"
    );
    assert_eq!(
        response(HTTP_10, ok, true),
        "HTTP/1.0 200 OK\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(
        response(GET, &[(":status", "101"), ("upgrade", "x")], false),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"
    );
    assert_eq!(
        response(CONNECT, &[(":status", "403")], true),
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
    );
    assert_eq!(
        response(GET, &[(":status", "299")], true),
        "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n"
    );
}

#[test]
fn a_body_that_must_not_be_is_not_written() {
    for (facts, status) in [(HEAD, "200"), (GET, "204"), (GET, "304")] {
        let mut encoder = ServerEncoder::new(Arc::new(H1Settings::default()));
        let mut out = Buffer::new();
        encoder.encode_headers(
            &facts,
            &map(&[(":status", status), ("content-length", "3")]),
            false,
            &mut out,
        );
        out.clear();
        let mut data = Buffer::from("abc");
        encoder.encode_data(&mut data, true, &mut out);
        assert!(out.is_empty() && data.is_empty());
    }
}

#[test]
fn informational_and_trailers() {
    let mut encoder = ServerEncoder::new(Arc::new(H1Settings {
        enable_trailers: true,
        ..H1Settings::default()
    }));
    let mut out = Buffer::new();
    encoder.encode_informational(&GET, &map(&[(":status", "100")]), &mut out);
    encoder.encode_headers(&GET, &map(&[(":status", "200")]), false, &mut out);
    encoder.encode_data(&mut Buffer::from("ok"), false, &mut out);
    encoder.encode_trailers(&map(&[("x-rt", "1")]), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-rt: 1\r\n\r\n"
    );
    let mut encoder = ServerEncoder::new(Arc::new(H1Settings::default()));
    encoder.encode_headers(&GET, &map(&[(":status", "200")]), false, &mut out);
    out.clear();
    encoder.encode_trailers(&map(&[("x-rt", "1")]), &mut out);
    assert_eq!(&out[..], b"0\r\n\r\n");
}

#[test]
fn a_plain_body_is_swapped() {
    let mut encoder = ServerEncoder::new(Arc::new(H1Settings::default()));
    let mut out = Buffer::new();
    encoder.encode_headers(
        &GET,
        &map(&[(":status", "200"), ("content-length", "9000")]),
        false,
        &mut out,
    );
    out.clear();
    let mut data = Buffer::from(&[1; 9000]);
    let place = data.as_ptr();
    encoder.encode_data(&mut data, true, &mut out);
    assert_eq!(out.as_ptr(), place);
}

#[test]
fn proper_case() {
    let settings = H1Settings {
        header_case: HeaderCase::ProperWords,
        ..H1Settings::default()
    };
    let pairs = [
        (":method", "POST"),
        (":path", "/"),
        (":authority", "a"),
        ("x-foo-bar", "1"),
        ("x--y", "2"),
        ("x1y-2z", "4"),
        ("x#y$z%a&b*c+d.e^f|g~h", "1"),
    ];
    assert_eq!(
        request(settings, &pairs, false),
        "POST / HTTP/1.1\r\nHost: a\r\nX-Foo-Bar: 1\r\nX--Y: 2\r\nX1y-2z: 4\r\nX#Y$Z%A&B*C+D.E^F|G~H: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn preserved_case() {
    let case = HeaderCase::Preserve {
        proper_own: false,
        forward_reason: true,
    };
    let settings = Arc::new(H1Settings {
        header_case: case,
        ..H1Settings::default()
    });
    let mut message = Message::new();
    let mut input = Buffer::from(
        "GET / HTTP/1.1\r\nHOST: a\r\nX-fOO: 1\r\nX-FOO: 2\r\nUser-AGENT: u\r\nAccept: 1\r\nACCEPT: 2\r\n\r\n",
    );
    ServerDecoder::new(settings.clone())
        .decode(&mut input, &mut message)
        .unwrap();
    message.headers.append("x-forwarded-proto", b"http");
    let mut out = Buffer::new();
    ClientEncoder::new(settings.clone())
        .encode_headers(&message.headers, true, &mut out)
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&out),
        "GET / HTTP/1.1\r\nHOST: a\r\nX-fOO: 1\r\nX-fOO: 2\r\nUser-AGENT: u\r\nAccept: 1,2\r\nx-forwarded-proto: http\r\n\r\n"
    );
    // The spelling goes with the message, whatever the encoder is configured to do.
    message.headers.set("x-foo", b"3");
    for header_case in [HeaderCase::Lower, HeaderCase::ProperWords] {
        let settings = H1Settings {
            header_case,
            ..H1Settings::default()
        };
        let mut out = Buffer::new();
        ClientEncoder::new(Arc::new(settings))
            .encode_headers(&message.headers, false, &mut out)
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&out),
            "GET / HTTP/1.1\r\nHOST: a\r\nX-fOO: 3\r\nUser-AGENT: u\r\nAccept: 1,2\r\nx-forwarded-proto: http\r\ntransfer-encoding: chunked\r\n\r\n"
        );
    }
    let mut out = Buffer::new();
    let headers = map(&[
        (":status", "200"),
        (":reason-phrase", "Fine By Me"),
        ("content-length", "0"),
    ]);
    ServerEncoder::new(settings).encode_headers(&GET, &headers, true, &mut out);
    assert_eq!(
        &out[..],
        b"HTTP/1.1 200 Fine By Me\r\ncontent-length: 0\r\n\r\n"
    );
}

#[test]
fn header_bytes_are_those_of_the_header_lines() {
    let settings = Arc::new(H1Settings::default());
    let mut out = Buffer::new();
    let mut server = ServerEncoder::new(settings.clone());
    server.encode_headers(
        &GET,
        &map(&[(":status", "200"), ("a", "b")]),
        false,
        &mut out,
    );
    assert_eq!(
        server.header_bytes(),
        "a: b\r\ntransfer-encoding: chunked\r\n".len()
    );
    let mut client = ClientEncoder::new(settings);
    let get = map(&[(":method", "GET"), (":path", "/path"), (":authority", "x")]);
    client.encode_headers(&get, true, &mut out).unwrap();
    assert_eq!(client.header_bytes(), "host: x\r\n".len());
}
