//! Origins that refuse, hang, reset, lie, truncate or talk too much. Beside each, a good one is served without a flaw.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use nuncio_testing::{
    Body, Client, Cluster, Config, Fault, Origin, Proxy, hanging_address, refused_address, until,
};

use crate::{start, start_one_worker};

/// A client that asks a good origin again and again; it fails the test when one answer is wrong.
struct Bystander {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bystander {
    fn start(proxy: &Proxy) -> Bystander {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let mut client = proxy.client();
        let (stopped, count) = (stop.clone(), done.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(SeqCst) {
                let response = client.get("/good/x");
                assert_eq!((response.status(), &*response.text()), (200, "good"));
                count.fetch_add(1, SeqCst);
            }
        });
        Bystander {
            stop,
            done,
            thread: Some(thread),
        }
    }

    /// Waits until it was answered again, and ends it.
    fn finish(mut self) {
        let before = self.done.load(SeqCst);
        let thread = self.thread.take().unwrap();
        until("an answer for the bystander", || {
            thread.is_finished() || self.done.load(SeqCst) > before + 1
        });
        self.stop.store(true, SeqCst);
        thread.join().unwrap();
    }
}

/// A route that needs no upstream.
const DIRECT: &str = "{match: {path: /direct}, direct_response: {status: 200}}, ";

/// Makes the worker of this client hear of everything that has arrived by now: its loop learns of it all at once, so
/// when it answers this, it knows the rest, too.
fn synchronise(client: &mut Client) {
    assert_eq!(client.get("/direct").status(), 200);
}

/// What a client may get to see of a fault.
enum Seen {
    /// A whole response.
    Response(u16, &'static str),
    /// Head 200, and the connection ends before the body does.
    Cut,
}

const TERMINATED: &str = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
const PROTOCOL: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: protocol error";

/// Each fault, what the client sees of it, and the end of the line in the access log.
const FAULTS: &[(Fault, Seen, &str)] = &[
    (
        Fault::CloseBeforeHead,
        Seen::Response(503, TERMINATED),
        "503 UC upstream_reset_before_response_started{connection_termination}",
    ),
    (
        Fault::ResetBeforeHead,
        Seen::Response(503, TERMINATED),
        "503 UC upstream_reset_before_response_started{connection_termination}",
    ),
    (
        Fault::CloseInHead,
        Seen::Response(502, PROTOCOL),
        "502 UPE upstream_reset_before_response_started{protocol_error}",
    ),
    (
        Fault::ResetInHead,
        Seen::Response(502, PROTOCOL),
        "502 UPE upstream_reset_before_response_started{protocol_error}",
    ),
    (
        Fault::NotHttp,
        Seen::Response(502, PROTOCOL),
        "502 UPE upstream_reset_before_response_started{protocol_error}",
    ),
    (
        Fault::CloseInBody,
        Seen::Cut,
        "200 UPE upstream_reset_after_response_started{protocol_error}",
    ),
    (
        Fault::ResetInBody,
        Seen::Cut,
        "200 UPE upstream_reset_after_response_started{protocol_error}",
    ),
    (
        Fault::CloseInChunk,
        Seen::Cut,
        "200 UPE upstream_reset_after_response_started{protocol_error}",
    ),
    (
        Fault::CloseBetweenChunks,
        Seen::Cut,
        "200 UPE upstream_reset_after_response_started{protocol_error}",
    ),
    (
        Fault::BadChunk,
        Seen::Cut,
        "200 UPE upstream_reset_after_response_started{protocol_error}",
    ),
    (
        Fault::MoreThanAnnounced,
        Seen::Response(200, "part"),
        "200 - via_upstream",
    ),
    (
        Fault::SecondResponse,
        Seen::Response(200, "part"),
        "200 - via_upstream",
    ),
    (
        Fault::InformationalFirst,
        Seen::Response(200, "part"),
        "200 - via_upstream",
    ),
    (
        Fault::ByteByByte,
        Seen::Response(200, "part"),
        "200 - via_upstream",
    ),
    (
        Fault::CloseAfterwards,
        Seen::Response(200, "part"),
        "200 - via_upstream",
    ),
    (
        Fault::AnnouncedClose,
        Seen::Response(200, "part"),
        "200 - via_upstream",
    ),
];

/// How often each fault is met: pooled connections have to be met, too.
const ROUNDS: usize = 5;

#[test]
fn faults_are_answered_and_stay_with_their_request() {
    let good = Origin::answering("good");
    for (fault, seen, logged) in FAULTS {
        let bad = Origin::faulty(*fault);
        let good = Cluster::new("good", &[good.address], "");
        let mut config = Config::to(bad.address)
            .and(good)
            .hcm("delayed_close_timeout: 0.1s, ");
        config.routes = DIRECT.into();
        let mut proxy = start(&config);
        let bystander = Bystander::start(&proxy);
        let mut client = proxy.client();
        for round in 0..ROUNDS {
            client
                .send(Client::get_bytes(&format!("/bad/{round}")))
                .unwrap();
            match seen {
                Seen::Response(status, body) => {
                    let response = client.response();
                    let got = (response.status(), response.text());
                    assert_eq!(got, (*status, (*body).to_owned()), "{fault:?} {round}");
                    if !fault.keeps_connection() {
                        until("the origin has closed", || bad.open() == 0);
                        synchronise(&mut client);
                    }
                }
                Seen::Cut => {
                    let mut head = client.head().unwrap();
                    assert_eq!(head.status(), 200, "{fault:?}");
                    let body = client.body(&mut head, Body::Response);
                    assert!(body.is_err(), "{fault:?}: {head:?}");
                    client = proxy.client();
                }
            }
        }
        bystander.finish();
        proxy.assert_alive();
        proxy.wait_for_stat("cluster.origin.upstream_rq_active", 0);
        let is_bad = |line: &&String| line.starts_with("GET /bad/");
        until("the lines of the log", || {
            proxy.access_log().iter().filter(is_bad).count() == ROUNDS
        });
        for line in proxy.access_log().iter().filter(is_bad) {
            assert!(line.ends_with(logged), "{fault:?}: {line}");
        }
        let ended = |line: &String| line.starts_with("GET /good/x 200 - via_upstream");
        let good_lines = proxy
            .access_log()
            .into_iter()
            .filter(|l| l.contains("/good/"));
        assert!(good_lines.into_iter().all(|line| ended(&line)));
    }
}

#[test]
fn an_origin_that_resets_at_once_is_a_local_reply() {
    let bad = Origin::faulty(Fault::ResetAtOnce);
    let mut proxy = start(&Config::to(bad.address));
    let mut client = proxy.client();
    for _ in 0..20 {
        // The reset may come while connecting, before the request is sent or after it.
        assert_eq!(client.get("/").status(), 503);
    }
    proxy.wait_for_stat("cluster.origin.upstream_cx_active", 0);
    proxy.assert_alive();
}

#[test]
fn refused_connections_are_answered_and_counted() {
    let good = Origin::answering("good");
    let (refused, _held) = refused_address();
    let config = Config::to(refused).and(Cluster::new("good", &[good.address], ""));
    let proxy = start(&config);
    let bystander = Bystander::start(&proxy);
    let mut client = proxy.client();
    for _ in 0..20 {
        let response = client.get("/refused");
        assert_eq!(response.status(), 503);
        assert!(
            response
                .text()
                .contains("reset reason: remote connection failure")
        );
    }
    bystander.finish();
    proxy.wait_for_stat("cluster.origin.upstream_cx_connect_fail", 20);
    proxy.wait_for_stat("cluster.origin.upstream_rq_active", 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_pending_active"), 0);
}

#[test]
fn connects_that_hang_time_out() {
    let good = Origin::answering("good");
    let (hanging, _held) = hanging_address();
    let config = Config::of(Cluster::new(
        "origin",
        &[hanging],
        "connect_timeout: 0.2s, ",
    ))
    .and(Cluster::new("good", &[good.address], ""));
    let proxy = start(&config);
    let bystander = Bystander::start(&proxy);
    let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(Client::get_bytes("/hanging")).unwrap();
    }
    for client in &mut clients {
        let response = client.response();
        assert_eq!(response.status(), 503);
        assert!(
            response.text().contains("reset reason: connection timeout"),
            "{}",
            response.text()
        );
    }
    bystander.finish();
    proxy.wait_for_stat("cluster.origin.upstream_cx_connect_timeout", 10);
    proxy.wait_for_stat("cluster.origin.upstream_cx_active", 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_pending_active"), 0);
}

/// A response that does not wait for the request ends the exchange: both connections are given up.
#[test]
fn a_response_before_the_request_is_complete_is_passed_on() {
    let origin = Origin::faulty(Fault::AnswersEarly);
    let proxy = start(&Config::to(origin.address).hcm("delayed_close_timeout: 0.1s, "));
    let mut client = proxy.client();
    client
        .send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nsome")
        .unwrap();
    let response = client.response();
    assert_eq!((response.status(), &*response.text()), (200, "part"));
    assert!(response.closes());
    client.closed();
    until("the origin's connection closes", || origin.open() == 0);
    assert!(proxy.wait_for_lines(1)[0].starts_with("POST / 200"));
}

/// A pooled connection whose end was seen is not used again, however often that happens.
#[test]
fn idle_connections_closed_by_the_origin_are_not_used() {
    let (close, closes) = mpsc::channel::<()>();
    let closes = Mutex::new(closes);
    let origin = Origin::start(move |peer, _| {
        peer.request()?;
        peer.answer("kept")?;
        closes.lock().unwrap().recv().unwrap();
        Ok(())
    });
    let mut config = Config::to(origin.address);
    config.routes = DIRECT.into();
    let proxy = start_one_worker(&config);
    let mut client = proxy.client();
    for round in 0..50 {
        assert_eq!(client.get("/").status(), 200, "{round}");
        close.send(()).unwrap();
        until("the origin has closed", || origin.open() == 0);
        synchronise(&mut client);
    }
    assert_eq!(origin.connections(), 50);
    proxy.wait_for_stat("cluster.origin.upstream_cx_destroy_remote", 50);
    proxy.wait_for_stat("cluster.origin.upstream_cx_active", 0);
}

/// Bytes behind the response are no start of the next one, also when they come later.
#[test]
fn late_garbage_on_a_pooled_connection_is_answered_to_nobody() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let (sent, is_sent) = mpsc::channel::<()>();
    let origin = Origin::start(move |peer, number| {
        peer.request()?;
        peer.answer("good")?;
        if number == 0 {
            wait.lock().unwrap().recv().unwrap();
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")?;
            sent.send(()).unwrap();
        }
        peer.request()?;
        peer.answer("good")?;
        peer.wait_for_close()
    });
    let mut config = Config::to(origin.address);
    config.routes = DIRECT.into();
    let proxy = start_one_worker(&config);
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "good");
    go.send(()).unwrap();
    is_sent.recv().unwrap();
    synchronise(&mut client);
    assert_eq!(client.get("/").text(), "good");
    assert_eq!(origin.connections(), 2);
}
