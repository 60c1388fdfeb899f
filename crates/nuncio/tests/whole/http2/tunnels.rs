//! WebSocket over extended CONNECT (RFC 8441).

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
