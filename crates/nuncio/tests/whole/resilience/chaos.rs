//! Twenty hosts die, hang, fail, slow down and come back under load: no request is lost that a retry policy covers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use nuncio_testing::{Config, Mortal, Proxy, until};

use super::{mortals, post};
use crate::start;

const NAMES: [&str; 20] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19",
];
/// So many hosts are not well at a time, at most: fewer than there are tries of a request.
const MOST_UNWELL: usize = 6;
/// Decides who suffers what, unless `NUNCIO_CHAOS_SEED` does.
const SEED: u64 = 1;

/// Clients that ask at a time, some of them with HTTP/2.
const CLIENTS: usize = 6;
/// Requests of each.
const REQUESTS: usize = 150;
/// After so many requests the next misfortune comes.
const STEP: usize = 15;

const POLICY: &str = "timeout: 15s, retry_policy: {\
    retry_on: '5xx,reset,connect-failure', num_retries: 8, per_try_timeout: 0.4s, \
    retry_back_off: {base_interval: 0.002s}, host_selection_retry_max_attempts: 10, \
    retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {\
    '@type': type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}, ";

#[test]
fn no_request_is_lost_while_hosts_come_and_go() {
    let fields = "circuit_breakers: {thresholds: [{retry_budget: {budget_percent: {value: 100}, min_retry_concurrency: 50}}]}, ";
    let (mut hosts, cluster) = mortals(&NAMES, fields);
    let mut config = Config::of(cluster);
    config.route = POLICY.into();
    let mut proxy = start(&config);
    let done = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (proxy, done, failed) = (&proxy, &done, &failed);
            scope.spawn(move || {
                // Wakes the chaos, too, when an assertion ends this thread.
                let alarm = Alarm(failed);
                match client % 3 {
                    0 => ask_by_http2(proxy, done),
                    _ => ask(proxy, done),
                }
                std::mem::forget(alarm);
            });
        }
        wreak_havoc(&mut hosts, &done, &failed);
    });
    assert_eq!(done.load(SeqCst), CLIENTS * REQUESTS);
    let stats = proxy.stats();
    let count = |name: &str| stats[&format!("cluster.origin.{name}")];
    assert!(count("upstream_rq_retry") > 0 && count("upstream_rq_retry_success") > 0);
    assert_eq!(count("upstream_rq_retry_overflow"), 0);
    assert_eq!(count("upstream_rq_retry_limit_exceeded"), 0);
    for gauge in ["upstream_rq_active", "upstream_rq_pending_active"] {
        proxy.wait_for_stat(&format!("cluster.origin.{gauge}"), 0);
    }
    proxy.wait_for_stat("http.ingress.downstream_rq_active", 0);
    proxy.assert_alive();
}

/// Set when it is dropped.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn ask(proxy: &Proxy, done: &AtomicUsize) {
    let mut client = proxy.client();
    for length in 0..REQUESTS {
        let response = post(&mut client, &"x".repeat(length));
        assert_eq!(response.status(), 200, "{response:?}");
        let text = response.text();
        assert!(text.ends_with(&format!(" {length}")), "{text}");
        done.fetch_add(1, SeqCst);
    }
}

fn ask_by_http2(proxy: &Proxy, done: &AtomicUsize) {
    let mut client = proxy.h2_client();
    for length in 0..REQUESTS {
        let key = client.post("/");
        client.send(key, "x".repeat(length).as_bytes(), true);
        let response = client.response(key);
        assert_eq!(response.status(), 200, "{response:?}");
        let text = response.text();
        assert!(text.ends_with(&format!(" {length}")), "{text}");
        done.fetch_add(1, SeqCst);
    }
}

/// The misfortunes that a seed gives, one after a few answers; who suffers longest comes back first.
fn wreak_havoc(hosts: &mut [Mortal], done: &AtomicUsize, failed: &AtomicBool) {
    let all = CLIENTS * REQUESTS;
    let seed = std::env::var("NUNCIO_CHAOS_SEED").ok();
    let mut random = Random(seed.map_or(SEED, |seed| seed.parse().expect("a number")));
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
        match random.below(4) {
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
