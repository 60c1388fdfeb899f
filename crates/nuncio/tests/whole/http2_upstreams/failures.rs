//! Origins that reset, refuse, go away, close or break the protocol.

use nuncio_http::h2::ErrorCode;
use nuncio_testing::{Cluster, Config, H2Origin, Origin};

use super::{assert_idle, http2_with, to};
use crate::{start, start_one_worker};

/// What the origin does, by path.
fn misbehaving() -> H2Origin {
    H2Origin::start(|peer, _| {
        loop {
            let key = peer.request()?;
            let path = peer.seen(key).path().to_owned();
            let begin = [(":status", "200")];
            match path.as_str() {
                "/reset" => peer.reset(key, ErrorCode::INTERNAL_ERROR)?,
                "/protocol" => peer.reset(key, ErrorCode::PROTOCOL_ERROR)?,
                "/refuse" => peer.reset(key, ErrorCode::REFUSED_STREAM)?,
                "/half" => {
                    peer.head(key, &begin, false)?;
                    peer.send(key, b"half", false)?;
                    peer.reset(key, ErrorCode::INTERNAL_ERROR)?;
                }
                "/lie" => {
                    let headers = [(":status", "200"), ("content-length", "100")];
                    peer.head(key, &headers, false)?;
                    peer.send(key, b"short", true)?;
                }
                "/close" => return Ok(()),
                _ => peer.answer(key, "good")?,
            }
        }
    })
}

#[test]
fn failures_before_the_response_are_answered_as_envoy_answers_them() {
    let origin = misbehaving();
    let mut proxy = start_one_worker(&to(&origin));
    let mut seen = 0;
    for (path, status, reason, flag) in [
        ("/reset", 503, "remote reset", "UR"),
        ("/protocol", 502, "protocol error", "UPE"),
        ("/refuse", 503, "remote refused stream reset", "UR"),
        ("/close", 503, "connection termination", "UC"),
    ] {
        let body = format!(
            "upstream connect error or disconnect/reset before headers. reset reason: {reason}"
        );
        let details = reason.replace(' ', "_");
        let before = seen;
        let response = proxy.client().get(path);
        assert_eq!((response.status(), response.text()), (status, body.clone()));
        let response = proxy.h2_client().get(path);
        assert_eq!((response.status(), response.text()), (status, body));
        for line in &proxy.wait_for_lines(before + 2)[before..] {
            assert_eq!(
                *line,
                format!(
                    "GET {path} {status} {flag} upstream_reset_before_response_started{{{details}}}"
                )
            );
        }
        assert_eq!(proxy.client().get("/good").text(), "good");
        seen = before + 3;
    }
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_rx_reset"), 2);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_tx_reset"), 2);
    assert_idle(&mut proxy);
}

#[test]
fn failures_after_the_response_has_begun_cut_it() {
    let origin = misbehaving();
    let mut proxy = start_one_worker(&to(&origin));
    for (path, flag, details) in [
        ("/half", "UR", "remote_reset"),
        ("/lie", "UPE", "protocol_error"),
    ] {
        let before = proxy.access_log().len();
        assert!(proxy.client().try_get(path).is_err());
        let response = proxy.h2_client().get(path);
        assert_eq!(response.status(), 200);
        assert!(response.reset.is_some() && !response.ended);
        for line in &proxy.wait_for_lines(before + 2)[before..] {
            assert_eq!(
                *line,
                format!("GET {path} 200 {flag} upstream_reset_after_response_started{{{details}}}")
            );
        }
    }
    // The connection to the origin has not suffered.
    assert_eq!(proxy.client().get("/good").text(), "good");
    assert_eq!(origin.connections(), 1);
    assert_idle(&mut proxy);
}

#[test]
fn an_origin_that_goes_away_serves_what_it_has() {
    let origin = H2Origin::start(|peer, number| {
        if number > 0 {
            loop {
                let key = peer.request()?;
                peer.answer(key, "second")?;
            }
        }
        let key = peer.request()?;
        peer.go_away()?;
        peer.head(key, &[(":status", "200")], false)?;
        peer.send(key, b"first", true)?;
        peer.wait_for_close()
    });
    let mut proxy = start_one_worker(&to(&origin));
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/x").text(), "first");
    assert_eq!(client.get("/x").text(), "second");
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_close_notify"), 1);
    proxy.wait_for_stat("cluster.origin.upstream_cx_active", 1);
    assert_idle(&mut proxy);
}

#[test]
fn an_origin_that_speaks_http1_is_a_protocol_error() {
    let origin = Origin::start(|peer, _| {
        peer.some()?;
        peer.send("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")?;
        peer.wait_for_close()
    });
    let fields = http2_with("", "");
    let config = Config::of(Cluster::new("origin", &[origin.address], &fields));
    let mut proxy = start(&config);
    let response = proxy.client().get("/x");
    assert_eq!(response.status(), 502);
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(
        line,
        "GET /x 502 UPE upstream_reset_before_response_started{protocol_error}"
    );
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_protocol_error"), 1);
    assert_idle(&mut proxy);
}

#[test]
fn a_client_that_leaves_resets_its_stream_only() {
    let origin = H2Origin::start(|peer, _| {
        loop {
            let key = peer.request()?;
            match peer.seen(key).path() {
                "/wait" => peer.until(|peer| peer.seen(key).reset.is_some())?,
                _ => peer.answer(key, "good")?,
            }
        }
    });
    let mut proxy = start_one_worker(&to(&origin));
    let mut wire = proxy.client().into_wire();
    wire.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    proxy.wait_for_stat("cluster.origin.upstream_rq_active", 1);
    drop(wire);
    proxy.wait_for_stat("cluster.origin.upstream_rq_active", 0);
    assert_eq!(proxy.client().get("/x").text(), "good");
    assert_eq!((origin.connections(), origin.resets()), (1, 1));
    assert_idle(&mut proxy);
}

#[test]
fn a_stream_may_last_so_long() {
    let origin = H2Origin::start(|peer, _| {
        loop {
            let key = peer.request()?;
            peer.until(|peer| peer.seen(key).reset.is_some())?;
        }
    });
    let fields = http2_with("", "max_stream_duration: 0.05s");
    let config = Config::of(Cluster::new("origin", &[origin.address], &fields));
    let mut proxy = start(&config);
    let response = proxy.client().get("/x");
    assert_eq!(response.status(), 504);
    assert_eq!(response.text(), "upstream max stream duration reached");
    let line = &proxy.wait_for_lines(1)[0];
    assert_eq!(
        line,
        "GET /x 504 UMSDR upstream_max_stream_duration_reached"
    );
    assert_eq!(
        proxy.stat("cluster.origin.upstream_rq_max_duration_reached"),
        1
    );
    assert_idle(&mut proxy);
}
