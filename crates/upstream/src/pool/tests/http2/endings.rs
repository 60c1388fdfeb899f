//! Streams and connections that end before their time.

use super::peer::{ACK, DATA, END_HEADERS, HEADERS, OK, PING, RST_STREAM};
use super::*;

#[test]
fn the_upstream_resets_a_stream() {
    run(async {
        for (code, reset, received, sent) in [
            (0, StreamReset::RemoteReset, 1, 0),
            (1, StreamReset::ProtocolError, 0, 1),
            (2, StreamReset::RemoteReset, 1, 0),
            (7, StreamReset::RemoteRefused, 0, 0),
            (10, StreamReset::ConnectError, 0, 0),
        ] {
            let f = Fixture::new(h2(plain)).await;
            let (mut stream, mut peer) = f.first().await;
            stream.send_headers(&get(), true);
            peer.expect(HEADERS, 1).await;
            peer.reset(1, code).await;
            let mut message = Message::new();
            assert_eq!(next(&mut stream, &mut message).await, Err(reset));
            drop(stream);
            assert_eq!(f.counter(S::UPSTREAM_RQ_RX_RESET), received);
            assert_eq!(f.counter(S::UPSTREAM_RQ_TX_RESET), sent);
            assert_eq!(f.codec_counter(H::RX_RESET), 1);
            f.assert_at_rest(1);
        }
    });
}

#[test]
fn what_came_before_a_reset_is_told_first() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        peer.send(HEADERS, END_HEADERS, 1, OK).await;
        peer.send(DATA, 0, 1, b"half").await;
        peer.reset(1, 2).await;
        let mut message = Message::new();
        for _ in 0..2 {
            assert!(next(&mut stream, &mut message).await.is_ok());
        }
        assert_eq!(message.data.as_slice(), b"half");
        let end = next(&mut stream, &mut message).await;
        assert_eq!(end, Err(StreamReset::RemoteReset));
    });
}

#[test]
fn a_dropped_stream_is_reset() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        drop(stream);
        // INTERNAL_ERROR, as Envoy.
        assert_eq!(peer.expect(RST_STREAM, 1).await.payload, [0, 0, 0, 2]);
        assert_eq!(f.counter(S::UPSTREAM_RQ_TX_RESET), 1);
        f.assert_at_rest(1);
    });
}

#[test]
fn go_away_drains_the_connection() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut first, mut peer) = f.first().await;
        let mut second = f.stream();
        first.send_headers(&get(), true);
        second.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        peer.expect(HEADERS, 3).await;
        peer.go_away(1).await;
        let mut message = Message::new();
        let refused = next(&mut second, &mut message).await;
        assert_eq!(refused, Err(StreamReset::RemoteRefused));
        drop(second);
        assert_eq!(f.counter(S::UPSTREAM_CX_CLOSE_NOTIFY), 1);
        // New streams go to a new connection.
        let waiting = pending(f.acquire());
        let mut other = f.peer(&[]).await;
        let third = stream(waiting).await.unwrap();
        assert_ne!(third.connection_id(), first.connection_id());
        let script = async {
            other.expect(HEADERS, 1).await;
            other.respond(1).await;
        };
        tokio::join!(exchange(third), script).0.unwrap();
        // The old one serves what it has, and is closed then.
        peer.respond(1).await;
        assert!(next(&mut first, &mut message).await.unwrap().is_end());
        first.finish(Instant::now());
        peer.end().await;
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
        f.assert_at_rest(1);
    });
}

#[test]
fn go_away_ends_an_idle_connection() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (first, mut peer) = f.first().await;
        drop(first);
        peer.go_away(0).await;
        peer.end().await;
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_WITH_ACTIVE_RQ), 0);
        f.assert_at_rest(0);
    });
}

#[test]
fn the_end_of_the_connection_ends_its_streams() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut first, peer) = f.first().await;
        let mut second = f.stream();
        first.send_headers(&get(), true);
        second.send_headers(&get(), true);
        drop(peer);
        let mut message = Message::new();
        for stream in [&mut first, &mut second] {
            let end = next(stream, &mut message).await;
            assert_eq!(end, Err(StreamReset::ConnectionTermination));
        }
        drop((first, second));
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_REMOTE_WITH_ACTIVE_RQ), 1);
        assert_eq!(f.counter(S::UPSTREAM_RQ_PENDING_FAILURE_EJECT), 2);
        f.assert_at_rest(0);
    });
}

#[test]
fn an_idle_connection_that_the_upstream_closed_is_gone_at_once() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (first, peer) = f.first().await;
        drop((first, peer));
        until(|| f.counter(S::UPSTREAM_CX_DESTROY_REMOTE) == 1).await;
        f.assert_at_rest(0);
    });
}

#[test]
fn a_breach_of_the_protocol_ends_all_streams() {
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let (mut first, mut peer) = f.first().await;
        let mut second = f.stream();
        first.send_headers(&get(), true);
        second.send_headers(&get(), true);
        // There is no DATA on stream 0.
        peer.send(DATA, 0, 0, b"nonsense").await;
        let mut message = Message::new();
        for stream in [&mut first, &mut second] {
            let end = next(stream, &mut message).await;
            assert_eq!(end, Err(StreamReset::ProtocolError));
        }
        drop((first, second));
        assert_eq!(f.counter(S::UPSTREAM_CX_PROTOCOL_ERROR), 1);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
        f.assert_at_rest(0);
    });
}

#[test]
fn an_upstream_that_does_not_speak_http2_is_noticed() {
    use tokio::io::AsyncWriteExt;
    run(async {
        let f = Fixture::new(h2(plain)).await;
        let waiting = pending(f.acquire());
        let (mut socket, _) = f.upstream.accept().await.unwrap();
        let mut stream = stream(waiting).await.unwrap();
        stream.send_headers(&get(), true);
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        let mut message = Message::new();
        let end = next(&mut stream, &mut message).await;
        assert_eq!(end, Err(StreamReset::ProtocolError));
    });
}

#[test]
fn idle_connections_are_closed_in_time() {
    run_paused(async {
        let f = Fixture::new(|cluster| {
            h2(plain)(cluster);
            http(|o| o.idle_timeout = time(2500))(cluster);
        })
        .await;
        let (stream, _peer) = f.first().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(f.counter(S::UPSTREAM_CX_IDLE_TIMEOUT), 0);
        drop(stream);
        let released = Instant::now();
        until(|| f.counter(S::UPSTREAM_CX_IDLE_TIMEOUT) == 1).await;
        let after = released.elapsed().as_millis();
        assert!((2500..2520).contains(&after), "{after}");
        f.assert_at_rest(0);
    });
}

#[test]
fn a_connection_lives_so_long() {
    run_paused(async {
        let f = Fixture::new(|cluster| {
            h2(plain)(cluster);
            http(|o| o.max_connection_duration = time(500))(cluster);
        })
        .await;
        let (stream, _peer) = f.first().await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(f.counter(S::UPSTREAM_CX_MAX_DURATION_REACHED), 1);
        assert!(matches!(f.acquire(), Acquire::Pending(_)));
        assert_eq!(f.gauge(S::UPSTREAM_RQ_ACTIVE), 1);
        drop(stream);
        assert_eq!(f.counter(S::UPSTREAM_CX_DESTROY_LOCAL), 1);
    });
}

fn keepalive(interval: Option<i64>, idle: Option<i64>) -> impl FnOnce(&mut Cluster) {
    h2(move |o| {
        o.connection_keepalive = Some(KeepaliveSettings {
            interval: interval.and_then(time),
            timeout: time(1000),
            interval_jitter: Some(Default::default()),
            connection_idle_interval: idle.and_then(time),
        });
    })
}

#[test]
fn a_peer_that_answers_pings_is_kept() {
    run_paused(async {
        let f = Fixture::new(keepalive(Some(5000), None)).await;
        let (_stream, mut peer) = f.first().await;
        for _ in 0..3 {
            let begun = Instant::now();
            let ping = peer.expect(PING, 0).await;
            assert!(begun.elapsed() >= Duration::from_millis(4900));
            peer.send(PING, ACK, 0, &ping.payload).await;
        }
        assert_eq!(f.codec_counter(H::KEEPALIVE_TIMEOUT), 0);
    });
}

#[test]
fn a_peer_that_does_not_answer_is_gone() {
    run_paused(async {
        let f = Fixture::new(keepalive(Some(5000), None)).await;
        let (mut stream, mut peer) = f.first().await;
        stream.send_headers(&get(), true);
        peer.expect(HEADERS, 1).await;
        peer.expect(PING, 0).await;
        let mut message = Message::new();
        let end = next(&mut stream, &mut message).await;
        assert_eq!(end, Err(StreamReset::ConnectionTermination));
        assert_eq!(f.codec_counter(H::KEEPALIVE_TIMEOUT), 1);
        let slot = S::UPSTREAM_CX_DESTROY_LOCAL_WITH_ACTIVE_RQ;
        assert_eq!(f.counter(slot), 1);
    });
}

#[test]
fn a_stream_after_a_long_rest_is_preceded_by_a_ping() {
    run_paused(async {
        let f = Fixture::new(keepalive(None, Some(3000))).await;
        let (first, mut peer) = f.first().await;
        drop(first);
        for (rest, wanted) in [(2900, false), (3000, true)] {
            tokio::time::sleep(Duration::from_millis(rest)).await;
            let mut stream = f.stream();
            stream.send_headers(&get(), true);
            let mut pinged = false;
            // What comes next is a mark.
            while peer.next().await.unwrap().kind != HEADERS {}
            drop(stream);
            loop {
                let frame = peer.next().await.unwrap();
                pinged |= frame.kind == PING;
                if frame.kind == RST_STREAM {
                    break;
                }
            }
            assert_eq!(pinged, wanted);
        }
    });
}
