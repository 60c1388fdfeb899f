//! Circuit breakers under the load of several workers: what they share is never exceeded, and nothing of it is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nuncio_testing::{Client, Cluster, Config, Origin, Proxy, Watermark};

use crate::limits::http_options;
use crate::start_with;

const WORKERS: usize = 3;
/// Of the default priority and of the high one: connections, waiting requests, requests, retries.
const LIMITS: [[usize; 4]; 2] = [[6, 5, 4, 2], [5, 4, 3, 1]];
/// Each worker may have one connection to a host at each priority beyond the limit, or its requests would wait for ever.
const BEYOND: usize = 2 * WORKERS;
/// Connections without work end soon, so that they give back what they have taken.
const IDLE: &str = "idle_timeout: 0.5s";
/// How long an origin works for a request.
const WORK: Duration = Duration::from_millis(2);

fn start(config: &Config) -> Proxy {
    start_with(config, &["--concurrency", "3"])
}

/// What origins see, by priority.
#[derive(Default)]
struct Seen {
    running: [Watermark; 2],
    retries: [Watermark; 2],
    /// How often each request has come, by its path.
    paths: Mutex<HashMap<String, usize>>,
}

/// An origin that fails requests whose paths end in 1 when they come for the first time, and others always.
fn origin(seen: &Arc<Seen>) -> Origin {
    let seen = seen.clone();
    Origin::start(move |peer, _| {
        loop {
            let request = peer.request()?;
            let path = request.path().to_owned();
            let priority = usize::from(path.starts_with("/high"));
            let times = {
                let mut paths = seen.paths.lock().unwrap();
                let times = paths.entry(path.clone()).or_default();
                *times += 1;
                *times
            };
            seen.running[priority].enter();
            if times > 1 {
                seen.retries[priority].enter();
            }
            // Not waiting for anything: this is how long the work of this origin lasts.
            thread::sleep(WORK);
            if times > 1 {
                seen.retries[priority].leave();
            }
            seen.running[priority].leave();
            let fails = path.ends_with("/always") || times == 1 && path.ends_with('1');
            if fails {
                peer.answered();
                // Without a body, or its connection would end with it where the request is tried again.
                peer.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
            } else {
                peer.answer("ok")?;
            }
        }
    })
}

fn thresholds(priority: usize) -> String {
    let [connections, pending, requests, retries] = LIMITS[priority];
    let name = ["DEFAULT", "HIGH"][priority];
    format!(
        "{{priority: {name}, max_connections: {connections}, max_pending_requests: {pending}, max_requests: {requests}, \
         max_retries: {retries}, track_remaining: true}}, "
    )
}

/// Requests of both priorities over all workers; if `leave`, some clients go away in between. Returns how many got 200.
fn hammer(proxy: &Proxy, leave: bool) -> usize {
    let (clients, each) = (24, 22);
    let good = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..clients {
            let good = &good;
            scope.spawn(move || {
                let prefix = ["/low", "/high"][number % 2];
                let mut client = proxy.client();
                for request in 0..each {
                    let end = match request % 5 {
                        0 => "always".to_owned(),
                        other => other.to_string(),
                    };
                    let path = format!("{prefix}/{number}/{request}/{end}");
                    if leave && request % 11 == 10 {
                        // Gone before it is answered.
                        client.send(Client::get_bytes(&path)).unwrap();
                        client = proxy.client();
                        continue;
                    }
                    let response = client.get(&path);
                    match response.status() {
                        200 => _ = good.fetch_add(1, SeqCst),
                        503 => {}
                        other => panic!("{other}: {response:?}"),
                    }
                }
            });
        }
    });
    good.load(SeqCst)
}

/// The most connections to one host at a time while `work` is done, as the proxy itself counts them: what an origin sees of a
/// connection that ends comes later.
fn most_connections(proxy: &Proxy, work: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = 0;
            while !done.load(SeqCst) {
                let clusters = proxy.admin("/clusters");
                let counts = clusters.lines().filter_map(|line| {
                    let count = line.split_once("::cx_active::")?.1;
                    count.parse::<usize>().ok()
                });
                most = counts.chain([most]).max().unwrap_or(0);
            }
            most
        });
        let alarm = Alarm(&done);
        work();
        drop(alarm);
        sampler.join().unwrap()
    })
}

/// Set when it is dropped, also by a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// All gauges of circuit breakers are as before the first request.
#[track_caller]
fn assert_given_back(proxy: &Proxy, limits: [[usize; 4]; 2]) {
    for (priority, name) in ["default", "high"].into_iter().enumerate() {
        let [connections, pending, requests, retries] = limits[priority];
        for (what, value) in [
            ("remaining_cx", connections),
            ("remaining_pending", pending),
            ("remaining_rq", requests),
            ("remaining_retries", retries),
            ("cx_open", 0),
            ("rq_pending_open", 0),
            ("rq_open", 0),
            ("rq_retry_open", 0),
            ("cx_pool_open", 0),
        ] {
            let stat = format!("cluster.origin.circuit_breakers.{name}.{what}");
            proxy.wait_for_stat(&stat, value as u64);
        }
    }
    for gauge in [
        "upstream_cx_active",
        "upstream_rq_active",
        "upstream_rq_pending_active",
    ] {
        proxy.wait_for_stat(&format!("cluster.origin.{gauge}"), 0);
    }
}

const RETRIES: &str =
    "retry_policy: {retry_on: 5xx, num_retries: 2, retry_back_off: {base_interval: 0.001s}}";

fn with_high(cluster: Cluster) -> Config {
    let mut config = Config::of(cluster);
    config.route = format!("{RETRIES}, ");
    config.routes = format!(
        "{{match: {{prefix: /high}}, route: {{cluster: origin, priority: HIGH, {RETRIES}}}}}, "
    );
    config
}

#[test]
fn every_budget_is_shared_by_all_workers_and_never_exceeded() {
    let seen = Arc::new(Seen::default());
    let origins = [origin(&seen), origin(&seen)];
    let addresses = [origins[0].address, origins[1].address];
    let fields = format!(
        "{}circuit_breakers: {{thresholds: [{}{}]}}, ",
        http_options(IDLE),
        thresholds(0),
        thresholds(1)
    );
    let mut proxy = start(&with_high(Cluster::new("origin", &addresses, &fields)));
    let most = most_connections(&proxy, || assert!(hammer(&proxy, false) > 0));
    let allowed = LIMITS.iter().map(|limits| limits[0]).sum::<usize>();
    assert!(most <= allowed + BEYOND, "{most} connections to one host");
    for (priority, [_, _, requests, retries]) in LIMITS.into_iter().enumerate() {
        let running = seen.running[priority].most();
        assert!(running <= requests, "{running} requests of {requests}");
        let retrying = seen.retries[priority].most();
        assert!(retrying <= retries, "{retrying} retries of {retries}");
        assert!(running > 0);
    }
    seen.paths.lock().unwrap().clear();
    hammer(&proxy, true);
    for overflow in ["upstream_rq_pending_overflow", "upstream_rq_retry_overflow"] {
        let stat = proxy.stat(&format!("cluster.origin.{overflow}"));
        assert!(stat > 0, "{overflow}: the load was not enough");
    }
    assert_given_back(&proxy, LIMITS);
    proxy.assert_alive();
}

#[test]
fn connections_to_a_host_and_pools_are_shared_by_all_workers() {
    let seen = Arc::new(Seen::default());
    let origins = [origin(&seen), origin(&seen)];
    let addresses = [origins[0].address, origins[1].address];
    let fields = http_options(IDLE);
    let breakers = "circuit_breakers: {\
        thresholds: [{max_connection_pools: 4, max_retries: 100, track_remaining: true}, \
                     {priority: HIGH, max_connection_pools: 3, max_retries: 100, track_remaining: true}], \
        per_host_thresholds: [{max_connections: 3}, {priority: HIGH, max_connections: 3}]}, ";
    let fields = fields + breakers;
    let mut proxy = start(&with_high(Cluster::new("origin", &addresses, &fields)));
    let most = most_connections(&proxy, || assert!(hammer(&proxy, false) > 0));
    assert!(most <= 3 + BEYOND, "{most} connections to one host");
    let overflow = |name: &str| proxy.stat(&format!("cluster.origin.{name}"));
    // There would be six pools of each priority.
    assert!(overflow("upstream_cx_pool_overflow") > 0);
    hammer(&proxy, true);
    assert_given_back(&proxy, [[1024, 1024, 1024, 100]; 2]);
    for (name, pools) in [("default", 4), ("high", 3)] {
        let stat = format!("cluster.origin.circuit_breakers.{name}.remaining_cx_pools");
        proxy.wait_for_stat(&stat, pools);
    }
    proxy.assert_alive();
}
