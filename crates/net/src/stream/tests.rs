use super::*;
use crate::testing::{tcp_pair, unix_pair};
use std::future::poll_fn;
use std::task::Waker;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn read(stream: &mut Stream, buffer: &mut Buffer, max: usize) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, buffer, max)).await
}

fn is_pending(stream: &mut Stream, buffer: &mut Buffer) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    stream.poll_read(&mut cx, buffer, 4096).is_pending()
}

#[tokio::test]
async fn reads_append_up_to_the_limit_and_end_with_zero() {
    let (mut stream, mut peer) = tcp_pair().await;
    let mut buffer = Buffer::new();
    assert!(is_pending(&mut stream, &mut buffer));
    assert_eq!(buffer.capacity(), 0, "waiting holds no memory");
    peer.write_all(b"hello world").await.unwrap();
    assert_eq!(read(&mut stream, &mut buffer, 5).await.unwrap(), 5);
    assert_eq!(&buffer[..], b"hello");
    assert_eq!(read(&mut stream, &mut buffer, 4096).await.unwrap(), 6);
    assert_eq!(&buffer[..], b"hello world");
    drop(peer);
    assert_eq!(read(&mut stream, &mut buffer, 4096).await.unwrap(), 0);
    assert_eq!(&buffer[..], b"hello world");
    assert!(stream.is_peer_closed());
}

#[tokio::test]
async fn a_short_read_needs_no_second_syscall_to_find_nothing() {
    let (mut stream, mut peer) = unix_pair();
    let mut buffer = Buffer::new();
    peer.write_all(b"x").await.unwrap();
    read(&mut stream, &mut buffer, 4096).await.unwrap();
    assert!(
        !stream.is_readable(),
        "the loop knows that the socket is empty"
    );
    buffer.clear();
    assert!(is_pending(&mut stream, &mut buffer));
    assert_eq!(buffer.capacity(), 0, "an empty buffer gave its memory back");
    peer.write_all(b"y").await.unwrap();
    read(&mut stream, &mut buffer, 4096).await.unwrap();
    assert_eq!(&buffer[..], b"y", "and new bytes are noticed");
}

#[tokio::test]
async fn readiness_tells_of_unexpected_bytes_and_of_the_end() {
    let (stream, mut peer) = tcp_pair().await;
    assert!(!stream.is_readable() && !stream.is_peer_closed());
    peer.write_all(b"x").await.unwrap();
    while !stream.is_readable() {
        tokio::task::yield_now().await;
    }
    assert!(!stream.is_peer_closed());
    drop(peer);
    while !stream.is_peer_closed() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn head_and_body_leave_together_and_back_pressure_holds() {
    let (mut stream, mut peer) = unix_pair();
    let mut head = Buffer::from("head ");
    let mut body = Buffer::from(vec![b'x'; 4 << 20]);
    let sent = poll_fn(|cx| stream.poll_write_both(cx, &mut head, &mut body))
        .await
        .unwrap();
    assert!(head.is_empty() && sent > 5 && body.len() == 5 + (4 << 20) - sent);
    // Nobody reads: writing stops at some time.
    let mut full = false;
    while !full {
        full = poll_fn(|cx| {
            Poll::Ready(
                stream
                    .poll_write_both(cx, &mut head, &mut body)
                    .map_ok(drop)
                    .is_pending(),
            )
        })
        .await;
    }
    assert!(!body.is_empty());
    let reader = async {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).await.unwrap();
        all
    };
    let writer = async {
        while !body.is_empty() {
            poll_fn(|cx| stream.poll_write_both(cx, &mut head, &mut body))
                .await
                .unwrap();
        }
        poll_fn(|cx| stream.poll_shutdown_write(cx)).await.unwrap();
    };
    let (all, ()) = tokio::join!(reader, writer);
    assert_eq!(all.len(), 5 + (4 << 20));
    assert!(all.starts_with(b"head xxx"));
}

#[tokio::test]
async fn reset_on_close_is_a_reset() {
    let (stream, mut peer) = tcp_pair().await;
    stream.set_reset_on_close().unwrap();
    drop(stream);
    let mut byte = [0];
    let error = peer.read(&mut byte).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn addresses_and_facts() {
    let (stream, peer) = tcp_pair().await;
    let ours = stream.local_address().unwrap();
    assert_eq!(ours, Address::Ip(peer.peer_addr().unwrap()));
    let theirs = stream.remote_address().unwrap();
    assert_eq!(theirs, Address::Ip(peer.local_addr().unwrap()));
    assert!(stream.round_trip_time().is_some());
    stream.set_nodelay(true).unwrap();
    let (unix, _peer) = unix_pair();
    assert_eq!(unix.remote_address().unwrap().to_string(), "");
    assert_eq!(unix.round_trip_time(), None);
    assert_eq!(unix.original_address(), None);
    unix.set_nodelay(true).unwrap();
    unix.set_reset_on_close().unwrap();
}
