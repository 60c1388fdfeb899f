//! Memory of streams that wait for an answer.

use anyhow::{Context, Result};

use super::{Bench, Scenario, column, compared, mib};
use crate::configs::Protocol;
use crate::h2::{self, Client};
use crate::peer::Peer;
use crate::results::Results;

const CONNECTIONS: u32 = 100;
const STREAMS: u32 = 100;
/// A stream is the same each time; one more round shows that.
const MOST_ROUNDS: usize = 2;

pub(super) const IDLE_STREAMS: Scenario = Scenario {
    name: "idle-streams",
    about: "10,000 requests without an answer on 100 HTTP/2 connections, HTTP/2 upstream: memory",
    columns: &[
        compared("growth_mib", "growth MiB", 2),
        compared("kib_each", "KiB each", 2),
        column("rss_mib", "RSS MiB", 1),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for &peer in bench.peers.iter().filter(|peer| **peer != Peer::Nginx) {
            let (growth, all) = measure(bench, peer).with_context(|| peer.name())?;
            let each = growth * 1024.0 / f64::from(CONNECTIONS * STREAMS);
            results.add("idle-streams", peer, "growth_mib", growth);
            results.add("idle-streams", peer, "kib_each", each);
            results.add("idle-streams", peer, "rss_mib", all);
        }
    }
    Ok(())
}

/// MiB for all streams and their connections, and MiB resident with them.
fn measure(bench: &Bench, peer: Peer) -> Result<(f64, f64)> {
    let mut setup = bench.setup()?;
    setup.downstream = Protocol::Http2;
    setup.upstream = Protocol::Http2;
    setup.patient = true;
    setup.origin = h2::silent_origin()?;
    let proxy = bench.start("idle-streams", peer, &setup, None)?;
    // What the first request allocates for good is no stream's.
    let mut first = Client::connect(proxy.port)?;
    first.send("/")?;
    let before = proxy.process.settled_resident()?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(proxy.port)?;
        for _ in 0..STREAMS {
            client.send("/")?;
        }
        clients.push(client);
    }
    let after = proxy.process.settled_resident()?;
    for client in &mut clients {
        client.is_open()?;
    }
    Ok((mib(after.saturating_sub(before)), mib(after)))
}
