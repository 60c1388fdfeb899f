//! `cargo xtask test`: all that CI checks.
//!
//! Dependencies are compiled twice, not more: once as metadata (lints and docs read it) and once as code (everything that
//! runs). Hence one `cargo build --workspace --all-targets`, whose programs are then run directly: `cargo run -p` of one
//! package would choose other features for the shared dependencies and build them again.

use anyhow::Result;

use crate::command::{cargo, execute};
use crate::steps::Steps;
use crate::{compat, conformance, fuzz, setup, tests_run};

/// Seconds of each fuzz target.
const FUZZ_SECONDS: u32 = 10;

/// Runs all steps. Returns the summary of the tests, if they ran.
fn run_all(steps: &mut Steps) -> Option<String> {
    steps.run("set-up", setup::components)?;
    let runner = setup::runner();
    let peers = setup::peers();
    if let Err(error) = &peers {
        eprintln!(
            "tests with peers in Python are left out, since they cannot be installed: {error:#}"
        );
    }
    steps.run("format", || {
        execute(&mut cargo(["fmt", "--all", "--check"]))?;
        execute(&mut cargo([
            "fmt",
            "--check",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ]))
    });
    steps.run("clippy", || {
        execute(&mut cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--keep-going",
            "--",
            "-D",
            "warnings",
        ]))
    });
    steps.run("docs", || {
        let mut docs = cargo(["doc", "--workspace", "--no-deps", "--keep-going"]);
        execute(docs.env("RUSTDOCFLAGS", "-D warnings"))
    });
    // What does not compile cannot be run.
    steps.run("build", || {
        execute(&mut cargo(["build", "--workspace", "--all-targets"]))
    })?;
    let mut closing = None;
    steps.run("tests", || {
        tests_run::run(runner, peers.is_ok(), &mut closing)
    });
    steps.run("doc tests", || {
        execute(&mut cargo(["test", "--workspace", "--doc", "--quiet"]))
    });
    steps.run("COMPATIBILITY.md", compat::check);
    steps.run("conformance", conformance::check);
    steps.run("fuzzing", || fuzz::bounded(FUZZ_SECONDS));
    closing
}

/// Runs everything, and closes with the summary of the tests.
///
/// # Errors
/// When a step failed; the error names it.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    let closing = run_all(&mut steps);
    let result = steps.finish();
    if let Some(closing) = closing {
        eprintln!("{closing}");
    }
    result
}
