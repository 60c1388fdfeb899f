//! Tries that go on beside each other, after tries that fail in every way: never more than are allowed, and never an answer lost
//! that one of them would have given.
//!
//! What becomes of each try is drawn from `NUNCIO_SEED`, which a failure names; nothing depends on how fast anybody is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nuncio_testing::{Cluster, Config, Origin, Peer, Proxy};

use super::post_to;
use crate::start;

const SEED: u64 = 1;
const CLIENTS: usize = 8;
/// Requests of each.
const REQUESTS: usize = 40;
/// `num_retries`, and the first one.
const TRIES: usize = 4;

/// What becomes of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is answered at once.
    Answered,
    /// It is answered after the next one has begun.
    Late,
    /// 503
    Refused,
    /// The connection ends without a word.
    CutOff,
    /// Nothing comes.
    Forgotten,
}

/// The fates of a request's tries; one of them is a good answer.
fn fates(seed: u64, path: &str) -> [Fate; TRIES] {
    let mut state = path.bytes().fold(seed, |all, byte| {
        (all ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut below = |limit: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = state;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ number >> 31) % limit
    };
    let mut fates = [(); TRIES].map(|()| match below(4) {
        0 => Fate::Refused,
        1 => Fate::CutOff,
        2 => Fate::Forgotten,
        _ => Fate::Late,
    });
    let good = below(TRIES as u64) as usize;
    fates[good] = Fate::Answered;
    fates
}

fn body(path: &str) -> String {
    let length = path.bytes().map(usize::from).sum::<usize>() % 700;
    path.repeat(length)
}

#[derive(Default)]
struct Seen {
    /// How often each request has come.
    tries: Mutex<HashMap<String, usize>>,
    /// A body was another than the client's.
    garbled: AtomicBool,
}

fn serve(peer: &mut Peer, seed: u64, seen: &Seen) -> std::io::Result<()> {
    loop {
        let request = peer.request()?;
        let path = request.path().to_owned();
        if request.text() != body(&path) {
            seen.garbled.store(true, SeqCst);
        }
        let number = {
            let mut tries = seen.tries.lock().unwrap();
            let tries = tries.entry(path.clone()).or_default();
            *tries += 1;
            *tries - 1
        };
        let fate = fates(seed, &path).get(number).copied();
        match fate.unwrap_or(Fate::Refused) {
            Fate::Answered => peer.answer(&path)?,
            Fate::Late => {
                // Longer than one try may take; the answer is as good as any.
                thread::sleep(Duration::from_millis(50));
                peer.answer(&path)?;
            }
            Fate::Refused => {
                peer.answered();
                peer.send("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nbad")?;
            }
            Fate::CutOff => return Ok(()),
            Fate::Forgotten => return peer.wait_for_close(),
        }
    }
}

fn run(hedging: &str) -> (Proxy, HashMap<String, usize>) {
    let seed = std::env::var("NUNCIO_SEED").ok();
    let seed = seed.map_or(SEED, |seed| seed.parse().expect("NUNCIO_SEED is a number"));
    eprintln!("NUNCIO_SEED={seed}");
    let seen = Arc::new(Seen::default());
    let of_origin = seen.clone();
    let origin = Origin::start(move |peer, _| serve(peer, seed, &of_origin));
    let breakers = "circuit_breakers: {thresholds: [{max_retries: 1000}]}, ";
    let mut config = Config::of(Cluster::new("origin", &[origin.address], breakers));
    config.route = format!(
        "timeout: 15s, {hedging}retry_policy: {{retry_on: 5xx, num_retries: {}, per_try_timeout: 0.03s, \
         retry_back_off: {{base_interval: 0.001s}}}}, ",
        TRIES - 1
    );
    let proxy = start(&config);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut connection = proxy.client();
                for request in 0..REQUESTS {
                    let path = format!("/{client}/{request}");
                    let response = post_to(&mut connection, &path, &body(&path));
                    if !hedging.is_empty() {
                        let fates = fates(seed, &path);
                        assert_eq!(response.status(), 200, "{path}: {fates:?}, {response:?}");
                    }
                    if response.status() == 200 {
                        assert_eq!(response.text(), path);
                    }
                }
            });
        }
    });
    assert!(!seen.garbled.load(SeqCst), "a body was not the client's");
    for gauge in [
        "cluster.origin.upstream_rq_active",
        "cluster.origin.upstream_rq_pending_active",
        "cluster.origin.circuit_breakers.default.rq_retry_open",
        "http.ingress.downstream_rq_active",
    ] {
        proxy.wait_for_stat(gauge, 0);
    }
    let tries = seen.tries.lock().unwrap().clone();
    assert_eq!(tries.len(), CLIENTS * REQUESTS);
    for (path, tries) in &tries {
        assert!(*tries <= TRIES, "{path}: {tries} tries");
    }
    (proxy, tries)
}

#[test]
fn a_good_answer_of_any_try_is_the_clients() {
    let (mut proxy, tries) = run("hedge_policy: {hedge_on_per_try_timeout: true}, ");
    assert!(tries.values().any(|tries| *tries == TRIES));
    let all: usize = tries.values().sum();
    // What was begun was seen by the origin, but for tries that another one has overtaken.
    let begun = proxy.stat("cluster.origin.upstream_rq_total") as usize;
    assert!(begun >= all, "{begun} of {all}");
    assert!(begun <= CLIENTS * REQUESTS * TRIES);
    proxy.assert_alive();
}

/// Where tries end with their time, a late answer is none; but whoever is answered has the right answer.
#[test]
fn tries_one_after_the_other_are_never_too_many() {
    let (mut proxy, _) = run("");
    assert!(proxy.stat("cluster.origin.upstream_rq_per_try_timeout") > 0);
    proxy.assert_alive();
}
