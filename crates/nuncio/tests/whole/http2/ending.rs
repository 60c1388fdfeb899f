//! Resets, timeouts, drains, GOAWAY.

use nuncio_http::h2::ErrorCode;
use nuncio_testing::{Config, H2Client, Origin, until};

use super::{assert_idle, outcome};
use crate::start;

const NOTICE: u32 = (1 << 31) - 1;

/// Reads a request and does not answer it.
fn silent() -> Origin {
    Origin::start(|peer, _| {
        peer.request_head()?;
        peer.wait_for_close()
    })
}

#[test]
fn a_reset_frees_the_upstream() {
    let origin = silent();
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let keys = [client.start("/cancel"), client.start("/refuse")];
    let body = client.post("/body");
    client.send(body, b"some", false);
    until("the requests at the origin", || origin.running() == 3);
    client.reset(keys[0], ErrorCode::CANCEL);
    client.reset(keys[1], ErrorCode::REFUSED_STREAM);
    client.reset(body, ErrorCode::NO_ERROR);
    until("the origin's connections are closed", || origin.open() == 0);
    let mut lines = proxy.wait_for_lines(3);
    lines.sort();
    assert_eq!(lines[0], "GET /cancel 0 DR http2.remote_reset");
    assert_eq!(lines[1], "GET /refuse 0 DR http2.remote_refuse");
    assert_eq!(lines[2], "POST /body 0 DR http2.remote_reset");
    assert_eq!(proxy.stat("http2.rx_reset"), 3);
    assert_eq!(proxy.stat("http.ingress.downstream_rq_rx_reset"), 3);
    assert_eq!(proxy.stat("http.ingress.downstream_cx_http2_active"), 1);
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn a_client_that_leaves_ends_all_its_streams() {
    let origin = silent();
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    for _ in 0..20 {
        client.start("/left");
    }
    until("the requests at the origin", || origin.running() == 20);
    drop(client);
    until("the origin's connections are closed", || origin.open() == 0);
    for line in proxy.wait_for_lines(20) {
        assert_eq!(outcome(&line), "0 DC downstream_remote_disconnect");
    }
    let stats = proxy.stats();
    assert_eq!(
        stats["http.ingress.downstream_cx_destroy_remote_active_rq"],
        1
    );
    assert_eq!(stats["http.ingress.downstream_rq_rx_reset"], 20);
    assert_idle(&mut proxy);
}

/// The origin ends its connection in the middle of the response: what has come is passed on, then the stream is reset.
#[test]
fn a_cut_response_resets_the_stream() {
    let origin = Origin::start(|peer, _| {
        peer.request()?;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
    });
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let response = client.get("/cut");
    assert_eq!((response.status(), response.text().as_str()), (200, "part"));
    assert_eq!(response.reset, Some(2));
    assert_eq!(proxy.stat("http2.tx_reset"), 1);
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn timeouts_end_streams_not_connections() {
    let origin = silent();
    let mut proxy = start(&Config::to(origin.address).hcm("stream_idle_timeout: 0.2s, "));
    let mut client = proxy.h2_client();
    let complete = client.start("/complete");
    let open = client.post("/open");
    let response = client.response(complete);
    assert_eq!(response.status(), 504);
    let response = client.response(open);
    assert_eq!(response.status(), 408);
    let mut lines = proxy.wait_for_lines(2);
    lines.sort();
    assert_eq!(outcome(&lines[0]), "504 SI stream_idle_timeout");
    assert_eq!(outcome(&lines[1]), "408 SI stream_idle_timeout");
    assert_eq!(proxy.stat("http.ingress.downstream_cx_http2_active"), 1);
    drop(client);
    assert_idle(&mut proxy);
}

/// GOAWAY in two steps; between them the client's streams are served.
#[test]
fn max_requests_per_connection_drains() {
    let origin = Origin::answering("served");
    let config = Config::to(origin.address).hcm(
        "drain_timeout: 0.5s, delayed_close_timeout: 0.1s, \
         common_http_protocol_options: {max_requests_per_connection: 2}, ",
    );
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/1").status(), 200);
    assert!(client.go_aways.is_empty());
    assert_eq!(client.get("/2").status(), 200);
    assert_eq!(client.go_aways, [(NOTICE, 0)]);
    client.wait_for_close();
    assert_eq!(client.go_aways, [(NOTICE, 0), (3, 0)]);
    assert_eq!(
        proxy.stat("http.ingress.downstream_cx_max_requests_reached"),
        1
    );
    // Envoy counts the second step only.
    assert_eq!(proxy.stat("http2.goaway_sent"), 1);
    assert_idle(&mut proxy);
}

#[test]
fn an_idle_connection_is_drained() {
    let origin = Origin::answering("served");
    let config = Config::to(origin.address).hcm(
        "drain_timeout: 0.2s, delayed_close_timeout: 0.1s, \
         common_http_protocol_options: {idle_timeout: 0.3s}, ",
    );
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/").status(), 200);
    client.wait_for_close();
    assert_eq!(client.go_aways, [(NOTICE, 0), (1, 0)]);
    assert_eq!(proxy.stat("http.ingress.downstream_cx_idle_timeout"), 1);
    assert_idle(&mut proxy);
}

/// A stream that is open when the second GOAWAY goes out is served to its end.
#[test]
fn max_connection_duration_lets_streams_end() {
    let (answer, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let origin = Origin::start(move |peer, _| {
        peer.request()?;
        let _ = wait.lock().unwrap().recv();
        peer.answer("late")
    });
    let config = Config::to(origin.address).hcm(
        "drain_timeout: 0.2s, delayed_close_timeout: 0.1s, \
         common_http_protocol_options: {max_connection_duration: 0.3s}, ",
    );
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    let key = client.start("/late");
    client.until("both steps", |client| client.go_aways.len() == 2);
    answer.send(()).unwrap();
    assert_eq!(client.response(key).text(), "late");
    client.wait_for_close();
    assert_eq!(
        proxy.stat("http.ingress.downstream_cx_max_duration_reached"),
        1
    );
    assert_idle(&mut proxy);
}

/// `/healthcheck/fail` drains connections with their next response.
#[test]
fn a_failed_health_check_drains() {
    let origin = Origin::answering("served");
    let config =
        Config::to(origin.address).hcm("drain_timeout: 0.2s, delayed_close_timeout: 0.1s, ");
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/").status(), 200);
    let mut admin = nuncio_testing::Client::connect(proxy.admin);
    admin
        .send("POST /healthcheck/fail HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    assert_eq!(admin.response().status(), 200);
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(client.go_aways, [(NOTICE, 0)]);
    client.wait_for_close();
    assert_eq!(proxy.stat("http.ingress.downstream_cx_drain_close"), 1);
    assert_idle(&mut proxy);
}

/// A peer that answers no PING is gone.
#[test]
fn keepalive_finds_dead_peers() {
    let origin = silent();
    let config = Config::to(origin.address).hcm(
        "http2_protocol_options: {connection_keepalive: {interval: 0.1s, timeout: 0.3s, interval_jitter: {value: 0}}}, ",
    );
    let mut proxy = start(&config);
    let mut alive = proxy.h2_client();
    let mut dead = proxy.h2_client();
    dead.start("/dead");
    let key = alive.start("/alive");
    until("the end of the dead one", || {
        // Reading answers the PINGs.
        let _ = alive.read_once(std::time::Duration::from_millis(20));
        proxy.stat("http2.keepalive_timeout") == 1
    });
    dead.wait_for_close();
    assert!(!alive.closed);
    alive.reset(key, ErrorCode::CANCEL);
    drop(alive);
    assert_idle(&mut proxy);
}

/// As Envoy: what follows a refused upgrade might be meant for the protocol that was refused.
#[test]
fn a_refused_upgrade_ends_trust_in_the_connection() {
    let origin = Origin::answering("served");
    let config = Config::to(origin.address)
        .hcm("drain_timeout: 0.2s, http2_protocol_options: {allow_connect: true}, ");
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/").status(), 200);
    let mut headers = H2Client::request("CONNECT", "/chat");
    headers.push((":protocol", "websocket"));
    headers.swap(1, 4);
    let key = client.open(&headers, false);
    let response = client.response(key);
    assert_eq!(response.status(), 403);
    assert_eq!(client.go_aways, [(NOTICE, 0)]);
    assert_eq!(outcome(&proxy.wait_for_lines(2)[1]), "403 - upgrade_failed");
    drop(client);
    assert_idle(&mut proxy);
}
