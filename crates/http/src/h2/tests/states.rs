//! Section 5.1: what may come on a stream in which state; 5.1.1 ids; 5.1.2 concurrency; 5.3 priorities.

use super::*;

#[test]
fn s5_1_idle() {
    ends(false, 1, &[("DATA", vec![data(1, b"x")])]);
    ends(
        true,
        1,
        &[
            ("RST_STREAM", vec![rst(1, 0)]),
            ("WINDOW_UPDATE", vec![window_update(1, 1)]),
            ("RST_STREAM, even", vec![get(5), rst(2, 0)]),
        ],
    );
    let mut server = Side::server();
    assert_eq!(
        server.feed_all(&[priority(7, 0), get(1)]),
        ["headers 1 end"]
    );
}

#[test]
fn s5_1_open() {
    let mut server = Side::server();
    let seen = server.feed_all(&[
        post(1),
        data(1, b"abc"),
        window_update(1, 10),
        priority(1, 0),
        trailers(1, &[("x", "y")]),
    ]);
    assert_eq!(seen, ["headers 1", "data 1 abc", "trailers 1"]);
    assert_eq!(server.scratch.trailers.get_str("x"), Some(&b"y"[..]));
}

#[test]
fn s5_1_half_closed_remote() {
    ends(
        false,
        5,
        &[
            ("DATA", vec![get(1), data(1, b"x")]),
            (
                "DATA after DATA",
                vec![post(1), last_data(1, b""), data(1, b"x")],
            ),
            (
                "DATA after trailers",
                vec![post(1), trailers(1, &[]), last_data(1, b"")],
            ),
        ],
    );
    ends(
        true,
        5,
        &[
            ("HEADERS", vec![get(1), get(1)]),
            (
                "trailers twice",
                vec![post(1), trailers(1, &[]), trailers(1, &[])],
            ),
        ],
    );
    let mut server = Side::server();
    let seen = server.feed_all(&[get(1), window_update(1, 1), priority(1, 0), rst(1, 8)]);
    assert_eq!(seen, ["headers 1 end", "reset 1 0x8"]);
}

/// Envoy, too, ignores frames of streams that are closed.
#[test]
fn s5_1_closed_by_end_stream() {
    let mut server = Side::server();
    server.feed(&get(1));
    server.respond(1, true);
    server.release(1);
    server.sent();
    let late = [
        data(1, b"x"),
        window_update(1, 0x7fff_ffff),
        rst(1, 8),
        get(1),
        priority(1, 0),
    ];
    assert_eq!(server.feed_all(&late), [""; 0]);
    assert!(server.sent().is_empty());
    assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
}

#[test]
fn s5_1_closed_by_a_reset_of_either_side() {
    let late = || {
        [
            data(1, b"x"),
            window_update(1, 1),
            rst(1, 8),
            trailers(1, &[]),
            priority(1, 0),
        ]
    };
    for released in [false, true] {
        let mut server = Side::server();
        assert_eq!(
            server.feed_all(&[post(1), rst(1, 5)]),
            ["headers 1", "reset 1 0x5"]
        );
        if released {
            server.release(1);
        }
        assert_eq!(server.feed_all(&late()), [""; 0]);
        assert!(server.sent().is_empty());

        let mut server = Side::server();
        server.feed(&post(1));
        let key = server.key(1);
        server
            .conn
            .reset(key, crate::h2::ErrorCode::CANCEL, &mut server.out);
        server
            .conn
            .reset(key, crate::h2::ErrorCode::CANCEL, &mut server.out);
        if released {
            server.release(1);
        }
        assert_eq!(server.feed_all(&late()), [""; 0]);
        assert_eq!(server.sent(), ["RST_STREAM 1 0x8"]);
    }
}

#[test]
fn s5_1_nothing_is_sent_on_a_stream_that_was_reset() {
    let mut server = Side::server();
    server.feed_all(&[get(1), rst(1, 8)]);
    server.respond(1, false);
    let key = server.key(1);
    let mut body = Buffer::from("abc");
    assert_eq!(
        server
            .conn
            .send_data(key, &mut body, true, 10, &mut server.out),
        0
    );
    assert!(body.is_empty(), "nobody wants it");
    server
        .conn
        .send_trailers(key, &HeaderMap::new(), &mut server.out);
    server.release(1);
    assert!(server.sent().is_empty());
}

#[test]
fn s5_1_a_slot_that_is_used_again_has_no_past() {
    let mut server = Side::server();
    server.feed(&post(1));
    let first = server.key(1);
    // The stream goes while a DATA frame of its is under way.
    let whole = last_data(1, b"0123456789");
    assert_eq!(server.feed(&whole[..12]), ["data 1 012"]);
    server.conn.release(first, &mut server.out);
    assert_eq!(server.sent(), ["RST_STREAM 1 0x2"]);
    assert_eq!(server.feed(&whole[12..]), [""; 0]);
    assert_eq!(server.feed(&post(3)), ["headers 3"]);
    assert_eq!(server.key(3), first);
    assert_eq!(server.feed(&data(3, b"new")), ["data 3 new"]);
}

#[test]
fn s5_1_1_stream_ids_must_be_odd() {
    ends(true, 1, &[("even", vec![get(2)])]);
}

#[test]
fn s5_1_1_stream_ids_must_grow() {
    // A lower id is that of a closed stream (it was skipped), which Envoy ignores.
    let mut server = Side::server();
    let seen = server.feed_all(&[get(5), get(3), get(7)]);
    assert_eq!(seen, ["headers 5 end", "headers 7 end"]);
}

#[test]
fn s5_1_2_too_many_streams() {
    let mut server = Side::server_with(|s| s.max_concurrent_streams = 2);
    assert_eq!(server.feed_all(&[get(1), post(3)]).len(), 2);
    server.respond(1, true);
    assert_eq!(server.feed(&get(5)), ["headers 5 end"], "one was finished");
    server.sent();
    let error = server.error(&[get(7)]);
    assert_eq!((error.code.0, error.stream), (1, None));
    assert!(server.sent().is_empty());
}

#[test]
fn s5_1_2_streams_are_refused_while_the_limit_may_be_unknown() {
    let mut server = Side::new(Role::Server, |s| s.max_concurrent_streams = 1);
    let seen = server.feed(&[PREFACE.to_vec(), settings(&[]), get(1), get(3), ping()].concat());
    assert_eq!(seen, ["settings", "headers 1 end"]);
    let sent = server.sent();
    assert_eq!(sent[3..], ["RST_STREAM 3 0x7", "PING ack"]);
    assert_eq!(server.conn.take_counts().unwrap().stream_refused_errors, 1);
    server.respond(1, true);
    assert_eq!(server.feed(&get(5)), ["headers 5 end"]);
}

#[test]
fn s5_3_1_priorities() {
    // A PRIORITY frame that makes a stream depend on itself, or is for stream 0, is ignored by Envoy.
    let mut server = Side::server();
    let seen = server.feed_all(&[priority(1, 1), priority(0, 3), post(1), priority(1, 1)]);
    assert_eq!(seen, ["headers 1"]);
    let payload = [&1_u32.to_be_bytes()[..], &[15], &fields(GET)].concat();
    let own = frame(kind::HEADERS, END | flag::PRIORITY, 1, &payload);
    ends(true, 1, &[("HEADERS that depend on themselves", vec![own])]);
}

#[test]
fn s6_4_resets_are_events() {
    let mut server = Side::server();
    let seen = server.feed_all(&[post(1), get(3), rst(1, 8), rst(3, 0xdead_beef)]);
    assert_eq!(seen[2..], ["reset 1 0x8", "reset 3 0xdeadbeef"]);
    assert_eq!(server.conn.take_counts().unwrap().rx_reset, 2);
    assert_eq!(server.conn.stream_count(), 2);
    server.release(1);
    server.release(3);
    assert_eq!(server.conn.stream_count(), 0);
}

#[test]
fn s8_1_a_server_that_has_answered_resets_the_rest_with_no_error() {
    let mut server = Side::server();
    server.feed(&post(1));
    server.respond(1, true);
    server.release(1);
    assert_eq!(
        server.sent(),
        ["HEADERS 1 :status=200 end", "RST_STREAM 1 0x0"]
    );
    server.feed(&post(3));
    server.release(3);
    assert_eq!(server.sent(), ["RST_STREAM 3 0x2"]);
    assert_eq!(server.conn.take_counts().unwrap().tx_reset, 2);
}

#[test]
fn s8_1_trailers_without_fields_are_an_empty_frame() {
    let mut server = Side::server();
    server.feed(&get(1));
    let key = StreamKey(0);
    let mut headers = HeaderMap::new();
    headers.set_status(200);
    server
        .conn
        .send_headers(key, &headers, false, &mut server.out);
    server
        .conn
        .send_trailers(key, &HeaderMap::new(), &mut server.out);
    let sent = server.sent();
    assert!(sent[0].starts_with("HEADERS 1"), "{sent:?}");
    assert!(sent[1].starts_with("DATA 1"), "{sent:?}");
    assert_eq!(sent.len(), 2);
}
