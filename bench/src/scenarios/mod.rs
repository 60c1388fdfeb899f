//! What can be measured.

mod big;
mod checks;
mod discovered;
mod endpoints;
mod flips;
mod footprint;
mod h2;
mod h2_big;
mod idle;
mod idle_conns;
mod idle_streams;
mod load;
mod routes;
mod scale;
mod tables;

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::binaries::Binaries;
use crate::configs::{Protocol, Setup};
use crate::machine::{self, Cores, Scratch};
use crate::origin::Origin;
use crate::peer::{Peer, Proxy, Start};
use crate::results::Results;
use crate::usage::{self, Spent};

/// One kind of measurement.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) run: fn(&Bench, &mut Results) -> Result<()>,
}

/// A metric in the printed table.
pub(crate) struct Column {
    pub(crate) metric: &'static str,
    pub(crate) title: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// Print Nuncio's ratio to the others.
    pub(crate) compare: bool,
}

/// A column without ratios.
const fn column(metric: &'static str, title: &'static str, digits: usize) -> Column {
    Column {
        metric,
        title,
        digits,
        compare: false,
    }
}

/// A column with ratios.
const fn compared(metric: &'static str, title: &'static str, digits: usize) -> Column {
    Column {
        compare: true,
        ..column(metric, title, digits)
    }
}

/// All scenarios, in the order of a full run.
pub(crate) const ALL: &[Scenario] = &[
    load::H1,
    load::H1_LOG,
    load::H1_LEAN,
    routes::ROUTES,
    big::BIG_SCENARIO,
    idle::IDLE,
    idle_conns::IDLE_CONNS,
    scale::SCALE,
    tables::TABLES_SCENARIO,
    endpoints::ENDPOINTS,
    flips::FLIPS,
    footprint::FOOTPRINT,
    checks::CHECKS,
    h2::H2,
    h2::H2_H2,
    h2::GRPC,
    h2_big::H2_BIG,
    idle_streams::IDLE_STREAMS,
];

/// The scenario called `name`.
pub(crate) fn find(name: &str) -> Result<&'static Scenario> {
    ALL.iter()
        .find(|scenario| scenario.name == name)
        .with_context(|| format!("no scenario or command is called {name}"))
}

/// Everything that a scenario works with.
pub(crate) struct Bench {
    pub(crate) peers: Vec<Peer>,
    pub(crate) rounds: usize,
    /// Length of one round of load.
    pub(crate) seconds: u64,
    // Before the scratch folder: it ends before its files are removed.
    pub(crate) origin: Origin,
    pub(crate) binaries: Binaries,
    pub(crate) cores: Cores,
    pub(crate) scratch: Scratch,
}

impl Bench {
    /// A plain setup with fresh ports.
    fn setup(&self) -> Result<Setup> {
        let [listener, admin] = machine::free_ports()?;
        Ok(Setup {
            listener,
            admin,
            origin: self.origin.port,
            downstream: Protocol::Http1,
            upstream: Protocol::Http1,
            patient: false,
            connections: 1_000,
            access_log: None,
            lean: false,
        })
    }

    /// The folder of `peer` in a scenario.
    fn folder(&self, scenario: &str, peer: Peer) -> PathBuf {
        self.scratch.path().join(scenario).join(peer.name())
    }

    /// Starts `peer` with one worker on the proxy's core.
    fn start(
        &self,
        scenario: &str,
        peer: Peer,
        setup: &Setup,
        bootstrap: Option<String>,
    ) -> Result<Proxy> {
        let start = Start {
            binaries: &self.binaries,
            cores: &[self.cores.proxy],
            setup,
            bootstrap,
            workers: 1,
            folder: &self.folder(scenario, peer),
        };
        start.run(peer)
    }

    /// Those of the chosen proxies that take Envoy's configuration.
    fn speak_envoy(&self) -> impl Iterator<Item = Peer> {
        self.peers
            .iter()
            .copied()
            .filter(|peer| peer.speaks_envoy())
    }
}

impl Results {
    /// Adds what each of so many requests cost the proxy (`cpu_us`, `user_us`, `kernel_us`), and what memory it has now
    /// (`rss_mib`).
    fn add_cost(
        &mut self,
        scenario: &str,
        peer: Peer,
        proxy: &Proxy,
        (spent, requests): (Spent, f64),
    ) -> Result<()> {
        let resident = usage::resident(&proxy.process.pids())?;
        for (metric, value) in [
            ("cpu_us", spent.total / requests),
            ("user_us", spent.user / requests),
            ("kernel_us", spent.kernel / requests),
            ("rss_mib", mib(resident)),
        ] {
            self.add(scenario, peer, metric, value);
        }
        Ok(())
    }
}

/// KiB to MiB.
fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}
