//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub(crate) const USAGE: &str = "\
Runs the conformance cases through Nuncio and compares with what Envoy did.

usage: nuncio-conformance [--filter TEXT]... [--record | --check-envoy | --fuzz SEED] [--nuncio PATH] [--envoy PATH] [--jobs N] [--list]

  --filter TEXT   only cases whose area/name contains TEXT (repeatable; a bare argument means the same)
  --record        run Envoy and write conformance/recorded/ anew
  --check-envoy   run Envoy itself against the recordings: they must be stable
  --fuzz SEED     made-up scenarios through Envoy and Nuncio, beside each other
  --rounds N      so many times 40 of them, from seed to seed (default 1)
  --nuncio PATH   the proxy to test (default: target/release/nuncio or target/debug/nuncio, whichever is newer)
  --envoy PATH    the Envoy to record (default: NUNCIO_ENVOY, or installed into .tools/)
  --jobs N        cases run at the same time (default 2)
  --list          print the names of the cases and scenarios
";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Compare,
    Record,
    CheckEnvoy,
    /// From this seed on.
    Fuzz(u64),
    List,
}

#[derive(Debug)]
pub(crate) struct Args {
    pub mode: Mode,
    pub filters: Vec<String>,
    pub nuncio: Option<PathBuf>,
    pub envoy: Option<PathBuf>,
    pub jobs: usize,
    /// Of `Mode::Fuzz`.
    pub rounds: u64,
}

/// Parses the arguments; `None` when the usage was asked for.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Args>> {
    let mut args = Args {
        mode: Mode::Compare,
        filters: Vec::new(),
        nuncio: None,
        envoy: None,
        jobs: 2,
        rounds: 1,
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value"))
        };
        match word.as_str() {
            "--record" => args.mode = Mode::Record,
            "--check-envoy" => args.mode = Mode::CheckEnvoy,
            "--fuzz" => args.mode = Mode::Fuzz(value()?.parse().context("--fuzz")?),
            "--rounds" => args.rounds = value()?.parse().context("--rounds")?,
            "--list" => args.mode = Mode::List,
            "--filter" => args.filters.push(value()?),
            "--nuncio" => args.nuncio = Some(value()?.into()),
            "--envoy" => args.envoy = Some(value()?.into()),
            "--jobs" => args.jobs = value()?.parse::<usize>().context("--jobs")?.max(1),
            "--help" | "-h" => return Ok(None),
            _ if word.starts_with('-') => bail!("unknown argument {word}\n{USAGE}"),
            _ => args.filters.push(word),
        }
    }
    Ok(Some(args))
}
