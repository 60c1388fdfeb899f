//! Running programs, and where things are.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where this workspace's tools are installed: a `cargo install --root`.
pub(crate) fn tools() -> PathBuf {
    workspace().join(".tools/cargo")
}

/// A program that the dev build made: it lies beside this one.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    let folder = own.parent().context("the folder of this program")?;
    Ok(folder.join(name))
}

/// A program, to be run in the workspace's folder. It finds the tools in `.tools` first.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    let mut path = vec![tools().join("bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    path.extend(std::env::split_paths(&inherited));
    // No part of PATH can hold a colon: it was split there.
    if let Ok(path) = std::env::join_paths(path) {
        command.env("PATH", path);
    }
    command.current_dir(workspace());
    command
}

/// Cargo with these arguments. It is this very cargo, without what it tells to the programs that it runs.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).stdin(Stdio::null());
    // Set by `cargo run` for xtask; build scripts that look at them would run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs it to its end.
///
/// # Errors
/// When it cannot be started or does not end with 0.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command
        .status()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// As [`execute`]; an error tells the lines of the standard output for which `keep` is true, as far as they fit.
///
/// # Errors
/// When it cannot be started or does not end with 0.
pub(crate) fn execute_and_keep(command: &mut Command, keep: impl Fn(&str) -> bool) -> Result<()> {
    const KEPT: usize = 8;
    let name = line(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{name}`"))?;
    let mut kept = Vec::new();
    for text in BufReader::new(child.stdout.take().context("its output")?).lines() {
        let text = text?;
        println!("{text}");
        if keep(&text) && kept.len() < KEPT {
            kept.push(text);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{name}` failed ({status})\n{}", kept.join("\n"));
    }
    Ok(())
}

/// Whether it can be run and ends with 0; its output is thrown away.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut words = vec![name.to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}
