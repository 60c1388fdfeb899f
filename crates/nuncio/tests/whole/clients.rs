//! Clients that are slow, many, rude or gone.

use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

use nuncio_testing::{Client, Config, Origin, Proxy, reset, until};

use crate::start;

const QUICK_CLOSE: &str = "delayed_close_timeout: 0.1s, ";

/// Nothing is left of what the test did.
fn assert_idle(proxy: &mut Proxy) {
    proxy.wait_for_stat("http.ingress.downstream_cx_active", 0);
    proxy.wait_for_stat("http.ingress.downstream_rq_active", 0);
    proxy.wait_for_stat("cluster.origin.upstream_rq_active", 0);
    proxy.assert_alive();
}

/// Sending FIN is leaving, as in Envoy: the exchange is cancelled and both connections are closed.
#[test]
fn a_client_that_half_closes_has_left() {
    for request in [
        "GET /left HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /left HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf",
        "GET /left HTT",
    ] {
        let origin = Origin::start(|peer, _| {
            peer.request_head()?;
            peer.wait_for_close()
        });
        let mut proxy = start(&Config::to(origin.address).hcm(QUICK_CLOSE));
        let complete = request.contains("\r\n\r\n");
        let mut client = proxy.client();
        client.send(request).unwrap();
        if complete {
            until("the request at the origin", || origin.running() == 1);
        }
        client.finish().unwrap();
        assert_eq!(client.closed(), b"", "{request}");
        until("the origin's connection is closed", || origin.open() == 0);
        assert_idle(&mut proxy);
        if complete {
            let line = &proxy.wait_for_lines(1)[0];
            assert!(
                line.ends_with("/left 0 DC downstream_remote_disconnect"),
                "{line}"
            );
        }
    }
}

/// A client that is gone while the origin works: the origin's connection is closed, and that is counted.
#[test]
fn a_client_gone_while_waiting_frees_the_upstream() {
    for rude in [false, true] {
        let origin = Origin::start(|peer, _| {
            peer.request()?;
            peer.wait_for_close()
        });
        let mut proxy = start(&Config::to(origin.address));
        let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send(Client::get_bytes("/")).unwrap();
        }
        until("requests at the origin", || origin.running() == 10);
        for client in clients {
            match rude {
                true => reset(client.into_wire()),
                false => drop(client),
            }
        }
        until("the origin's connections are closed", || origin.open() == 0);
        assert_idle(&mut proxy);
        let stats = proxy.stats();
        for (name, value) in [
            ("http.ingress.downstream_cx_destroy_remote_active_rq", 10),
            ("http.ingress.downstream_rq_rx_reset", 10),
            (
                "cluster.origin.upstream_cx_destroy_local_with_active_rq",
                10,
            ),
            ("cluster.origin.upstream_rq_cancelled", 0),
            ("cluster.origin.upstream_cx_active", 0),
        ] {
            let found = stats.get(name).copied().unwrap_or(0);
            assert_eq!(found, value, "{name}");
        }
        for line in proxy.wait_for_lines(10) {
            assert_eq!(line, "GET / 0 DC downstream_remote_disconnect");
        }
    }
}

#[test]
fn a_reset_in_the_middle_of_a_request_is_a_disconnect() {
    let origin = Origin::start(|peer, _| {
        peer.request()?;
        peer.answer("never")
    });
    let mut proxy = start(&Config::to(origin.address));
    let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    // Every prefix of the request, in the middle of every part of it.
    for length in 0..=request.len() {
        let mut client = proxy.client();
        client.send(&request[..length]).unwrap();
        if length % 5 == 0 {
            until("its bytes are taken", || {
                proxy.stat("http.ingress.downstream_cx_active") > 0
            });
        }
        reset(client.into_wire());
    }
    assert_idle(&mut proxy);
    // A connection that was not ready when its request left stays in the pool, unused.
    until("nothing runs at the origin", || origin.running() == 0);
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::answering("slowly");
    let proxy = start(&Config::to(origin.address));
    let mut client = proxy.client();
    for _ in 0..3 {
        for byte in Client::get_bytes("/slow").as_bytes() {
            client.send([*byte]).unwrap();
        }
        assert_eq!(client.response().text(), "slowly");
    }
}

#[test]
fn a_head_that_does_not_come_to_an_end_times_out() {
    let origin = Origin::answering("x");
    let proxy = start(
        &Config::to(origin.address)
            .hcm("request_headers_timeout: 0.2s, ")
            .hcm(QUICK_CLOSE),
    );
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
    let response = client.response();
    assert_eq!(
        (response.status(), &*response.text()),
        (408, "request header timeout")
    );
    assert!(response.closes());
    client.closed();
    assert_eq!(origin.connections(), 0);
}

#[test]
fn huge_heads_are_refused_before_they_are_whole() {
    let origin = Origin::answering("x");
    let mut proxy = start(&Config::to(origin.address).hcm(QUICK_CLOSE));
    let value = "v".repeat(70_000);
    let many: String = (0..200).map(|n| format!("x-{n}: v\r\n")).collect();
    for head in [
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {value}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {value}"),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{value}"),
        format!("GET /{value} HTTP/1.1\r\nhost: a\r\n\r\n"),
        format!("GET /{value}"),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"),
    ] {
        let mut client = proxy.client();
        client.send(head).unwrap();
        let response = client.response();
        assert_eq!(response.status(), 431);
        assert!(response.closes());
        client.closed();
    }
    // Endless input is not kept.
    let before = proxy.resident_kib();
    for _ in 0..20 {
        let mut client = proxy.client();
        while client.send([b'a'; 1 << 16]).is_ok() {}
        client.closed();
    }
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 4096, "{grown} KiB more");
    assert_eq!(origin.connections(), 0);
    assert_idle(&mut proxy);
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    const CLIENTS: usize = 1000;
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |peer, _| {
        peer.request()?;
        // All of them wait here until the last has arrived.
        let _ = wait.lock().unwrap().recv();
        peer.answer("one of many")?;
        peer.wait_for_close()
    });
    let mut proxy = start(&Config::to(origin.address));
    let connecting: Vec<_> = (0..4)
        .map(|_| {
            let address = proxy.address;
            thread::spawn(move || {
                let connect = |_| {
                    let mut client = Client::connect(address);
                    client.send(Client::get_bytes("/")).unwrap();
                    client
                };
                (0..CLIENTS / 4).map(connect).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut clients: Vec<_> = connecting
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    until("all requests at the origin", || origin.running() == CLIENTS);
    assert_eq!(
        proxy.stat("http.ingress.downstream_cx_active"),
        CLIENTS as u64
    );
    drop(go);
    for client in &mut clients {
        assert_eq!(client.response().text(), "one of many");
    }
    drop(clients);
    assert_idle(&mut proxy);
    assert_eq!(proxy.stat("http.ingress.downstream_rq_2xx"), CLIENTS as u64);
}
