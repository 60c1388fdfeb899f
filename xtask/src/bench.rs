//! The bench harness: `bench/README.md` tells what it measures. It builds Nuncio for release.

use anyhow::Result;

use crate::command::{cargo, execute};

/// Builds the harness and runs it with these arguments.
///
/// # Errors
/// When it does not build, or fails.
pub(crate) fn run(args: &[String]) -> Result<()> {
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
