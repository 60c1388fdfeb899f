//! Resident memory of a proxy that has nothing to do.

use anyhow::Result;

use super::{Bench, Scenario, compared, mib};
use crate::results::Results;

pub(super) const IDLE: Scenario = Scenario {
    name: "idle",
    about: "one listener, one request answered: resident memory",
    columns: &[compared("rss_mib", "RSS MiB", 1)],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds {
        for &peer in &bench.peers {
            let proxy = bench.start("idle", peer, &bench.setup()?, None)?;
            let resident = proxy.process.settled_resident()?;
            results.add("idle", peer, "rss_mib", mib(resident));
        }
    }
    Ok(())
}
