//! Loads a bootstrap and prints what is wrong with it, or how long loading took and what memory it left.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use nuncio_config::{Sources, load_bootstrap};

fn main() -> ExitCode {
    let before = memory();
    let start = Instant::now();
    let config_path = std::env::args_os().nth(1).map(PathBuf::from);
    let loaded = match load_bootstrap(&Sources {
        config_path,
        ..Sources::default()
    }) {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in &errors {
                eprintln!("{error}\n");
            }
            eprintln!("{} errors", errors.len());
            return ExitCode::FAILURE;
        }
    };
    println!(
        "loaded in {:?}; encoded {} bytes; {} warnings",
        start.elapsed(),
        loaded.raw.len(),
        loaded.warnings.len()
    );
    println!(
        "memory before: {before}\nmemory while the document lives: {}",
        memory()
    );
    let start = Instant::now();
    let clusters = loaded
        .clusters()
        .filter(|it| !it.cluster.name.is_empty())
        .count();
    println!(
        "{clusters} clusters decoded one by one in {:?}",
        start.elapsed()
    );
    drop(loaded);
    println!("memory after all is dropped: {}", memory());
    ExitCode::SUCCESS
}

/// Resident and peak memory, from the kernel.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    format!("{} {}", line("VmRSS"), line("VmHWM"))
}
