//! The conformance harness: `conformance/README.md` tells what it does.

use anyhow::Result;

use crate::command::{built, cargo, execute, execute_and_keep, program};

/// Cases that run at the same time: most of a case's time is spent waiting.
const JOBS: u32 = 4;

/// Lines that name what failed; the closing table of CI repeats them.
const VERDICTS: [&str; 3] = ["differs: ", "not run: ", "unsteady: "];

/// Builds Nuncio and the harness as the tests do, and runs it with these arguments.
///
/// # Errors
/// When something differs or does not build.
pub(crate) fn run(args: &[String]) -> Result<()> {
    execute(&mut cargo([
        "build",
        "--package",
        "nuncio",
        "--package",
        "nuncio-conformance",
    ]))?;
    harness(args)
}

/// Runs all cases against the recordings. Everything is built already.
///
/// # Errors
/// When something differs.
pub(crate) fn check() -> Result<()> {
    harness(&["--jobs".to_owned(), JOBS.to_string()])
}

/// With the Nuncio of the dev build, unless the caller names another one.
fn harness(args: &[String]) -> Result<()> {
    let mut command = program(built("nuncio-conformance")?);
    command.args(args);
    if !args.iter().any(|arg| arg == "--nuncio") {
        command.arg("--nuncio").arg(built("nuncio")?);
    }
    execute_and_keep(&mut command, |line| {
        VERDICTS.iter().any(|verdict| line.starts_with(verdict))
    })
}
