use super::*;
use crate::testing::{tcp_pair, unix_pair};
use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn fill(from: &mut Stream, pipe: &mut Pipe, max: usize) -> io::Result<usize> {
    poll_fn(|cx| from.poll_splice_in(cx, pipe, max)).await
}

/// Byte `i` of what the tests send: no part of it looks like another.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Moves everything from `from` to `to`, then ends `to`.
async fn relay(mut from: Stream, mut to: Stream) {
    loop {
        let mut pipe = Pipe::take().unwrap();
        if fill(&mut from, &mut pipe, usize::MAX).await.unwrap() == 0 {
            break;
        }
        while !pipe.is_empty() {
            poll_fn(|cx| to.poll_splice_out(cx, &mut pipe, false))
                .await
                .unwrap();
        }
    }
    poll_fn(|cx| to.poll_shutdown_write(cx)).await.unwrap();
}

#[tokio::test]
async fn everything_arrives_in_order_whatever_the_sizes_of_the_pieces() {
    let (from, mut sender) = tcp_pair().await;
    let (to, mut reader) = tcp_pair().await;
    let sent = pattern(3_000_001);
    let (_, _, received) = tokio::join!(
        relay(from, to),
        async {
            let mut rest = &sent[..];
            for size in [1, 10, 100, 4_095, 4_096, 70_000, 1, 300_000, usize::MAX] {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                sender.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
                rest = after;
            }
            sender.shutdown().await.unwrap();
        },
        async {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            received
        }
    );
    assert!(received == sent);
}

/// What comes through one pipe may be cut into pieces with bytes of ours between them, in another.
#[tokio::test]
async fn pieces_of_a_pipe_go_out_between_other_bytes() {
    let (mut from, mut sender) = tcp_pair().await;
    let (mut to, mut reader) = tcp_pair().await;
    let sent = pattern(10_000);
    sender.write_all(&sent).await.unwrap();
    let mut expected = Vec::new();
    let mut left = sent.as_slice();
    while !left.is_empty() {
        let mut pipe = Pipe::take().unwrap();
        let mut framed = Pipe::take().unwrap();
        fill(&mut from, &mut pipe, 4_000).await.unwrap();
        while !pipe.is_empty() {
            let mut head = Buffer::from(b"head");
            assert!(framed.write(&mut head).unwrap() && head.is_empty());
            expected.extend_from_slice(b"head");
            let moved = framed.append(&mut pipe, 1_500).unwrap();
            let (now, rest) = left.split_at(moved);
            assert!((1..=1_500).contains(&now.len()));
            expected.extend_from_slice(now);
            left = rest;
        }
        while !framed.is_empty() {
            poll_fn(|cx| to.poll_splice_out(cx, &mut framed, true))
                .await
                .unwrap();
        }
    }
    let mut received = vec![0; expected.len()];
    reader.read_exact(&mut received).await.unwrap();
    assert!(received == expected);
}

#[tokio::test]
async fn a_full_pipe_takes_nothing() {
    let (mut from, mut sender) = tcp_pair().await;
    sender.write_all(&pattern(100)).await.unwrap();
    let (mut pipe, mut full) = (Pipe::take().unwrap(), Pipe::take().unwrap());
    fill(&mut from, &mut pipe, 100).await.unwrap();
    let page = pattern(4_096);
    let mut head = Buffer::from(&page[..]);
    while full.write(&mut head).unwrap() {
        head = Buffer::from(&page[..]);
    }
    assert_eq!((head.len(), full.len() % 4_096), (4_096, 0));
    assert_eq!(full.append(&mut pipe, 100).unwrap(), 0);
    assert_eq!(pipe.len(), 100);
    assert_eq!(pipe.append(&mut full, 1_000).unwrap(), 1_000);
    assert_eq!(pipe.len(), 1_100);
}

#[tokio::test]
async fn unix_sockets_splice_too() {
    let (from, mut sender) = unix_pair();
    let (to, mut reader) = unix_pair();
    let sent = pattern(500_000);
    let mut received = Vec::new();
    let (_, _, read) = tokio::join!(
        relay(from, to),
        async {
            sender.write_all(&sent).await.unwrap();
            drop(sender);
        },
        reader.read_to_end(&mut received)
    );
    read.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn no_more_is_taken_than_was_asked_for() {
    let (mut from, mut sender) = tcp_pair().await;
    sender.write_all(b"body|rest").await.unwrap();
    let mut pipe = Pipe::take().unwrap();
    assert_eq!(fill(&mut from, &mut pipe, 4).await.unwrap(), 4);
    assert_eq!(pipe.len(), 4);
    let mut buffer = nuncio_buffer::Buffer::new();
    poll_fn(|cx| from.poll_read(cx, &mut buffer, 64))
        .await
        .unwrap();
    assert_eq!(&buffer[..], b"|rest");
}

#[tokio::test]
async fn a_reader_that_stalls_leaves_the_rest_in_the_pipe_and_the_sender_waiting() {
    let (mut from, mut sender) = tcp_pair().await;
    let (mut to, mut reader) = tcp_pair().await;
    let sent = pattern(64 << 20);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut pipe = Pipe::take().unwrap();
    let mut held = 0;
    let writing = async {
        sender.write_all(&sent).await.unwrap();
        sender.shutdown().await.unwrap();
    };
    let reading = async {
        // As far as the kernel takes it.
        while !(to.poll_splice_out(&mut cx, &mut pipe, false).is_pending()) {
            if pipe.is_empty() {
                held += fill(&mut from, &mut pipe, usize::MAX).await.unwrap();
            }
        }
        assert!(held < sent.len(), "the kernel has no room for everything");
        let finish = async {
            while !pipe.is_empty() {
                poll_fn(|cx| to.poll_splice_out(cx, &mut pipe, false))
                    .await
                    .unwrap();
            }
            relay(from, to).await;
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(finish, reader.read_to_end(&mut received));
        read.unwrap();
        received
    };
    let (_, received) = tokio::join!(writing, reading);
    assert!(received == sent);
}

#[tokio::test]
async fn a_peer_that_is_gone_is_an_error_or_an_end() {
    let (mut from, sender) = tcp_pair().await;
    sender.set_zero_linger().unwrap();
    drop(sender);
    let mut pipe = Pipe::take().unwrap();
    let error = fill(&mut from, &mut pipe, 64).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let (mut to, reader) = tcp_pair().await;
    reader.set_zero_linger().unwrap();
    drop(reader);
    let (mut from, mut sender) = tcp_pair().await;
    sender.write_all(&pattern(1_000)).await.unwrap();
    fill(&mut from, &mut pipe, 64).await.unwrap();
    poll_fn(|cx| to.poll_read_ready(cx)).await;
    poll_fn(|cx| to.poll_splice_out(cx, &mut pipe, false))
        .await
        .unwrap_err();
    assert_eq!(pipe.len(), 64, "still there");
}

#[test]
fn empty_pipes_are_used_again_and_others_closed() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let spare = || POOL.with_borrow(|pool| (pool.spare.len(), pool.in_use));
        drop(Pipe::take().unwrap());
        assert_eq!(spare(), (1, 0));
        let (mut from, mut sender) = tcp_pair().await;
        sender.write_all(b"left behind").await.unwrap();
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(spare(), (0, 1));
        fill(&mut from, &mut pipe, 64).await.unwrap();
        drop(pipe);
        assert_eq!(spare(), (0, 0));
    });
}

#[test]
fn a_thread_has_so_many_pipes_and_keeps_a_few() {
    let pipes: Vec<Pipe> = std::iter::from_fn(Pipe::take).collect();
    assert_eq!(pipes.len(), MOST);
    drop(pipes);
    assert_eq!(POOL.with_borrow(|pool| pool.spare.len()), SPARE);
    assert!(Pipe::take().is_some());
}

#[tokio::test]
async fn where_splicing_is_refused_nobody_gets_a_pipe_any_more() {
    assert!(is_refusal(&Errno::NOSYS.into()) && is_refusal(&Errno::PERM.into()));
    assert!(!is_refusal(&Errno::CONNRESET.into()) && !is_refusal(&Errno::AGAIN.into()));
    POOL.with_borrow_mut(|pool| pool.refused = true);
    assert!(Pipe::take().is_none());
}

#[test]
fn after_a_failure_pipes_are_not_asked_for_at_once() {
    POOL.with_borrow_mut(|pool| pool.pause = 2);
    assert!(Pipe::take().is_none() && Pipe::take().is_none());
    assert!(Pipe::take().is_some());
}
