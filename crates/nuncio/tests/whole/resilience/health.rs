//! Active health checks and outlier detection take hosts out and let them in again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

use nuncio_testing::{Cluster, Config, H2Origin, H2Peer, Proxy, until};

use super::mortals;
use crate::http2_upstreams::http2_with;
use crate::start;

/// Often enough for a test; any failure counts at once.
const OFTEN: &str = "timeout: 5s, interval: 0.02s, no_traffic_interval: 0.02s, unhealthy_threshold: 1, healthy_threshold: 1";

const HEALTHY: &str = "cluster.origin.membership_healthy";

/// The answers to some requests, with the number of them that each host gave.
fn ask(proxy: &Proxy, count: usize) -> Vec<String> {
    let mut client = proxy.client();
    (0..count)
        .map(|_| {
            let response = client.get("/");
            assert_eq!(response.status(), 200, "{response:?}");
            response.text()
        })
        .collect()
}

#[test]
fn http_checks_follow_the_life_of_a_host() {
    let fields = format!("health_checks: [{{{OFTEN}, http_health_check: {{path: /well}}}}], ");
    let (mut hosts, cluster) = mortals(&["one", "two"], &fields);
    let mut proxy = start(&Config::of(cluster));
    proxy.wait_for_stat(HEALTHY, 2);
    for _ in 0..2 {
        hosts[0].kill();
        proxy.wait_for_stat(HEALTHY, 1);
        assert!(proxy.admin("/clusters").contains("/failed_active_hc"));
        // Workers learn of it a moment after the gauge is set.
        until("the other host to serve alone", || {
            let answers = (0..4).map(|_| proxy.client().get("/").text());
            answers.into_iter().all(|text| text == "two 0")
        });
        hosts[0].revive();
        proxy.wait_for_stat(HEALTHY, 2);
        until("both to serve", || {
            ask(&proxy, 4).iter().any(|text| text == "one 0")
        });
    }
    hosts[1].fail();
    proxy.wait_for_stat(HEALTHY, 1);
    hosts[1].revive();
    proxy.wait_for_stat(HEALTHY, 2);
    proxy.assert_alive();
}

const NOT_SERVING: u8 = 2;
const SERVING: u8 = 1;

/// Serves requests and `grpc.health.v1.Health/Check`, which answers with `status`.
fn serve(peer: &mut H2Peer, status: &AtomicU8) -> io::Result<()> {
    loop {
        let key = peer.request()?;
        if peer.seen(key).path() != "/grpc.health.v1.Health/Check" {
            peer.answer(key, "ok")?;
            continue;
        }
        assert_eq!(peer.seen(key).body, b"\0\0\0\0\x05\x0a\x03svc");
        peer.head(
            key,
            &[(":status", "200"), ("content-type", "application/grpc")],
            false,
        )?;
        peer.send(key, &[0, 0, 0, 0, 2, 8, status.load(SeqCst)], false)?;
        peer.send_trailers(key, &[("grpc-status", "0")])?;
        peer.forget(key)?;
    }
}

#[test]
fn grpc_checks_follow_what_a_host_says_of_itself() {
    let status = Arc::new(AtomicU8::new(SERVING));
    let said = status.clone();
    let first = H2Origin::start(move |peer, _| serve(peer, &said));
    let second = H2Origin::start(|peer, _| serve(peer, &AtomicU8::new(SERVING)));
    let fields = http2_with("", "");
    let fields =
        format!("{fields}health_checks: [{{{OFTEN}, grpc_health_check: {{service_name: svc}}}}], ");
    let hosts = [first.address, second.address];
    let mut proxy = start(&Config::of(Cluster::new("origin", &hosts, &fields)));
    proxy.wait_for_stat(HEALTHY, 2);
    for _ in 0..2 {
        status.store(NOT_SERVING, SeqCst);
        proxy.wait_for_stat(HEALTHY, 1);
        ask(&proxy, 4);
        status.store(SERVING, SeqCst);
        proxy.wait_for_stat(HEALTHY, 2);
    }
    // One connection each serves all checks, beside those of the workers.
    assert!(first.connections() <= 3, "{}", first.connections());
    proxy.assert_alive();
}

#[test]
fn an_outlier_goes_and_comes_back() {
    let fields = "outlier_detection: {consecutive_5xx: 3, interval: 0.05s, base_ejection_time: 1s, \
         max_ejection_time: 1s, max_ejection_percent: 50}, ";
    let (mut hosts, cluster) = mortals(&["one", "two"], fields);
    let mut proxy = start(&Config::of(cluster));
    hosts[0].fail();
    let ejected = "cluster.origin.outlier_detection.ejections_active";
    let mut client = proxy.client();
    until("the ejection", || {
        let response = client.get("/");
        assert!(matches!(response.status(), 200 | 503));
        proxy.stat("cluster.origin.outlier_detection.ejections_enforced_total") == 1
    });
    hosts[0].revive();
    proxy.wait_for_stat(ejected, 0);
    proxy.wait_for_stat(HEALTHY, 2);
    until("both to serve", || {
        ask(&proxy, 4).iter().any(|text| text == "one 0")
    });
    proxy.assert_alive();
}
