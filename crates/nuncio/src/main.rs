//! The Nuncio program: an L4/L7 proxy that takes Envoy's v3 configuration.

mod cli;
mod cpus;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args()) {
        Ok(cli::Request::Run(options)) => nuncio_server::run(*options),
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
