//! Section 6.5: SETTINGS.

use super::*;

#[test]
fn s6_5_settings_are_acknowledged_at_once() {
    let mut server = Side::server();
    assert_eq!(
        server.feed_all(&[settings(&[(0xff, 1)]), ping()]),
        ["settings"]
    );
    assert_eq!(server.sent(), ["SETTINGS ack", "PING ack"]);
}

#[test]
fn s6_5_2_invalid_values() {
    ends(
        true,
        1,
        &[
            ("push 2", vec![settings(&[(2, 2)])]),
            ("frame size below", vec![settings(&[(5, 16_383)])]),
            ("frame size above", vec![settings(&[(5, 1 << 24)])]),
            ("connect 2", vec![settings(&[(8, 2)])]),
            ("priorities 2", vec![settings(&[(9, 2)])]),
            (
                "priorities changed",
                vec![settings(&[(9, 1)]), settings(&[(9, 0)])],
            ),
            ("ack that nobody asked for", vec![settings_ack()]),
        ],
    );
    ends(true, 3, &[("window", vec![settings(&[(4, 1 << 31)])])]);
}

#[test]
fn s6_5_2_valid_values() {
    let mut server = Side::server();
    for pairs in [
        &[(2, 0), (2, 1)][..],
        &[(5, 16_384), (5, (1 << 24) - 1)],
        &[(8, 1), (8, 0)],
        &[(9, 1), (9, 1)],
        &[(4, 0), (4, 0x7fff_ffff)],
        &[(3, 0), (1, 0), (6, 0), (0, 0), (0xffff, u32::MAX)],
    ] {
        assert_eq!(server.feed(&settings(pairs)), ["settings"]);
    }
}

#[test]
fn s6_5_2_no_frame_is_larger_than_every_peer_takes() {
    let mut server = Side::server();
    server.feed(&settings(&[(5, 1 << 20)]));
    server.feed(&get(1));
    server.respond(1, false);
    let key = server.key(1);
    server.sent();
    server.send(key, &[0; 30_000], false);
    assert_eq!(server.sent(), ["DATA 1 [16384]", "DATA 1 [13616]"]);
}

#[test]
fn s6_5_2_header_table_size_of_the_peer() {
    let mut server = Side::server();
    server.feed(&settings(&[(1, 0)]));
    let headers = HeaderMap::from_iter([(":status", "200"), ("x-new", "value")]);
    for id in [1, 3] {
        server.feed(&get(id));
        let key = server.key(id);
        server
            .conn
            .send_headers(key, &headers, true, &mut server.out);
    }
    // The decoder of the test refuses references to a table that it does not have.
    server.decoder.set_limit(0);
    let sent = server.sent();
    assert_eq!(sent[2], "HEADERS 3 :status=200 x-new=value end");
}

#[test]
fn s6_5_2_header_table_size_of_ours() {
    let with_update = |size: &[u8]| {
        let block = [size, &fields(GET)].concat();
        frame(kind::HEADERS, END, 1, &block)
    };
    let mut server = Side::server_with(|s| s.hpack_table_size = 100);
    assert_eq!(
        server.feed(&with_update(&[0x3f, 100 - 31])),
        ["headers 1 end"]
    );
    let mut server = Side::server_with(|s| s.hpack_table_size = 100);
    assert_eq!(server.error(&[with_update(&[0x3f, 101 - 31])]).code.0, 9);
    let mut server = Side::server_with(|s| s.hpack_table_size = 100);
    assert_eq!(server.error(&[get(1)]).code.0, 9, "an update is due");
}

#[test]
fn custom_frame_size_is_kept() {
    let mut server = Side::server_with(|s| s.custom_settings = vec![(5, 20_000)]);
    server.feed(&post(1));
    assert_eq!(server.feed(&data(1, &[0; 20_000])), ["data 1 [20000]"]);
    assert_eq!(server.error(&[data(1, &[0; 20_001])]).code.0, 6);
}
