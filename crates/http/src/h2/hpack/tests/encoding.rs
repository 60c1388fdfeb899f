//! What the encoder writes.

use nuncio_buffer::Buffer;

use super::super::{Decoder, Encoder};
use super::{decode, hex};
use crate::{HeaderMap, Known};

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().copied().collect()
}

fn encode(encoder: &mut Encoder, headers: &HeaderMap) -> Vec<u8> {
    let mut out = Buffer::new();
    encoder.encode(headers, |_, _| true, &mut out);
    out.to_vec()
}

#[test]
fn rfc7541_c_4_first_request() {
    let mut encoder = Encoder::new(4096);
    let request = map(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
    ]);
    let first = encode(&mut encoder, &request);
    assert_eq!(first, hex("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff"));
    assert_eq!(encode(&mut encoder, &request), hex("8286 84be"));
}

#[test]
fn a_repeated_message_is_all_indices() {
    let mut encoder = Encoder::new(4096);
    let response = map(&[
        (":status", "200"),
        ("content-type", "text/plain"),
        ("x-custom", "some value"),
        ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("server", "envoy"),
    ]);
    encode(&mut encoder, &response);
    assert_eq!(encode(&mut encoder, &response).len(), 5);
}

#[test]
fn pseudo_headers_come_first_and_the_reason_phrase_not_at_all() {
    let headers = map(&[
        ("accept", "a"),
        (":method", "PUT"),
        ("x-drop", "1"),
        (":reason-phrase", "Fine"),
        (":path", "/p"),
    ]);
    let mut out = Buffer::new();
    Encoder::new(4096).encode(&headers, |_, name| name != b"x-drop", &mut out);
    let decoded = decode(&mut Decoder::new(), &out).unwrap();
    assert_eq!(
        decoded,
        map(&[(":method", "PUT"), (":path", "/p"), ("accept", "a")])
    );
}

#[test]
fn rfc7541_7_1_3_secrets_are_never_indexed() {
    let mut encoder = Encoder::new(4096);
    for (name, value, first) in [
        ("authorization", "Basic abc", 0x1f),
        ("proxy-authorization", "Basic abc", 0x1f),
        ("cookie", "short=1", 0x1f),
        ("cookie", "long=0123456789012345", 0x60),
        ("content-length", "17", 0x0f),
        (":path", "/a", 0x04),
    ] {
        assert_eq!(
            encode(&mut encoder, &map(&[(name, value)]))[0],
            first,
            "{name}"
        );
    }
}

#[test]
fn huffman_only_when_it_is_shorter() {
    let mut encoder = Encoder::new(0);
    encode(&mut encoder, &HeaderMap::new());
    assert_eq!(
        encode(&mut encoder, &map(&[("x", "{}{}")])),
        hex("0001 7804 7b7d 7b7d")
    );
    assert_eq!(
        encode(&mut encoder, &map(&[("x", "aaaa")])),
        hex("0001 7883 18c6 3f")
    );
    encoder.set_huffman(false);
    assert_eq!(
        encode(&mut encoder, &map(&[("x", "aaaa")])),
        hex("0001 7804 6161 6161")
    );
}

#[test]
fn rfc7541_4_2_size_changes_are_announced() {
    let mut encoder = Encoder::new(4096);
    let field = map(&[("x-a", "1")]);
    encode(&mut encoder, &field);
    encoder.set_peer_limit(65_536);
    assert_eq!(encode(&mut encoder, &field), hex("be"), "more than we want");
    encoder.set_peer_limit(100);
    assert_eq!(encode(&mut encoder, &field), hex("3f45 be"));
    encoder.set_peer_limit(0);
    encoder.set_peer_limit(4096);
    assert_eq!(encode(&mut encoder, &HeaderMap::new()), hex("20 3fe11f"));
    let again = encode(&mut encoder, &field);
    assert_eq!(again[0], 0x40, "the table was emptied in between");
    assert_eq!(
        encode(&mut Encoder::new(0), &HeaderMap::new()),
        hex("20"),
        "less than the protocol's default is announced at once"
    );
    assert_eq!(
        encode(&mut Encoder::new(8192), &HeaderMap::new()),
        hex(""),
        "more only when the peer allows it"
    );
}

#[test]
fn one_name_with_ever_new_values_stays_cheap_and_right() {
    let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new());
    for i in 0..2000_u32 {
        let mut headers = map(&[("x-envoy-upstream-service-time", ""), ("x-id", "")]);
        headers.set_number(Known::XEnvoyUpstreamServiceTime, u64::from(i % 90));
        headers.set_number("x-id", u64::from(i));
        let block = encode(&mut encoder, &headers);
        assert_eq!(decode(&mut decoder, &block), Ok(headers));
    }
}
