//! Circuit breakers, balancing and the life of pooled connections, as the origins see them.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use nuncio_testing::{Body, Client, Cluster, Config, Origin, Proxy, until};

use crate::{start, start_one_worker};

/// An origin that takes its time.
fn slow(time: Duration) -> Origin {
    Origin::start(move |peer, _| {
        loop {
            peer.request()?;
            // Not waiting for anything: this is how long the work of this origin lasts.
            thread::sleep(time);
            peer.answer("slow")?;
        }
    })
}

fn breakers(thresholds: &str) -> String {
    format!("circuit_breakers: {{thresholds: [{{{thresholds}}}]}}, ")
}

/// `clients` connections that ask `each` times at once; gives how often which status came.
fn storm(proxy: &Proxy, clients: usize, each: usize) -> BTreeMap<u16, usize> {
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let mut client = proxy.client();
            thread::spawn(move || {
                (0..each)
                    .map(|_| client.get("/").status())
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut counts = BTreeMap::new();
    for thread in threads {
        for status in thread.join().unwrap() {
            *counts.entry(status).or_default() += 1;
        }
    }
    counts
}

#[test]
fn max_requests_holds_over_all_workers() {
    let origin = slow(Duration::from_millis(5));
    let fields = breakers("max_requests: 4, max_connections: 100, max_pending_requests: 100");
    let proxy = start(&Config::of(Cluster::new(
        "origin",
        &[origin.address],
        &fields,
    )));
    let counts = storm(&proxy, 24, 20);
    assert!(
        origin.most_running() <= 4,
        "{} at a time",
        origin.most_running()
    );
    assert!(
        counts.keys().all(|status| [200, 503].contains(status)),
        "{counts:?}"
    );
    assert!(counts[&200] >= 4 && counts[&503] > 0, "{counts:?}");
    assert_eq!(origin.requests(), counts[&200]);
    proxy.wait_for_stat("cluster.origin.upstream_rq_active", 0);
    let overflow = proxy.stat("cluster.origin.upstream_rq_active_overflow");
    assert_eq!(overflow, counts[&503] as u64);
    assert_eq!(
        proxy.stat("cluster.origin.circuit_breakers.default.rq_open"),
        0
    );
}

/// Two hosts, and never more than two connections to each beyond the one that each worker may always have.
#[test]
fn connections_to_each_host_are_limited_over_all_workers() {
    let origins = [
        slow(Duration::from_millis(2)),
        slow(Duration::from_millis(2)),
    ];
    let addresses = [origins[0].address, origins[1].address];
    let fields = "circuit_breakers: {per_host_thresholds: [{max_connections: 2}]}, ";
    let proxy = start(&Config::of(Cluster::new("origin", &addresses, fields)));
    let counts = storm(&proxy, 16, 20);
    assert_eq!(counts, BTreeMap::from([(200, 320)]));
    for origin in &origins {
        let most = origin.most_running();
        assert!(most <= 3, "{most} at a time");
    }
    assert!(proxy.stat("cluster.origin.upstream_cx_overflow") > 0);
}

/// Requests wait for the connections that are allowed. A worker may have one more than the limit says when it has none
/// (as in Envoy, whose pools always get a first connection).
#[test]
fn max_connections_holds_over_all_workers() {
    let origin = slow(Duration::from_millis(1));
    let fields = breakers("max_connections: 3, max_pending_requests: 1000");
    let proxy = start(&Config::of(Cluster::new(
        "origin",
        &[origin.address],
        &fields,
    )));
    let counts = storm(&proxy, 24, 10);
    assert_eq!(counts, BTreeMap::from([(200, 240)]));
    assert!(origin.most_open() <= 4, "{} at a time", origin.most_open());
    assert!(proxy.stat("cluster.origin.upstream_cx_overflow") > 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_pending_active"), 0);
}

#[test]
fn max_pending_requests_refuses_the_rest() {
    let origin = slow(Duration::from_millis(20));
    let fields = breakers("max_connections: 1, max_pending_requests: 2");
    let proxy = start_one_worker(&Config::of(Cluster::new(
        "origin",
        &[origin.address],
        &fields,
    )));
    let counts = storm(&proxy, 20, 1);
    assert_eq!(counts.values().sum::<usize>(), 20);
    // Who waits for the first connection to be made is pending, too.
    assert!(counts[&200] >= 2 && counts[&503] > 0, "{counts:?}");
    assert_eq!(origin.most_open(), 1);
    assert_eq!(
        proxy.stat("cluster.origin.upstream_rq_pending_overflow"),
        counts[&503] as u64
    );
}

#[test]
fn round_robin_takes_turns() {
    let origins: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(Origin::answering)
        .collect();
    let hosts: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let proxy = start(&Config::of(Cluster::new("origin", &hosts, "")));
    // A connection stays on its worker, whose turns are its own.
    for _ in 0..8 {
        let mut client = proxy.client();
        let answers: Vec<_> = (0..9).map(|_| client.get("/").text()).collect();
        for turn in answers.windows(3) {
            assert!(
                turn[0] != turn[1] && turn[1] != turn[2] && turn[0] != turn[2],
                "{answers:?}"
            );
        }
        assert_eq!(answers[..3], answers[3..6]);
    }
    for origin in &origins {
        assert_eq!(origin.requests(), 24);
    }
}

/// Options of a cluster's HTTP/1.1 connections.
pub(crate) fn http_options(fields: &str) -> String {
    format!(
        "typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {{\
         '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
         common_http_protocol_options: {{{fields}}}, explicit_http_config: {{http_protocol_options: {{}}}}}}}}, "
    )
}

#[test]
fn upstream_connections_serve_so_many_requests() {
    let origin = Origin::answering("x");
    let fields = http_options("max_requests_per_connection: 3");
    let proxy = start_one_worker(&Config::of(Cluster::new(
        "origin",
        &[origin.address],
        &fields,
    )));
    let mut client = proxy.client();
    for _ in 0..12 {
        assert_eq!(client.get("/").status(), 200);
    }
    assert_eq!(origin.connections(), 4);
    assert_eq!(proxy.stat("cluster.origin.upstream_cx_max_requests"), 4);
    until("closed connections", || origin.open() == 0);
}

#[test]
fn idle_upstream_connections_are_closed() {
    let origin = Origin::answering("x");
    let fields = http_options("idle_timeout: 0.1s");
    let proxy = start(&Config::of(Cluster::new(
        "origin",
        &[origin.address],
        &fields,
    )));
    let mut client = proxy.client();
    for round in 1..4 {
        assert_eq!(client.get("/").status(), 200);
        proxy.wait_for_stat("cluster.origin.upstream_cx_idle_timeout", round);
        until("a closed connection", || origin.open() == 0);
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn downstream_connections_serve_so_many_requests() {
    let origin = Origin::answering("x");
    let fields = "common_http_protocol_options: {max_requests_per_connection: 3}, delayed_close_timeout: 0.1s, ";
    let proxy = start(&Config::to(origin.address).hcm(fields));
    for _ in 0..5 {
        let mut client = proxy.client();
        client.send(Client::get_bytes("/").repeat(5)).unwrap();
        for number in 1..=3 {
            let response = client.message(Body::Response).unwrap();
            assert_eq!(response.closes(), number == 3);
        }
        assert_eq!(client.closed(), b"");
    }
    assert_eq!(origin.requests(), 15);
}
