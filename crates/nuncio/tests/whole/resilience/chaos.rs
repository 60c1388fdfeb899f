//! Twenty hosts die, hang, fail, slow down and come back under load: no request is lost that a retry policy covers.
//!
//! `NUNCIO_SEED` decides who suffers what; a failure names it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use nuncio_testing::{Cluster, Config, Mortal, Proxy, until};

use super::post;
use crate::http2_upstreams::http2_with;
use crate::start;

const NAMES: [&str; 20] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19",
];
/// So many hosts are not well at a time, at most: fewer than there are tries of a request.
const MOST_UNWELL: usize = 6;
/// Used unless `NUNCIO_SEED` is set.
const SEED: u64 = 1;

/// Clients that ask at a time, some of them with HTTP/2.
const CLIENTS: usize = 6;
/// Requests of each.
const REQUESTS: usize = 120;
/// After so many requests the next misfortune comes.
const STEP: usize = 15;
/// The longest body; a retry keeps it.
const LARGEST: usize = 40_000;

/// Connections that are not used any more end, so that none may be left over.
const IDLE: &str = "idle_timeout: 0.5s";

const POLICY: &str = "timeout: 15s, retry_policy: {\
    retry_on: '5xx,reset,connect-failure', num_retries: 8, per_try_timeout: 0.4s, \
    retry_back_off: {base_interval: 0.002s}, host_selection_retry_max_attempts: 10, \
    retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {\
    '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}, ";

#[test]
fn no_request_is_lost_while_hosts_come_and_go() {
    let fields = http2_with("", IDLE).replace("http2_protocol_options", "http_protocol_options");
    survive(NAMES.map(Mortal::new).into(), &fields);
}

#[test]
fn no_request_is_lost_while_hosts_of_http2_come_and_go() {
    survive(NAMES.map(Mortal::http2).into(), &http2_with("", IDLE));
}

fn survive(mut hosts: Vec<Mortal>, fields: &str) {
    let seed = std::env::var("NUNCIO_SEED").ok();
    let seed = seed.map_or(SEED, |seed| seed.parse().expect("NUNCIO_SEED is a number"));
    eprintln!("NUNCIO_SEED={seed}");
    let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let breakers = "circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 100}, min_retry_concurrency: 50}}]}, ";
    let cluster = Cluster::new("origin", &addresses, &format!("{fields}{breakers}"));
    let mut config = Config::of(cluster);
    config.route = POLICY.into();
    let mut proxy = start(&config);
    let done = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let mut deeds = [0; 4];
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (proxy, done, failed) = (&proxy, &done, &failed);
            scope.spawn(move || {
                // Wakes the chaos, too, when an assertion ends this thread.
                let alarm = Alarm(failed);
                match client % 3 {
                    0 => ask_by_http2(proxy, client, done),
                    _ => ask(proxy, client, done),
                }
                std::mem::forget(alarm);
            });
        }
        deeds = wreak_havoc(&mut hosts, Random(seed), &done, &failed);
    });
    assert_eq!(done.load(SeqCst), CLIENTS * REQUESTS);
    assert!(deeds.iter().all(|times| *times > 2), "{deeds:?}");
    let stats = proxy.stats();
    let count = |name: &str| stats[&format!("cluster.origin.{name}")];
    // Each answer that a client got ends a request that was retried, or was not.
    assert!(count("upstream_rq_retry") > 0 && count("upstream_rq_retry_success") > 0);
    for lost in [
        "upstream_rq_retry_overflow",
        "upstream_rq_retry_limit_exceeded",
        "retry_or_shadow_abandoned",
        "upstream_rq_timeout",
    ] {
        assert_eq!(count(lost), 0, "{lost}");
    }
    for gauge in [
        "upstream_rq_active",
        "upstream_rq_pending_active",
        "circuit_breakers.default.rq_retry_open",
    ] {
        proxy.wait_for_stat(&format!("cluster.origin.{gauge}"), 0);
    }
    proxy.wait_for_stat("http.ingress.downstream_rq_active", 0);
    proxy.wait_for_stat("cluster.origin.upstream_cx_active", 0);
    let stats = proxy.stats();
    let count = |name: &str| stats[&format!("cluster.origin.{name}")];
    assert_eq!(count("upstream_cx_total"), count("upstream_cx_destroy"));
    // Who is not there any more has no connections.
    drop(hosts);
    proxy.assert_alive();
}

/// Set when it is dropped.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// The length of the body of a client's request: none, small ones and large ones.
fn length(client: usize, number: usize) -> usize {
    match number % 4 {
        0 => 0,
        1 => number,
        _ => (number * 7919 + client * 104_729) % LARGEST,
    }
}

fn ask(proxy: &Proxy, number: usize, done: &AtomicUsize) {
    let mut client = proxy.client();
    for request in 0..REQUESTS {
        let length = length(number, request);
        let response = post(&mut client, &"x".repeat(length));
        assert_eq!(response.status(), 200, "{response:?}");
        let text = response.text();
        assert!(text.ends_with(&format!(" {length}")), "{text}");
        done.fetch_add(1, SeqCst);
    }
}

fn ask_by_http2(proxy: &Proxy, number: usize, done: &AtomicUsize) {
    let mut client = proxy.h2_client();
    for request in 0..REQUESTS {
        let length = length(number, request);
        let key = client.post("/");
        client.send_all(key, "x".repeat(length).as_bytes(), true);
        let response = client.response(key);
        assert_eq!(response.status(), 200, "{response:?}");
        let text = response.text();
        assert!(text.ends_with(&format!(" {length}")), "{text}");
        done.fetch_add(1, SeqCst);
    }
}

/// The misfortunes that a seed gives, one after a few answers; who suffers longest comes back first. Returns how often each came.
fn wreak_havoc(
    hosts: &mut [Mortal],
    mut random: Random,
    done: &AtomicUsize,
    failed: &AtomicBool,
) -> [usize; 4] {
    let all = CLIENTS * REQUESTS;
    let mut deeds = [0; 4];
    let mut unwell = VecDeque::new();
    for step in 0..all / STEP {
        until("more answers", || {
            failed.load(SeqCst) || done.load(SeqCst) >= step * STEP
        });
        if unwell.len() == MOST_UNWELL
            && let Some(host) = unwell.pop_front()
        {
            let host: &mut Mortal = &mut hosts[host];
            host.revive();
        }
        let victim = random.below(hosts.len());
        if unwell.contains(&victim) {
            continue;
        }
        unwell.push_back(victim);
        let deed = random.below(4);
        deeds[deed] += 1;
        match deed {
            0 => hosts[victim].kill(),
            1 => hosts[victim].hang(),
            2 => hosts[victim].fail(),
            _ => hosts[victim].slow_down(),
        }
    }
    until("the last answers", || {
        failed.load(SeqCst) || done.load(SeqCst) >= all
    });
    hosts.iter_mut().for_each(Mortal::revive);
    deeds
}

/// Numbers of a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ number >> 31) % limit as u64) as usize
    }
}
