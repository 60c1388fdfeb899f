//! The proxies: how each is configured and started, and when it is ready.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::binaries::Binaries;
use crate::configs::{Protocol, Setup, envoy, haproxy, nginx};
use crate::process::{Process, command};
use crate::usage::Spent;
use crate::{h2, http};

const READY_LIMIT: Duration = Duration::from_secs(120);

/// A proxy that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Nuncio,
    Envoy,
    Nginx,
    Haproxy,
}

impl Peer {
    /// In the order of turns and tables.
    pub(crate) const ALL: [Self; 4] = [Self::Nuncio, Self::Envoy, Self::Nginx, Self::Haproxy];

    /// As written on the command line, in tables and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nuncio => "nuncio",
            Self::Envoy => "envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// Takes Envoy's configuration.
    pub(crate) fn speaks_envoy(self) -> bool {
        matches!(self, Self::Nuncio | Self::Envoy)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Peer {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|peer| peer.name() == name) {
            Some(peer) => Ok(peer),
            None => bail!("no proxy is called {name}"),
        }
    }
}

/// A running proxy.
pub(crate) struct Proxy {
    pub(crate) process: Process,
    /// Port of its listener.
    pub(crate) port: u16,
    /// From its start until it answered a request.
    pub(crate) start_up: Duration,
}

impl Proxy {
    /// What `work` gives, and what the proxy has spent on it.
    pub(crate) fn spent_on<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Spent)> {
        let before = self.process.cpu()?;
        let given = work()?;
        Ok((given, self.process.cpu()?.since(before)))
    }
}

/// How to start a proxy.
pub(crate) struct Start<'a> {
    pub(crate) binaries: &'a Binaries,
    pub(crate) cores: &'a [usize],
    pub(crate) setup: &'a Setup,
    /// The bootstrap of those that speak Envoy, when it is not the plain one.
    pub(crate) bootstrap: Option<String>,
    /// Workers of those that speak Envoy.
    pub(crate) workers: usize,
    /// Configuration and output go here.
    pub(crate) folder: &'a Path,
}

impl Start<'_> {
    /// Starts `peer` and waits until it answers.
    pub(crate) fn run(self, peer: Peer) -> Result<Proxy> {
        fs::create_dir_all(self.folder)?;
        let mut command = command(self.binaries.program(peer), self.cores);
        match peer {
            Peer::Nuncio | Peer::Envoy => {
                let file = self.folder.join("envoy.yaml");
                let text = self.bootstrap.unwrap_or_else(|| envoy::plain(self.setup));
                fs::write(&file, text)?;
                command.arg("-c").arg(file);
                command.args(["--concurrency", &self.workers.to_string()]);
                command.args(["--disable-hot-restart", "-l", "warning"]);
            }
            Peer::Nginx => {
                let text = nginx::proxy(self.setup, self.folder);
                fs::write(self.folder.join("nginx.conf"), text)?;
                command.args(nginx::arguments(self.folder));
            }
            Peer::Haproxy => {
                let file = self.folder.join("haproxy.cfg");
                fs::write(&file, haproxy::proxy(self.setup))?;
                command.arg("-db").arg("-f").arg(file);
            }
        }
        let port = self.setup.listener;
        let started = Instant::now();
        let mut process = Process::start(peer.name(), &mut command, self.folder)?;
        // An answer is what users wait for; admin interfaces differ in what they call ready, two have none.
        process.wait_until(READY_LIMIT, || match self.setup.downstream {
            Protocol::Http1 => http::status(port, "localhost", "/").is_ok(),
            // Where the origin never answers, it is the handshake that counts.
            Protocol::Http2 => h2::Client::connect(port).is_ok(),
        })?;
        Ok(Proxy {
            process,
            port,
            start_up: started.elapsed(),
        })
    }
}
