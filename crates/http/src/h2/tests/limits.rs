//! Section 10.5.1: limits of header blocks.

use super::*;

fn pairs(count: usize, len: usize) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = GET
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    pairs.extend((0..count).map(|n| (format!("x{n:03}"), "v".repeat(len - 4))));
    pairs
}

/// A block as HEADERS and CONTINUATIONs.
fn long(stream: u32, end: bool, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16_384);
    let flags = if end { flag::END_STREAM } else { 0 };
    let mut bytes = frame(kind::HEADERS, flags, stream, pieces.next().unwrap());
    for piece in pieces {
        bytes.extend(frame(kind::CONTINUATION, 0, stream, piece));
    }
    bytes.extend(frame(kind::CONTINUATION, flag::END_HEADERS, stream, b""));
    bytes
}

#[test]
fn s10_5_1_the_size_of_a_header_list_is_names_and_values() {
    // GET has 44 - 1 bytes here: its path is shorter than the one that Envoy was measured with.
    let usual: usize = GET
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let room = 60 * 1024 - usual;
    for (more, fits) in [(room, true), (room + 1, false)] {
        let mut all = pairs(10, 1000);
        all.push(("last".into(), "v".repeat(more - 10_000 - 4 - 5 * 9000)));
        all.extend((0..5).map(|n| (format!("big{n}"), "v".repeat(8996))));
        let mut server = Side::server();
        let seen = server.feed(&long(1, true, &fields(&all)));
        if fits {
            assert_eq!(seen, ["headers 1 end"]);
        } else {
            assert_eq!(seen, ["failed 1 0x2 http2.header_list_size_too_large"]);
            assert_eq!(server.sent(), ["RST_STREAM 1 0x2"]);
            assert_eq!(
                server
                    .conn
                    .take_counts()
                    .unwrap()
                    .header_list_size_too_large,
                1
            );
        }
        server.release(1);
        assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
    }
}

#[test]
fn s10_5_1_number_of_headers() {
    for (count, fits) in [(96, true), (97, false)] {
        let mut server = Side::server();
        let seen = server.feed(&long(1, true, &fields(&pairs(count, 5))));
        if fits {
            assert_eq!(seen, ["headers 1 end"]);
        } else {
            assert_eq!(seen, ["failed 1 0x2 http2.too_many_headers"]);
            assert_eq!(server.conn.take_counts().unwrap().header_overflow, 1);
        }
        let crumbs = vec![("cookie", "a=b"); count];
        let seen = server.feed(&get_with(3, &crumbs));
        assert_eq!(
            seen[0].starts_with("headers"),
            fits,
            "crumbs count one by one"
        );
        let joined = vec![("accept", "v"); count];
        assert_eq!(server.feed(&get_with(5, &joined)), ["headers 5 end"]);
    }
}

#[test]
fn s10_5_1_number_of_trailers() {
    let trailer = |count| -> Vec<(String, String)> { pairs(count, 5).split_off(4) };
    let mut server = Side::server();
    server.feed(&post(1));
    assert_eq!(
        server.feed(&long(1, true, &fields(&trailer(100)))),
        ["trailers 1"]
    );
    server.feed(&post(3));
    let seen = server.feed(&long(3, true, &fields(&trailer(101))));
    assert_eq!(seen, ["failed 3 0x2 http2.too_many_headers"]);
}

#[test]
fn s10_5_1_cookies_count_in_bytes() {
    let crumb = "c".repeat(1000);
    let mut server = Side::server();
    let mut all: Vec<(&str, &str)> = GET.to_vec();
    all.extend(vec![("cookie", crumb.as_str()); 70]);
    let seen = server.feed(&long(1, true, &fields(&all)));
    assert_eq!(seen, ["failed 1 0x2 http2.header_list_size_too_large"]);
    assert_eq!(
        server
            .conn
            .take_counts()
            .unwrap()
            .cookies_total_bytes_too_large,
        1
    );
}

/// A header of 4 KB in the table, then one byte for each repetition: 8 KB would become 32 MB.
#[test]
fn hpack_bombs_are_cut_off() {
    for (name, limit) in [
        ("x-bomb", "http2.header_list_size_too_large"),
        ("accept", "http2.header_list_size_too_large"),
    ] {
        let mut block = fields(GET);
        block.extend([0x40, name.len() as u8]);
        block.extend(name.as_bytes());
        block.extend([
            127,
            (3900 - 127) as u8 & 127 | 128,
            ((3900 - 127) >> 7) as u8,
        ]);
        block.extend(vec![b'v'; 3900]);
        block.extend(vec![0xbe; 8000]);
        let mut server = Side::server();
        let seen = server.feed(&frame(kind::HEADERS, END, 1, &block));
        assert_eq!(seen, [format!("failed 1 0x2 {limit}")]);
        assert!(server.scratch.headers.capacity() < 300_000);
    }
}

/// One-byte repetitions of two joined headers in turns: each join moves a value.
#[test]
fn joining_is_bounded() {
    let mut block = fields(GET);
    block.extend(b"\x40\x06accept\x01a\x40\x03via\x01b");
    for _ in 0..5000 {
        block.extend([0xbe, 0xbf]);
    }
    let mut server = Side::server();
    let seen = server.feed(&frame(kind::HEADERS, END, 1, &block));
    assert_eq!(seen, ["failed 1 0x2 http2.too_many_headers"]);
}

#[test]
fn a_single_field_has_a_limit_of_its_own() {
    let mut server = Side::server_with(|s| {
        s.max_header_field_bytes = 1000;
        s.max_header_bytes = 5000;
    });
    let just = "v".repeat(1000);
    assert_eq!(
        server.feed(&get_with(1, &[("x", &just)])),
        ["headers 1 end"]
    );
    let error = server.error(&[get_with(3, &[("x", &"v".repeat(1001))])]);
    assert_eq!(error.code.0, 9);
    assert_eq!(server.sent(), ["GOAWAY 3 0x9"]);
}

#[test]
fn continuation_flood() {
    let mut server = Side::server();
    server.feed(&frame(kind::HEADERS, flag::END_STREAM, 1, &fields(GET)));
    let piece = frame(
        kind::CONTINUATION,
        0,
        1,
        &fields(&[("x", &"v".repeat(16_000))]),
    );
    let mut frames = 0;
    let error = loop {
        frames += 1;
        server.feed(&piece);
        if let Err(error) = server.decode() {
            break error;
        }
    };
    assert_eq!((error.code.0, frames), (0xb, 9));
    assert_eq!(
        server.sent(),
        ["GOAWAY 1 0xb CONTINUATION: header block too large"]
    );
}

#[test]
fn response_limits_are_the_clients() {
    let mut client = Side::client_with(&[], |s| s.max_headers = 3);
    client.request(true);
    let many = [(":status", "200"), ("a", "1"), ("b", "2"), ("c", "3")];
    assert_eq!(
        client.feed(&trailers(1, &many)),
        ["failed 1 0x2 http2.too_many_headers"]
    );
}
