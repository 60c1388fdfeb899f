//! Hosts of a large cluster whose health flips.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{sleep, spawn};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::discovered::Discovered;
use super::{Bench, Scenario, column, compared};
use crate::configs::endpoints::{Asked, Endpoint, Format, address, endpoint};
use crate::configs::envoy::health_checks;
use crate::results::Results;
use crate::usage::Cpu;
use crate::wrk;

const HOSTS: u32 = 10_000;
/// The first hosts are asked, fifty times in ten seconds each; nobody asks the others.
const ASKED: u32 = 10;
/// Clusters beside it, in the measurement of the first policy.
const OTHERS: usize = 10_000;
const CONNECTIONS: u32 = 20;
const MOST_ROUNDS: usize = 2;

pub(super) const FLIPS: Scenario = Scenario {
    name: "flips",
    about: "1 of 10,000 hosts flips 200 times a second, beside 10,000 clusters, 2 workers: CPU per flip, p99 of another cluster",
    columns: &[
        compared("rr_us", "round robin us", 0),
        compared("lr_us", "least request us", 0),
        compared("ring_us", "ring us", 0),
        compared("maglev_us", "Maglev us", 0),
        column("worker_us", "of it a worker us", 1),
        column("p99_ratio", "p99 to quiet", 2),
    ],
    run,
};

const POLICIES: [(&str, &str, usize); 4] = [
    ("rr_us", "ROUND_ROBIN", OTHERS),
    ("lr_us", "LEAST_REQUEST", 0),
    ("ring_us", "RING_HASH", 0),
    ("maglev_us", "MAGLEV", 0),
];

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let answers = Answers::start()?;
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for peer in bench.speak_envoy() {
            for (metric, policy, others) in POLICIES {
                answers.flip.store(false, Relaxed);
                let policy = format!("    lb_policy: {policy}\n{}", health_checks("0.05s"));
                let first = (Format::Binary, &*answers.endpoints());
                let cluster = Discovered::start(bench, "flips", peer, (&policy, others), first)?;
                let p99 = || -> Result<f64> {
                    let url = format!("http://127.0.0.1:{}/", cluster.proxy.port);
                    let core = bench.cores.load;
                    Ok(wrk::run(core, &url, CONNECTIONS, bench.seconds, None)?.p99)
                };
                let is_first = others > 0;
                let quiet_p99 = if is_first { p99()? } else { 0.0 };
                let quiet = spent(bench, &cluster, &answers)?;
                answers.flip.store(true, Relaxed);
                let busy = spent(bench, &cluster, &answers)?;
                results.add("flips", peer, metric, busy.all - quiet.all);
                if is_first {
                    results.add(
                        "flips",
                        peer,
                        "worker_us",
                        (busy.workers - quiet.workers) / 2.0,
                    );
                    results.add("flips", peer, "p99_ratio", p99()? / quiet_p99);
                }
            }
        }
    }
    Ok(())
}

/// Microseconds for each answer to a health check.
struct Spent {
    all: f64,
    workers: f64,
}

fn spent(bench: &Bench, cluster: &Discovered, answers: &Answers) -> Result<Spent> {
    let pid = *cluster.proxy.process.pids().first().context("no process")?;
    let read = || -> Result<_> {
        let workers = Cpu::of_threads(pid, "wrk:")?;
        Ok((
            cluster.proxy.process.cpu()?,
            workers,
            answers.given.load(Relaxed),
        ))
    };
    // What begins is not counted.
    sleep(Duration::from_millis(500));
    let before = read()?;
    sleep(Duration::from_secs(bench.seconds));
    let after = read()?;
    let given = (after.2 - before.2) as f64;
    ensure!(given > 100.0, "{given} health checks only");
    Ok(Spent {
        all: after.0.since(before.0).total / given,
        workers: after.1.since(before.1).total / given,
    })
}

/// Answers the health checks of the first hosts.
struct Answers {
    ports: Vec<u16>,
    /// Every second answer is 503.
    flip: Arc<AtomicBool>,
    given: Arc<AtomicU64>,
}

impl Answers {
    fn start() -> Result<Self> {
        let (flip, given) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut ports = Vec::new();
        for number in 0..ASKED {
            let listener = TcpListener::bind((address(number), 0)).context("binding")?;
            ports.push(listener.local_addr()?.port());
            let (flip, given) = (flip.clone(), given.clone());
            // Ends with the process.
            spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (flip, given) = (flip.clone(), given.clone());
                    spawn(move || answer(stream, &flip, &given));
                }
            });
        }
        Ok(Self { ports, flip, given })
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let asked = (0..).zip(&self.ports).map(|(number, &port)| Endpoint {
            port,
            ..endpoint(number)
        });
        let others = (ASKED..HOSTS).map(|number| Endpoint {
            asked: Asked::Nowhere,
            ..endpoint(number)
        });
        asked.chain(others).collect()
    }
}

/// Serves one connection until its end; a question comes in one piece.
fn answer(mut stream: TcpStream, flip: &AtomicBool, given: &AtomicU64) {
    let mut question = [0; 2048];
    let mut fails = false;
    while stream.read(&mut question).is_ok_and(|count| count > 0) {
        fails = flip.load(Relaxed) && !fails;
        let status = if fails { "503 No" } else { "200 OK" };
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        given.fetch_add(1, Relaxed);
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
