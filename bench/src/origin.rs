//! The upstream server behind every proxy: nginx with a 32-byte answer, and large ones at `/big` and `/gib`.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::configs::nginx as config;
use crate::process::{Process, command};
use crate::{http, machine};

/// The answer to everything but `/big`.
pub(crate) const BODY: &str = "0123456789abcdef0123456789abcdef";
/// Bytes of the answer to `/big`.
pub(crate) const BIG: u64 = 512 << 20;
/// Bytes of the answer to `/gib`.
pub(crate) const GIB: u64 = 1 << 30;

/// The running origin.
pub(crate) struct Origin {
    pub(crate) port: u16,
    _process: Process,
}

impl Origin {
    /// Starts the program `nginx` on `core` with its files in a folder of `scratch`.
    pub(crate) fn start(nginx: &Path, scratch: &Path, core: usize) -> Result<Self> {
        let folder = scratch.join("origin");
        fs::create_dir_all(&folder)?;
        // A hole: no disk is read, and none is filled.
        File::create(folder.join("big"))?.set_len(BIG)?;
        File::create(folder.join("gib"))?.set_len(GIB)?;
        let [port] = machine::free_ports()?;
        fs::write(
            folder.join("nginx.conf"),
            config::origin(port, &folder, BODY),
        )?;
        let mut process = Process::start(
            "origin",
            command(nginx, &[core]).args(config::arguments(&folder)),
            &folder,
        )?;
        process.wait_until(Duration::from_secs(10), || {
            http::status(port, "localhost", "/").is_ok()
        })?;
        let (status, body) = http::exchange(&mut http::connect(port)?, "localhost", "/")?;
        ensure!(
            status == 200 && body == BODY.as_bytes(),
            "the origin answers {status}"
        );
        Ok(Self {
            port,
            _process: process,
        })
    }

    /// Checks that the proxy at `port` hands the origin's answer to `path` through.
    pub(crate) fn answers_through(&self, port: u16, host: &str, path: &str) -> Result<()> {
        let (status, body) = http::exchange(&mut http::connect(port)?, host, path)?;
        ensure!(
            status == 200 && body == BODY.as_bytes(),
            "through the proxy {path} of {host} gives {status} {:?}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}
