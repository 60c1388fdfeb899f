//! Requests, bodies, trailers and responses of every kind, from clients of both protocols.

use nuncio_testing::{Body, Client, Cluster, Config, H2Client, H2Origin, Origin, until};

use super::{assert_idle, http2_with, to};
use crate::{start, start_one_worker};

#[test]
fn an_http1_client_meets_an_http2_origin() {
    let origin = H2Origin::start(|peer, _| {
        let key = peer.request()?;
        let request = peer.seen(key);
        assert_eq!(request.header(":method"), Some("GET"));
        assert_eq!(request.header(":scheme"), Some("http"));
        assert_eq!(request.header(":authority"), Some("a.example"));
        assert_eq!(request.path(), "/x?y");
        assert_eq!(request.header("te"), Some("trailers"));
        for gone in ["host", "connection", "keep-alive", "transfer-encoding"] {
            assert_eq!(request.header(gone), None, "{gone}");
        }
        peer.answer(key, "hello")?;
        peer.wait_for_close()
    });
    let mut proxy = start(&to(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send(
        "GET /x?y HTTP/1.1\r\nHost: a.example\r\nTE: trailers, gzip\r\nKeep-Alive: 1\r\nConnection: TE\r\n\r\n",
    )
    .unwrap();
    let response = wire.message(Body::Response).unwrap();
    assert_eq!((response.status(), &*response.text()), (200, "hello"));
    assert_eq!(response.header("content-length"), Some("5"));
    assert_eq!(response.header("transfer-encoding"), None);
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(line, "GET /x?y 200 - via_upstream");
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http2_total"), 1);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http1_total"), 0);
    assert_idle(&mut proxy);
}

#[test]
fn chunks_become_frames_and_frames_become_chunks() {
    let origin = H2Origin::start(|peer, _| {
        let key = peer.request()?;
        let request = peer.seen(key);
        assert_eq!(request.body, b"abcdef");
        assert_eq!(request.header("transfer-encoding"), None);
        assert_eq!(request.header("content-length"), None);
        peer.head(key, &[(":status", "200")], false)?;
        peer.send(key, b"part one, ", false)?;
        peer.send(key, b"part two", true)?;
        peer.wait_for_close()
    });
    let mut proxy = start(&to(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        .unwrap();
    let response = wire.message(Body::Response).unwrap();
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text(), "part one, part two");
    assert_idle(&mut proxy);
}

#[test]
fn trailers_pass_between_http2_clients_and_origins() {
    let origin = H2Origin::start(|peer, _| {
        let key = peer.request()?;
        let trailers = &peer.seen(key).trailers;
        assert_eq!(trailers.get_str("checksum"), Some(&b"1"[..]));
        peer.head(key, &[(":status", "200")], false)?;
        peer.send(key, b"body", false)?;
        peer.send_trailers(key, &[("grpc-status", "0")])?;
        peer.wait_for_close()
    });
    let mut proxy = start(&to(&origin));
    let mut client = proxy.h2_client();
    let key = client.post("/x");
    client.send(key, b"question", false);
    client.send_trailers(key, &[("checksum", "1")]);
    let response = client.response(key);
    assert_eq!((response.status(), &*response.text()), (200, "body"));
    assert_eq!(response.trailer("grpc-status").as_deref(), Some("0"));
    assert!(response.ended);
    assert_idle(&mut proxy);
}

#[test]
fn many_streams_share_one_connection() {
    let origin = H2Origin::start(|peer, _| {
        // They are all there before one is answered.
        let keys: Vec<_> = (0..50).map(|_| peer.request()).collect::<Result<_, _>>()?;
        for key in keys.into_iter().rev() {
            let path = peer.seen(key).path().to_owned();
            peer.answer(key, &path)?;
        }
        peer.wait_for_close()
    });
    let mut proxy = start_one_worker(&to(&origin));
    let mut client = proxy.h2_client();
    let keys: Vec<_> = (0..50)
        .map(|number| client.start(&format!("/{number}")))
        .collect();
    for (number, key) in keys.into_iter().enumerate() {
        assert_eq!(client.response(key).text(), format!("/{number}"));
    }
    assert_eq!(origin.connections(), 1);
    assert_idle(&mut proxy);
}

#[test]
fn responses_without_a_body() {
    let origin = H2Origin::start(|peer, _| {
        loop {
            let key = peer.request()?;
            match peer.seen(key).path() {
                "/head" => {
                    let headers = [(":status", "200"), ("content-length", "1234")];
                    peer.head(key, &headers, true)?;
                }
                "/204" => peer.head(key, &[(":status", "204")], true)?,
                _ => peer.head(key, &[(":status", "304"), ("content-length", "9")], true)?,
            }
            peer.forget(key)?;
        }
    });
    let mut proxy = start(&to(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = wire.head().unwrap();
    assert_eq!(head.header("content-length"), Some("1234"));
    for (path, status) in [("/204", 204), ("/304", 304)] {
        wire.send(Client::get_bytes(path)).unwrap();
        assert_eq!(wire.head().unwrap().status(), status);
    }
    let mut client = proxy.h2_client();
    let key = client.open(&H2Client::request("HEAD", "/head"), true);
    let response = client.response(key);
    assert_eq!(response.header("content-length").as_deref(), Some("1234"));
    assert!(response.ended);
    assert_eq!(client.get("/204").status(), 204);
    assert_idle(&mut proxy);
}

#[test]
fn early_responses_end_the_request() {
    let origin = H2Origin::start(|peer, _| {
        loop {
            let key = peer.request_head()?;
            peer.answer(key, "enough")?;
        }
    });
    let mut proxy = start(&to(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome")
        .unwrap();
    let response = wire.message(Body::Response).unwrap();
    assert_eq!((response.status(), &*response.text()), (200, "enough"));
    assert!(response.closes());
    let mut client = proxy.h2_client();
    let key = client.post("/x");
    assert_eq!(client.response(key).text(), "enough");
    // The connections live on.
    assert_eq!(client.get("/y").text(), "enough");
    assert_idle(&mut proxy);
}

#[test]
fn informational_responses_pass_if_they_may() {
    let origin = H2Origin::start(|peer, _| {
        loop {
            let key = peer.request_head()?;
            peer.informational(key, &[(":status", "100")])?;
            peer.until(|peer| peer.seen(key).ended)?;
            peer.answer(key, "thanks")?;
        }
    });
    let mut proxy = start(&to(&origin).hcm("proxy_100_continue: true, "));
    let mut wire = proxy.client().into_wire();
    wire.send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    assert_eq!(wire.head().unwrap().status(), 100);
    wire.send("body").unwrap();
    assert_eq!(wire.message(Body::Response).unwrap().text(), "thanks");
    assert_idle(&mut proxy);
}

#[test]
fn the_protocol_of_the_client_is_that_of_the_upstream() {
    let fields = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\
         '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
         use_downstream_protocol_config: {http2_protocol_options: {max_concurrent_streams: 7}}}}, ";
    let http1 = Origin::answering("one");
    let http2 = H2Origin::answering("two");
    let config = Config::of(Cluster::new("origin", &[http1.address], fields)).and(Cluster::new(
        "two",
        &[http2.address],
        fields,
    ));
    let mut proxy = start_one_worker(&config);
    assert_eq!(proxy.client().get("/x").text(), "one");
    assert_eq!(proxy.h2_client().get("/two/x").text(), "two");
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_http1_total"), 1);
    assert_eq!(proxy.stat("cluster.two.upstream_cx_http2_total"), 1);
    assert_eq!(proxy.client().get("/x").text(), "one");
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_total"), 1);
    proxy.assert_alive();
}

#[test]
fn the_pool_grows_when_streams_are_used_up() {
    let origin = H2Origin::start(|peer, _| {
        loop {
            let key = peer.request()?;
            match peer.seen(key).path() {
                "/wait" => {}
                _ => peer.answer(key, "done")?,
            }
        }
    });
    let fields = http2_with(
        "max_concurrent_streams: 2",
        "max_requests_per_connection: 3",
    );
    let config = Config::of(Cluster::new("origin", &[origin.address], &fields));
    let mut proxy = start_one_worker(&config);
    let mut client = proxy.h2_client();
    let waiting: Vec<_> = (0..5).map(|_| client.start("/wait")).collect();
    until("all requests", || origin.requests() == 5);
    assert_eq!(origin.connections(), 3);
    assert_eq!(client.get("/x").text(), "done");
    assert_eq!(origin.connections(), 3);
    for key in waiting {
        client.reset(key, nuncio_http::h2::ErrorCode::CANCEL);
    }
    until("all resets", || origin.resets() == 5);
    // Each connection serves three requests in its life.
    for _ in 0..4 {
        assert_eq!(client.get("/x").text(), "done");
    }
    proxy.wait_for_stat("cluster.origin.upstream_cx_max_requests", 3);
    assert_idle(&mut proxy);
}
