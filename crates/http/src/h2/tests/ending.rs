//! Section 6.8: GOAWAY both ways.

use super::*;
use crate::h2::{ErrorCode, GoAway};

#[test]
fn s6_8_two_steps() {
    let mut server = Side::server();
    server.feed(&post(1));
    for _ in 0..2 {
        server.conn.go_away(GoAway::ShutdownNotice, &mut server.out);
    }
    assert_eq!(server.sent(), ["GOAWAY 2147483647 0x0"]);
    assert!(server.conn.is_going_away());
    assert_eq!(server.feed(&get(3)), ["headers 3 end"], "it was under way");
    for _ in 0..2 {
        server.conn.go_away(GoAway::Final, &mut server.out);
    }
    assert_eq!(server.sent(), ["GOAWAY 3 0x0"]);
    let seen = server.feed_all(&[get(5), last_data(1, b"")]);
    assert_eq!(seen, ["data 1  end"], "ignored; the old ones go on");
    server.conn.go_away(GoAway::ShutdownNotice, &mut server.out);
    assert!(server.sent().is_empty());
    assert_eq!(server.conn.take_counts().unwrap().goaway_sent, 1);
}

#[test]
fn s6_8_streams_after_the_last_are_ignored() {
    let mut server = Side::server();
    server.feed(&post(1));
    server.conn.go_away(GoAway::Final, &mut server.out);
    let seen = server.feed_all(&[post(3), rst(3, 8), get(5), data(1, b"abc")]);
    assert_eq!(seen, ["data 1 abc"]);
    server.respond(1, true);
    let sent = server.sent();
    assert_eq!(sent, ["GOAWAY 1 0x0", "HEADERS 1 :status=200 end"]);
}

#[test]
fn s6_8_errors() {
    let mut server = Side::server();
    server.feed(&get(1));
    let error = GoAway::Error(ErrorCode::ENHANCE_YOUR_CALM);
    server.conn.go_away(error, &mut server.out);
    assert_eq!(server.sent(), ["GOAWAY 1 0xb"]);
}

#[test]
fn s6_8_a_client_goes_away() {
    let mut server = Side::server();
    let seen = server.feed_all(&[goaway(0, 0), get(1), goaway(0, 1)]);
    assert_eq!(seen, ["goaway 0 0x0", "headers 1 end", "goaway 0 0x1"]);
    assert!(server.conn.is_going_away());
    ends(
        true,
        1,
        &[("the last stream grows", vec![goaway(1, 0), goaway(3, 0)])],
    );
}

#[test]
fn s6_8_a_server_goes_away() {
    let mut client = Side::client();
    let answered = client.request(true);
    client.request(true);
    let third = client.request(false);
    let unsent = client.conn.open().unwrap();
    let seen = client.feed_all(&[trailers(1, &[(":status", "200")]), goaway(3, 0)]);
    assert_eq!(
        seen,
        [
            "headers 1 end",
            "goaway 3 0x0",
            "reset 5 0x7",
            "reset 0 0x7"
        ]
    );
    assert!(client.conn.open().is_none() && client.conn.is_going_away());
    client.sent();
    let headers = HeaderMap::from_iter(GET.iter().copied());
    client
        .conn
        .send_headers(unsent, &headers, true, &mut client.out);
    assert_eq!(client.send(third, b"abc", true), 0);
    for key in [answered, third, unsent] {
        client.conn.release(key, &mut client.out);
    }
    assert!(client.sent().is_empty());
    assert_eq!(
        client.feed(&trailers(3, &[(":status", "204")])),
        ["headers 3 end"]
    );
}

#[test]
fn s6_8_a_server_says_it_in_two_steps() {
    let mut client = Side::client();
    client.request(true);
    let seen = client.feed_all(&[goaway(0x7fff_ffff, 0), goaway(0, 2)]);
    assert_eq!(
        seen,
        ["goaway 2147483647 0x0", "goaway 0 0x2", "reset 1 0x7"]
    );
}

#[test]
fn errors_stay() {
    let mut server = Side::server();
    let first = server.error(&[get(1), data(1, b"x")]);
    assert_eq!(
        server.sent(),
        ["GOAWAY 1 0x5 DATA: stream in half-closed(remote)"]
    );
    server.conn.go_away(GoAway::Final, &mut server.out);
    assert_eq!(server.error(&[get(3)]), first);
    assert_eq!(server.conn.check(), Err(first));
    assert!(server.sent().is_empty());
    server.release(1);
    assert!(server.sent().is_empty());
    assert_eq!(server.conn.stream_count(), 0);
}
