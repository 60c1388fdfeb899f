//! The Nuncio program: an L4/L7 proxy that takes Envoy's v3 configuration.

mod cli;
mod cpus;
mod memory;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args()) {
        Ok(cli::Request::Run(mut options)) => {
            options.give_back_memory = Some(memory::give_back);
            nuncio_server::run(*options)
        }
        Ok(cli::Request::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
