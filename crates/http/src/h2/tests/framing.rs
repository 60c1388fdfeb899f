//! Sections 3 to 5.5: preface, frame heads, header blocks.

use super::*;

#[test]
fn s3_4_server_preface_is_envoys_byte_for_byte() {
    let mut side = Side::new(Role::Server, |_| {});
    side.conn.start(&mut side.out);
    assert!(side.out.is_empty());
    side.feed(PREFACE);
    side.feed(&settings(&[]));
    let hex: String = side.out.iter().map(|byte| format!("{byte:02x}")).collect();
    let envoy = concat!(
        "000018040000000000000100001000000800000000000300000400000401000000",
        "000000040100000000",
        "000004080000000000017f0001"
    );
    assert_eq!(hex, envoy);
}

#[test]
fn s3_4_client_preface_is_envoys() {
    let mut side = Side::new(Role::Client, |_| {});
    side.conn.start(&mut side.out);
    assert!(side.out.starts_with(PREFACE));
    side.out.consume(PREFACE.len());
    assert_eq!(
        side.sent(),
        [
            "SETTINGS 2=0 1=4096 8=0 3=1024 4=16777216",
            "WINDOW_UPDATE 0 25100289"
        ]
    );
}

#[test]
fn s3_4_configured_settings_are_announced() {
    let mut side = Side::new(Role::Server, |s| {
        s.hpack_table_size = 0;
        s.max_concurrent_streams = 7;
        s.initial_stream_window_size = 65_535;
        s.initial_connection_window_size = 65_535;
        s.allow_connect = true;
        s.custom_settings = vec![(6, 100), (3, 9)];
    });
    side.feed(PREFACE);
    side.feed(&settings(&[]));
    assert_eq!(
        side.sent(),
        ["SETTINGS 1=0 8=1 3=9 4=65535 6=100", "SETTINGS ack"]
    );
}

#[test]
fn s3_4_bad_preface_closes_without_a_word() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"X",
    ] {
        let mut side = Side::new(Role::Server, |_| {});
        let error = side.error(&[bytes.to_vec()]);
        assert_eq!(
            error.details,
            "codec_error:Received_bad_client_magic_byte_string"
        );
        assert!(side.sent().is_empty());
    }
}

#[test]
fn s3_4_preface_may_come_in_pieces() {
    let mut side = Side::new(Role::Server, |_| {});
    for &byte in &PREFACE[..23] {
        assert!(side.feed(&[byte]).is_empty());
    }
    assert_eq!(side.sent(), ["SETTINGS 1=4096 8=0 3=1024 4=16777216"]);
    assert!(side.feed(&PREFACE[23..]).is_empty());
    assert_eq!(side.feed(&settings(&[])), ["settings"]);
}

#[test]
fn s3_4_first_frame_must_be_settings() {
    for first in [ping(), get(1), settings_ack(), frame(0xbb, 0, 0, b"")] {
        let mut side = Side::new(Role::Server, |_| {});
        side.feed(PREFACE);
        side.sent();
        assert_eq!(side.error(std::slice::from_ref(&first)).code.0, 1);
        assert_eq!(side.sent(), ["GOAWAY 0 0x1 SETTINGS expected"]);
        let mut side = Side::new(Role::Client, |_| {});
        assert_eq!(side.error(&[first]).code.0, 1);
    }
}

#[test]
fn s4_1_unknown_frames_and_the_reserved_bit_are_ignored() {
    let mut server = Side::server();
    let unknown = frame(0xbb, 0xff, 0x8000_0001, &[7; 16_384]);
    assert_eq!(server.feed(&unknown[..100]), [""; 0]);
    assert_eq!(server.feed(&unknown[100..]), [""; 0]);
    server.feed(&frame(kind::PING, 0, 0x8000_0000, b"12345678"));
    assert_eq!(server.sent(), ["PING ack"]);
    assert_eq!(server.feed(&get(1)), ["headers 1 end"]);
}

#[test]
fn s4_2_too_large_frames() {
    let long = vec![0; 16_385];
    for (kind, flags, stream) in [(0, 0, 1), (1, END, 1), (9, 4, 1), (0xbb, 0, 0), (4, 0, 0)] {
        let mut server = Side::server();
        server.feed(&post(1));
        let error = server.error(&[frame(kind, flags, stream, &long)]);
        assert_eq!(error.code.0, 6);
        assert_eq!(server.sent(), ["GOAWAY 1 0x6 too large frame size"]);
    }
}

#[test]
fn s4_2_frames_of_16384_bytes_are_fine() {
    let mut server = Side::server();
    server.feed(&post(1));
    assert_eq!(server.feed(&data(1, &[b'x'; 16_384])), ["data 1 [16384]"]);
    let value = "v".repeat(16_000);
    assert_eq!(
        server.feed(&get_with(3, &[("x", &value)])),
        ["headers 3 end"]
    );
}

#[test]
fn s4_3_broken_compression_ends_the_connection() {
    let blocks: [&[u8]; 5] = [
        b"\xff\xff\xff",
        b"\x80",
        b"\x3f\xe2\x1f",
        b"\x82\x20",
        b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\x25\xba\x84\xff\xff\xff\xff\xff\xff",
    ];
    for block in blocks {
        let mut server = Side::server();
        let error = server.error(&[frame(kind::HEADERS, END, 1, block)]);
        assert_eq!(error.code.0, 9, "{error}");
        assert_eq!(server.sent(), ["GOAWAY 1 0x9"]);
    }
}

#[test]
fn s4_3_blocks_of_streams_that_are_gone_still_change_the_table() {
    let mut server = Side::server();
    server.feed_all(&[post(1), rst(1, 8)]);
    // `x: y` into the dynamic table, on a stream that was reset, and on one that was skipped.
    let indexed = b"\x40\x01x\x01y";
    server.feed(&frame(kind::HEADERS, END, 1, indexed));
    server.feed(&get(9));
    server.feed(&frame(kind::HEADERS, END, 7, b"\x40\x01z\x01y"));
    let block = [&fields(GET)[..], b"\xbe\xbf"].concat();
    server.feed(&frame(kind::HEADERS, END, 11, &block));
    assert_eq!(
        (server.header("z"), server.header("x")),
        (Some("y"), Some("y"))
    );
}

#[test]
fn s4_3_and_s6_10_header_blocks_come_in_pieces_of_any_size() {
    let block = fields(&[GET, &[("x-long", &"v".repeat(300))]].concat());
    for size in [1, 2, 7, 50, 200] {
        let mut server = Side::server();
        let mut bytes = frame(kind::HEADERS, flag::END_STREAM, 1, &block[..1]);
        for piece in block[1..].chunks(size) {
            bytes.extend(frame(kind::CONTINUATION, 0, 1, piece));
        }
        bytes.extend(frame(kind::CONTINUATION, flag::END_HEADERS, 1, b""));
        let mut seen = Vec::new();
        for piece in bytes.chunks(13) {
            seen.extend(server.feed(piece));
        }
        assert_eq!(seen, ["headers 1 end"]);
        assert_eq!(server.header("x-long").map(str::len), Some(300));
    }
}

#[test]
fn s6_10_nothing_may_come_between_the_frames_of_a_block() {
    let begin = || frame(kind::HEADERS, flag::END_STREAM, 1, &fields(GET));
    ends(
        false,
        1,
        &[
            ("PING", vec![begin(), ping()]),
            ("unknown", vec![begin(), frame(0xbb, 0, 0, b"")]),
            (
                "other stream",
                vec![begin(), frame(kind::CONTINUATION, 4, 3, b"")],
            ),
            ("HEADERS", vec![begin(), get(3)]),
            (
                "CONTINUATION after the end",
                vec![post(1), frame(kind::CONTINUATION, 4, 1, b"")],
            ),
            (
                "CONTINUATION alone",
                vec![frame(kind::CONTINUATION, 4, 1, b"")],
            ),
            (
                "CONTINUATION on 0",
                vec![frame(kind::CONTINUATION, 4, 0, b"")],
            ),
        ],
    );
}

#[test]
fn s6_wrong_sizes() {
    let with = |bytes: Vec<u8>| vec![post(1), bytes];
    ends(
        false,
        6,
        &[
            ("PING", with(frame(kind::PING, 0, 0, b"1234567"))),
            ("RST_STREAM", with(frame(kind::RST_STREAM, 0, 1, b"123"))),
            ("PRIORITY", with(frame(kind::PRIORITY, 0, 1, b"1234"))),
            (
                "WINDOW_UPDATE",
                with(frame(kind::WINDOW_UPDATE, 0, 0, b"12345")),
            ),
            ("SETTINGS", with(frame(kind::SETTINGS, 0, 0, b"12345"))),
            (
                "SETTINGS ACK",
                with(frame(kind::SETTINGS, flag::ACK, 0, b"123456")),
            ),
            ("GOAWAY", with(frame(kind::GOAWAY, 0, 0, b"1234567"))),
            (
                "HEADERS",
                with(frame(kind::HEADERS, END | flag::PRIORITY, 3, b"1234")),
            ),
        ],
    );
}

#[test]
fn s6_frames_of_streams_on_stream_0_and_of_the_connection_on_a_stream() {
    let goaway = frame(kind::GOAWAY, 0, 1, &[0; 8]);
    ends(
        true,
        1,
        &[
            ("HEADERS", vec![get(0)]),
            ("RST_STREAM", vec![rst(0, 0)]),
            ("SETTINGS", vec![frame(kind::SETTINGS, 0, 1, b"")]),
            ("PING", vec![frame(kind::PING, 0, 1, b"12345678")]),
            ("GOAWAY", vec![goaway]),
        ],
    );
    ends(false, 1, &[("DATA", vec![data(0, b"x")])]);
}

#[test]
fn s6_1_and_s6_2_padding() {
    let mut server = Side::server();
    let padded = [&[2][..], &fields(GET), &[0, 0]].concat();
    let seen = server.feed_all(&[
        frame(kind::HEADERS, flag::END_HEADERS | flag::PADDED, 1, &padded),
        frame(kind::DATA, flag::PADDED, 1, b"\x03abc\0\0\0"),
        frame(kind::DATA, flag::PADDED, 1, b"\x00def"),
        // Bytes other than 0 as padding are not refused by Envoy either.
        frame(
            kind::DATA,
            flag::PADDED | flag::END_STREAM,
            1,
            b"\x02\x01\x01",
        ),
    ]);
    assert_eq!(
        seen,
        ["headers 1", "data 1 abc", "data 1 def", "data 1  end"]
    );
    let headers = |payload: &[u8]| vec![frame(kind::HEADERS, END | flag::PADDED, 1, payload)];
    let body = |payload: &[u8]| vec![post(1), frame(kind::DATA, flag::PADDED, 1, payload)];
    ends(
        false,
        1,
        &[
            ("headers without length", headers(b"")),
            ("headers too short", headers(b"\x02\x82")),
            ("data without length", body(b"")),
            ("data too short", body(b"\x03ab")),
        ],
    );
}

#[test]
fn s6_1_data_comes_as_it_arrives() {
    let mut server = Side::server();
    server.feed(&post(1));
    let frame = frame(
        kind::DATA,
        flag::PADDED | flag::END_STREAM,
        1,
        b"\x02hello\0\0",
    );
    let mut seen = Vec::new();
    for &byte in &frame {
        seen.extend(server.feed(&[byte]));
    }
    assert_eq!(
        seen,
        [
            "data 1 h",
            "data 1 e",
            "data 1 l",
            "data 1 l",
            "data 1 o end"
        ]
    );
    assert_eq!(server.feed(&ping()), [""; 0]);
    assert_eq!(server.sent(), ["PING ack"]);
}

#[test]
fn s6_2_priority_of_headers_is_skipped() {
    let mut server = Side::server();
    let payload = [&[0x80, 0, 0, 3, 200][..], &fields(GET)].concat();
    let seen = server.feed(&frame(kind::HEADERS, END | flag::PRIORITY, 1, &payload));
    assert_eq!(seen, ["headers 1 end"]);
}

#[test]
fn s6_6_clients_do_not_push() {
    let payload = [&2_u32.to_be_bytes()[..], &fields(GET)].concat();
    ends(
        true,
        1,
        &[("PUSH_PROMISE", vec![post(1), frame(0x5, 4, 1, &payload)])],
    );
}

#[test]
fn s6_7_ping() {
    let mut server = Side::server();
    server.feed(&ping());
    assert_eq!(&server.out[9..], b"12345678");
    assert_eq!(server.sent(), ["PING ack"]);
    server.conn.ping(77, &mut server.out);
    assert_eq!(server.sent(), ["PING"]);
    let ack = frame(kind::PING, flag::ACK, 0, &77_u64.to_be_bytes());
    assert_eq!(server.feed(&ack), ["pong 77"]);
    assert!(server.sent().is_empty());
}
