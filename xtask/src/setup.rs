//! Installs what the tests need and this machine has not.

use anyhow::{Context, Result, bail};

use crate::command::{cargo, execute, program, tools, works};

/// What runs the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    /// `cargo nextest run`: every test is a process of its own, with a time limit.
    Nextest,
    /// `cargo test`, where nextest cannot be installed.
    CargoTest,
}

/// For people who want all tools before they go offline.
///
/// # Errors
/// When something is missing that cannot be installed.
pub(crate) fn everything() -> Result<()> {
    components()?;
    runner();
    fuzzer()?;
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
