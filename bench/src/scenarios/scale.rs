//! Start-up with many clusters and virtual hosts.

use anyhow::Result;

use super::{Bench, Scenario, column, compared, mib};
use crate::configs::envoy;
use crate::peer::Start;
use crate::results::Results;
use crate::usage::{self, Cpu};

const COUNT: usize = 10_000;
/// Each takes seconds and differs little.
const MOST_ROUNDS: usize = 3;

pub(super) const SCALE: Scenario = Scenario {
    name: "scale",
    about: "10,000 clusters of 4 endpoints, 10,000 virtual hosts, 2 workers: start-up and memory",
    columns: &[
        compared("ready_s", "ready s", 2),
        compared("cpu_s", "CPU s", 2),
        compared("rss_mib", "RSS MiB", 1),
        column("peak_mib", "peak MiB", 1),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for peer in bench.speak_envoy() {
            let setup = bench.setup()?;
            let start = Start {
                binaries: &bench.binaries,
                cores: &[bench.cores.proxy, bench.cores.load],
                setup: &setup,
                bootstrap: Some(envoy::scale(&setup, COUNT)),
                workers: 2,
                folder: &bench.folder("scale", peer),
            };
            let proxy = start.run(peer)?;
            let spent = proxy.process.cpu()?.since(Cpu::default());
            bench
                .origin
                .answers_through(proxy.port, envoy::LIVE_HOST, "/")?;
            let resident = proxy.process.settled_resident()?;
            let peak = usage::peak(&proxy.process.pids())?;
            for (metric, value) in [
                ("ready_s", proxy.start_up.as_secs_f64()),
                ("cpu_s", spent.total / 1e6),
                ("rss_mib", mib(resident)),
                ("peak_mib", mib(peak)),
            ] {
                results.add("scale", peer, metric, value);
            }
        }
    }
    Ok(())
}
