//! Active health checks of very many hosts.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::discovered::Discovered;
use super::{Bench, Scenario, column, compared};
use crate::configs::endpoints::{Asked, Endpoint, Format, endpoint};
use crate::configs::envoy::{DISCOVERED, health_checks};
use crate::machine;
use crate::results::Results;

const HOSTS: u32 = 10_000;
const LIMIT: Duration = Duration::from_secs(60);
const MOST_ROUNDS: usize = 2;

pub(super) const CHECKS: Scenario = Scenario {
    name: "checks",
    about: "10,000 hosts, each asked by HTTP every two seconds: CPU per check, how often the main loop was held up for 200 ms",
    columns: &[
        compared("check_us", "CPU us", 1),
        column("misses", "held up", 0),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let needed = u64::from(HOSTS) + 1_000;
    ensure!(
        machine::open_files() >= needed,
        "checks needs a hard limit of {needed} open files (ulimit -Hn)"
    );
    let asked = Asked::Elsewhere(bench.origin.port);
    let hosts: Vec<_> = (0..HOSTS)
        .map(|number| Endpoint {
            asked,
            ..endpoint(number)
        })
        .collect();
    let policy = health_checks("2s");
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for peer in bench.speak_envoy() {
            let first = (Format::Binary, &*hosts);
            let cluster = Discovered::start(bench, "checks", peer, (&policy, 0), first)?;
            let healthy = format!("cluster.{DISCOVERED}.membership_healthy");
            let begun = Instant::now();
            while cluster.stat(&healthy)? < u64::from(HOSTS) {
                ensure!(begun.elapsed() < LIMIT, "not every host was found healthy");
                sleep(Duration::from_millis(100));
            }
            let attempts = format!("cluster.{DISCOVERED}.health_check.attempt");
            let before = (cluster.proxy.process.cpu()?, cluster.stat(&attempts)?);
            sleep(Duration::from_secs(bench.seconds));
            let after = (cluster.proxy.process.cpu()?, cluster.stat(&attempts)?);
            let each = after.0.since(before.0).total / (after.1 - before.1).max(1) as f64;
            let misses = cluster.stat("server.main_thread.watchdog_miss")?;
            results.add("checks", peer, "check_us", each);
            results.add("checks", peer, "misses", misses as f64);
        }
    }
    Ok(())
}
