//! Blocks that are the same as the last one mean the same, unless something else changed.

use super::*;

/// `x: VALUE` into the dynamic table, behind the usual fields.
fn indexing(stream: u32, value: u8) -> Vec<u8> {
    let block = [&fields(GET)[..], &[0x40, 1, b'x', 1, value]].concat();
    frame(kind::HEADERS, END, stream, &block)
}

/// The newest entry of the dynamic table, behind the usual fields.
fn newest(stream: u32) -> Vec<u8> {
    let block = [&fields(GET)[..], &[0xbe]].concat();
    frame(kind::HEADERS, END, stream, &block)
}

#[test]
fn the_same_bytes_mean_what_the_table_says_now() {
    let mut server = Side::server();
    let mut id = 1;
    let mut next = || {
        id += 2;
        id - 2
    };
    for value in [b'a', b'b', b'c'] {
        server.feed(&indexing(next(), value));
        for _ in 0..40 {
            server.feed(&newest(next()));
            assert_eq!(server.header("x").map(str::as_bytes), Some(&[value][..]));
            assert_eq!(server.scratch.headers.len(), 5);
        }
    }
    // An entry larger than the table empties it; then the same bytes are an error.
    let large = "v".repeat(5000);
    let mut block = fields(GET);
    block.extend(b"\x40\x01y");
    block.extend(&fields(&[("", &large)])[2..]);
    server.feed(&frame(kind::HEADERS, END, next(), &block));
    assert_eq!(server.error(&[newest(next())]).code.0, 9);
}

#[test]
fn the_end_of_the_stream_matters() {
    let pairs = [GET, &[("content-length", "5")]].concat();
    let block = fields(&pairs);
    let mut server = Side::server();
    for id in [1, 3, 5] {
        assert_eq!(
            server
                .feed(&frame(kind::HEADERS, flag::END_HEADERS, id, &block))
                .len(),
            1
        );
        let seen = server.feed(&last_data(id, if id == 5 { b"1234" } else { b"12345" }));
        assert_eq!(
            seen[0].starts_with("data"),
            id != 5,
            "the length is checked: {seen:?}"
        );
    }
    let error = server.error(&[frame(kind::HEADERS, END, 7, &block)]);
    assert_eq!(error.stream_details, "http2.violation.of.messaging.rule");
}

#[test]
fn trailers_are_not_headers_and_their_body_counts() {
    let block = fields(&[("x", "y")]);
    let mut server = Side::server();
    for id in [1, 3, 5] {
        let length = post_with(id, &[("content-length", "3")]);
        let seen = server.feed_all(&[
            length,
            data(id, b"abc"),
            frame(kind::HEADERS, END, id, &block),
        ]);
        assert_eq!(seen.last(), Some(&format!("trailers {id}")));
        assert_eq!(server.scratch.trailers.get_str("x"), Some(&b"y"[..]));
    }
    let length = post_with(7, &[("content-length", "4")]);
    let error = server.error(&[
        length,
        data(7, b"abc"),
        frame(kind::HEADERS, END, 7, &block),
    ]);
    assert_eq!(error.stream_details, "http2.violation.of.messaging.rule");
    let mut server = Side::server();
    server.feed_all(&[post(1), frame(kind::HEADERS, END, 1, &block)]);
    let error = server.error(&[frame(kind::HEADERS, END, 3, &block)]);
    assert_eq!(error.stream_details, "http2.violation.of.messaging.rule");
}

#[test]
fn the_method_of_the_request_matters() {
    let mut client = Side::client();
    let block = fields(&[(":status", "200"), ("content-length", "3")]);
    for (id, method, body) in [
        (1, "GET", &b"abc"[..]),
        (3, "HEAD", b""),
        (5, "GET", b"abc"),
    ] {
        client.request_with(&[(":method", method)], true);
        let seen = client.feed_all(&[
            frame(kind::HEADERS, flag::END_HEADERS, id, &block),
            last_data(id, body),
        ]);
        assert!(
            seen[1].starts_with("data") && seen[1].ends_with("end"),
            "{seen:?}"
        );
    }
}

#[test]
fn what_is_sent_follows_the_table_too() {
    let mut server = Side::server();
    let respond = |server: &mut Side, id: u32, tag: &str| {
        server.feed(&get(id));
        let headers =
            HeaderMap::from_iter([(":status", "200"), ("x-tag", tag), ("content-length", "5")]);
        let key = server.key(id);
        server
            .conn
            .send_headers(key, &headers, true, &mut server.out);
        let sent = server.sent();
        let expected = format!("HEADERS {id} :status=200 x-tag={tag} content-length=5 end");
        assert_eq!(sent.last(), Some(&expected));
    };
    for id in (1..100).step_by(2) {
        respond(&mut server, id, "a");
    }
    for id in (101..200).step_by(2) {
        respond(&mut server, id, ["b", "a", "a", "c"][id as usize / 2 % 4]);
    }
    server.feed(&settings(&[(1, 0)]));
    server.decoder.set_limit(0);
    respond(&mut server, 201, "a");
    server.feed(&settings(&[(1, 4096)]));
    server.decoder.set_limit(4096);
    for id in (203..300).step_by(2) {
        respond(&mut server, id, "a");
    }
}
