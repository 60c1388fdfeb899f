//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::peer::Peer;
use crate::scenarios::{self, Scenario};

/// What to do and how thoroughly.
pub(crate) struct Args {
    pub(crate) task: Task,
    /// Rounds of each scenario; medians are printed.
    pub(crate) rounds: usize,
    /// Length of one round of load, in seconds.
    pub(crate) seconds: u64,
    /// The proxies to measure.
    pub(crate) only: Vec<Peer>,
    /// Where to write the results.
    pub(crate) json: Option<PathBuf>,
    /// Build `nuncio` first; otherwise the binary in the target folder is taken as it is.
    pub(crate) build: bool,
    /// This one instead of the one in the target folder.
    pub(crate) nuncio: Option<PathBuf>,
}

/// The commands.
pub(crate) enum Task {
    Help,
    Scenarios(Vec<&'static Scenario>),
    /// All scenarios (or results of an earlier run) against the bars.
    Bars {
        from: Option<PathBuf>,
    },
    /// Instruction counts against the baseline, or a new baseline.
    Instructions {
        update: bool,
    },
}

impl Args {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self> {
        let mut args = Self {
            task: Task::Help,
            rounds: 5,
            seconds: 5,
            only: Peer::ALL.to_vec(),
            json: None,
            build: true,
            nuncio: None,
        };
        let (mut words, mut from, mut update, mut help) = (Vec::new(), None, false, false);
        while let Some(word) = given.next() {
            let mut value = || {
                given
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--rounds" => args.rounds = positive(&value()?)?,
                "--seconds" => args.seconds = positive(&value()?)?,
                "--only" => {
                    args.only = value()?.split(',').map(str::parse).collect::<Result<_>>()?;
                }
                "--json" => args.json = Some(value()?.into()),
                "--from" => from = Some(value()?.into()),
                "--no-build" => args.build = false,
                "--nuncio" => args.nuncio = Some(value()?.into()),
                "--update" => update = true,
                "--help" | "-h" => help = true,
                option if option.starts_with('-') => bail!("unknown option {option}"),
                _ => words.push(word),
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        args.task = match words.as_slice() {
            _ if help => Task::Help,
            ["instructions"] => Task::Instructions { update },
            ["bars"] => Task::Bars { from: from.take() },
            [] => Task::Scenarios(scenarios::ALL.iter().collect()),
            names => Task::Scenarios(
                names
                    .iter()
                    .map(|name| scenarios::find(name))
                    .collect::<Result<_>>()?,
            ),
        };
        if from.is_some() {
            bail!("--from belongs to bars");
        }
        if update && !matches!(args.task, Task::Instructions { .. }) {
            bail!("--update belongs to instructions");
        }
        Ok(args)
    }
}

fn positive<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<T> {
    match text.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => bail!("{text} is no positive number"),
    }
}

/// The help text.
pub(crate) fn usage() -> String {
    let mut text = String::from(
        "nuncio-bench [scenario...]   measure and print tables, ratios and the bars concerned\n\
         nuncio-bench bars            all scenarios; fails when a bar is missed\n\
         nuncio-bench bars --from F   the same from the results in F\n\
         nuncio-bench instructions    callgrind counts against bench/baseline/instructions.json\n\n\
         Options:\n\
         \x20 --rounds N      rounds, in turns over the proxies (5)\n\
         \x20 --seconds S     length of a round of load (5)\n\
         \x20 --only A,B      of nuncio, envoy, nginx, haproxy\n\
         \x20 --json FILE     write the results\n\
         \x20 --no-build      take target/release/nuncio as it is\n\
         \x20 --nuncio FILE   this binary, as it is\n\
         \x20 --update        instructions: write a new baseline\n\n\
         Scenarios:\n",
    );
    for scenario in scenarios::ALL {
        text += &format!("  {:<12}  {}\n", scenario.name, scenario.about);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_and_scenarios_in_any_order() {
        let args = parse("h1 --rounds 2 idle --only envoy,nuncio --seconds 3").unwrap();
        assert_eq!((args.rounds, args.seconds), (2, 3));
        assert_eq!(args.only, [Peer::Envoy, Peer::Nuncio]);
        let Task::Scenarios(chosen) = args.task else {
            panic!("scenarios");
        };
        let names: Vec<_> = chosen.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["h1", "idle"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "--rounds 0",
            "--seconds",
            "h9",
            "--only squid",
            "--what",
            "h1 --from x",
            "bars --update",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
