//! Nuncio beside Envoy, nginx and HAProxy: CPU per request, latency, memory, start-up. See `bench/README.md`.

mod args;
mod bars;
mod baseline;
mod binaries;
mod configs;
mod h2;
mod h2load;
mod http;
mod instructions;
mod machine;
mod origin;
mod peer;
mod process;
mod report;
mod results;
mod scenarios;
mod usage;
mod wrk;

use std::process::ExitCode;

use anyhow::Result;

use args::{Args, Task};
use binaries::Binaries;
use machine::{Cores, Scratch};
use origin::Origin;
use peer::Peer;
use results::Results;
use scenarios::{Bench, Scenario};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("{error:#}\n\n{}", args::usage());
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False: a bar was missed, or instructions grew.
fn run(args: &Args) -> Result<bool> {
    match &args.task {
        Task::Help => {
            println!("{}", args::usage());
            Ok(true)
        }
        Task::Instructions { update } => instructions::run(args, *update),
        Task::Bars { from: Some(file) } => {
            let results = Results::load(file)?;
            Ok(bars::print(&results, true))
        }
        Task::Bars { from: None } => {
            let results = measure(args, &scenarios::ALL.iter().collect::<Vec<_>>())?;
            Ok(bars::print(&results, true))
        }
        Task::Scenarios(chosen) => {
            let results = measure(args, chosen)?;
            bars::print(&results, false);
            Ok(true)
        }
    }
}

fn measure(args: &Args, chosen: &[&Scenario]) -> Result<Results> {
    let cores = Cores::choose()?;
    machine::raise_open_files()?;
    let scratch = Scratch::new()?;
    let binaries = Binaries::find(args)?;
    let bench = Bench {
        peers: Peer::ALL
            .into_iter()
            .filter(|peer| args.only.contains(peer))
            .collect(),
        rounds: args.rounds,
        seconds: args.seconds,
        origin: Origin::start(&binaries.nginx, scratch.path(), cores.load)?,
        binaries,
        cores,
        scratch,
    };
    let mut results = Results::default();
    for scenario in chosen {
        eprintln!("{}: {}", scenario.name, scenario.about);
        (scenario.run)(&bench, &mut results)?;
        report::print(scenario, &bench.peers, &results);
        // Written after each scenario, so that a later failure loses nothing.
        if let Some(file) = &args.json {
            results.save(file)?;
        }
    }
    Ok(results)
}
