//! Large bodies that cross the proxy through pipes: byte-exact, bounded, counted, whatever client and upstream do.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use nuncio_testing::{BOUND, Client, Config, Origin, Peer, Proxy, until, until_still};

use crate::start_one_worker;

const MIB: usize = 1 << 20;
const LARGE: usize = 64 * MIB;

/// A piece of a body that starts at this position; its period is one that no buffer or pipe is a multiple of.
fn piece(position: usize, length: usize) -> Vec<u8> {
    (position..position + length)
        .map(|position| (position % 251) as u8)
        .collect()
}

/// Pieces of one length that start at multiples of the period are all the same.
const PIECE: usize = 251 * 256;

/// Sends so much of a body.
fn send_body(peer: &mut Peer, length: usize) -> std::io::Result<()> {
    let whole = piece(0, PIECE);
    let mut sent = 0;
    while sent < length {
        let now = &whole[..PIECE.min(length - sent)];
        peer.send(now)?;
        sent += now.len();
    }
    Ok(())
}

/// Reads so much of a body and compares it.
#[track_caller]
fn expect_body(client: &mut Client, length: usize) {
    let whole = piece(0, PIECE);
    let mut received = 0;
    while received < length {
        let bytes = client.exactly(PIECE.min(length - received)).unwrap();
        assert!(bytes == whole[..bytes.len()], "at {received}");
        received += bytes.len();
    }
}

/// Answers requests for `/<n>` with n bytes of body, others with their path.
fn origin() -> Origin {
    Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            match request.path()[1..].parse() {
                Ok(length) => {
                    peer.send(format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"
                    ))?;
                    send_body(peer, length)?;
                    peer.answered();
                }
                Err(_) => peer.answer(request.path())?,
            }
        }
    })
}

/// Waits until nothing moves any more: sockets, and the pipe between them, are full.
fn until_full(proxy: &Proxy) -> u64 {
    until_still("full sockets", || {
        proxy.stat("cluster.origin.upstream_cx_rx_bytes_total")
    })
}

/// One worker before this origin.
fn proxy(origin: &Origin, hcm: &str) -> Proxy {
    start_one_worker(&Config::to(origin.address).hcm(hcm))
}

#[test]
fn a_spliced_response_is_followed_by_others_on_both_connections() {
    let origin = origin();
    let proxy = proxy(&origin, "");
    let mut client = proxy.client();
    for length in [LARGE, 300_000, MIB + 1, 10] {
        client
            .send(Client::get_bytes(&format!("/{length}")))
            .unwrap();
        assert_eq!(client.head().unwrap().status(), 200);
        expect_body(&mut client, length);
        assert_eq!(client.get("/next").text(), "/next");
    }
    assert_eq!(origin.connections(), 1, "kept alive");
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_active"), 1);
}

#[test]
fn requests_behind_a_spliced_response_wait_their_turn() {
    let origin = origin();
    let proxy = proxy(&origin, "");
    let mut client = proxy.client();
    let paths = ["/3000000", "/one", "/400000", "/two", "/700000"];
    let all: String = paths.iter().map(|path| Client::get_bytes(path)).collect();
    client.send(all).unwrap();
    until_full(&proxy);
    for path in paths {
        match path[1..].parse() {
            Ok(length) => {
                assert_eq!(client.head().unwrap().status(), 200);
                expect_body(&mut client, length);
            }
            Err(_) => assert_eq!(client.response().text(), path),
        }
    }
    assert_eq!(proxy.wait_for_lines(paths.len()).len(), paths.len());
}

#[test]
fn a_stalled_reader_holds_one_pipe_and_gets_everything_later() {
    let origin = origin();
    let proxy = proxy(&origin, "");
    assert_eq!(proxy.client().get("/warm").status(), 200);
    let before = proxy.pipe_ends();
    let mut client = proxy.client();
    client
        .send(Client::get_bytes(&format!("/{LARGE}")))
        .unwrap();
    let taken = until_full(&proxy);
    assert!(taken < LARGE as u64, "everything was read: {taken}");
    assert_eq!(proxy.pipe_ends(), before + 2, "two ends of a pipe");
    assert_eq!(client.head().unwrap().status(), 200);
    // Stop and go.
    for _ in 0..4 {
        expect_body(&mut client, 4 * PIECE);
        until_full(&proxy);
    }
    expect_body(&mut client, LARGE - 16 * PIECE);
    assert_eq!(client.get("/next").text(), "/next");
}

#[test]
fn many_stalled_readers_share_a_bounded_number_of_pipes() {
    const READERS: usize = 70;
    const LENGTH: usize = 4 * MIB;
    let origin = origin();
    let proxy = proxy(&origin, "");
    assert_eq!(proxy.client().get("/warm").status(), 200);
    let before = proxy.pipe_ends();
    let mut clients: Vec<Client> = (0..READERS).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client
            .send(Client::get_bytes(&format!("/{LENGTH}")))
            .unwrap();
    }
    until_full(&proxy);
    let open = proxy.pipe_ends() - before;
    assert!(open <= 128, "{open} ends of pipes");
    for client in &mut clients {
        assert_eq!(client.head().unwrap().status(), 200);
        expect_body(client, LENGTH);
    }
}

#[test]
fn a_client_that_leaves_ends_the_transfer() {
    const LEAVING: usize = 10;
    /// As many empty pipes as a worker keeps.
    const SPARE_PIPES: usize = 4;
    let origin = origin();
    let proxy = proxy(&origin, "");
    assert_eq!(proxy.client().get("/warm").status(), 200);
    let before = proxy.pipe_ends();
    for number in 0..LEAVING {
        let mut client = proxy.client();
        client
            .send(Client::get_bytes(&format!("/{LARGE}")))
            .unwrap();
        assert_eq!(client.head().unwrap().status(), 200);
        expect_body(&mut client, 10 * PIECE);
        match number % 2 == 0 {
            true => nuncio_testing::reset(client.into_wire()),
            false => drop(client),
        }
        proxy.wait_for_stat("http.ingress.downstream_rq_active", 0);
    }
    let lines = proxy.wait_for_lines(1 + LEAVING);
    for line in &lines[1..] {
        assert!(line.starts_with(&format!("GET /{LARGE} 200 DC ")), "{line}");
    }
    until("upstream connections closed", || origin.open() <= 1);
    // A pipe that was empty just then is kept for the next transfer; one with something in it is closed.
    let kept = proxy.pipe_ends() - before;
    assert!(kept <= 2 * SPARE_PIPES, "{kept} ends of pipes are left");
    assert_eq!(proxy.client().get("/after").text(), "/after");
}

#[test]
fn an_upstream_that_truncates_cuts_the_response_where_it_was_cut() {
    const SENT: usize = 5 * MIB + 77;
    for reset in [false, true] {
        let (arrived, has_arrived) = mpsc::channel();
        let has_arrived = Mutex::new(has_arrived);
        let origin = Origin::start(move |peer, _| {
            peer.request()?;
            peer.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"
            ))?;
            send_body(peer, SENT)?;
            if reset {
                // It must not overtake what was sent.
                let _ = has_arrived.lock().unwrap().recv_timeout(BOUND);
                peer.reset();
            }
            Ok(())
        });
        let proxy = proxy(&origin, "");
        let mut client = proxy.client();
        client.send(Client::get_bytes("/cut")).unwrap();
        assert_eq!(client.head().unwrap().status(), 200);
        expect_body(&mut client, SENT);
        arrived.send(()).unwrap();
        assert!(client.closed().is_empty(), "nothing more, and the end");
        // As when the bytes are looked at, and as in Envoy.
        assert!(proxy.wait_for_lines(1)[0].starts_with("GET /cut 200 UPE "));
        assert_eq!(proxy.stat("cluster.origin.upstream_cx_active"), 0);
    }
}

#[test]
fn bytes_behind_the_body_are_not_part_of_it() {
    const LENGTH: usize = 3 * MIB;
    let origin = Origin::start(|peer, number| {
        peer.request()?;
        peer.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"
        ))?;
        send_body(peer, LENGTH)?;
        if number == 0 {
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbogus")?;
        }
        peer.answered();
        peer.wait_for_close()
    });
    let proxy = proxy(&origin, "");
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(Client::get_bytes("/")).unwrap();
        assert_eq!(client.head().unwrap().status(), 200);
        expect_body(&mut client, LENGTH);
        if origin.connections() == 1 {
            // Such a connection is not used again.
            proxy.wait_for_stat("cluster.origin.upstream_cx_active", 0);
        }
    }
    assert_eq!(origin.connections(), 2);
    assert!(client.is_quiet(Duration::from_millis(50)));
}

#[test]
fn a_body_that_ends_with_the_connection_is_spliced_to_a_client_of_http_1_0() {
    let origin = Origin::start(|peer, _| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\n\r\n")?;
        send_body(peer, LARGE)
    });
    let proxy = proxy(&origin, "http_protocol_options: {accept_http_10: true}, ");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(client.head().unwrap().status(), 200);
    until_full(&proxy);
    expect_body(&mut client, LARGE);
    assert!(client.closed().is_empty());
    assert!(proxy.wait_for_lines(1)[0].starts_with("GET / 200 - "));
}

#[test]
fn a_reader_that_stalls_for_too_long_is_dropped() {
    let origin = origin();
    let proxy = proxy(&origin, "stream_idle_timeout: 1s, ");
    let mut client = proxy.client();
    client
        .send(Client::get_bytes(&format!("/{LARGE}")))
        .unwrap();
    let line = &proxy.wait_for_lines(1)[0];
    assert!(line.contains(&format!("/{LARGE} 200 ")), "{line}");
    proxy.wait_for_stat("http.ingress.downstream_cx_active", 0);
    until("the upstream connection is closed", || origin.open() == 0);
    let received = client.closed().len();
    assert!(received < LARGE, "{received} came");
}

#[test]
fn filters_that_look_at_bodies_still_see_them() {
    let origin = origin();
    let mut config = Config::to(origin.address);
    config.filters = "{name: fault, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, \
        response_rate_limit: {fixed_limit: {limit_kbps: 10240}, percentage: {numerator: 100}}}}, "
        .into();
    let proxy = start_one_worker(&config);
    assert_eq!(proxy.client().get("/warm").status(), 200);
    let mut client = proxy.client();
    let begin = std::time::Instant::now();
    client
        .send(Client::get_bytes(&format!("/{}", 8 * MIB)))
        .unwrap();
    assert_eq!(client.head().unwrap().status(), 200);
    expect_body(&mut client, 8 * MIB);
    assert!(
        begin.elapsed() > Duration::from_millis(500),
        "10 MiB a second"
    );
}

#[test]
fn logs_and_stats_count_what_nobody_has_looked_at() {
    let origin = origin();
    let mut config = Config::to(origin.address);
    config.log = " %BYTES_SENT% %DOWNSTREAM_WIRE_BYTES_SENT% %UPSTREAM_WIRE_BYTES_RECEIVED%".into();
    let proxy = start_one_worker(&config);
    let mut client = proxy.client();
    client
        .send(Client::get_bytes(&format!("/{LARGE}")))
        .unwrap();
    // The head of the origin is known; the rest of what came is the body.
    let received = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").len() + LARGE;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.append(&mut client.exactly(1).unwrap());
    }
    expect_body(&mut client, LARGE);
    let line = proxy.wait_for_lines(1).remove(0);
    let sent = head.len() + LARGE;
    assert!(
        line.ends_with(&format!(" {LARGE} {sent} {received}")),
        "{line}"
    );
    assert_eq!(
        proxy.stat("cluster.origin.upstream_cx_rx_bytes_total"),
        received as u64
    );
    assert_eq!(
        proxy.stat("http.ingress.downstream_cx_tx_bytes_total"),
        sent as u64
    );
}
