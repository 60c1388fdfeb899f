//! Section 10.5: what costs us more than the peer is bounded, as Envoy 1.40 bounds it.

use std::time::{Duration, Instant};

use super::*;
use crate::h2::ErrorCode;

/// Feeds `piece` up to `most` times; how many were taken, and the details of the end.
fn until_refused(server: &mut Side, piece: &[u8], most: usize) -> (usize, &'static str) {
    for n in 0..most {
        server.feed(piece);
        if let Err(error) = server.decode() {
            return (n, error.details);
        }
    }
    (most, "")
}

#[test]
fn empty_frames() {
    const DETAILS: &str = "codec_error:Too_many_consecutive_frames_with_an_empty_payload";
    let mut server = Side::server();
    server.feed(&post(1));
    let error = server.error(&[data(1, b""), data(1, b"")]);
    assert_eq!(
        (error.details, error.stream_details),
        (DETAILS, "http2.inbound_empty_frames_flood")
    );
    assert_eq!(error.stream, Some(server.key(1)));
    assert!(server.sent().is_empty());
    assert_eq!(
        server
            .conn
            .take_counts()
            .unwrap()
            .inbound_empty_frames_flood,
        1
    );

    let padded = frame(kind::DATA, flag::PADDED, 1, b"\x03\0\0\0");
    let empty = frame(kind::CONTINUATION, 0, 1, b"");
    for script in [
        vec![post(1), padded.clone(), padded],
        vec![frame(kind::HEADERS, 0, 1, b""), empty.clone()],
        vec![
            frame(kind::HEADERS, 0, 1, &fields(GET)),
            empty.clone(),
            empty,
        ],
    ] {
        assert_eq!(Side::server().error(&script).details, DETAILS);
    }
    // One is allowed; and any number that end a stream, or have something in between.
    let mut server = Side::server();
    let seen = server.feed_all(&[
        post(1),
        data(1, b""),
        data(1, b"x"),
        data(1, b""),
        last_data(1, b""),
    ]);
    assert_eq!(seen, ["headers 1", "data 1 x", "data 1  end"]);
}

/// 100 × (1 + open streams): what Envoy 1.40 was seen to take.
#[test]
fn priority_frames() {
    for (open, limit) in [(0, 100), (1, 200), (2, 300)] {
        let mut server = Side::server();
        for n in 0..open {
            server.feed(&get(1 + 2 * n));
        }
        let (taken, details) = until_refused(&mut server, &priority(51, 0), 1000);
        assert_eq!(
            (taken, details),
            (limit, "codec_error:Too_many_PRIORITY_frames")
        );
        assert!(server.sent().is_empty());
        assert_eq!(
            server
                .conn
                .take_counts()
                .unwrap()
                .inbound_priority_frames_flood,
            1
        );
    }
}

/// 5 + 2 × (open streams + 10 × DATA frames sent).
#[test]
fn window_updates() {
    for (open, answered, limit) in [(0, 0, 5), (1, 0, 7), (0, 1, 25), (0, 2, 45), (1, 1, 27)] {
        let mut server = Side::server();
        for id in (1..).step_by(2).take(open + answered) {
            server.feed(&get(id));
        }
        for id in (1..).step_by(2).take(answered) {
            server.respond(id, false);
            let key = server.key(id);
            server.send(key, b"hi", true);
            server.release(id);
        }
        let (taken, details) = until_refused(&mut server, &window_update(0, 1), 100);
        assert_eq!(
            (taken, details),
            (limit, "codec_error:Too_many_WINDOW_UPDATE_frames")
        );
        let counts = server.conn.take_counts().unwrap();
        assert_eq!(counts.inbound_window_update_frames_flood, 1);
    }
}

#[test]
fn control_frames_that_make_us_answer() {
    const DETAILS: &str = "codec_error:Too_many_control_frames_in_the_outbound_queue.";
    let mut server = Side::server();
    assert_eq!(until_refused(&mut server, &ping(), 5000), (1000, DETAILS));
    assert_eq!(server.conn.take_counts().unwrap().outbound_control_flood, 1);
    let mut server = Side::server();
    assert_eq!(
        until_refused(&mut server, &settings(&[]), 5000),
        (1000, DETAILS)
    );
    // What has been written does not count.
    let mut server = Side::server();
    for _ in 0..5000 {
        assert_eq!(server.feed(&ping()), [""; 0]);
        server.sent();
    }
    // A peer that does not read: the pongs wait.
    let mut server = Side::server();
    let mut rounds = 0;
    while server.conn.check().is_ok() {
        rounds += 1;
        server.feed(&ping());
        let waiting = server.out.len();
        server.conn.flushed(waiting);
    }
    assert_eq!(rounds, 1001);
}

#[test]
fn frames_that_wait_to_be_written() {
    let mut server = Side::server_with(|s| s.max_outbound_frames = 20);
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    for _ in 0..19 {
        server.send(key, b"x", false);
    }
    assert_eq!(server.conn.check(), Ok(()));
    assert_eq!(server.conn.outbound_frames(), (20, 0));
    server.send(key, b"x", false);
    let error = server.conn.check().unwrap_err();
    assert_eq!(error.details, "http2.outbound_frames_flood");
    assert_eq!(server.decode(), Err(error));
    assert_eq!(server.conn.take_counts().unwrap().outbound_flood, 1);
}

/// CVE-2023-44487
#[test]
fn rapid_reset() {
    let mut server = Side::server();
    let start = Instant::now();
    let mut id = 1;
    let mut reset = |server: &mut Side| {
        server.feed_all(&[get(id), rst(id, 8)]);
        server.conn.check()?;
        server.release(id);
        id += 2;
        server.sent();
        Ok(())
    };
    server.conn.set_now(start);
    for _ in 0..1000 {
        assert_eq!(reset(&mut server), Ok(()));
    }
    server.conn.set_now(start + Duration::from_secs(2));
    for _ in 0..66 {
        assert_eq!(reset(&mut server), Ok(()));
    }
    let error: ConnectionError = reset(&mut server).unwrap_err();
    assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
    assert_eq!(server.sent(), ["GOAWAY 2133 0x2"]);
}

/// CVE-2025-8671: the peer makes us reset its streams.
#[test]
fn made_you_reset() {
    let mut server = Side::server_with(|s| s.stream_reset_burst = 50);
    let mut id = 1;
    let error = loop {
        server.feed_all(&[post_with(id, &[("content-length", "1")]), data(id, b"abc")]);
        if let Err(error) = server.conn.check() {
            break error;
        }
        server.release(id);
        server.sent();
        id += 2;
    };
    assert_eq!((id, error.code), (101, ErrorCode::ENHANCE_YOUR_CALM));
    assert_eq!(server.sent(), ["RST_STREAM 101 0x1", "GOAWAY 101 0xb"]);
}

#[test]
fn settings_with_many_entries() {
    let entries: Vec<_> = (100..132).map(|id| (id, 1)).collect();
    let mut server = Side::server();
    assert_eq!(server.feed(&settings(&entries)), ["settings"]);
    let entries: Vec<_> = (100..133).map(|id| (id, 1)).collect();
    assert_eq!(server.error(&[settings(&entries)]).code.0, 0xb);
    let sent = server.sent();
    assert_eq!(
        sent[1..],
        ["GOAWAY 0 0xb SETTINGS: too many setting entries"]
    );
}

#[test]
fn half_open_streams_are_as_many_as_announced() {
    let mut server = Side::server();
    let mut id = 1;
    while server.conn.check().is_ok() {
        server.feed(&post(id));
        id += 2;
    }
    assert_eq!(server.conn.stream_count(), 1024);
}

/// Ids with gaps of a million are found as others are, and memory is that of the streams that are there.
#[test]
fn streams_that_come_and_go_leave_nothing() {
    let mut server = Side::server();
    server.feed(&get(1));
    for id in (1001..1_000_000_001).step_by(1_000_000) {
        assert_eq!(server.feed(&get(id)).len(), 1);
        server.respond(id, true);
        server.release(id);
        server.sent();
    }
    assert_eq!(server.feed(&rst(1, 8)), ["reset 1 0x8"]);
    assert_eq!(server.conn.stream_count(), 1);
}
