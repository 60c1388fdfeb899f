//! What comes out of a decoder does not depend on how its input was cut.

mod common;

use common::{requests, requests_in_pieces, responses, responses_in_pieces};
use nuncio_http::h1::{H1Settings, RequestKind};
use proptest::prelude::*;

/// Text that is nearly HTTP: valid parts and the bytes that break them.
fn nearly_http(parts: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        12 => proptest::sample::select(parts).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::sample::select(&[0_u8, b'\n', b'\r', b' ', b'\t', b':', b';', b'0', 0x7f, 0xff][..]).prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

const REQUEST_PARTS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /x HTTP/1.1\r\n",
    "GET http://h/p HTTP/1.0\r\n",
    "CONNECT h:80 HTTP/1.1\r\n",
    "Host: a\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: x\r\n",
    "Accept: a\r\n",
    "X_y: b\r\n",
    "\r\n",
    "\r\n\r\n",
    "abc",
    "3\r\nabc\r\n",
    "1;e\r\nx\r\n",
    "0\r\n\r\n",
    "0\r\nT: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
];

const RESPONSE_PARTS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 404 X\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 101 X\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Vary: a\r\n",
    "\r\n",
    "abc",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nT: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
];

fn settings(flags: u8) -> H1Settings {
    H1Settings {
        enable_trailers: flags & 1 != 0,
        accept_http_10: flags & 2 != 0,
        allow_chunked_length: flags & 4 != 0,
        max_head_bytes: if flags & 8 != 0 { 64 } else { 60 * 1024 },
        max_headers: if flags & 16 != 0 { 2 } else { 100 },
        ..H1Settings::default()
    }
}

fn cut(bytes: &[u8], mut at: Vec<usize>) -> Vec<&[u8]> {
    at.iter_mut().for_each(|place| *place %= bytes.len() + 1);
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in at.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[start..end]);
        start = end;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_not_depend_on_pieces(
        bytes in nearly_http(REQUEST_PARTS),
        at in proptest::collection::vec(any::<usize>(), 0..6),
        flags in any::<u8>(),
    ) {
        let whole = requests(&bytes, settings(flags));
        let bytewise = requests_in_pieces(bytes.chunks(1), settings(flags));
        let pieces = requests_in_pieces(cut(&bytes, at), settings(flags));
        prop_assert_eq!(&whole, &bytewise, "{}", bytes.escape_ascii());
        prop_assert_eq!(&whole, &pieces, "{}", bytes.escape_ascii());
    }

    #[test]
    fn responses_do_not_depend_on_pieces(
        bytes in nearly_http(RESPONSE_PARTS),
        at in proptest::collection::vec(any::<usize>(), 0..6),
        flags in any::<u8>(),
        kind in 0..4_u8,
    ) {
        let kind = RequestKind { is_head: kind == 1, is_connect: kind == 2, is_upgrade: kind == 3 };
        let whole = responses(&bytes, kind, settings(flags));
        let bytewise = responses_in_pieces(bytes.chunks(1), kind, settings(flags));
        let pieces = responses_in_pieces(cut(&bytes, at), kind, settings(flags));
        prop_assert_eq!(&whole, &bytewise, "{}", bytes.escape_ascii());
        prop_assert_eq!(&whole, &pieces, "{}", bytes.escape_ascii());
    }
}
