//! A large response over one HTTP/2 stream.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{Bench, Scenario, column, compared, mib};
use crate::binaries::installed;
use crate::configs::Protocol;
use crate::h2load::{self, Ask, Until};
use crate::origin::GIB;
use crate::results::Results;
use crate::usage;

pub(super) const H2_BIG: Scenario = Scenario {
    name: "h2-big",
    about: "1 GiB response over one HTTP/2 stream, HTTP/1.1 upstream: CPU, growth of memory",
    columns: &[
        compared("cpu_ms_per_gib", "CPU ms/GiB", 1),
        column("growth_mib", "growth MiB", 2),
        column("seconds", "seconds", 2),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    installed("h2load")?;
    for _ in 0..bench.rounds {
        for &peer in &bench.peers {
            let mut setup = bench.setup()?;
            setup.downstream = Protocol::Http2;
            let proxy = bench.start("h2-big", peer, &setup, None)?;
            let get = |path: &str| {
                let ask = Ask {
                    url: &format!("http://127.0.0.1:{}{path}", proxy.port),
                    connections: 1,
                    streams: 1,
                    more: &[],
                };
                h2load::run(bench.cores.load, &ask, Until::Requests(1)).with_context(|| peer.name())
            };
            get("/")?;
            let pids = proxy.process.pids();
            let resident = proxy.process.settled_resident()?;
            usage::reset_peak(&pids)?;
            let start = Instant::now();
            let (_, spent) = proxy.spent_on(|| get("/gib"))?;
            let seconds = start.elapsed().as_secs_f64();
            let growth = usage::peak(&pids)?.saturating_sub(resident);
            let gib = GIB as f64 / f64::from(1 << 30);
            for (metric, value) in [
                ("cpu_ms_per_gib", spent.total / 1_000.0 / gib),
                ("growth_mib", mib(growth)),
                ("seconds", seconds),
            ] {
                results.add("h2-big", peer, metric, value);
            }
        }
    }
    Ok(())
}
