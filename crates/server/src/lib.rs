//! Builds everything from a bootstrap, in Envoy's order, and owns the main thread.
//!
//! [`run`] is the whole program behind the command line. `extensions.rs` lists the built-in extensions; a program with
//! extensions of its own calls [`run_with`].

mod admin;
mod build;
mod extensions;
mod local_address;
mod log_format;
mod main_loop;
mod observer;
mod options;
mod stats_config;
mod watchdogs;

use std::panic::resume_unwind;
use std::process::ExitCode;

use bytes::Bytes;
use nuncio_config::{Diagnostic, Judgement, Sources, judge_bootstrap};
use nuncio_sdk::Extensions;

pub use extensions::builtin;
use main_loop::Failure;
pub use options::{IpVersion, Mode, Options};

/// Name, version and kind of build, in the shape of Envoy's: revision/version/modification/build type/TLS library.
pub fn version() -> String {
    let build = if cfg!(debug_assertions) {
        "DEBUG"
    } else {
        "RELEASE"
    };
    format!("nuncio/{}/Clean/{build}/none", env!("CARGO_PKG_VERSION"))
}

/// Validates or serves with the built-in extensions; returns the process's exit code.
pub fn run(options: Options) -> ExitCode {
    run_with(options, builtin())
}

/// Validates or serves with these extensions; returns the process's exit code.
pub fn run_with(options: Options, mut extensions: Extensions) -> ExitCode {
    let app_log = match main_loop::start_logging(&options) {
        Ok(app_log) => app_log,
        Err(error) => {
            eprintln!("error initializing the log: {error}");
            return ExitCode::FAILURE;
        }
    };
    for name in &options.disabled_extensions {
        match extensions.disable(name) {
            true => log::info!(target: "config", "disabled extension '{name}'"),
            false => {
                log::warn!(target: "config", "--disable-extensions: there is no extension '{name}'")
            }
        }
    }
    let sources = Sources {
        config_path: options.config_path.clone(),
        config_yaml: options.config_yaml.clone(),
        allow_unknown: options.allow_unknown_static_fields,
        extension_types: extension_types(&extensions),
    };
    let loaded = match judge_apart(&sources) {
        Judgement {
            errors,
            loaded: Some(loaded),
        } if errors.is_empty() => loaded,
        Judgement { mut errors, loaded } => {
            if let Some(rest) = loaded {
                errors.extend(main_loop::errors_of(&options, extensions, &rest));
                errors.sort_by_key(|error| (error.line, error.column));
            }
            return report(&errors);
        }
    };
    // What was loaded is made of fresh memory: in pages of the loader's, of which it needs parts, all of each would stay.
    options.give_back_memory();
    if !options.skip_deprecated_logs {
        for warning in &loaded.warnings {
            log::warn!(target: "config", "{warning}");
        }
    }
    let result = match options.mode {
        Mode::Validate => main_loop::validate(&options, extensions, &loaded),
        Mode::Serve | Mode::InitOnly => main_loop::serve(&options, extensions, loaded, &app_log),
    };
    match result {
        Ok(code) => code,
        Err(Failure::Config(errors)) => report(&errors),
        Err(Failure::System(error)) => {
            log::error!(target: "main", "cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// [`judge_bootstrap`] on a thread of its own, as deep as the main one: text and trees of a large configuration lie
/// apart from what is made of them, so that their memory goes back whole when they have gone.
fn judge_apart(sources: &Sources) -> Judgement {
    const STACK: usize = 8 << 20;
    let mut judgement = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        match thread.spawn_scoped(scope, || judge_bootstrap(sources)) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // No thread to be had: what follows will say so.
            Err(_) => judge_bootstrap(sources),
        }
    });
    if let Some(loaded) = &mut judgement.loaded {
        // This part stays.
        loaded.raw = Bytes::copy_from_slice(&loaded.raw);
    }
    judgement
}

/// Every type of configuration that some extension takes.
fn extension_types(extensions: &Extensions) -> Vec<String> {
    let own = extensions.list().into_iter().map(|(_, _, types)| types);
    let of_routes = extensions
        .http_filters
        .iter()
        .map(|filter| filter.route_config_types());
    own.chain(of_routes)
        .flatten()
        .map(|&name| name.to_owned())
        .collect()
}

/// Prints what is wrong with the configuration, all of it.
fn report(errors: &[Diagnostic]) -> ExitCode {
    for error in errors {
        eprintln!("{error}");
    }
    let count = errors.len();
    eprintln!(
        "error: the configuration was refused: {count} {}",
        if count == 1 { "error" } else { "errors" }
    );
    ExitCode::FAILURE
}
