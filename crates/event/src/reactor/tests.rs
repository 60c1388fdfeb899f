use super::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

fn pair() -> (Source, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Source::new(ours.into(), Guess::Nothing).unwrap(), peer)
}

async fn readable(source: &Source) {
    poll_fn(|cx| source.poll_readable(cx)).await;
}

fn read(source: &Source) -> rustix::io::Result<usize> {
    rustix::io::read(source, &mut [0_u8; 64])
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn events_come_on_any_current_thread_runtime() {
    let (source, mut peer) = pair();
    assert!(!source.is_readable());
    peer.write_all(b"x").unwrap();
    readable(&source).await;
    assert_eq!(read(&source), Ok(1));
    source.drained();
    assert!(!source.is_readable());
    peer.write_all(b"y").unwrap();
    readable(&source).await;
    assert!(source.is_writable() && !source.is_read_closed());
}

#[test]
fn a_thread_serves_one_runtime_after_another() {
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (source, mut peer) = pair();
            peer.write_all(b"x").unwrap();
            readable(&source).await;
        });
    }
}

#[tokio::test]
async fn the_end_outlives_the_read_that_took_the_last_bytes() {
    let (source, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    drop(peer);
    readable(&source).await;
    assert_eq!(read(&source), Ok(1));
    source.drained();
    assert!(source.is_readable() && source.is_read_closed());
    assert_eq!(read(&source), Ok(0));
}

#[tokio::test]
async fn a_task_is_woken_once_for_each_wait() {
    let (source, mut peer) = pair();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let count = || woken.0.load(Ordering::Relaxed);
    assert!(source.poll_readable(&mut cx).is_pending());
    for expected in [1, 1] {
        peer.write_all(b"x").unwrap();
        assert!(turn());
        assert_eq!(count(), expected, "nobody waits the second time");
    }
    assert_eq!(read(&source), Ok(2));
    source.drained();
    assert!(source.poll_readable(&mut cx).is_pending());
    let clones = Arc::strong_count(&woken);
    peer.write_all(b"x").unwrap();
    assert!(turn());
    assert_eq!((count(), Arc::strong_count(&woken)), (2, clones));
    assert!(!turn(), "an edge is told once");
}

#[tokio::test]
async fn a_full_socket_wakes_when_there_is_room() {
    let (source, mut peer) = pair();
    let mut sent = 0;
    loop {
        poll_fn(|cx| source.poll_writable(cx)).await;
        match rustix::io::write(&source, &[0; 4096]) {
            Ok(count) => sent += count,
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                source.not_writable();
                break;
            }
        }
    }
    let mut cx = Context::from_waker(Waker::noop());
    assert!(source.poll_writable(&mut cx).is_pending());
    let mut left = vec![0; sent];
    peer.read_exact(&mut left).unwrap();
    poll_fn(|cx| source.poll_writable(cx)).await;
}

#[tokio::test]
async fn an_event_of_one_that_has_gone_is_nobodys() {
    let (first, mut its_peer) = pair();
    its_peer.write_all(b"x").unwrap();
    // Still open, so that the kernel has its event.
    let other_descriptor = first.fd.try_clone().unwrap();
    let key = first.place.key;
    drop(first);
    let (second, _peer) = pair();
    assert_eq!(second.place.key, key, "the place is used again");
    assert!(turn());
    assert!(!second.is_readable());
    drop(other_descriptor);
}

#[tokio::test]
async fn a_socket_that_left_makes_no_events() {
    let (source, mut peer) = pair();
    // It is writable, which is an event.
    turn();
    let fd = source.into_fd();
    peer.write_all(b"x").unwrap();
    assert!(!turn());
    let again = Source::new(fd, Guess::Writable).unwrap();
    readable(&again).await;
}

#[tokio::test]
async fn a_task_whose_socket_is_always_ready_lets_others_run() {
    let (source, mut peer) = pair();
    peer.write_all(b"x").unwrap();
    readable(&source).await;
    let mut polls = 0;
    poll_fn(|cx| {
        while source.poll_readable(cx).is_ready() {
            polls += 1;
            assert!(polls < 10_000, "the task's budget ends");
        }
        Poll::Ready(())
    })
    .await;
}

#[test]
fn without_a_runtime_there_is_no_loop() {
    let (ours, _peer) = UnixStream::pair().unwrap();
    assert!(Source::new(ours.into(), Guess::Nothing).is_err());
}
