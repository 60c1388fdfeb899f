//! `nuncio-conformance`: the same configuration and traffic through Envoy and through Nuncio, compared.
//!
//! Envoy's side is recorded in `conformance/recorded/`; `conformance/README.md` tells how to add a case.

mod admin;
mod args;
mod case;
mod client;
mod compare;
mod conn;
mod dns;
mod envoy;
mod fuzz;
mod h2;
mod normalise;
mod observe;
mod origin;
mod ports;
mod process;
mod run;
mod scenario;
mod suite;
mod template;
mod wire;
mod yaml;

use std::process::ExitCode;

use anyhow::Result;

fn main() -> ExitCode {
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn start() -> Result<bool> {
    match args::parse(std::env::args().skip(1))? {
        Some(args) => suite::run(args),
        None => {
            print!("{}", args::USAGE);
            Ok(true)
        }
    }
}
