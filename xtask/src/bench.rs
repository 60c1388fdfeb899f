//! The bench harness: `bench/` tells what it measures.

use anyhow::Result;

use crate::command::{cargo, execute};

/// Builds Nuncio for release and runs the harness with these arguments.
///
/// # Errors
/// When it does not build, or the harness fails.
pub(crate) fn run(args: &[String]) -> Result<()> {
    execute(&mut cargo(["build", "--release", "--package", "nuncio"]))?;
    execute(
        cargo([
            "run",
            "--release",
            "--quiet",
            "--package",
            "nuncio-bench",
            "--",
        ])
        .args(args),
    )
}
