//! Sections 5.2 and 6.9: flow control.

use super::*;

const SMALL: u32 = 65_535;

fn small() -> Side {
    Side::server_with(|s| {
        s.initial_stream_window_size = SMALL;
        s.initial_connection_window_size = SMALL;
    })
}

#[test]
fn s6_9_1_the_windows_are_kept() {
    let mut server = Side::server();
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    assert_eq!(server.conn.capacity(key), 65_535);
    assert_eq!(server.send(key, &[b'x'; 70_000], true), 65_535);
    let sent = server.sent();
    assert_eq!(
        sent[1..],
        [
            "DATA 1 [16384]",
            "DATA 1 [16384]",
            "DATA 1 [16384]",
            "DATA 1 [16383]"
        ]
    );
    assert_eq!(
        (server.conn.capacity(key), server.conn.next_writable()),
        (0, None)
    );
    server.feed(&window_update(1, 4000));
    assert_eq!(
        server.conn.next_writable(),
        None,
        "the connection's window is closed"
    );
    server.feed(&window_update(0, 5000));
    assert_eq!(server.conn.next_writable(), Some(key));
    assert_eq!(server.conn.next_writable(), None);
    assert_eq!(server.send(key, &[b'x'; 4465], true), 4000);
    server.feed(&window_update(1, 465));
    assert_eq!(server.conn.next_writable(), Some(key));
    assert_eq!(server.send(key, &[b'x'; 465], true), 465);
    assert_eq!(server.sent(), ["DATA 1 [4000]", "DATA 1 [465] end"]);
    server.feed_all(&[window_update(1, 1), window_update(0, 1)]);
    assert_eq!(server.conn.next_writable(), None);
}

#[test]
fn s6_9_1_an_empty_frame_ends_the_stream_though_windows_are_closed() {
    let mut server = Side::server();
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    assert_eq!(server.send(key, &[b'x'; 65_535], false), 65_535);
    assert_eq!(server.send(key, b"", true), 0);
    assert_eq!(server.sent().last().unwrap(), "DATA 1  end");
}

#[test]
fn s6_9_blocked_streams_take_turns() {
    let mut server = Side::server();
    server.feed(&settings(&[(4, 1 << 20)]));
    for id in [1, 3, 5] {
        server.feed(&get(id));
        server.respond(id, false);
    }
    let keys = [1, 3, 5].map(|id| server.key(id));
    assert_eq!(server.send(keys[0], &[0; 100_000], true), 65_535);
    for key in &keys[1..] {
        assert_eq!(server.send(*key, &[0; 100], true), 0);
    }
    server.conn.release(keys[1], &mut server.out);
    server.feed(&window_update(0, 100));
    assert_eq!(server.conn.next_writable(), Some(keys[0]));
    assert_eq!(server.send(keys[0], &[0; 50], false), 50);
    assert_eq!(server.conn.next_writable(), Some(keys[2]));
    assert_eq!(server.send(keys[2], &[0; 100], true), 50);
    assert_eq!(server.conn.next_writable(), None);
}

/// A peer that never opens the connection's window and comes with ever new streams.
#[test]
fn streams_that_leave_do_not_stay_in_the_queue() {
    let mut server = Side::server();
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    server.send(key, &[0; 65_535], false);
    for id in (3..300).step_by(2) {
        server.feed(&get(id));
        server.respond(id, false);
        let key = server.key(id);
        assert_eq!(server.send(key, b"x", true), 0);
        server.feed(&rst(id, 8));
        server.release(id);
        server.sent();
    }
    assert_eq!(server.conn.queue_len(), 0);
}

#[test]
fn a_budget_is_kept_and_blocks_nothing() {
    let mut server = Side::server();
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    let mut body = Buffer::from(&[0; 20_000]);
    let sent = server
        .conn
        .send_data(key, &mut body, true, 17_000, &mut server.out);
    assert_eq!((sent, body.len()), (17_000, 3000));
    assert_eq!(server.conn.next_writable(), None);
    assert_eq!(
        server
            .conn
            .send_data(key, &mut body, true, 0, &mut server.out),
        0
    );
    assert_eq!(
        server
            .conn
            .send_data(key, &mut body, true, 3000, &mut server.out),
        3000
    );
    assert_eq!(
        server.sent()[1..],
        ["DATA 1 [16384]", "DATA 1 [616]", "DATA 1 [3000] end"]
    );
}

/// The payload is the driver's to send: windows count it, the output has only the head.
#[test]
fn a_head_alone_takes_its_payload_from_the_windows() {
    let mut server = Side::server();
    server.feed(&settings(&[(4, 20_000)]));
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    server.sent();
    let mut head = Buffer::new();
    let sends = |server: &mut Side, head: &mut Buffer, available, end| {
        let sent = server.conn.send_data_head(key, available, end, head);
        let flags = head.as_slice().get(4).copied().unwrap_or(0xff);
        head.clear();
        (sent, flags)
    };
    assert_eq!(sends(&mut server, &mut head, 30_000, true), (16_384, 0));
    assert_eq!(sends(&mut server, &mut head, 13_616, true), (3616, 0));
    assert_eq!(sends(&mut server, &mut head, 10_000, true), (0, 0xff));
    assert_eq!(server.conn.capacity(key), 0);
    server.feed(&window_update(1, 50_000));
    assert_eq!(server.conn.next_writable(), Some(key));
    assert_eq!(sends(&mut server, &mut head, 10_000, true), (10_000, 1));
    // The stream is closed on this side.
    assert_eq!(sends(&mut server, &mut head, 1, true), (0, 0xff));
}

#[test]
fn s6_9_2_the_initial_window_changes_open_streams() {
    let mut server = Side::server();
    server.feed(&settings(&[(4, 10)]));
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    assert_eq!(server.send(key, &[0; 20], true), 10);
    // Below zero, and up again.
    server.feed(&settings(&[(4, 5)]));
    assert_eq!(server.conn.capacity(key), 0);
    server.feed(&window_update(1, 5));
    assert_eq!(
        (server.conn.capacity(key), server.conn.next_writable()),
        (0, None)
    );
    server.feed(&settings(&[(4, 7)]));
    assert_eq!(
        (server.conn.capacity(key), server.conn.next_writable()),
        (2, Some(key))
    );
    assert_eq!(server.send(key, &[0; 10], true), 2);
    server.feed(&settings(&[(4, 0x7fff_ffff)]));
    assert_eq!(server.conn.next_writable(), Some(key));
}

#[test]
fn s6_9_1_window_overflow() {
    ends(
        true,
        3,
        &[
            ("connection", vec![window_update(0, 0x7fff_ffff)]),
            ("stream", vec![post(1), window_update(1, 0x7fff_ffff)]),
            (
                "SETTINGS",
                vec![
                    settings(&[(4, 10)]),
                    post(1),
                    window_update(1, 0x7fff_ffff - 10),
                    settings(&[(4, 20)]),
                ],
            ),
        ],
    );
    let mut server = Side::server();
    let error = server.error(&[post(1), window_update(1, 0x7fff_ffff)]);
    assert_eq!(error.stream_details, "http2.unknown.nghttp2.error");
    let mut server = Side::server();
    assert_eq!(
        server.feed(&window_update(0, 0x7fff_ffff - 65_535)),
        [""; 0]
    );
}

#[test]
fn s6_9_increments_of_zero() {
    ends(
        true,
        1,
        &[
            ("connection", vec![window_update(0, 0)]),
            ("stream", vec![post(1), window_update(1, 0)]),
        ],
    );
}

#[test]
fn s6_9_updates_come_when_half_a_window_is_consumed() {
    let mut server = small();
    server.feed(&post(1));
    let key = server.key(1);
    for _ in 0..2 {
        server.feed(&data(1, &[0; 16_000]));
        server.conn.consumed(key, 16_000, &mut server.out);
    }
    assert!(server.sent().is_empty());
    server.feed(&data(1, &[0; 1000]));
    assert_eq!(server.conn.unconsumed(key), 1000);
    server.conn.consumed(key, 1000, &mut server.out);
    assert_eq!(
        server.sent(),
        ["WINDOW_UPDATE 1 33000", "WINDOW_UPDATE 0 33000"]
    );
    assert_eq!(server.conn.unconsumed(key), 0);
}

#[test]
fn s6_9_nothing_is_given_back_before_it_is_consumed() {
    let mut server = small();
    server.feed_all(&[post(1), post(3)]);
    for _ in 0..3 {
        server.feed(&data(1, &[0; 16_384]));
    }
    assert!(server.sent().is_empty());
    server.feed(&last_data(3, &[0; 16_383]));
    let error = server.error(&[data(1, b"x")]);
    assert_eq!(error.code.0, 3);
    assert_eq!(server.sent(), ["GOAWAY 3 0x3"]);
}

#[test]
fn s6_9_a_stream_that_sends_too_much_is_reset() {
    let mut server = Side::server_with(|s| s.initial_stream_window_size = SMALL);
    server.feed(&post(1));
    for _ in 0..3 {
        server.feed(&data(1, &[0; 16_384]));
    }
    assert_eq!(
        server.feed(&data(1, &[0; 16_384])),
        ["failed 1 0x3 http2.remote_reset"]
    );
    assert_eq!(server.sent(), ["RST_STREAM 1 0x3"]);
    assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
}

#[test]
fn s6_9_padding_counts_and_is_given_back_at_once() {
    let mut server = small();
    server.feed(&post(1));
    let padded = frame(
        kind::DATA,
        flag::PADDED,
        1,
        &[&[255][..], &[0; 256]].concat(),
    );
    let mut updates = 0;
    for _ in 0..255 {
        server.feed(&padded);
        updates += server.sent().len();
    }
    let key = server.key(1);
    assert_eq!((updates, server.conn.unconsumed(key)), (2, 255));
}

#[test]
fn s5_2_bytes_of_streams_that_are_gone_come_back_to_the_connection() {
    let mut server = small();
    server.feed(&post(1));
    server.feed(&data(1, &[0; 16_384]));
    server.release(1);
    server.feed(&data(1, &[0; 16_384]));
    assert_eq!(server.sent(), ["RST_STREAM 1 0x2", "WINDOW_UPDATE 0 32768"]);
    for id in (3..200).step_by(2) {
        server.feed_all(&[post(id), data(id, &[0; 16_384]), rst(id, 8)]);
        server.release(id);
    }
    let given: Vec<_> = server.sent();
    assert_eq!(given.len(), 49, "{given:?}");
}
