//! Rules of RFC 9113 that have no place in the other files. All sections, and where they are tested:
//!
//! | section | files |
//! |---|---|
//! | 3.4 preface; 4.1 frames; 4.2 sizes; 4.3 header blocks | `framing`, `early`; 4.1 flags: here |
//! | 5.1 states, ids, concurrency; 5.3 priorities | `states`, `client` |
//! | 5.2 flow control; 6.9 WINDOW_UPDATE | `windows`, `property` |
//! | 5.4 errors; 6.8 GOAWAY | `ending`; 7 codes: here |
//! | 5.5 extensions; 6.1 to 6.4, 6.6, 6.7, 6.10 frames | `framing`, `states`; unasked answers: here |
//! | 6.5 SETTINGS | `settings`; 6.5.3: here |
//! | 8.1 to 8.3 messages; 8.7 retries | `messages`, `client`, `states` |
//! | 8.4 push | `framing` |
//! | 8.5 CONNECT; RFC 8441 | `connect` |
//! | 10.5 floods and bombs | `floods`, `limits` |
//! | RFC 7541 | `hpack/tests` |

use super::*;

#[test]
fn s4_1_undefined_flags_are_ignored() {
    let mut server = Side::server();
    let headers = frame(kind::HEADERS, 0xd2 | flag::END_HEADERS, 1, &fields(GET));
    let body = frame(kind::DATA, 0xf6, 1, b"abc");
    let update = frame(kind::WINDOW_UPDATE, 0xff, 1, &[0, 0, 0, 1]);
    let seen = server.feed_all(&[headers, body, update]);
    assert_eq!(seen, ["headers 1", "data 1 abc"]);
    server.feed(&frame(kind::PING, 0xfe, 0, b"12345678"));
    server.feed(&frame(kind::SETTINGS, 0xfe, 0, &[]));
    assert_eq!(server.sent(), ["PING ack", "SETTINGS ack"]);
    let reset = frame(kind::RST_STREAM, 0xff, 1, &8_u32.to_be_bytes());
    assert_eq!(server.feed(&reset), ["reset 1 0x8"]);
}

#[test]
fn s6_5_3_values_are_taken_in_their_order() {
    let mut server = Side::server();
    server.feed(&post(1));
    server.respond(1, false);
    server.feed(&settings(&[(4, 100), (4, 1)]));
    let key = server.key(1);
    server.sent();
    server.send(key, b"abc", false);
    assert_eq!(server.sent(), ["DATA 1 a"]);
}

#[test]
fn s6_7_an_answer_nobody_asked_for_is_not_answered() {
    let mut server = Side::server();
    let ack = frame(kind::PING, flag::ACK, 0, &[0; 8]);
    assert_eq!(server.feed(&ack), ["pong 0"]);
    assert!(server.sent().is_empty());
    assert_eq!(server.feed(&get(1)), ["headers 1 end"]);
}

#[test]
fn s6_5_3_settings_are_acknowledged_once() {
    ends(true, 1, &[("SETTINGS ack", vec![settings_ack()])]);
}

#[test]
fn s7_unknown_codes_are_codes() {
    let mut server = Side::server();
    server.feed(&post(1));
    assert_eq!(server.feed(&rst(1, 0xff)), ["reset 1 0xff"]);
    assert_eq!(server.feed(&goaway(0, 0xff)), ["goaway 0 0xff"]);
    assert_eq!(server.feed(&get(3)), ["headers 3 end"]);
}
