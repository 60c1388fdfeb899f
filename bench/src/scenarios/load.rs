//! CPU per request under keep-alive load: `h1`, `h1-log`, `h1-lean`.

use anyhow::{Context, Result};

use super::{Bench, Column, Scenario, column, compared};
use crate::peer::{Peer, Proxy};
use crate::results::Results;
use crate::wrk;

const CONNECTIONS: u32 = 50;
const WARM_UP_SECONDS: u64 = 1;

const COLUMNS: &[Column] = &[
    compared("cpu_us", "CPU us/rq", 2),
    compared("user_us", "user us", 2),
    compared("kernel_us", "kernel us", 2),
    compared("rps", "rq/s", 0),
    column("p50_ms", "p50 ms", 2),
    column("p99_ms", "p99 ms", 2),
    column("rss_mib", "RSS MiB", 1),
];

pub(super) const H1: Scenario = Scenario {
    name: "h1",
    about: "50 keep-alive connections, default filter chain, stats on",
    columns: COLUMNS,
    run: |bench, results| run(bench, results, "h1", Variant::Plain),
};

pub(super) const H1_LOG: Scenario = Scenario {
    name: "h1-log",
    about: "h1 with a file access log in each proxy's default format",
    columns: COLUMNS,
    run: |bench, results| run(bench, results, "h1-log", Variant::Log),
};

pub(super) const H1_LEAN: Scenario = Scenario {
    name: "h1-lean",
    about: "h1 without request ids and dynamic stats, all that Envoy's FAQ advises for benchmarks",
    columns: COLUMNS,
    run: |bench, results| run(bench, results, "h1-lean", Variant::Lean),
};

#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Plain,
    Log,
    Lean,
}

fn run(bench: &Bench, results: &mut Results, name: &str, variant: Variant) -> Result<()> {
    // All run all the time; those whose turn it is not have nothing to do.
    let mut proxies = Vec::new();
    for &peer in &bench.peers {
        let mut setup = bench.setup()?;
        setup.lean = variant == Variant::Lean;
        if variant == Variant::Log {
            setup.access_log = Some(bench.folder(name, peer).join("access.log"));
        }
        let proxy = bench.start(name, peer, &setup, None)?;
        bench.origin.answers_through(proxy.port, "localhost", "/")?;
        load(bench, &proxy, WARM_UP_SECONDS)?;
        proxies.push((peer, proxy));
    }
    for _ in 0..bench.rounds {
        for (peer, proxy) in &proxies {
            round(bench, results, name, *peer, proxy).with_context(|| peer.name())?;
        }
    }
    Ok(())
}

fn load(bench: &Bench, proxy: &Proxy, seconds: u64) -> Result<wrk::Load> {
    let url = format!("http://127.0.0.1:{}/", proxy.port);
    wrk::run(bench.cores.load, &url, CONNECTIONS, seconds, None)
}

fn round(
    bench: &Bench,
    results: &mut Results,
    name: &str,
    peer: Peer,
    proxy: &Proxy,
) -> Result<()> {
    let (load, spent) = proxy.spent_on(|| load(bench, proxy, bench.seconds))?;
    results.add_cost(name, peer, proxy, (spent, load.requests))?;
    results.add(name, peer, "rps", load.per_second);
    results.add(name, peer, "p50_ms", load.p50);
    results.add(name, peer, "p99_ms", load.p99);
    Ok(())
}
