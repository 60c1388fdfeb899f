//! What it costs to build the tables of balancers that hash.

use anyhow::Result;

use super::{Bench, Scenario, compared};
use crate::configs::envoy::{self, TABLES};
use crate::http;
use crate::peer::{Peer, Start};
use crate::results::Results;
use crate::usage::Cpu;

pub(super) const TABLES_SCENARIO: Scenario = Scenario {
    name: "tables",
    about: "20 clusters of 1,000 hosts: CPU per table, beside the same clusters with round robin",
    columns: &[
        compared("maglev_ms", "Maglev ms", 2),
        compared("ring_ms", "ring of 100,000 ms", 2),
    ],
    run,
};

const MAGLEV: &str = "    lb_policy: MAGLEV\n";
const RING: &str =
    "    lb_policy: RING_HASH\n    ring_hash_lb_config: { minimum_ring_size: 100000 }\n";

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds {
        for peer in bench.speak_envoy() {
            let plain = spent(bench, peer, "")?;
            for (metric, policy) in [("maglev_ms", MAGLEV), ("ring_ms", RING)] {
                let more = spent(bench, peer, policy)? - plain;
                results.add("tables", peer, metric, more / 1e3 / TABLES as f64);
            }
        }
    }
    Ok(())
}

/// CPU time in microseconds from the start until each cluster has been asked for a host.
fn spent(bench: &Bench, peer: Peer, policy: &str) -> Result<f64> {
    let setup = bench.setup()?;
    let start = Start {
        binaries: &bench.binaries,
        cores: &[bench.cores.proxy],
        setup: &setup,
        bootstrap: Some(envoy::tables(&setup, policy)),
        workers: 1,
        folder: &bench.folder("tables", peer),
    };
    let proxy = start.run(peer)?;
    for number in 0..TABLES {
        // Nobody listens: it is the choice that counts.
        http::status(proxy.port, &format!("c{number}"), "/")?;
    }
    Ok(proxy.process.cpu()?.since(Cpu::default()).total)
}
