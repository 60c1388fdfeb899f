//! Clients that break the protocol, or use it to do harm.

use nuncio_http::h2::{ErrorCode, H2Settings};
use nuncio_testing::{Config, H2Client, Origin, frame, header_block, until};

use super::{assert_idle, outcome};
use crate::{start, start_one_worker};

const QUICK_CLOSE: &str = "delayed_close_timeout: 0.1s, ";

fn silent() -> Origin {
    Origin::start(|peer, _| {
        peer.request_head()?;
        peer.wait_for_close()
    })
}

/// CVE-2023-44487: Envoy ends the connection when half of its streams were given up at once.
#[test]
fn rapid_resets_end_the_connection() {
    let origin = silent();
    let mut proxy = start(&Config::to(origin.address).hcm(QUICK_CLOSE));
    let mut client = proxy.h2_client();
    let settled = client.start("/settled");
    client.until("settings", |client| client.seen(settled).body.is_empty());
    let mut resets = 0;
    while !client.closed && resets < 600 {
        let key = client.start("/rapid");
        client.reset(key, ErrorCode::CANCEL);
        resets += 1;
    }
    client.wait_for_close();
    assert_eq!(
        proxy.stat("http.ingress.downstream_rq_too_many_premature_resets"),
        1
    );
    let total = proxy.stat("http.ingress.downstream_rq_total");
    assert!((250..=252).contains(&total), "{total}");
    assert_idle(&mut proxy);
}

#[test]
fn a_malformed_request_ends_the_connection() {
    let origin = silent();
    let mut proxy = start(&Config::to(origin.address).hcm(QUICK_CLOSE));
    let mut client = proxy.h2_client();
    client.start("/other");
    until("the other request at the origin", || origin.running() == 1);
    // No :path.
    let block = header_block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a")]);
    client.send_raw(&frame(1, 5, 3, &block));
    client.wait_for_close();
    let mut lines = proxy.wait_for_lines(2);
    lines.sort();
    assert_eq!(lines[0], "- - 0 DPE http2.violation.of.messaging.rule");
    assert!(
        lines[1].starts_with("GET /other 0 DPE codec_error:"),
        "{}",
        lines[1]
    );
    let stats = proxy.stats();
    for (name, value) in [
        ("http.ingress.downstream_cx_protocol_error", 1),
        ("http.ingress.downstream_rq_total", 2),
        ("http.ingress.downstream_rq_rx_reset", 2),
        ("http2.rx_messaging_error", 1),
    ] {
        assert_eq!(stats.get(name).copied().unwrap_or(0), value, "{name}");
    }
    assert_idle(&mut proxy);
}

#[test]
fn a_malformed_request_may_end_its_stream_only() {
    let origin = Origin::answering("served");
    let config = Config::to(origin.address)
        .hcm("http2_protocol_options: {override_stream_error_on_invalid_http_message: true}, ");
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    let block = header_block(&[(":method", "GET"), (":scheme", "http"), (":authority", "a")]);
    client.send_raw(&frame(1, 5, 1, &block));
    let headers = header_block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/good"),
    ]);
    client.send_raw(&frame(1, 5, 3, &headers));
    proxy.wait_for_stat("http.ingress.downstream_rq_2xx", 1);
    let mut lines = proxy.wait_for_lines(2);
    lines.sort();
    assert_eq!(
        outcome(&lines[0]),
        "0 DPE http2.violation.of.messaging.rule"
    );
    assert_eq!(proxy.stat("http.ingress.downstream_cx_http2_active"), 1);
    drop(client);
    assert_idle(&mut proxy);
}

/// Frames that make no sense: the last word is a GOAWAY, and the connection ends.
#[test]
fn broken_frames_end_the_connection() {
    let origin = Origin::answering("served");
    let mut proxy = start(&Config::to(origin.address).hcm(QUICK_CLOSE));
    for bytes in [
        frame(0, 0, 0, b"x"),
        frame(0, 0, 5, b"x"),
        frame(6, 0, 0, b"short"),
        frame(8, 0, 0, &[0; 4]),
        frame(4, 0, 1, b""),
        frame(9, 4, 1, b""),
        frame(1, 5, 2, b""),
        frame(1, 5, 1, &[0xff; 20]),
        vec![0xff; 64],
    ] {
        let mut client = proxy.h2_client();
        client.send_raw(&bytes);
        client.wait_for_close();
    }
    assert_eq!(proxy.stat("http.ingress.downstream_cx_protocol_error"), 9);
    assert_idle(&mut proxy);
}

/// PINGs whose answers are not read, empty frames, PRIORITY, WINDOW_UPDATE: each is bounded and counted.
#[test]
fn floods_are_bounded() {
    let origin = silent();
    let mut proxy = start(&Config::to(origin.address).hcm(QUICK_CLOSE));
    let block = header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ]);
    for (stat, piece) in [
        ("outbound_control_flood", frame(6, 0, 0, &[0; 8])),
        ("inbound_empty_frames_flood", frame(0, 0, 1, b"")),
        (
            "inbound_priority_frames_flood",
            frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        ),
        (
            "inbound_window_update_frames_flood",
            frame(8, 0, 1, &[0, 0, 0, 1]),
        ),
    ] {
        let mut client = proxy.h2_client();
        client.send_raw(&frame(1, 4, 1, &block));
        let many = piece.repeat(2000);
        for _ in 0..400 {
            if client.closed || proxy.stat(&format!("http2.{stat}")) > 0 {
                break;
            }
            client.send_raw(&many);
        }
        proxy.wait_for_stat(&format!("http2.{stat}"), 1);
        drop(client);
        assert_idle(&mut proxy);
    }
}

/// More streams than allowed are refused one by one; those that are open are not touched.
#[test]
fn streams_beyond_the_limit_are_refused() {
    let origin = silent();
    let config =
        Config::to(origin.address).hcm("http2_protocol_options: {max_concurrent_streams: 3}, ");
    let mut proxy = start(&config);
    let mut client = proxy.h2_client();
    let block = header_block(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/"),
    ]);
    for stream in [1, 3, 5, 7, 9] {
        client.send_raw(&frame(1, 5, stream, &block));
    }
    proxy.wait_for_stat("http2.tx_reset", 2);
    assert_eq!(proxy.stat("http2.streams_active"), 3);
    until("three requests at the origin", || origin.running() == 3);
    drop(client);
    assert_idle(&mut proxy);
}

/// Thousands of requests that never end cost little.
#[test]
fn half_open_streams_cost_little() {
    let origin = silent();
    let config = Config::to(origin.address)
        .hcm("http2_protocol_options: {max_concurrent_streams: 1000}, stream_idle_timeout: 60s, ");
    let config = Config {
        routes: "{match: {prefix: /buffered}, direct_response: {status: 200}, \
                 typed_per_filter_config: {}}, "
            .to_owned(),
        filters: "{name: buffer, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 65536}}, ".to_owned(),
        ..config
    };
    let mut proxy = start_one_worker(&config);
    let mut warm = proxy.h2_client();
    let key = warm.post("/buffered");
    proxy.wait_for_stat("http2.streams_active", 1);
    warm.reset(key, ErrorCode::CANCEL);
    drop(warm);
    assert_idle(&mut proxy);
    let before = proxy.resident_kib();
    let mut clients: Vec<_> = (0..5)
        .map(|_| {
            let settings = H2Settings {
                max_concurrent_streams: 1000,
                ..H2Settings::upstream()
            };
            H2Client::with(proxy.address, settings)
        })
        .collect();
    for client in &mut clients {
        while !client.codec().0.has_peer_settings() {
            client.read_once(nuncio_testing::BOUND).unwrap();
        }
        for _ in 0..1000 {
            client.post("/buffered");
        }
    }
    proxy.wait_for_stat("http2.streams_active", 5000);
    let each = (proxy.resident_kib() - before) * 1024 / 5000;
    assert!(each < 8 * 1024, "{each} bytes for a stream");
    drop(clients);
    assert_idle(&mut proxy);
}
