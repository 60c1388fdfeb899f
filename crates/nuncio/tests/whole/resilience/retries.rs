//! What is tried again, and what is not.

use nuncio_http::h2::ErrorCode;
use nuncio_testing::{Client, Cluster, Config, H2Origin, Origin, frame, refused_address};

use super::{mortals, post};
use crate::http2_upstreams::http2_with;
use crate::{start, start_one_worker};

const ATTEMPTS: &str = " %UPSTREAM_REQUEST_ATTEMPT_COUNT%";

/// A retry policy for every route.
fn with_policy(cluster: Cluster, policy: &str) -> Config {
    let mut config = Config::of(cluster);
    config.route = format!("retry_policy: {{{policy}}}, ");
    config.log = ATTEMPTS.into();
    config
}

#[test]
fn a_body_beyond_the_limit_passes_but_is_sent_once() {
    let (mut hosts, cluster) = mortals(&["one"], "");
    let mut config = with_policy(cluster, "retry_on: 5xx, num_retries: 3");
    config.listener = "per_connection_buffer_limit_bytes: 4096, ".into();
    let mut proxy = start_one_worker(&config);
    let mut client = proxy.client();
    let large = "x".repeat(300_000);
    assert_eq!(post(&mut client, &large).text(), "one 300000");
    hosts[0].fail();
    assert_eq!(post(&mut client, &large).status(), 503);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_retry"), 0);
    assert_eq!(proxy.stat("cluster.origin.retry_or_shadow_abandoned"), 2);
    assert_eq!(hosts[0].requests(), 2);
    assert_eq!(post(&mut client, "small").status(), 503);
    assert_eq!(hosts[0].requests(), 6);
    let lines = proxy.wait_for_lines(3);
    let ends = ["via_upstream 1", "via_upstream 1", "via_upstream 4"];
    for (line, end) in lines.iter().zip(ends) {
        assert!(line.ends_with(end), "{line}");
    }
    proxy.assert_alive();
}

#[test]
fn what_was_never_sent_is_tried_again_whatever_its_size() {
    let (refused, _held) = refused_address();
    let (hosts, _) = mortals(&["one"], "");
    let cluster = Cluster::new("origin", &[refused, hosts[0].address], "");
    let mut config = with_policy(
        cluster,
        "retry_on: connect-failure, num_retries: 3, host_selection_retry_max_attempts: 5, \
         retry_host_predicate: [{name: p, typed_config: {\
         '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]",
    );
    config.listener = "per_connection_buffer_limit_bytes: 4096, ".into();
    let mut proxy = start_one_worker(&config);
    let mut client = proxy.client();
    let large = "x".repeat(300_000);
    for _ in 0..4 {
        assert_eq!(post(&mut client, &large).text(), "one 300000");
    }
    let retries = proxy.stat("cluster.origin.upstream_rq_retry");
    assert!((2..=4).contains(&retries), "{retries}");
    proxy.assert_alive();
}

#[test]
fn a_key_meets_another_host_when_its_own_has_failed() {
    for policy in ["RING_HASH", "MAGLEV"] {
        let fields = format!("lb_policy: {policy}, ");
        let (mut hosts, cluster) = mortals(&["one", "two", "three"], &fields);
        hosts[0].fail();
        hosts[1].fail();
        let mut config = with_policy(
            cluster,
            "retry_on: 5xx, num_retries: 2, host_selection_retry_max_attempts: 100, \
             retry_host_predicate: [{name: p, typed_config: {\
             '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]",
        );
        config
            .route
            .push_str("hash_policy: [{header: {header_name: host}}], ");
        let mut proxy = start_one_worker(&config);
        for _ in 0..4 {
            assert_eq!(post(&mut proxy.client(), "").text(), "three 0", "{policy}");
        }
        proxy.assert_alive();
    }
}

#[test]
fn hosts_with_the_metadata_to_avoid_are_not_tried_again() {
    let (mut hosts, cluster) = mortals(&["old", "older", "new"], "");
    let cluster = cluster.metadata(0, "stage: old").metadata(1, "stage: old");
    hosts[0].fail();
    hosts[1].fail();
    let mut proxy = start_one_worker(&with_policy(
        cluster,
        "retry_on: 5xx, num_retries: 1, host_selection_retry_max_attempts: 5, \
         retry_host_predicate: [{name: p, typed_config: {\
         '@type': type.googleapis.com/envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig, \
         metadata_match: {filter_metadata: {envoy.lb: {stage: old}}}}}]",
    ));
    let mut client = proxy.client();
    for _ in 0..6 {
        assert_eq!(post(&mut client, "").text(), "new 0");
    }
    assert!(proxy.stat("cluster.origin.upstream_rq_retry") >= 2);
    proxy.assert_alive();
}

#[test]
fn a_try_that_takes_too_long_is_tried_again() {
    let origin = Origin::start(|peer, number| {
        loop {
            peer.request()?;
            if number == 0 {
                return peer.wait_for_close();
            }
            peer.answer("in time")?;
        }
    });
    let cluster = Cluster::new("origin", &[origin.address], "");
    let mut config = with_policy(
        cluster,
        "retry_on: 5xx, num_retries: 5, per_try_timeout: 0.2s",
    );
    config.route.push_str("timeout: 15s, ");
    let mut proxy = start(&config);
    assert_eq!(proxy.client().get("/").text(), "in time");
    assert!(proxy.stat("cluster.origin.upstream_rq_per_try_timeout") >= 1);
    assert!(origin.requests() >= 2);
    let lines = proxy.wait_for_lines(1);
    assert!(!lines[0].ends_with(" 1"), "{}", lines[0]);
    proxy.assert_alive();
}

#[test]
fn streams_that_an_upstream_refuses_are_tried_again() {
    let origin = H2Origin::start(|peer, number| {
        let mut refused = number > 0;
        loop {
            let key = peer.request()?;
            if !std::mem::replace(&mut refused, true) {
                peer.reset(key, ErrorCode::REFUSED_STREAM)?;
                continue;
            }
            let length = peer.seen(key).body.len();
            peer.answer(key, &format!("ok {length}"))?;
        }
    });
    let cluster = Cluster::new("origin", &[origin.address], &http2_with("", ""));
    let mut proxy = start(&with_policy(cluster, "retry_on: refused-stream"));
    assert_eq!(post(&mut proxy.client(), "four").text(), "ok 4");
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_retry"), 1);
    let mut client = proxy.h2_client();
    assert_eq!(client.get("/").text(), "ok 0");
    proxy.assert_alive();
}

/// A GOAWAY that no stream was served before.
fn goaway() -> Vec<u8> {
    [frame(4, 0, 0, &[]), frame(7, 0, 0, &[0; 8])].concat()
}

#[test]
fn a_stream_that_came_after_a_goaway_is_tried_again() {
    let leaving = Origin::start(|peer, _| {
        // Preface, settings and the request: the answer to all of them is a farewell.
        let mut seen = Vec::new();
        while !seen.windows(4).any(|it| it == b"gone") {
            seen.extend(peer.some()?);
        }
        peer.send(goaway())?;
        peer.wait_for_close()
    });
    let staying = H2Origin::answering("stays");
    let hosts = [leaving.address, staying.address];
    let cluster = Cluster::new("origin", &hosts, &http2_with("", ""));
    let mut proxy = start_one_worker(&with_policy(
        cluster,
        "retry_on: refused-stream, num_retries: 2",
    ));
    let mut client: Client = proxy.client();
    for _ in 0..6 {
        let response = post(&mut client, "gone");
        assert_eq!((response.status(), &*response.text()), (200, "stays"));
    }
    assert!(proxy.stat("cluster.origin.upstream_rq_retry") >= 1);
    proxy.assert_alive();
}
