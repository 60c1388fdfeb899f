//! Requests and responses of all shapes.

use nuncio_testing::{Body, Config, H2Client, Origin, frame, header_block, until};

use super::{assert_idle, outcome};
use crate::start;

/// Answers with what it was asked, body and trailers included.
fn mirror() -> Origin {
    Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            let host = request.header("host").unwrap_or("-").to_owned();
            let trailer = request.trailer("x-sum").unwrap_or("-").to_owned();
            let body = format!(
                "{} {host} {} {trailer}",
                request.start,
                String::from_utf8_lossy(&request.body)
            );
            peer.answer(&body)?;
        }
    })
}

#[test]
fn many_streams_share_a_connection() {
    let origin = mirror();
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let keys: Vec<_> = (0..50)
        .map(|n| (n, client.start(&format!("/{n}"))))
        .collect();
    for (n, key) in keys {
        let response = client.response(key);
        assert_eq!(response.status(), 200);
        assert_eq!(response.text(), format!("GET /{n} HTTP/1.1 test  -"));
        assert_eq!(response.header("server").as_deref(), Some("envoy"));
        assert_eq!(response.header("connection"), None);
    }
    drop(client);
    assert_idle(&mut proxy);
    let stats = proxy.stats();
    for (name, value) in [
        ("http.ingress.downstream_cx_http2_total", 1),
        ("http.ingress.downstream_cx_http1_total", 0),
        ("http.ingress.downstream_rq_http2_total", 50),
        ("http.ingress.downstream_rq_2xx", 50),
        ("http.ingress.downstream_rq_rx_reset", 0),
        ("http2.tx_reset", 0),
    ] {
        assert_eq!(stats.get(name).copied().unwrap_or(0), value, "{name}");
    }
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let origin = Origin::start(|peer, _| {
        let request = peer.request()?;
        assert_eq!(request.body, b"one two");
        assert_eq!(request.trailer("x-sum"), Some("7"));
        peer.answered();
        peer.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\nx-end: 1\r\n\r\n",
        )?;
        peer.wait_for_close()
    });
    let trailers = "http_protocol_options: {enable_trailers: true}, ";
    let options = format!(
        "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\
         '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
         explicit_http_config: {{{trailers}}}}}}}, "
    );
    let cluster = nuncio_testing::Cluster::new("origin", &[origin.address], &options);
    let mut proxy = start(&Config::of(cluster).hcm(trailers));
    let mut client = proxy.h2_client();
    let key = client.post("/both");
    client.send(key, b"one ", false);
    client.send(key, b"two", false);
    client.send_trailers(key, &[("x-sum", "7")]);
    let response = client.response(key);
    assert_eq!(response.text(), "three");
    assert_eq!(response.trailer("x-end").as_deref(), Some("1"));
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn responses_without_a_body_end_with_their_headers() {
    let origin = Origin::start(|peer, _| {
        loop {
            let request = peer.request()?;
            peer.answered();
            peer.send(match request.path() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            })?;
        }
    });
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/204").status(), 204);
    assert_eq!(client.get("/304").status(), 304);
    let head = client.open(&H2Client::request("HEAD", "/head"), true);
    let head = client.response(head);
    assert_eq!((head.status(), head.text().as_str()), (200, ""));
    assert_eq!(head.header("content-length").as_deref(), Some("5"));
    drop(client);
    assert_idle(&mut proxy);
}

#[test]
fn informational_responses_come_before_the_final_one() {
    let origin = Origin::start(|peer, _| {
        loop {
            peer.request()?;
            peer.send("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")?;
            peer.answer("final")?;
        }
    });
    let proxy = start(&Config::to(origin.address).hcm("proxy_100_continue: true, "));
    let mut client = proxy.h2_client();
    let response = client.get("/");
    assert_eq!(response.informational.len(), 1);
    assert_eq!(response.informational[0].status(), Some(103));
    assert_eq!(
        (response.status(), response.text().as_str()),
        (200, "final")
    );
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let origin = mirror();
    let proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let mut headers = H2Client::request("POST", "/");
    headers.push(("expect", "100-continue"));
    let key = client.open(&headers, false);
    client.until("100", |client| !client.seen(key).informational.is_empty());
    client.send(key, b"body", true);
    let response = client.response(key);
    assert_eq!(response.informational[0].status(), Some(100));
    assert!(response.text().contains(" body "), "{}", response.text());
}

/// Envoy resets such a stream with `NO_ERROR`, so that the client reads the response.
#[test]
fn an_early_response_ends_the_request() {
    let origin = Origin::start(|peer, _| {
        peer.request_head()?;
        peer.answer("early")?;
        peer.wait_for_close()
    });
    let mut proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let key = client.post("/early");
    client.until("the reset", |client| client.seen(key).reset.is_some());
    let response = client.response(key);
    assert_eq!(
        (response.status(), response.text().as_str()),
        (200, "early")
    );
    assert_eq!(response.reset, Some(0));
    // The connection goes on.
    assert_eq!(client.get("/direct").status(), 200);
    let lines = proxy.wait_for_lines(2);
    assert_eq!(outcome(&lines[0]), "200 - via_upstream");
    drop(client);
    proxy.wait_for_stat("http.ingress.downstream_rq_rx_reset", 1);
    assert_eq!(
        proxy.stat("http.ingress.downstream_rq_response_before_rq_complete"),
        1
    );
    assert_idle(&mut proxy);
}

/// A gRPC client gets the status of a local reply in the headers, with status 200.
#[test]
fn local_replies_to_grpc_are_trailers_only() {
    let (address, _socket) = nuncio_testing::refused_address();
    let proxy = start(&Config::to(address));
    let mut client = proxy.h2_client();
    let mut headers = H2Client::request("POST", "/service/Method");
    headers.push(("content-type", "application/grpc"));
    headers.push(("te", "trailers"));
    let key = client.open(&headers, true);
    let response = client.response(key);
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("grpc-status").as_deref(), Some("14"));
    assert!(response.header("grpc-message").is_some() && response.body.is_empty());
    // Others get the answer itself.
    assert_eq!(client.get("/").status(), 503);
}

#[test]
fn the_codec_is_chosen_by_the_first_bytes() {
    let origin = mirror();
    let mut proxy = start(&Config::to(origin.address));
    // The preface byte by byte, then SETTINGS and a request.
    let mut client = proxy.client();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.send([*byte]).unwrap();
    }
    let block = header_block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ]);
    client.send(frame(4, 0, 0, b"")).unwrap();
    client.send(frame(1, 5, 1, &block)).unwrap();
    proxy.wait_for_stat("http.ingress.downstream_rq_2xx", 1);
    drop(client);
    // HTTP/1 on the same listener, one that begins like the preface among it.
    assert_eq!(proxy.client().get("/").status(), 200);
    let mut other = proxy.client();
    other.send("PRINT / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(other.message(Body::Response).unwrap().status(), 400);
    proxy.wait_for_stat("http.ingress.downstream_cx_http2_total", 1);
    assert_eq!(proxy.stat("http.ingress.downstream_cx_http1_total"), 2);
    assert_idle(&mut proxy);
}

#[test]
fn a_listener_may_speak_http2_only() {
    let origin = mirror();
    let mut proxy = start(&Config::to(origin.address).hcm("codec_type: HTTP2, "));
    assert_eq!(proxy.h2_client().get("/").status(), 200);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    until("the end of the connection", || {
        proxy.stat("http.ingress.downstream_cx_protocol_error") == 1
    });
    drop(client);
    assert_idle(&mut proxy);
}

/// The client's cookies come in crumbs; an HTTP/1 origin gets one header.
#[test]
fn cookie_crumbs_are_joined() {
    let origin = Origin::start(|peer, _| {
        let request = peer.request()?;
        let cookie = request.header("cookie").unwrap_or("-").to_owned();
        peer.answer(&cookie)
    });
    let proxy = start(&Config::to(origin.address));
    let mut client = proxy.h2_client();
    let mut headers = H2Client::request("GET", "/");
    headers.extend([("cookie", "a=1"), ("cookie", "b=2")]);
    let key = client.open(&headers, true);
    assert_eq!(client.response(key).text(), "a=1; b=2");
}
