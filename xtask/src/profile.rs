//! The profile that release builds are optimised with: recorded by an instrumented proxy under the load of the benches.
//!
//! `.cargo/rustc-with-profile` hands it to the compiler.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, execute, program, workspace};
use crate::{bench, conformance};

/// `cargo xtask profile`
///
/// # Errors
/// When something does not build or run, or `llvm-profdata` is missing.
pub(crate) fn record() -> Result<()> {
    let merger = merger()?;
    let target = workspace().join("target/profile");
    let raw = target.join("raw");
    if raw.is_dir() {
        fs::remove_dir_all(&raw)?;
    }
    execute(
        cargo(["build", "--release", "--package", "nuncio"])
            .env("CARGO_TARGET_DIR", &target)
            .env("RUSTFLAGS", format!("-Cprofile-generate={}", raw.display())),
    )?;
    let recording = target.join("release/nuncio").display().to_string();
    // The build's own programs have left records too.
    fs::remove_dir_all(&raw)?;
    let load = [
        "--only",
        "nuncio",
        "--rounds",
        "1",
        "--seconds",
        "3",
        "--nuncio",
    ];
    let load = load.into_iter().chain([recording.as_str()]);
    bench::run(&load.map(str::to_owned).collect::<Vec<_>>())?;
    // Everything else: errors, limits, all that a bench does not do. Little of it counts as hot, none as never used.
    let all_else = conformance::run(&["--nuncio".to_owned(), recording]);
    if let Err(error) = all_else {
        // It is slow enough for a timeout to be missed; what ran is recorded.
        eprintln!("{error:#}");
    }
    let profile = workspace().join("bench/profile/nuncio.profdata");
    execute(
        program(merger)
            .args(["merge", "--sparse", "--output"])
            .arg(&profile)
            .arg(&raw),
    )?;
    println!("wrote {}: commit it", profile.display());
    Ok(())
}

/// `llvm-profdata` of this compiler.
fn merger() -> Result<PathBuf> {
    let ask = |args: &[&str]| -> Result<String> {
        let output = Command::new("rustc").args(args).output().context("rustc")?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let host = ask(&["--print", "host-tuple"])?;
    let root = PathBuf::from(ask(&["--print", "sysroot"])?);
    let path = root
        .join("lib/rustlib")
        .join(host)
        .join("bin/llvm-profdata");
    if !path.is_file() {
        bail!("llvm-profdata is missing: rustup component add llvm-tools");
    }
    Ok(path)
}
