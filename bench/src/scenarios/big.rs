//! A large response to a reader that starts late.

use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Bench, Scenario, column, compared, mib};
use crate::http;
use crate::origin::BIG;
use crate::peer::Proxy;
use crate::results::Results;
use crate::usage;

/// How long the reader reads nothing: time for a proxy without back-pressure to take in everything.
const LATE: Duration = Duration::from_secs(2);

pub(super) const BIG_SCENARIO: Scenario = Scenario {
    name: "big",
    about: "512 MiB response, read only after two seconds: growth of memory, CPU per GiB",
    columns: &[
        compared("growth_mib", "growth MiB", 2),
        compared("cpu_ms_per_gib", "CPU ms/GiB", 1),
        column("seconds", "seconds", 2),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds {
        for &peer in &bench.peers {
            // A process that has handled the size before would show no growth.
            let proxy = bench.start("big", peer, &bench.setup()?, None)?;
            bench.origin.answers_through(proxy.port, "localhost", "/")?;
            transfer(&proxy, |metric, value| {
                results.add("big", peer, metric, value)
            })
            .with_context(|| peer.name())?;
        }
    }
    Ok(())
}

fn transfer(proxy: &Proxy, mut add: impl FnMut(&str, f64)) -> Result<()> {
    let pids = proxy.process.pids();
    let resident = proxy.process.settled_resident()?;
    usage::reset_peak(&pids)?;
    let before = proxy.process.cpu()?;
    let mut stream = http::connect(proxy.port)?;
    http::send(&mut stream, "localhost", "/big")?;
    sleep(LATE);
    let start = Instant::now();
    let head = http::read_head(&mut stream)?;
    ensure!(head.status == 200, "answered {}", head.status);
    let mut received = head.body.len() as u64;
    let mut chunk = vec![0; 256 << 10];
    while received < BIG {
        let count = stream.read(&mut chunk)?;
        ensure!(count > 0, "ended after {received} bytes");
        received += count as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    let spent = proxy.process.cpu()?.since(before);
    let peak = usage::peak(&pids)?;
    add("growth_mib", mib(peak.saturating_sub(resident)));
    add(
        "cpu_ms_per_gib",
        spent.total / 1_000.0 * (1 << 30) as f64 / BIG as f64,
    );
    add("seconds", seconds);
    Ok(())
}
