//! A proxy with a cluster whose endpoints a file tells.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Bench;
use crate::configs::endpoints::{Endpoint, Format};
use crate::configs::envoy::{self, DISCOVERED};
use crate::http;
use crate::peer::{Peer, Proxy, Start};
use crate::usage::Cpu;

/// Enough requests to reach both workers.
const TOUCHES: usize = 40;

pub(super) struct Discovered {
    pub(super) proxy: Proxy,
    admin: u16,
    file: PathBuf,
    format: Format,
    version: u32,
}

impl Discovered {
    /// Starts `peer` with two workers, which both have asked for a host. `policy` is a piece of the cluster.
    pub(super) fn start(
        bench: &Bench,
        scenario: &str,
        peer: Peer,
        (policy, others): (&str, usize),
        (format, endpoints): (Format, &[Endpoint]),
    ) -> Result<Self> {
        let folder = bench.folder(scenario, peer);
        fs::create_dir_all(&folder)?;
        let file = folder.join("endpoints").with_extension(format.extension());
        fs::write(&file, format.write(DISCOVERED, 0, endpoints))?;
        let setup = bench.setup()?;
        let start = Start {
            binaries: &bench.binaries,
            cores: &[bench.cores.proxy, bench.cores.load],
            setup: &setup,
            bootstrap: Some(envoy::discovered(&setup, &file, policy, others)),
            workers: 2,
            folder: &folder,
        };
        let discovered = Self {
            proxy: start.run(peer)?,
            admin: setup.admin,
            file,
            format,
            version: 0,
        };
        for _ in 0..TOUCHES {
            // Mostly nobody listens: it is the choice that counts.
            http::status(discovered.proxy.port, DISCOVERED, "/")?;
        }
        Ok(discovered)
    }

    /// Moves a file with these endpoints into place; CPU time in microseconds until the proxy rests again.
    pub(super) fn update(&mut self, endpoints: &[Endpoint]) -> Result<f64> {
        self.version += 1;
        let new = self.file.with_extension("new");
        fs::write(&new, self.format.write(DISCOVERED, self.version, endpoints))?;
        let before = self.rest()?;
        fs::rename(&new, &self.file)?;
        sleep(Duration::from_millis(100));
        let spent = self.rest()?.since(before).total;
        let taken = self.stat(&format!("cluster.{DISCOVERED}.update_success"))?;
        ensure!(
            taken == u64::from(self.version) + 1,
            "an update was refused"
        );
        Ok(spent)
    }

    /// Waits until the proxy has done next to nothing for some time.
    fn rest(&self) -> Result<Cpu> {
        let mut last = self.proxy.process.cpu()?;
        let mut quiet = 0;
        while quiet < 4 {
            sleep(Duration::from_millis(50));
            let now = self.proxy.process.cpu()?;
            let is_quiet = now.since(last).total < 300.0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }

    /// A counter or gauge.
    pub(super) fn stat(&self, name: &str) -> Result<u64> {
        let path = format!("/stats?filter=^{}$", name.replace('.', "\\."));
        let text = http::text(self.admin, &path)?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let value = value.with_context(|| format!("no stat {name}: {text}"))?;
        value
            .trim()
            .parse()
            .with_context(|| format!("odd stat {name}: {value}"))
    }
}
