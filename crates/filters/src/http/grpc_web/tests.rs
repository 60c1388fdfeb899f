use nuncio_http::HeaderMap;

use super::*;
use crate::testing::{Fixture, Passed};

const OK: [(&str, &str); 3] = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("content-length", "3"),
];

fn request(content_type: &str, accept: &str) -> Fixture {
    let headers = [
        (":path", "/pkg.Service/Method"),
        ("content-type", content_type),
        ("accept", accept),
        ("content-length", "12"),
    ];
    let mut stream = Fixture::new(&GRPC_WEB, &GrpcWeb {}, &headers);
    assert!(stream.request_headers(false));
    stream
}

fn bytes(bytes: &[u8]) -> Passed {
    Passed::Bytes(bytes.to_vec())
}

#[test]
fn requests_become_grpc() {
    let stream = request("application/grpc-web-text", "*/*");
    let expected: HeaderMap = [
        (":path", "/pkg.Service/Method"),
        ("content-type", "application/grpc"),
        ("accept", "*/*"),
        ("te", "trailers"),
        ("grpc-accept-encoding", "identity"),
    ]
    .into_iter()
    .collect();
    assert_eq!(stream.request, expected);
}

#[test]
fn other_requests_are_left_alone() {
    for kind in [
        "application/grpc",
        "application/grpc-web+json",
        "text/plain",
    ] {
        let mut stream = request(kind, "application/grpc-web-text");
        assert_eq!(stream.request.len(), 4);
        assert_eq!(stream.request_data(b"!", true), bytes(b"!"));
        assert!(stream.response_headers(&OK, false));
        assert_eq!(stream.response.len(), 3);
        assert_eq!(stream.response_data(b"abc", false), bytes(b"abc"));
        assert!(stream.response_trailers(&[("grpc-status", "0")]).is_empty());
        assert_eq!(stream.trailers.len(), 1);
    }
}

#[test]
fn text_is_decoded_in_pieces() {
    let mut stream = request("application/grpc-web-text", "*/*");
    assert_eq!(stream.request_data(b"AAA", false), Passed::Nothing);
    assert_eq!(
        stream.request_data(b"AAANyZ", false),
        bytes(&[0, 0, 0, 0, 3, b'r'])
    );
    assert_eq!(stream.request_data(b"XE=", true), bytes(b"eq"));
}

#[test]
fn bad_text_is_answered() {
    let answer = |details: &str| Passed::Answer(400, details.to_owned());
    let mut stream = request("application/grpc-web-text+proto", "*/*");
    let refused = answer("grpc_base_64_decode_failed_bad_size");
    assert_eq!(stream.request_data(b"AAAAA", true), refused);
    let refused = answer("grpc_base_64_decode_failed");
    assert_eq!(stream.request_data(b"AA!A", false), refused);
}

#[test]
fn trailers_end_the_body() {
    let mut stream = request("application/grpc-web+proto", "*/*");
    assert!(stream.response_headers(&OK, false));
    let content_type = stream.response.get(Known::ContentType);
    assert_eq!(content_type, Some(WEB_PROTO));
    assert!(!stream.response.contains(Known::ContentLength));
    assert_eq!(stream.response_data(b"abc", false), bytes(b"abc"));
    let body = stream.response_trailers(&[("grpc-status", "0"), ("x-y", "z")]);
    assert_eq!(body, b"\x80\0\0\0\x16grpc-status:0\r\nx-y:z\r\n");
    assert!(stream.trailers.is_empty());
}

#[test]
fn a_text_ends_with_its_trailers() {
    let mut stream = request("application/grpc-web", "application/grpc-web-text");
    assert!(stream.response_headers(&OK, false));
    assert_eq!(stream.response.get(Known::ContentType), Some(TEXT_PROTO));
    assert_eq!(
        stream.response_data(b"\0\0\0\0\x01a", false),
        bytes(b"AAAAAAFh")
    );
    let body = stream.response_trailers(&[("grpc-status", "0")]);
    assert_eq!(body, b"gAAAAA9ncnBjLXN0YXR1czowDQo=");
}

#[test]
fn what_is_not_grpc_becomes_a_message() {
    let mut stream = request("application/grpc-web", "*/*");
    let html = [(":status", "404"), ("content-type", "text/html")];
    assert!(!stream.response_headers(&html, false));
    assert_eq!(stream.response_data(b"<b>no", false), Passed::Nothing);
    assert_eq!(stream.response_data(b"way\n", false), Passed::Nothing);
    assert_eq!(stream.response_data(b"", true), bytes(b""));
    let expected: HeaderMap = [
        (":status", "404"),
        ("content-type", "application/grpc-web+proto"),
        ("grpc-message", "<b>noway%0A"),
        ("grpc-status", "12"),
        ("content-length", "0"),
    ]
    .into_iter()
    .collect();
    assert_eq!(stream.response, expected);
}

#[test]
fn a_message_is_bounded() {
    let mut stream = request("application/grpc-web", "*/*");
    assert!(!stream.response_headers(&[(":status", "500")], false));
    for _ in 0..1000 {
        assert_eq!(stream.response_data(&[b'x'; 1000], false), Passed::Nothing);
    }
    assert!(stream.response_trailers(&[]).is_empty());
    let message = stream.response.get(Known::GrpcMessage).unwrap();
    assert_eq!(message.len(), 16 << 10);
}
