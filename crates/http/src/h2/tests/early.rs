//! Section 4.3: a header block is complete with END_HEADERS; its stream begins with its first byte.

use super::*;

/// A request's header block in two frames.
fn pieces(stream: u32) -> [Vec<u8>; 2] {
    let block = fields(GET);
    let (one, other) = block.split_at(5);
    [
        frame(kind::HEADERS, flag::END_STREAM, stream, one),
        frame(kind::CONTINUATION, flag::END_HEADERS, stream, other),
    ]
}

fn begun(side: &mut Side) -> Option<(StreamKey, u32)> {
    let key = side.conn.begin_request(&side.input)?;
    Some((key, side.conn.stream_id(key)))
}

#[test]
fn s4_3_a_block_that_lacks_frames_is_a_stream() {
    let mut server = Side::server();
    let [one, other] = pieces(1);
    assert_eq!(begun(&mut server), None);
    assert!(server.feed(&one).is_empty());
    let (key, id) = begun(&mut server).expect("a stream");
    assert_eq!(id, 1);
    assert_eq!(begun(&mut server), Some((key, id)));
    assert_eq!(server.feed(&other), ["headers 1 end"]);
    assert_eq!(begun(&mut server), None);
}

#[test]
fn s4_3_a_frame_that_lacks_bytes_is_a_stream() {
    let mut server = Side::server();
    let whole = get(1);
    assert!(server.feed(&whole[..8]).is_empty());
    assert_eq!(begun(&mut server), None, "its head is not complete");
    assert!(server.feed(&whole[8..12]).is_empty());
    let found = begun(&mut server).expect("a stream");
    assert_eq!(begun(&mut server), Some(found));
    assert_eq!(server.conn.stream_count(), 1);
    assert_eq!(server.feed(&whole[12..]), ["headers 1 end"]);
    assert_eq!(server.conn.stream_count(), 1);

    let padded = frame(kind::HEADERS, END | flag::PADDED, 3, &[0]);
    server.feed(&padded[..9]);
    assert_eq!(
        begun(&mut server),
        None,
        "what precedes the block is not complete"
    );
}

#[test]
fn s4_3_what_comes_after_the_answer_is_for_nobody() {
    for partial in [false, true] {
        let mut server = Side::server();
        let [one, other] = match partial {
            false => pieces(1),
            true => {
                let whole = get(1);
                [whole[..15].to_vec(), whole[15..].to_vec()]
            }
        };
        server.feed(&one);
        let (key, _) = begun(&mut server).expect("a stream");
        let mut headers = HeaderMap::new();
        headers.set_status(408);
        server
            .conn
            .send_headers(key, &headers, true, &mut server.out);
        server.conn.release(key, &mut server.out);
        let sent = server.sent();
        assert!(
            sent.last()
                .is_some_and(|frame| frame.starts_with("RST_STREAM 1")),
            "{sent:?}"
        );
        assert_eq!(begun(&mut server), None);
        assert!(server.feed(&other).is_empty());
        assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
        assert_eq!(server.conn.stream_count(), 1);
    }
}

#[test]
fn s4_3_nothing_else_is_a_request_that_begins() {
    let mut server = Side::server_with(|settings| settings.max_concurrent_streams = 1);
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(10);
        bytes
    };
    server.feed(&cut(data(1, b"abc")));
    assert_eq!(begun(&mut server), None);
    let mut server = Side::server_with(|settings| settings.max_concurrent_streams = 1);
    server.feed(&cut(get(2)));
    assert_eq!(begun(&mut server), None, "an even id");
    let mut server = Side::server_with(|settings| settings.max_concurrent_streams = 1);
    server.feed_all(&[post(1), cut(trailers(1, &[("x", "y")]))]);
    assert_eq!(begun(&mut server), None, "trailers");
    let mut server = Side::server_with(|settings| settings.max_concurrent_streams = 1);
    server.feed_all(&[post(1), cut(get(3))]);
    assert_eq!(begun(&mut server), None, "one too many");
}
