//! WebSocket over extended CONNECT (RFC 8441), and CONNECT that ends in the proxy.

use std::io;

use nuncio_testing::{Config, H2Client, Origin, Peer, until};

use super::{assert_idle, outcome};
use crate::start;

const UPGRADES: &str = "http2_protocol_options: {allow_connect: true}, \
                        upgrade_configs: [{upgrade_type: websocket}], ";

fn extended_connect() -> Vec<(&'static str, &'static str)> {
    vec![
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "test"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ]
}

fn connect(client: &mut H2Client) -> nuncio_http::h2::StreamKey {
    client.open(&extended_connect(), false)
}

/// Agrees to the upgrade and sends back what comes.
fn echo(peer: &mut Peer) -> io::Result<()> {
    let request = peer.request_head()?;
    assert_eq!(request.start, "GET /chat HTTP/1.1");
    assert_eq!(request.header("upgrade"), Some("websocket"));
    assert_eq!(request.header("connection"), Some("upgrade"));
    peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nhello ")?;
    loop {
        let bytes = peer.some()?;
        if bytes.is_empty() {
            return Ok(());
        }
        peer.send(bytes)?;
    }
}

#[test]
fn a_websocket_is_tunnelled_to_http1() {
    let origin = Origin::start(|peer, _| echo(peer));
    let mut proxy = start(&Config::to(origin.address).hcm(UPGRADES));
    let mut client = proxy.h2_client();
    // Its SETTINGS must have told that extended CONNECT is there.
    assert!(client.read_once(nuncio_testing::BOUND).is_ok());
    let key = connect(&mut client);
    client.until("the tunnel", |client| client.seen(key).status() == 200);
    assert_eq!(client.seen(key).header("upgrade"), None);
    client.send(key, b"ping", false);
    client.until("the echo", |client| client.seen(key).body == b"hello ping");
    // Beside the tunnel the connection serves other streams.
    assert_eq!(proxy.stat("http.ingress.downstream_cx_upgrades_active"), 1);
    client.send(key, b"", true);
    // The origin sees the end, ends in turn, and the stream ends whole.
    let response = client.response(key);
    assert!(response.ended && response.reset.is_none());
    until("the origin's connection is closed", || origin.open() == 0);
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(line, "GET /chat 101 - via_upstream");
    drop(client);
    proxy.wait_for_stat("http.ingress.downstream_cx_upgrades_active", 0);
    assert_idle(&mut proxy);
}

#[test]
fn an_origin_that_knows_no_upgrade_refuses_the_tunnel() {
    let origin = Origin::start(|peer, _| {
        peer.request_head()?;
        peer.answer("what?")?;
        peer.wait_for_close()
    });
    let mut proxy = start(&Config::to(origin.address).hcm(UPGRADES));
    let mut client = proxy.h2_client();
    assert!(client.read_once(nuncio_testing::BOUND).is_ok());
    let key = connect(&mut client);
    let response = client.response(key);
    assert_eq!((response.status(), response.body.len()), (200, 0));
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(outcome(line), "200 - websocket_handshake_unsuccessful");
    drop(client);
    assert_idle(&mut proxy);
}

/// Envoy says so with `CONNECT_ERROR`.
#[test]
fn an_origin_that_leaves_the_tunnel_resets_it() {
    let origin = Origin::start(|peer, _| {
        peer.request_head()?;
        peer.send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nbye")
    });
    let mut proxy = start(&Config::to(origin.address).hcm(UPGRADES));
    let mut client = proxy.h2_client();
    assert!(client.read_once(nuncio_testing::BOUND).is_ok());
    let key = connect(&mut client);
    let response = client.response(key);
    assert_eq!(
        (response.text().as_str(), response.reset),
        ("bye", Some(10))
    );
    assert_eq!(
        outcome(&proxy.wait_for_lines(1)[0]),
        "101 UC upstream_reset_after_response_started{connection_termination}"
    );
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn a_reset_tunnel_is_gone_on_both_sides() {
    let origin = Origin::start(|peer, _| echo(peer));
    let mut proxy = start(&Config::to(origin.address).hcm(UPGRADES));
    let mut client = proxy.h2_client();
    assert!(client.read_once(nuncio_testing::BOUND).is_ok());
    let key = connect(&mut client);
    client.until("the tunnel", |client| client.seen(key).body == b"hello ");
    client.reset(key, nuncio_http::h2::ErrorCode::CANCEL);
    until("the origin's connection is closed", || origin.open() == 0);
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(line, "GET /chat 101 DR http2.remote_reset");
    drop(client);
    assert_idle(&mut proxy);
}

/// A route that takes CONNECT and lets the bytes through.
fn terminating(origin: &Origin) -> Config {
    Config {
        routes: "{match: {connect_matcher: {}}, route: {cluster: origin, \
                 upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}, "
            .to_owned(),
        ..Config::to(origin.address)
    }
}

const CONNECT: &[(&str, &str)] = &[(":method", "CONNECT"), (":authority", "far.example:80")];

/// Sends back what comes, and a last word when the client has ended its side.
fn raw_echo(peer: &mut Peer) -> io::Result<()> {
    loop {
        let bytes = peer.some()?;
        if bytes.is_empty() {
            return peer.send("bye");
        }
        peer.send(bytes)?;
    }
}

#[test]
fn connect_ends_in_the_proxy() {
    let origin = Origin::start(|peer, _| raw_echo(peer));
    let mut proxy = start(&terminating(&origin));
    let mut client = proxy.h2_client();
    let key = client.open(CONNECT, false);
    client.send(key, b"not HTTP at all ", false);
    client.until("the echo", |client| {
        client.seen(key).body == b"not HTTP at all "
    });
    assert_eq!(client.seen(key).status(), 200);
    client.send(key, b"", true);
    let response = client.response(key);
    assert_eq!(response.text(), "not HTTP at all bye");
    assert_eq!(response.reset, None);
    assert_eq!(proxy.wait_for_lines(1)[0], "CONNECT - 200 - via_upstream");
    // Connections that a tunnel has used are not used again.
    until("the origin's connection is closed", || origin.open() == 0);
    drop(client);
    assert_idle(&mut proxy);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_active"), 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http1_total"), 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 1);
}

/// As Envoy: the rest of the request is not waited for.
#[test]
fn an_origin_may_end_a_connect_tunnel() {
    let origin = Origin::start(|peer, _| peer.send("greeting"));
    let mut proxy = start(&terminating(&origin));
    let mut client = proxy.h2_client();
    let key = client.open(CONNECT, false);
    client.until("the reset", |client| client.seen(key).reset.is_some());
    let response = client.response(key);
    assert!(response.ended);
    assert_eq!(
        (response.text().as_str(), response.reset),
        ("greeting", Some(0))
    );
    assert_eq!(proxy.wait_for_lines(1)[0], "CONNECT - 200 - via_upstream");
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn connect_that_is_not_allowed_is_refused() {
    let origin = Origin::answering("never");
    let config = Config {
        routes: "{match: {connect_matcher: {}}, route: {cluster: origin}}, ".to_owned(),
        ..Config::to(origin.address)
    };
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    let key = client.open(CONNECT, false);
    assert_eq!(client.response(key).status(), 403);
    assert_eq!(proxy.wait_for_lines(1)[0], "CONNECT - 403 - upgrade_failed");
    assert_eq!(origin.connections(), 0);
    drop(client);
    assert_idle(&mut proxy);
}

/// The same over HTTP/1.1.
#[test]
fn connect_over_http1_ends_in_the_proxy() {
    let origin = Origin::start(|peer, _| raw_echo(peer));
    let mut proxy = start(&terminating(&origin));
    let mut client = proxy.client();
    client
        .send("CONNECT far.example:80 HTTP/1.1\r\nhost: far.example:80\r\n\r\nearly ")
        .unwrap();
    assert_eq!(client.head().unwrap().status(), 200);
    assert_eq!(client.exactly(6).unwrap(), b"early ");
    client.send("late").unwrap();
    assert_eq!(client.exactly(4).unwrap(), b"late");
    drop(client);
    until("the origin's connection is closed", || origin.open() == 0);
    assert_eq!(
        proxy.wait_for_lines(1)[0],
        "CONNECT - 200 DC downstream_remote_disconnect"
    );
    assert_idle(&mut proxy);
}
