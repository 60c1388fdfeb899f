//! `cargo xtask …`: set-up, test, bench and documentation tasks. `cargo xtask help` lists them.

mod bench;
mod command;
mod compat;
mod conformance;
mod fuzz;
mod profile;
mod setup;
mod steps;
mod test;
mod tests_run;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <task>

  test                     all that CI checks: format, lints, docs, tests, COMPATIBILITY.md, conformance, fuzzing for a bounded time
  setup                    installs what the tests need and this machine has not (into .tools/, nothing global)
  compat                   writes the generated part of COMPATIBILITY.md anew
  conformance [args]       Nuncio against Envoy's recorded answers; --help lists the arguments, --record asks Envoy itself
  bench [args]             Nuncio beside Envoy, nginx and HAProxy; --help lists the arguments, `bars` is all of it
  profile                  records anew what release builds are optimised with (bench/profile), by running the benches
  fuzz [target] [--seconds N]
                           cargo-fuzz on one target, or on all of them, N seconds each (60)
  help                     this
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match run(&task, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str, args: &[String]) -> Result<()> {
    match task {
        "test" => no_more(args).and_then(|()| test::run()),
        "setup" => no_more(args).and_then(|()| setup::everything()),
        "compat" => no_more(args).and_then(|()| compat::write()),
        "conformance" => conformance::run(args),
        "bench" => bench::run(args),
        "profile" => no_more(args).and_then(|()| profile::record()),
        "fuzz" => fuzz::run(args),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no task '{other}'\n\n{USAGE}"),
    }
}

fn no_more(args: &[String]) -> Result<()> {
    match args.first() {
        Some(arg) => bail!("unexpected argument '{arg}'\n\n{USAGE}"),
        None => Ok(()),
    }
}
