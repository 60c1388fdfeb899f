//! Installs what the tests need and this machine has not.

use anyhow::{Context, Result, bail};

use crate::command::{cargo, execute, program, tools, works, workspace};

/// What runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `cargo nextest run`: every test is a process of its own, with a time limit.
    Nextest,
    /// `cargo test`, where nextest cannot be installed.
    CargoTest,
}

/// What real peers need: Python packages and their versions.
const PEERS: [&str; 2] = ["grpcio==1.85.1", "h2==4.4.1"];

/// For people who want all tools before they go offline.
///
/// # Errors
/// When something is missing that cannot be installed.
pub(crate) fn everything() -> Result<()> {
    components()?;
    runner();
    fuzzer()?;
    peers()?;
    println!("everything is here");
    Ok(())
}

/// The compiler's companions, and a C compiler (for mimalloc, and to link).
///
/// # Errors
/// When one is missing and cannot be installed.
pub(crate) fn components() -> Result<()> {
    if !works(program("cc").arg("--version")) {
        bail!("there is no C compiler: install one (Debian: apt-get install gcc libc6-dev)");
    }
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if works(&mut cargo([subcommand, "--version"])) {
            continue;
        }
        execute(program("rustup").args(["component", "add", component])).with_context(|| {
            format!("cargo {subcommand} is missing: install {component} as your Rust came")
        })?;
    }
    Ok(())
}

/// Finds or installs the test runner.
pub(crate) fn runner() -> Runner {
    if works(&mut cargo(["nextest", "--version"])) {
        return Runner::Nextest;
    }
    // Built without optimisation: it spends its time waiting for tests, and this takes a third of the time.
    match install("cargo-nextest", &["--debug"]) {
        Ok(()) => Runner::Nextest,
        Err(error) => {
            eprintln!("cannot install cargo-nextest ({error:#}); going on with cargo test");
            Runner::CargoTest
        }
    }
}

/// Finds or installs the libraries of the peers that are written in Python (`crates/testing/peers`), in an environment of
/// their own.
///
/// # Errors
/// When they cannot be installed.
pub(crate) fn peers() -> Result<()> {
    let folder = workspace().join(".tools/peers");
    let stamp = folder.join("installed");
    let wanted = PEERS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing {} into {}", PEERS.join(", "), folder.display());
    execute(program("python3").args(["-m", "venv"]).arg(&folder))?;
    execute(
        program(folder.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PEERS),
    )?;
    std::fs::write(&stamp, wanted).context("cannot note what was installed")
}

/// Finds or installs cargo-fuzz.
///
/// # Errors
/// When it cannot be installed.
pub(crate) fn fuzzer() -> Result<()> {
    if works(&mut cargo(["fuzz", "--version"])) {
        return Ok(());
    }
    install("cargo-fuzz", &[])
}

fn install(package: &str, options: &[&str]) -> Result<()> {
    eprintln!("installing {package} into {}", tools().display());
    execute(
        cargo(["install", "--locked", package])
            .args(options)
            .arg("--root")
            .arg(tools()),
    )
}
