//! Bodies, trailers, pipelines and tunnels: streamed with back-pressure, whole and in order.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use nuncio_testing::{Body, Client, Cluster, Config, Origin, Proxy, until, until_still};

use crate::{start, start_one_worker};

const MIB: usize = 1 << 20;
/// What a large body may add to the resident memory.
const GROWTH_KIB: u64 = 8 * 1024;
const LARGE: usize = 64 * MIB;

/// The byte at a position of a body; a period that no buffer size is a multiple of.
fn byte_at(position: usize) -> u8 {
    (position % 251) as u8
}

/// A piece of a body that starts at this position.
fn piece(position: usize, length: usize) -> Vec<u8> {
    (position..position + length).map(byte_at).collect()
}

/// Pieces of one length that start at multiples of the period are all the same.
const PIECE: usize = 251 * 256;

/// Resident memory when the code that serves requests and shows stats has been loaded.
fn warm_resident_kib(proxy: &Proxy) -> u64 {
    let mut client = proxy.client();
    for _ in 0..10 {
        assert_eq!(client.get("/direct").status(), 200);
        proxy.stats();
    }
    proxy.resident_kib()
}

/// All requests go there, but for those that [`warm_resident_kib`] makes.
fn config(origin: &Origin) -> Config {
    let mut config = Config::to(origin.address);
    config.routes = "{match: {path: /direct}, direct_response: {status: 200}}, ".into();
    config
}

#[test]
fn a_large_response_waits_for_its_reader() {
    for framing in ["content-length", "chunked"] {
        let chunked = framing == "chunked";
        let origin = Origin::start(move |peer, _| {
            peer.request()?;
            let head = match chunked {
                true => "transfer-encoding: chunked".to_owned(),
                false => format!("content-length: {LARGE}"),
            };
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"))?;
            let mut sent = 0;
            let whole = piece(0, PIECE);
            while sent < LARGE {
                let now = &whole[..PIECE.min(LARGE - sent)];
                match chunked {
                    true => peer.send_chunk(now)?,
                    false => peer.send(now)?,
                }
                sent += now.len();
            }
            if chunked {
                peer.send("0\r\n\r\n")?;
            }
            peer.answered();
            peer.wait_for_close()
        });
        let proxy = start_one_worker(&config(&origin));
        let before = warm_resident_kib(&proxy);
        let mut client = proxy.client();
        client.send(Client::get_bytes("/")).unwrap();
        // The reader starts when nothing moves any more: sockets and buffers are full.
        let last = until_still("a full pipe", || {
            proxy.stat("cluster.origin.upstream_cx_rx_bytes_total")
        });
        assert!(last < LARGE as u64, "everything was read: {last}");
        assert_eq!(origin.running(), 1);
        assert!(proxy.resident_kib() < before + GROWTH_KIB);

        let head = client.head().unwrap();
        assert_eq!(head.status(), 200);
        let (mut received, mut peak) = (0, proxy.resident_kib());
        while received < LARGE {
            peak = peak.max(proxy.resident_kib());
            let bytes = match chunked {
                true => client.chunk().unwrap().expect("more chunks"),
                false => client.exactly(PIECE.min(LARGE - received)).unwrap(),
            };
            assert_eq!(bytes, piece(received, bytes.len()), "at {received}");
            received += bytes.len();
        }
        if chunked {
            assert_eq!(client.chunk().unwrap(), None);
        }
        let grown = peak.saturating_sub(before);
        assert!(grown <= GROWTH_KIB, "{framing}: {grown} KiB more");
        proxy.wait_for_lines(11);
    }
}

#[test]
fn a_large_response_that_halts_is_passed_on_as_far_as_it_came() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |peer, _| {
        peer.request()?;
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"
        ))?;
        let mut sent = 0;
        // A burst, and then little by little, each after the client has all before it.
        for length in [LARGE / 2, 1, 1000, 20_000, LARGE / 4, 1] {
            peer.send(piece(sent, length))?;
            sent += length;
            wait.lock().unwrap().recv().unwrap();
        }
        peer.send(piece(sent, LARGE - sent))?;
        peer.answered();
        peer.wait_for_close()
    });
    let proxy = start_one_worker(&config(&origin));
    let mut client = proxy.client();
    client.send(Client::get_bytes("/")).unwrap();
    assert_eq!(client.head().unwrap().status(), 200);
    let mut received = 0;
    let mut take = |length: usize| {
        assert!(client.exactly(length).unwrap() == piece(received, length));
        received += length;
        LARGE - received
    };
    for length in [LARGE / 2, 1, 1000, 20_000, LARGE / 4, 1] {
        take(length);
        go.send(()).unwrap();
    }
    take(LARGE - LARGE / 2 - LARGE / 4 - 21_002);
}

#[test]
fn a_large_upload_waits_for_a_slow_upstream() {
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |peer, _| {
        let head = peer.request_head()?;
        assert_eq!(head.header("content-length"), Some(&*LARGE.to_string()));
        wait.lock().unwrap().recv().unwrap();
        let mut received = 0;
        while received < LARGE {
            let length = PIECE.min(LARGE - received);
            assert_eq!(peer.exactly(length)?, piece(received, length));
            received += length;
        }
        peer.answer("taken")?;
        peer.wait_for_close()
    });
    let proxy = start_one_worker(&config(&origin));
    let before = warm_resident_kib(&proxy);
    let client = proxy.client();
    let mut reader = client
        .stream()
        .try_clone()
        .map(nuncio_testing::Wire::new)
        .unwrap()
        .unwrap();
    let sender = thread::spawn(move || {
        let mut client = client;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
        client.send(head).unwrap();
        let whole = piece(0, PIECE);
        let mut sent = 0;
        while sent < LARGE {
            let now = &whole[..PIECE.min(LARGE - sent)];
            client.send(now).unwrap();
            sent += now.len();
        }
    });
    let last = until_still("a full pipe", || {
        proxy.stat("cluster.origin.upstream_cx_tx_bytes_total")
    });
    assert!(last < LARGE as u64 && !sender.is_finished());
    assert!(proxy.resident_kib() < before + GROWTH_KIB);
    go.send(()).unwrap();
    let mut peak = proxy.resident_kib();
    until("everything is sent", || {
        peak = peak.max(proxy.resident_kib());
        sender.is_finished()
    });
    let response = reader.message(Body::Response).unwrap();
    assert_eq!((response.status(), &*response.text()), (200, "taken"));
    sender.join().unwrap();
    let grown = peak.saturating_sub(before);
    assert!(grown <= GROWTH_KIB, "{grown} KiB more");
}

/// An origin that sends back body and trailers of a request, chunked.
fn echo() -> Origin {
    Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")?;
            let framing = ["content-length", "transfer-encoding"];
            let framing = framing
                .into_iter()
                .find(|name| request.header(name).is_some());
            peer.send(format!("framing: {}\r\n\r\n", framing.unwrap_or("none")))?;
            for chunk in request.body.chunks(10) {
                peer.send_chunk(chunk)?;
            }
            peer.answered();
            let mut end = "0\r\n".to_owned();
            for (name, value) in &request.trailers {
                end += &format!("{name}: {value}\r\n");
            }
            peer.send(end + "\r\n")?;
        }
    })
}

const TRAILERS: &str =
    "common_http_protocol_options: {}, http_protocol_options: {enable_trailers: true}, ";

/// The same for a cluster.
const CLUSTER_TRAILERS: &str = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\
    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
    explicit_http_config: {http_protocol_options: {enable_trailers: true}}}}, ";

const WITH_TRAILERS: &str = "POST /t HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
    5\r\nhello\r\n8\r\n trailer\r\n0\r\nx-checksum: 1\r\nx-other: two words\r\n\r\n";

#[test]
fn trailers_go_both_ways_when_they_are_enabled() {
    let origin = echo();
    let cluster = Cluster::new("origin", &[origin.address], CLUSTER_TRAILERS);
    let proxy = start(&Config::of(cluster).hcm(TRAILERS));
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send(WITH_TRAILERS).unwrap();
        let response = client.response();
        assert_eq!(response.text(), "hello trailer");
        assert_eq!(response.trailer("x-checksum"), Some("1"));
        assert_eq!(response.trailer("x-other"), Some("two words"));
    }
}

#[test]
fn trailers_are_dropped_by_default() {
    let origin = echo();
    let proxy = start(&Config::to(origin.address));
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send(WITH_TRAILERS).unwrap();
        let response = client.response();
        assert_eq!(
            (&*response.text(), &*response.trailers),
            ("hello trailer", &[][..])
        );
    }
}

#[test]
fn framings_are_kept() {
    let origin = echo();
    let proxy = start(&Config::to(origin.address));
    let mut client = proxy.client();
    for length in [0, 1, 100, MIB] {
        let body = piece(0, length);
        client
            .send(format!(
                "POST /l HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
            ))
            .unwrap();
        client.send(&body).unwrap();
        let response = client.response();
        assert_eq!(response.header("framing"), Some("content-length"));
        assert!(response.body == body);

        client
            .send("POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            .unwrap();
        for chunk in body.chunks(100_000) {
            client.send_chunk(chunk).unwrap();
        }
        client.send("0\r\n\r\n").unwrap();
        let response = client.response();
        assert_eq!(response.header("framing"), Some("transfer-encoding"));
        assert!(response.body == body);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            let body = format!("{} {}", request.path(), request.body.len());
            peer.answer(&body)?;
        }
    });
    let proxy = start(&Config::to(origin.address));
    let mut client = proxy.client();
    let mut all = Vec::new();
    for number in 0..100 {
        let body = "b".repeat(number);
        all.extend_from_slice(match number % 3 {
            0 => Client::get_bytes(&format!("/{number}")),
            1 => format!("POST /{number} HTTP/1.1\r\nhost: a\r\ncontent-length: {number}\r\n\r\n{body}"),
            _ => format!(
                "POST /{number} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{number:x}\r\n{body}\r\n0\r\n\r\n"
            ),
        }.as_bytes());
    }
    client.send(all).unwrap();
    for number in 0..100 {
        let length = if number % 3 == 0 { 0 } else { number };
        assert_eq!(client.response().text(), format!("/{number} {length}"));
    }
    assert_eq!(proxy.wait_for_lines(100).len(), 100);
}

#[test]
fn an_upgraded_connection_is_a_tunnel_both_ways() {
    const LENGTH: usize = 10 * MIB;
    let origin = Origin::start(|peer, _| {
        let request = peer.request()?;
        assert_eq!(request.header("upgrade"), Some("websocket"));
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )?;
        // Both ways at a time: neither side waits for the other.
        let mut writer = nuncio_testing::Wire::new(peer.stream().try_clone()?)?;
        let sender = thread::spawn(move || writer.send(piece(0, LENGTH)));
        let good = peer.exactly(LENGTH)? == piece(7, LENGTH);
        sender.join().unwrap()?;
        peer.send([u8::from(good)])?;
        peer.wait_for_close()
    });
    let config = Config::to(origin.address).hcm("upgrade_configs: [{upgrade_type: websocket}], ");
    let proxy = start(&config);
    let mut client = proxy.client();
    client
        .send("GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .unwrap();
    let response = client.head().unwrap();
    assert_eq!(
        (response.status(), response.header("upgrade")),
        (101, Some("websocket"))
    );
    let mut writer = nuncio_testing::Wire::new(client.stream().try_clone().unwrap()).unwrap();
    let sender = thread::spawn(move || writer.send(piece(7, LENGTH)).unwrap());
    assert!(client.exactly(LENGTH).unwrap() == piece(0, LENGTH));
    sender.join().unwrap();
    assert_eq!(client.exactly(1).unwrap(), [1]);
    proxy.wait_for_stat("http.ingress.downstream_cx_upgrades_active", 1);
    drop(client);
    proxy.wait_for_stat("http.ingress.downstream_cx_upgrades_active", 0);
    until("the origin sees the end", || origin.open() == 0);
    assert!(proxy.wait_for_lines(1)[0].starts_with("GET /ws 101 DC"));
}

/// What a client sends ahead of the 101 is no HTTP to the origin, which may answer otherwise: it must not see it before.
#[test]
fn early_bytes_of_a_tunnel_wait_for_the_101() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |peer, _| {
        // A first request, so that the upgrade comes over a connection of the pool.
        peer.request()?;
        peer.answer("first")?;
        peer.request()?;
        wait.lock().unwrap().recv().unwrap();
        let quiet = peer.is_quiet(Duration::from_millis(50));
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )?;
        let early = peer.exactly(10)?;
        peer.send(if quiet && early == b"earlybytes" {
            "good"
        } else {
            "evil"
        })?;
        peer.wait_for_close()
    });
    let config = config(&origin).hcm("upgrade_configs: [{upgrade_type: websocket}], ");
    let proxy = start_one_worker(&config);
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "first");
    client
        .send(
            "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nearly",
        )
        .unwrap();
    until("the upgrade at the origin", || origin.running() == 1);
    client.send("bytes").unwrap();
    // A request that the same worker answers after it has read those bytes.
    assert_eq!(proxy.client().get("/direct").status(), 200);
    go.send(()).unwrap();
    assert_eq!(client.head().unwrap().status(), 101);
    assert_eq!(client.exactly(4).unwrap(), b"good");
}
