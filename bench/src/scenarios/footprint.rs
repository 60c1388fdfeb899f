//! Memory of clusters and endpoints that nobody uses.

use anyhow::Result;

use super::discovered::Discovered;
use super::{Bench, Scenario, compared};
use crate::configs::endpoints::{Format, endpoint};
use crate::peer::Peer;
use crate::results::Results;

/// Memory is the same each time.
const MOST_ROUNDS: usize = 2;

pub(super) const FOOTPRINT: Scenario = Scenario {
    name: "footprint",
    about: "1,000 and 11,000 clusters of one endpoint, 1,000 and 101,000 endpoints of one cluster, 2 workers: memory by difference",
    columns: &[
        compared("cluster_bytes", "bytes a cluster", 0),
        compared("endpoint_bytes", "bytes an endpoint", 0),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for peer in bench.speak_envoy() {
            let resident = |clusters, endpoints| resident(bench, peer, clusters, endpoints);
            let cluster = (resident(11_000, 10)? - resident(1_000, 10)?) / 1e4;
            let endpoint = (resident(0, 101_000)? - resident(0, 1_000)?) / 1e5;
            results.add("footprint", peer, "cluster_bytes", cluster);
            results.add("footprint", peer, "endpoint_bytes", endpoint);
        }
    }
    Ok(())
}

/// Bytes.
fn resident(bench: &Bench, peer: Peer, clusters: usize, endpoints: u32) -> Result<f64> {
    let endpoints: Vec<_> = (0..endpoints).map(endpoint).collect();
    let first = (Format::Binary, &*endpoints);
    let cluster = Discovered::start(bench, "footprint", peer, ("", clusters), first)?;
    Ok(cluster.proxy.process.settled_resident()? as f64 * 1024.0)
}
