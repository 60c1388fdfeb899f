//! Large bodies, slow readers, windows.

use std::io::Read;

use nuncio_http::h2::H2Settings;
use nuncio_testing::{BOUND, Config, H2Client, Origin, until};

use super::{assert_idle, outcome};
use crate::{start, start_one_worker};

const MIB: usize = 1 << 20;

/// Answers with as many bytes as the path says.
fn source() -> Origin {
    Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            peer.answered();
            let size: usize = request.path()[1..].parse().unwrap_or(0);
            peer.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"))?;
            let block = [b'x'; 64 * 1024];
            let mut left = size;
            while left > 0 {
                let now = left.min(block.len());
                peer.send(&block[..now])?;
                left -= now;
            }
        }
    })
}

#[test]
fn large_responses_arrive_whole() {
    let origin = source();
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let keys: Vec<_> = (0..4)
        .map(|n| (n, client.start(&format!("/{}", (n + 1) * 3 * MIB))))
        .collect();
    for (n, key) in keys {
        let response = client.response(key);
        assert_eq!(response.body.len(), (n + 1) * 3 * MIB);
    }
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn large_requests_arrive_whole() {
    let origin = Origin::start(|peer, _| {
        loop {
            let length = peer.request()?.body.len();
            peer.answer(&length.to_string())?;
        }
    });
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let body = vec![b'u'; 20 * MIB];
    let keys: Vec<_> = (0..2).map(|_| client.post("/upload")).collect();
    for &key in &keys {
        client.send_all(key, &body, true);
    }
    for key in keys {
        assert_eq!(client.response(key).text(), (20 * MIB).to_string());
    }
    drop(client);
    assert_idle(&mut proxy);
}

/// A client that opens no window stops its own stream only, and the origin's bytes stay where they are.
#[test]
fn a_closed_window_stops_its_own_stream() {
    let origin = source();
    let mut proxy = start_one_worker(&Config::to(origin.address));
    let settings = H2Settings {
        initial_stream_window_size: 65_535,
        initial_connection_window_size: 16 << 20,
        ..H2Settings::upstream()
    };
    let mut client = H2Client::with(proxy.address, settings);
    client.takes_bodies = false;
    let stuck = client.start(&format!("/{}", 64 * MIB));
    client.until("a full window", |client| {
        client.seen(stuck).body.len() == 65_535
    });
    let before = proxy.resident_kib();
    assert_eq!(client.get("/1000").body.len(), 1000);
    assert!(
        proxy.stat("cluster.origin.upstream_cx_rx_bytes_total") < 8 * MIB as u64,
        "read on although nobody takes it"
    );
    assert!(proxy.resident_kib() < before + 4 * 1024);
    assert!(proxy.stat("http2.pending_send_bytes") > 0);
    // It goes on where it stood.
    client.takes_bodies = true;
    client.take(stuck);
    assert_eq!(client.response(stuck).body.len(), 64 * MIB);
    drop(client);
    assert_idle(&mut proxy);
}

/// Large bodies go from socket to socket, frame by frame: windows and resets stop them between frames, never inside.
#[test]
fn a_large_response_stops_between_frames() {
    let origin = source();
    let mut proxy = start_one_worker(&Config::to(origin.address));
    let settings = H2Settings {
        initial_stream_window_size: 100_000,
        initial_connection_window_size: 1 << 20,
        ..H2Settings::upstream()
    };
    let mut client = H2Client::with(proxy.address, settings);
    client.takes_bodies = false;
    let keys: Vec<_> = (0..3)
        .map(|_| client.start(&format!("/{}", 8 * MIB)))
        .collect();
    for &key in &keys {
        client.until("a full window", |client| {
            client.seen(key).body.len() == 100_000
        });
    }
    // Other streams get through, and one that is reset leaves nothing broken behind.
    assert_eq!(client.get("/70000").body.len(), 70_000);
    client.reset(keys[0], nuncio_http::h2::ErrorCode::CANCEL);
    client.takes_bodies = true;
    for &key in &keys[1..] {
        client.take(key);
        assert_eq!(client.response(key).body.len(), 8 * MIB);
    }
    assert_eq!(client.get("/1000").body.len(), 1000);
    drop(client);
    assert_idle(&mut proxy);
}

/// The client goes away, or gives up, in the middle of large responses.
#[test]
fn a_large_response_may_be_given_up_anywhere() {
    let origin = source();
    let mut proxy = start_one_worker(&Config::to(origin.address));
    for turn in 0..20_usize {
        let mut client = proxy.h2_client();
        let keys: Vec<_> = (0..3)
            .map(|_| client.start(&format!("/{}", 30 * MIB)))
            .collect();
        client.until("some of it", |client| {
            client.seen(keys[0]).body.len() > turn * 50_000
        });
        if turn % 2 == 0 {
            client.reset(keys[0], nuncio_http::h2::ErrorCode::CANCEL);
            assert_eq!(client.response(keys[1]).body.len(), 30 * MIB);
        }
    }
    assert_idle(&mut proxy);
}

/// A response that is complete, but not taken by its client, is cut by a timeout of its own.
#[test]
fn a_response_nobody_takes_is_cut() {
    let origin = source();
    let mut proxy = start(&Config::to(origin.address).hcm("stream_idle_timeout: 0.3s, "));
    let settings = H2Settings {
        initial_stream_window_size: 65_535,
        ..H2Settings::upstream()
    };
    let mut client = H2Client::with(proxy.address, settings);
    client.takes_bodies = false;
    let key = client.start("/70000");
    let response = client.response(key);
    assert_eq!(response.body.len(), 65_535);
    assert_eq!(response.reset, Some(2));
    assert_eq!(proxy.stat("http2.tx_flush_timeout"), 1);
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(outcome(line), "200 - via_upstream");
    drop(client);
    assert_idle(&mut proxy);
}

/// While a response is under way from the origin, the stream idle timeout is what ends a stalled stream.
#[test]
fn a_stalled_response_times_out() {
    let origin = source();
    let mut proxy = start(&Config::to(origin.address).hcm("stream_idle_timeout: 0.3s, "));
    let settings = H2Settings {
        initial_stream_window_size: 65_535,
        ..H2Settings::upstream()
    };
    let mut client = H2Client::with(proxy.address, settings);
    client.takes_bodies = false;
    let key = client.start(&format!("/{}", 64 * MIB));
    let response = client.response(key);
    assert_eq!(response.reset, Some(2));
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(outcome(line), "200 SI stream_idle_timeout");
    drop(client);
    assert_idle(&mut proxy);
}

/// An origin that does not read stops the client at the stream's window, and other streams go on.
#[test]
fn a_slow_origin_stops_its_own_stream() {
    let origin = Origin::start(|peer, _| {
        loop {
            let request = peer.request_head()?;
            if request.path() == "/slow" {
                return peer.wait_for_close();
            }
            peer.answer("quick")?;
        }
    });
    // Nobody reads what is sent to it.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::to(origin.address)
        .hcm("http2_protocol_options: {initial_stream_window_size: 65535}, ")
        .and(nuncio_testing::Cluster::new(
            "deaf",
            &[deaf.local_addr().unwrap()],
            "",
        ));
    let mut proxy = start_one_worker(&config);
    let mut client = proxy.h2_client();
    let key = client.post("/deaf");
    let piece = vec![b'u'; 64 * 1024];
    let mut sent = 0;
    // Socket buffers and the proxy's own limit are filled before the window stays closed.
    loop {
        let moved = client.send(key, &piece, false);
        sent += moved;
        if moved == 0
            && client
                .read_once(std::time::Duration::from_millis(300))
                .is_err()
        {
            break;
        }
        assert!(sent < 64 * MIB, "the window stays open");
    }
    assert_eq!(client.get("/other").text(), "quick");
    // The origin reads at last: the rest goes through.
    let (mut peer, _) = deaf.accept().unwrap();
    peer.set_read_timeout(Some(BOUND)).unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = 0;
        let mut block = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = peer.read(&mut block) {
            received += count;
        }
        received
    });
    client.send_all(key, &piece, true);
    until("the whole request", || {
        proxy.stat("cluster.deaf.upstream_cx_tx_bytes_total") as usize > sent + piece.len()
    });
    drop(client);
    assert!(reader.join().unwrap() > sent);
    assert_idle(&mut proxy);
}
