//! Connections: kept, pipelined, slow, hostile.

use std::time::Duration;

use super::client::Client;
use super::fixture::Fixture;
use crate::limits::Limits;

#[test]
fn connections_are_kept_and_requests_may_come_together() {
    let admin = Fixture::new();
    let mut client = admin.connect();
    client.send("GET /ready HTTP/1.1\r\nHost: a\r\n\r\nGET /certs HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(true).body, "LIVE\n");
    assert!(client.answer(true).body.contains("certificates"));
    assert_eq!(client.ask("HEAD", "/ready").status, 200);
    client.send("GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let last = client.read_to_end();
    assert!(last.contains("server: envoy\r\nconnection: close\r\ntransfer-encoding: chunked\r\n"));
    assert!(last.ends_with("5\r\nLIVE\n\r\n0\r\n\r\n"), "{last}");
}

#[test]
fn parameters_may_come_as_a_form() {
    let admin = Fixture::new();
    let form = |target: &str, kind: &str, body: &str| {
        let mut client = admin.connect();
        let length = body.len();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.answer(true)
    };
    let kind = "application/x-www-form-urlencoded";
    assert_eq!(
        form("/stats", kind, "filter=%5Eserver.live$").body,
        "server.live: 1\n"
    );
    // A query prevails, and other bodies are not looked at.
    assert!(
        form("/stats?filter=server.state$", kind, "filter=zz")
            .body
            .contains("server.state")
    );
    assert_eq!(
        form("/config_dump?x=y", "text/plain", "resource=nothing").status,
        200
    );
    let refused = form("/stats", kind, &"a".repeat(70_000));
    assert_eq!(
        (refused.status, refused.header("connection")),
        (413, Some("close"))
    );
}

#[test]
fn an_expected_body_is_asked_for() {
    let admin = Fixture::new();
    let mut client = admin.connect();
    client.send(
        "POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
    );
    let go = client.answer(false);
    assert_eq!(go.status, 100);
    client.send("abc");
    assert_eq!(client.answer(true).body, "LIVE\n");
}

#[test]
fn malformed_requests_are_refused() {
    let admin = Fixture::new();
    for (request, line) in [
        (
            "GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ),
        (
            "GET /ready HTTP/1.0\r\n\r\n",
            "HTTP/1.1 426 Upgrade Required\r\n",
        ),
        ("\x16\x03\x01\x02", "HTTP/1.1 400 Bad Request\r\n"),
        (
            "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ),
    ] {
        let mut client = admin.connect();
        client.send(request);
        let answer = client.read_to_end();
        assert!(
            answer.starts_with(line) && answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
    }
    let mut client = admin.connect();
    client.send(format!(
        "GET /ready HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n",
        "a".repeat(61 * 1024)
    ));
    assert!(client.read_to_end().starts_with("HTTP/1.1 431 "));
    assert_eq!(admin.stat("http.admin.downstream_cx_protocol_error"), 4);
    assert_eq!(admin.get("/ready").status, 200);
}

#[test]
fn slow_requests_are_given_up() {
    let limits = Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    };
    let admin = Fixture::with(limits, |_| {});
    for begun in [
        "GET /rea",
        "POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
    ] {
        let mut client = admin.connect();
        client.send(begun);
        let answer = client.read_to_end();
        assert!(
            answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\nrequest timeout"), "{answer}");
    }
    assert_eq!(admin.stat("http.admin.downstream_rq_timeout"), 2);
}

#[test]
fn idle_connections_are_closed() {
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..Limits::default()
    };
    let admin = Fixture::with(limits, |_| {});
    assert_eq!(admin.connect().read_to_end(), "");
    let mut used = admin.connect();
    assert_eq!(used.ask("GET", "/ready").status, 200);
    assert_eq!(used.read_to_end(), "");
    assert_eq!(admin.stat("http.admin.downstream_cx_idle_timeout"), 2);
}

#[test]
fn too_many_connections_push_out_the_idle_ones() {
    let limits = Limits {
        connections: 4,
        ..Limits::default()
    };
    let admin = Fixture::with(limits, |_| {});
    let mut idle: Vec<Client> = (0..4).map(|_| admin.connect()).collect();
    // Each is served, so each has its place.
    idle.iter_mut()
        .for_each(|client| assert_eq!(client.ask("GET", "/ready").status, 200));
    let mut late = admin.connect();
    assert_eq!(late.ask("GET", "/ready").status, 200);
    assert_eq!(idle[0].read_to_end(), "");
    assert_eq!(idle[1].ask("GET", "/ready").status, 200);
}

#[test]
fn a_client_that_goes_away_is_counted() {
    let admin = Fixture::new();
    let mut client = admin.connect();
    client.send("POST /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    admin.wait_for("http.admin.downstream_rq_active", 2);
    drop(client);
    admin.wait_for("http.admin.downstream_cx_destroy_remote_active_rq", 1);
    assert_eq!(admin.stat("http.admin.downstream_rq_rx_reset"), 1);
    assert_eq!(
        admin.stat("listener.admin.main_thread.downstream_cx_active"),
        1
    );
}

#[test]
fn requests_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    #[expect(deprecated, reason = "the deprecated field is implemented")]
    let admin = Fixture::with(Limits::default(), |admin| {
        admin.access_log_path = path.display().to_string();
    });
    admin.get("/ready");
    admin.get("/nope?x");
    let mut client = admin.connect();
    client.send("BAD\r\n\r\n");
    client.read_to_end();
    admin.logs.flush();
    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = log
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    let address = admin.address();
    assert_eq!(
        lines[0],
        "\"GET /ready HTTP/1.1\" 200 - 0 5 0 - \"192.0.2.2\" \"-\" \"-\" \"admin\" \"-\""
    );
    assert!(
        lines[1].starts_with("\"GET /nope?x HTTP/1.1\" 404 - 0 "),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].starts_with("\"- - HTTP/1.1\" 400 "),
        "{} {address}",
        lines[2]
    );
}

#[test]
fn stopping_ends_the_thread_and_its_connections() {
    let admin = Fixture::new();
    let mut client = admin.connect();
    assert_eq!(client.ask("GET", "/ready").status, 200);
    let address = admin.address();
    admin.handle.stop();
    assert_eq!(client.read_to_end(), "");
    assert!(std::net::TcpStream::connect(address).is_err());
}
