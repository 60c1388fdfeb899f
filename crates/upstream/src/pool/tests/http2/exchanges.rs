//! Requests and responses.

use super::peer::{
    DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, OK, RST_STREAM, WINDOW_UPDATE,
};
use super::*;

async fn answered(stream: PooledStream, peer: &mut Peer, id: u32) -> Result<Message, StreamReset> {
    let script = async {
        peer.expect(HEADERS, id).await;
        peer.respond(id).await;
    };
    tokio::join!(exchange(stream), script).0
}

#[test]
fn streams_share_a_connection() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut first, mut peer) = f.first().await;
        let mut second = f.stream();
        assert_eq!(first.connection_id(), second.connection_id());
        first.send_headers(&get(), true);
        second.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        peer.expect(HEADERS, 3).await;
        peer.respond(3).await;
        peer.send(HEADERS, END_HEADERS, 1, OK).await;
        peer.send(DATA, END_STREAM, 1, b"body").await;
        let mut message = Message::new();
        let whole = Event::Headers { end_stream: true };
        assert_eq!(next(&mut second, &mut message).await, Ok(whole));
        assert_eq!(message.headers.status(), Some(204));
        let begun = Event::Headers { end_stream: false };
        assert_eq!(next(&mut first, &mut message).await, Ok(begun));
        assert_eq!(message.headers.status(), Some(200));
        let rest = Event::Data { end_stream: true };
        assert_eq!(next(&mut first, &mut message).await, Ok(rest));
        assert_eq!(message.data.as_slice(), b"body");
        assert_eq!(f.codec_gauge(H::STREAMS_ACTIVE), 2);
        first.finish(Instant::now());
        second.finish(Instant::now());
        f.assert_at_rest(1);
        assert_eq!(f.codec_gauge(H::STREAMS_ACTIVE), 0);
        assert_eq!(f.counter(S::UPSTREAM_CX_HTTP2_TOTAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_HTTP1_TOTAL), 0);
        assert_eq!(f.counter(S::UPSTREAM_RQ_TOTAL), 2);
        assert_eq!(f.counter(S::UPSTREAM_RQ_TX_RESET), 0);
        assert!(f.counter(S::UPSTREAM_CX_TX_BYTES_TOTAL) > 0);
        assert!(f.counter(S::UPSTREAM_CX_RX_BYTES_TOTAL) > 0);
    });
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&post(), false);
        stream.send_data(&mut Buffer::from("request"), false);
        stream.send_trailers(&[("t", "1")].into_iter().collect());
        assert_eq!(peer.expect(HEADERS, 1).await.flags, END_HEADERS);
        assert_eq!(peer.expect(DATA, 1).await.payload, b"request");
        let trailers = peer.expect(HEADERS, 1).await;
        assert_eq!(trailers.flags, END_HEADERS | END_STREAM);
        peer.send(HEADERS, END_HEADERS, 1, OK).await;
        peer.send(DATA, 0, 1, b"re").await;
        peer.send(DATA, 0, 1, b"sponse").await;
        // `x: y` as a literal without indexing.
        let field = [0x00, 1, b'x', 1, b'y'];
        let last = END_HEADERS | END_STREAM;
        peer.send(HEADERS, last, 1, &field).await;
        let mut message = Message::new();
        while next(&mut stream, &mut message).await != Ok(Event::Trailers) {}
        assert_eq!(message.data.as_slice(), b"response");
        assert_eq!(message.trailers.get_str("x"), Some(&b"y"[..]));
        stream.finish(Instant::now());
        f.assert_at_rest(1);
    });
}

#[test]
fn a_1xx_response_comes_before_the_final_one() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        // `:status: 103` as a literal with the name of index 8.
        let early = [0x08, 3, b'1', b'0', b'3'];
        peer.send(HEADERS, END_HEADERS, 1, &early).await;
        peer.respond(1).await;
        let mut message = Message::new();
        let first = next(&mut stream, &mut message).await;
        assert_eq!(first, Ok(Event::Informational));
        assert_eq!(message.headers.status(), Some(103));
        let last = next(&mut stream, &mut message).await;
        assert_eq!(last, Ok(Event::Headers { end_stream: true }));
    });
}

#[test]
fn a_narrow_window_holds_the_request_back() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first_with(&[(INITIAL_WINDOW_SIZE, 4)]).await;
        until(|| f.counter(S::UPSTREAM_CX_RX_BYTES_TOTAL) >= 15).await;
        stream.send_headers(&post(), false);
        stream.send_data(&mut Buffer::from("0123456789"), true);
        assert_eq!(stream.unsent(), 6);
        assert_eq!(f.codec_gauge(H::PENDING_SEND_BYTES), 6);
        peer.expect(HEADERS, 1).await;
        assert_eq!(peer.expect(DATA, 1).await.payload, b"0123");
        peer.window_update(1, 100).await;
        let mut message = Message::new();
        let answer = next(&mut stream, &mut message);
        let script = async {
            let rest = peer.expect(DATA, 1).await;
            assert_eq!(rest.payload, b"456789");
            assert_eq!(rest.flags, END_STREAM);
            peer.respond(1).await;
        };
        let (answer, ()) = tokio::join!(answer, script);
        assert!(answer.is_ok());
        assert_eq!(f.codec_gauge(H::PENDING_SEND_BYTES), 0);
    });
}

#[test]
fn what_is_not_taken_keeps_the_window_closed() {
    run(async {
        let f = Fixture::new(h2(|o| {
            o.initial_stream_window_size = max(65_535);
            o.initial_connection_window_size = max(65_535);
        }))
        .await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        peer.send(HEADERS, END_HEADERS, 1, OK).await;
        let mut left = 65_535;
        while left > 0 {
            let piece = left.min(16_384);
            peer.send(DATA, 0, 1, &vec![b'x'; piece]).await;
            left -= piece;
        }
        until(|| f.counter(S::UPSTREAM_CX_RX_BYTES_TOTAL) > 65_535 + 4 * 9).await;
        let mut message = Message::new();
        while message.data.len() < 65_535 {
            next(&mut stream, &mut message).await.unwrap();
        }
        loop {
            let frame = peer.any().await.unwrap();
            if frame.kind == WINDOW_UPDATE && frame.stream == 1 {
                break;
            }
        }
    });
}

#[test]
fn an_early_response_ends_the_request() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&post(), false);
        peer.expect(HEADERS, 1).await;
        peer.respond(1).await;
        let mut message = Message::new();
        assert!(next(&mut stream, &mut message).await.unwrap().is_end());
        stream.finish(Instant::now());
        peer.expect(RST_STREAM, 1).await;
        assert_eq!(f.counter(S::UPSTREAM_RQ_TX_RESET), 1);
        f.assert_at_rest(1);
        assert!(answered(f.stream(), &mut peer, 3).await.is_ok());
    });
}

#[test]
fn inboxes_are_used_again_and_own_no_body_storage() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (first, mut peer) = f.first().await;
        answered(first, &mut peer, 1).await.unwrap();
        for id in [3, 5, 7] {
            let answer = answered(f.stream(), &mut peer, id).await.unwrap();
            assert_eq!(answer.headers.status(), Some(204));
            assert_eq!(answer.data.capacity(), 0);
        }
        assert_eq!(f.counter(S::UPSTREAM_CX_TOTAL), 1);
    });
}

#[test]
fn a_lying_content_length_is_a_protocol_error() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        // `:status: 200`, `content-length: 9`.
        let head = [0x88, 0x0f, 0x0d, 1, b'9'];
        peer.send(HEADERS, END_HEADERS, 1, &head).await;
        peer.send(DATA, END_STREAM, 1, b"short").await;
        let mut message = Message::new();
        let mut last = next(&mut stream, &mut message).await;
        while last.is_ok_and(|event| !event.is_end()) {
            last = next(&mut stream, &mut message).await;
        }
        assert_eq!(last, Err(StreamReset::ProtocolError));
        drop(stream);
        // Only the stream is at fault, as in Envoy.
        peer.expect(RST_STREAM, 1).await;
        assert_eq!(f.codec_counter(H::RX_MESSAGING_ERROR), 0);
        assert_eq!(f.counter(S::UPSTREAM_RQ_TX_RESET), 1);
        f.assert_at_rest(1);
    });
}
