//! Fuzzing: with cargo-fuzz by hand, and for a bounded time with the same targets in CI.
//!
//! CI does not use cargo-fuzz, because instrumented dependencies would have to be built a third time (half of CI's time).
//! There the targets are linked with the small driver of `fuzz/bounded`, which mutates the seeds of `fuzz/seeds`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::command::{built, cargo, execute, program, workspace};
use crate::setup;

fn folder() -> PathBuf {
    workspace().join("fuzz")
}

/// Names of all targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder().join("fuzz_targets")).context("fuzz/fuzz_targets")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

/// The targets that need the feature `configuration`, see `fuzz/Cargo.toml`.
const CONFIGURATION: [&str; 4] = ["config_load", "dns_message", "reports", "route_match"];

/// `cargo xtask fuzz [target] [--seconds N]`
///
/// # Errors
/// When an input makes a target fail; cargo-fuzz tells which, and keeps it in `fuzz/artifacts`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let all = targets()?;
    let (chosen, seconds) = parse(args, &all)?;
    setup::fuzzer()?;
    for target in chosen {
        // The first folder receives what is found, the others are only read.
        let corpus = folder().join("corpus").join(&target);
        fs::create_dir_all(&corpus)?;
        let mut command = cargo(["fuzz", "run", &target]);
        if !CONFIGURATION.contains(&target.as_str()) {
            command.arg("--no-default-features");
        }
        // cargo-fuzz needs the sanitizer flags of a nightly compiler; this lets the stable one take them.
        command.env("RUSTC_BOOTSTRAP", "1").arg(corpus);
        let seeds = folder().join("seeds").join(&target);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        command.arg("--").arg(format!("-max_total_time={seconds}"));
        execute(&mut command)?;
    }
    Ok(())
}

fn parse(args: &[String], all: &[String]) -> Result<(Vec<String>, u32)> {
    let mut chosen = Vec::new();
    let mut seconds = 60;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().context("--seconds needs a number")?;
                seconds = value.parse().context("--seconds needs a number")?;
            }
            target if all.iter().any(|name| name == target) => chosen.push(target.to_owned()),
            other => bail!("there is no fuzz target '{other}': {}", all.join(", ")),
        }
    }
    if chosen.is_empty() {
        chosen = all.to_vec();
    }
    Ok((chosen, seconds))
}

/// Every target for this many seconds. Everything is built already.
///
/// # Errors
/// When an input makes a target fail; the driver tells which.
pub(crate) fn bounded(seconds: u32) -> Result<()> {
    for target in targets()? {
        execute(
            program(built(&format!("bounded-{target}"))?).args(["--seconds", &seconds.to_string()]),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let all = ["one".to_owned(), "two".to_owned()];
        let parse = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            parse(&words, &all)
        };
        assert_eq!(parse("").unwrap(), (all.to_vec(), 60));
        assert_eq!(
            parse("two --seconds 5").unwrap(),
            (vec!["two".to_owned()], 5)
        );
        assert!(parse("three").unwrap_err().to_string().contains("one, two"));
        assert!(parse("--seconds").is_err());
    }

    #[test]
    fn the_targets_are_found() {
        assert!(targets().unwrap().contains(&"h1_request".to_owned()));
    }
}
