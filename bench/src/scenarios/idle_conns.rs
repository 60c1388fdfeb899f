//! Memory of idle keep-alive connections.

use anyhow::{Result, ensure};

use super::{Bench, Scenario, column, compared, mib};
use crate::http;
use crate::machine;
use crate::peer::Peer;
use crate::results::Results;

/// HAProxy plans two descriptors for each, and 20,000 is a usual limit.
const COUNT: u32 = 9_000;
/// Connections that come and go before: what the first requests allocate for good is no connection's.
const WARM_UP: u32 = 100;
/// A connection is the same each time; one more round shows that.
const MOST_ROUNDS: usize = 2;

pub(super) const IDLE_CONNS: Scenario = Scenario {
    name: "idle-conns",
    about: "9,000 keep-alive connections, idle after one request each: resident memory",
    columns: &[
        compared("kib_each", "KiB each", 2),
        column("rss_mib", "RSS MiB", 1),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let needed = u64::from(COUNT) * 2 + 1_000;
    ensure!(
        machine::open_files() >= needed,
        "idle-conns needs a hard limit of {needed} open files (ulimit -Hn)"
    );
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for &peer in &bench.peers {
            let (each, all) = measure(bench, peer)?;
            results.add("idle-conns", peer, "kib_each", each);
            results.add("idle-conns", peer, "rss_mib", all);
        }
    }
    Ok(())
}

/// KiB for each connection, and MiB with all of them.
fn measure(bench: &Bench, peer: Peer) -> Result<(f64, f64)> {
    let mut setup = bench.setup()?;
    setup.connections = COUNT + WARM_UP;
    let proxy = bench.start("idle-conns", peer, &setup, None)?;
    let connect = || {
        let mut stream = http::connect(proxy.port)?;
        let (status, _) = http::exchange(&mut stream, "localhost", "/")?;
        ensure!(status == 200, "answered {status}");
        Ok(stream)
    };
    drop(
        (0..WARM_UP)
            .map(|_| connect())
            .collect::<Result<Vec<_>>>()?,
    );
    let before = proxy.process.settled_resident()?;
    let connections: Vec<_> = (0..COUNT).map(|_| connect()).collect::<Result<_>>()?;
    let after = proxy.process.settled_resident()?;
    // None may have been closed to save memory.
    for stream in connections.iter().step_by(100) {
        stream.set_nonblocking(true)?;
        let read = std::io::Read::read(&mut &*stream, &mut [0]);
        ensure!(
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "an idle connection was closed"
        );
    }
    let each = after.saturating_sub(before) as f64 / f64::from(COUNT);
    Ok((each, mib(after)))
}
