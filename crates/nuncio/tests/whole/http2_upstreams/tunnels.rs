//! WebSockets over extended CONNECT, and plain CONNECT.

use std::io;

use nuncio_testing::{Body, Config, H2Client, H2Origin, H2Peer, until};

use super::{assert_idle, to, to_with};
use crate::start;

const UPGRADES: &str = "http2_protocol_options: {allow_connect: true}, \
                        upgrade_configs: [{upgrade_type: websocket}, {upgrade_type: CONNECT}], ";

const WEBSOCKET: &str = "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\n\r\n";

fn tunnelling(origin: &H2Origin) -> Config {
    to_with(origin, "allow_connect: true").hcm(UPGRADES)
}

fn with_connect(
    serve: impl Fn(&mut H2Peer, usize) -> io::Result<()> + Send + Sync + 'static,
) -> H2Origin {
    let settings = nuncio_http::h2::H2Settings {
        allow_connect: true,
        ..Default::default()
    };
    H2Origin::with(settings, serve)
}

/// Agrees to the tunnel and sends back what comes, to the end.
fn echo(peer: &mut H2Peer) -> io::Result<()> {
    let key = peer.request_head()?;
    let request = peer.seen(key);
    assert_eq!(request.header(":method"), Some("CONNECT"));
    match request.header(":protocol") {
        Some(protocol) => {
            assert_eq!(protocol, "websocket");
            assert_eq!(request.path(), "/chat");
            for gone in ["upgrade", "connection"] {
                assert_eq!(request.header(gone), None);
            }
        }
        None => assert_eq!(request.header(":path"), None),
    }
    // Nothing comes before the tunnel is agreed on.
    assert!(request.body.is_empty());
    peer.head(key, &[(":status", "200")], false)?;
    peer.send(key, b"hello ", false)?;
    let mut echoed = 0;
    while !(peer.seen(key).ended && echoed == peer.seen(key).body.len()) {
        peer.until(|peer| peer.seen(key).ended || peer.seen(key).body.len() > echoed)?;
        let more = peer.seen(key).body[echoed..].to_vec();
        echoed += more.len();
        peer.send_all(key, &more, false)?;
    }
    peer.send(key, b"", true)?;
    peer.wait_for_close()
}

#[test]
fn a_websocket_of_an_http1_client() {
    let origin = with_connect(|peer, _| echo(peer));
    let mut proxy = start(&tunnelling(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send(format!("{WEBSOCKET}early ")).unwrap();
    let head = wire.head().unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("connection"), Some("upgrade"));
    assert_eq!(wire.exactly(12).unwrap(), b"hello early ");
    wire.send("ping").unwrap();
    assert_eq!(wire.exactly(4).unwrap(), b"ping");
    assert_eq!(proxy.stat("http.ingress.downstream_cx_upgrades_active"), 1);
    drop(wire);
    proxy.wait_for_stat("http.ingress.downstream_cx_upgrades_active", 0);
    until("the stream is reset", || origin.resets() == 1);
    assert_idle(&mut proxy);
}

#[test]
fn a_websocket_of_an_http2_client() {
    let origin = with_connect(|peer, _| echo(peer));
    let mut proxy = start(&tunnelling(&origin));
    let mut client = proxy.h2_client();
    // Its SETTINGS must have told that extended CONNECT is there.
    assert!(client.read_once(nuncio_testing::BOUND).is_ok());
    let mut headers = H2Client::request("CONNECT", "/chat");
    headers.insert(1, (":protocol", "websocket"));
    let key = client.open(&headers, false);
    client.until("the tunnel", |client| client.seen(key).status() == 200);
    client.send(key, b"ping", false);
    client.until("the echo", |client| client.seen(key).body == b"hello ping");
    client.send(key, b"", true);
    let response = client.response(key);
    assert!(response.ended && response.reset.is_none());
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(line, "GET /chat 101 - via_upstream");
    assert_idle(&mut proxy);
}

#[test]
fn an_origin_that_refuses_the_upgrade() {
    let origin = with_connect(|peer, _| {
        let key = peer.request_head()?;
        peer.head(key, &[(":status", "403")], true)?;
        peer.wait_for_close()
    });
    let mut proxy = start(&tunnelling(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send(WEBSOCKET).unwrap();
    let response = wire.message(Body::Response).unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(response.header("upgrade"), None);
    assert!(response.closes());
    assert_idle(&mut proxy);
}

#[test]
fn plain_connect_reaches_the_origin() {
    let origin = with_connect(|peer, _| echo(peer));
    let mut config = to(&origin).hcm(UPGRADES);
    config.routes = "{match: {connect_matcher: {}}, route: {cluster: origin, \
                     upgrade_configs: [{upgrade_type: CONNECT}]}}, "
        .to_owned();
    let mut proxy = start(&config);
    let mut wire = proxy.client().into_wire();
    wire.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        .unwrap();
    assert_eq!(wire.head().unwrap().status(), 200);
    assert_eq!(wire.exactly(6).unwrap(), b"hello ");
    wire.send("ping").unwrap();
    assert_eq!(wire.exactly(4).unwrap(), b"ping");
    drop(wire);
    assert_idle(&mut proxy);
}
