//! Large bodies, slow readers and slow origins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use nuncio_http::h2::H2Settings;
use nuncio_testing::{Body, H2Origin, until};

use super::{assert_idle, to, to_with};
use crate::{start, start_one_worker};

const MIB: usize = 1024 * 1024;

/// Windows as small as they may be.
const NARROW: &str = "initial_stream_window_size: 65536, initial_connection_window_size: 1048576";

fn narrow() -> H2Settings {
    H2Settings {
        initial_stream_window_size: 65_536,
        initial_connection_window_size: 65_536,
        ..H2Settings::default()
    }
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    let body: Vec<u8> = (0..8 * MIB).map(|at| (at % 251) as u8).collect();
    let expected = body.clone();
    let origin = H2Origin::start(move |peer, _| {
        loop {
            let key = peer.request()?;
            let echo = std::mem::take(&mut peer.seen(key).body.clone());
            peer.head(key, &[(":status", "200")], false)?;
            peer.send_all(key, &echo, true)?;
            peer.forget(key)?;
        }
    });
    for options in ["", NARROW] {
        let mut proxy = start(&to_with(&origin, options));
        let mut client = proxy.h2_client();
        let key = client.post("/x");
        client.send_all(key, &body, true);
        let response = client.response(key);
        assert!(response.body == expected, "{} bytes", response.body.len());
        let mut wire = proxy.client().into_wire();
        let length = body.len();
        wire.send(format!(
            "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
        ))
        .unwrap();
        let mut sender = wire.stream().try_clone().unwrap();
        let request = body.clone();
        let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &request));
        let response = wire.message(Body::Response).unwrap();
        sending.join().unwrap().unwrap();
        assert!(response.body == expected);
        assert_idle(&mut proxy);
    }
}

#[test]
fn a_slow_reader_slows_its_origin_and_nobody_else() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let origin = H2Origin::start(move |peer, _| {
        let big = peer.request()?;
        peer.head(big, &[(":status", "200")], false)?;
        let piece = vec![b'x'; 64 * 1024];
        loop {
            count.fetch_add(peer.send(big, &piece, false)?, SeqCst);
            peer.until(|peer| peer.capacity(big) > 0 || peer.has_request())?;
            if peer.has_request() {
                let key = peer.request()?;
                peer.answer(key, "quick")?;
            }
        }
    });
    let mut proxy = start_one_worker(&to_with(&origin, NARROW));
    let mut slow = proxy.client().into_wire();
    slow.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let paused = "cluster.origin.upstream_flow_control_paused_reading_total";
    until("the proxy pauses", || proxy.stat(paused) > 0);
    // The windows of its stream are closed, those of others are not.
    assert_eq!(proxy.client().get("/quick").text(), "quick");
    let before = sent.load(SeqCst);
    assert!(before < 64 * MIB, "{before} bytes");
    assert_eq!(proxy.client().get("/quick").text(), "quick");
    assert_eq!(sent.load(SeqCst), before);
    drop(slow);
    proxy.wait_for_stat("http.ingress.downstream_rq_active", 0);
    proxy.assert_alive();
}

/// What has come whole waits for its client where it is.
#[test]
fn a_complete_response_waits_for_a_slow_reader() {
    let origin = H2Origin::start(|peer, _| {
        let key = peer.request()?;
        peer.answer(key, &"x".repeat(24 * MIB))?;
        peer.wait_for_close()
    });
    let windows = "initial_stream_window_size: 33554432, initial_connection_window_size: 33554432";
    let mut proxy = start_one_worker(&to_with(&origin, windows));
    let mut slow = proxy.client().into_wire();
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    proxy.wait_for_stat("cluster.origin.http2.deferred_stream_close", 1);
    assert_eq!(slow.message(Body::Response).unwrap().body.len(), 24 * MIB);
    assert_idle(&mut proxy);
}

#[test]
fn a_slow_origin_slows_its_client() {
    let go = Arc::new(AtomicBool::new(false));
    let may_go = go.clone();
    let origin = H2Origin::with(narrow(), move |peer, _| {
        peer.takes_bodies = false;
        let key = peer.request_head()?;
        until("the test's sign", || may_go.load(SeqCst));
        peer.takes_bodies = true;
        let (codec, out) = peer.codec();
        let bytes = codec.unconsumed(key);
        codec.consumed(key, bytes, out);
        peer.flush()?;
        peer.until(|peer| peer.seen(key).ended)?;
        let length = peer.seen(key).body.len().to_string();
        peer.answer(key, &length)?;
        peer.wait_for_close()
    });
    let mut proxy = start_one_worker(&to(&origin));
    let mut wire = proxy.client().into_wire();
    let length = 32 * MIB;
    wire.send(format!(
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ))
    .unwrap();
    let mut sender = wire.stream().try_clone().unwrap();
    let sending =
        std::thread::spawn(move || std::io::Write::write_all(&mut sender, &vec![b'x'; 32 * MIB]));
    let backed_up = "cluster.origin.upstream_flow_control_backed_up_total";
    until("the proxy is backed up", || proxy.stat(backed_up) > 0);
    assert!(proxy.stat("http.ingress.downstream_cx_rx_bytes_total") < 16 * MIB as u64);
    go.store(true, SeqCst);
    let response = wire.message(Body::Response).unwrap();
    sending.join().unwrap().unwrap();
    assert_eq!(response.text(), length.to_string());
    assert!(proxy.stat("cluster.origin.upstream_flow_control_drained_total") > 0);
    assert_idle(&mut proxy);
}
