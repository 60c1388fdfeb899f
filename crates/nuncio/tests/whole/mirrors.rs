//! Copies of requests: large ones, for clusters that are slow or take nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

use nuncio_testing::{Cluster, Config, Origin, Peer, Proxy, until};

use crate::start_one_worker;

/// More than the buffers of the sockets and of the proxy take.
const BODY: usize = 24 << 20;
const PIECE: usize = 64 << 10;

/// Reads a body, and counts it.
fn take(peer: &mut Peer, taken: &AtomicUsize) -> std::io::Result<()> {
    while taken.load(SeqCst) < BODY {
        let bytes = peer.exactly(PIECE)?;
        taken.fetch_add(bytes.len(), SeqCst);
    }
    Ok(())
}

/// An origin that answers when it has the body, and how much it has.
fn origin() -> (Origin, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let origin = Origin::start(move |peer, _| {
        peer.request_head()?;
        take(peer, &count)?;
        peer.answer("taken")?;
        peer.wait_for_close()
    });
    (origin, taken)
}

fn proxy(origin: &Origin, mirror: &Origin) -> Proxy {
    let mut config = Config::to(origin.address).and(Cluster::new("mirror", &[mirror.address], ""));
    config.route = "timeout: 0s, request_mirror_policies: [{cluster: mirror}]".into();
    start_one_worker(&config)
}

/// Sends the body and reads the answer.
fn upload(proxy: &Proxy) -> thread::JoinHandle<u16> {
    let mut client = proxy.client();
    thread::spawn(move || {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY}\r\n\r\n");
        client.send(head).unwrap();
        let piece = vec![b'x'; PIECE];
        for _ in 0..BODY / PIECE {
            client.send(&piece).unwrap();
        }
        client.response().status()
    })
}

#[test]
fn a_client_waits_for_a_slow_mirror() {
    let (origin, taken) = origin();
    let mirrored = Arc::new(AtomicUsize::new(0));
    let (go, wait) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let count = mirrored.clone();
    let mirror = Origin::start(move |peer, _| {
        peer.request_head()?;
        wait.lock().unwrap().recv().unwrap();
        take(peer, &count)?;
        peer.answer("taken")
    });
    let proxy = proxy(&origin, &mirror);
    let client = upload(&proxy);
    until("more than is buffered for a copy", || {
        taken.load(SeqCst) > 2 << 20
    });
    go.send(()).unwrap();
    assert_eq!(client.join().unwrap(), 200);
    until("the whole copy", || mirrored.load(SeqCst) == BODY);
    assert_eq!(proxy.stat("cluster.origin.retry_or_shadow_abandoned"), 0);
}

#[test]
fn a_client_does_not_wait_for_a_mirror_that_takes_nothing() {
    let (origin, _) = origin();
    let (_go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let mirror = Origin::start(move |peer, _| {
        peer.request_head()?;
        let _ = wait.lock().unwrap().recv();
        Ok(())
    });
    let proxy = proxy(&origin, &mirror);
    let client = upload(&proxy);
    assert_eq!(client.join().unwrap(), 200);
    assert_eq!(proxy.stat("cluster.origin.retry_or_shadow_abandoned"), 1);
}
