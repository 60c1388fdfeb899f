//! Drives a fuzz target without libFuzzer: every seed of `fuzz/seeds/<target>`, then mutations of them, until the time is
//! up. It sees no coverage, so it finds less than `cargo xtask fuzz`; it needs no instrumented build, so CI can afford it.
//! The sequence of inputs is the same in every run.

mod mutate;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use mutate::Mutator;
use watch::Watch;

/// The target's body, as libFuzzer's macro of this name takes it.
#[macro_export]
macro_rules! fuzz_target {
    (|$input:ident: &[u8]| $body:expr) => {
        fn main() -> std::process::ExitCode {
            $crate::run(env!("CARGO_BIN_NAME"), |$input: &[u8]| {
                $body;
            })
        }
    };
}

/// How long, unless `--seconds` says otherwise.
const SECONDS: u64 = 10;

/// Runs the target of the program of this name (`bounded-<target>`) as its arguments say: on the files that are named, or on
/// seeds and mutations for `--seconds`.
pub fn run(program: &str, target: impl Fn(&[u8])) -> ExitCode {
    let name = program.strip_prefix("bounded-").unwrap_or(program);
    let outcome = start(name, &target);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn start(name: &str, target: &dyn Fn(&[u8])) -> io::Result<bool> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let watch = Watch::start(fuzz.join("artifacts").join(name));
    let mut seconds = SECONDS;
    let mut files: Vec<PathBuf> = Vec::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().and_then(|value| value.parse().ok());
                seconds = value.ok_or_else(|| io::Error::other("--seconds needs a number"))?;
            }
            file => files.push(file.into()),
        }
    }
    if !files.is_empty() {
        for file in files {
            if !attempt(&watch, &fs::read(file)?, target)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }

    let seeds = seeds(&fuzz.join("seeds").join(name))?;
    let end = Instant::now() + Duration::from_secs(seconds);
    for seed in &seeds {
        if !attempt(&watch, seed, target)? {
            return Ok(false);
        }
    }
    let mut count = seeds.len();
    let mut mutator = Mutator::new(seeds);
    while Instant::now() < end {
        if !attempt(&watch, mutator.next(), target)? {
            return Ok(false);
        }
        count += 1;
    }
    println!("{name}: {count} inputs in {seconds} s, none of them failed");
    Ok(true)
}

/// All files of the folder, in the order of their names.
fn seeds(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let explain = |error| io::Error::other(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(explain)? {
        files.push(entry?.path());
    }
    files.sort();
    files.into_iter().map(fs::read).collect()
}

/// Runs one input. Returns whether the target was content; if not, the input was kept.
fn attempt(watch: &Watch, input: &[u8], target: &dyn Fn(&[u8])) -> io::Result<bool> {
    watch.begin(input);
    // What the target leaves behind after a panic is never looked at: the run ends.
    let content = catch_unwind(AssertUnwindSafe(|| target(input))).is_ok();
    watch.end();
    if !content {
        let kept = watch.keep(input)?;
        eprintln!("this input made it fail: {}", kept.display());
    }
    Ok(content)
}
