//! All cases: which proxy, how many at a time, recordings on disk, and the summary.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::args::{Args, Mode};
use crate::case::{self, Case};
use crate::compare;
use crate::envoy;
use crate::fuzz;
use crate::normalise;
use crate::run::{Refused, Runner};

/// What became of one case.
#[derive(Default)]
struct Outcome {
    passed: usize,
    /// Scenario names with their differences.
    failed: Vec<(String, String)>,
    /// Scenario names with the reasons of their intended deviations.
    deviations: Vec<(String, String)>,
    /// Why Nuncio refuses the configuration for now, which it did.
    not_yet: Option<String>,
    /// The case could not be run to its end.
    error: Option<String>,
}

impl Outcome {
    fn good(&self) -> bool {
        self.failed.is_empty() && self.error.is_none()
    }
}

/// Runs what `args` ask for; false when anything differs.
pub(crate) fn run(args: Args) -> Result<bool> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let workspace = root.parent().context("the workspace folder")?;
    let cases = case::load_all(&root, &args.filters)?;
    if args.mode == Mode::List {
        for case in &cases {
            println!("{}: {}", case.name, case.about);
            for scenario in &case.scenarios {
                println!("    {}", scenario.name);
            }
        }
        let scenarios: usize = cases.iter().map(|case| case.scenarios.len()).sum();
        println!("{} cases, {scenarios} scenarios", cases.len());
        return Ok(true);
    }
    let scratch = workspace
        .join("target/conformance")
        .join(std::process::id().to_string());
    if let Mode::Fuzz(seed) = args.mode {
        let envoy = envoy::find(workspace, args.envoy)?;
        let nuncio = nuncio(workspace, args.nuncio)?;
        return fuzz::run(&root, &scratch, [&envoy, &nuncio], seed, args.rounds);
    }
    let binary = match args.mode {
        Mode::Compare => nuncio(workspace, args.nuncio)?,
        _ => envoy::find(workspace, args.envoy)?,
    };
    let runner = Runner {
        binary: &binary,
        root: &root,
        scratch: &scratch,
        recording: args.mode == Mode::Record,
    };
    let began = Instant::now();
    let mut outcomes = run_all(&cases, args.jobs, |case| work(&runner, case, args.mode));
    let unsteady = again(&cases, &mut outcomes, |case| work(&runner, case, args.mode));
    report(&cases, &outcomes, &unsteady, args.mode, began, &scratch)
}

/// When so many cases could not be run and none could, the proxy is broken, and the others are not tried.
const HOPELESS: usize = 4;

/// Runs `work` on every case, `jobs` at a time; results in the order of the cases.
fn run_all(cases: &[Case], jobs: usize, work: impl Fn(&Case) -> Outcome + Sync) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let (ran, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcomes: Vec<Mutex<Outcome>> = cases.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let hopeless = ran.load(Ordering::Relaxed) == 0
                        && failed.load(Ordering::Relaxed) >= HOPELESS;
                    let outcome = if hopeless {
                        Outcome {
                            error: Some("not tried, since no case before could be run".to_owned()),
                            ..Outcome::default()
                        }
                    } else {
                        work(case)
                    };
                    let counter = if outcome.error.is_some() {
                        &failed
                    } else {
                        &ran
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    print_outcome(case, &outcome);
                    *outcomes[index]
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = outcome;
                }
            });
        }
    });
    outcomes
        .into_iter()
        .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

/// More differing cases than this are not the machine's doing.
const UNSTEADY: usize = 6;

/// Runs what failed once more, now that nothing else runs: a machine that stood still for seconds in the middle of a
/// scenario says nothing about a proxy. Returns the names of the cases that pass now, for all to see.
fn again<'a>(
    cases: &'a [Case],
    outcomes: &mut [Outcome],
    work: impl Fn(&Case) -> Outcome,
) -> Vec<&'a str> {
    let failed: Vec<usize> = (0..outcomes.len())
        .filter(|index| !outcomes[*index].good())
        .collect();
    let mut unsteady = Vec::new();
    if failed.len() > UNSTEADY {
        return unsteady;
    }
    for index in failed {
        let (case, outcome) = (&cases[index], work(&cases[index]));
        print_outcome(case, &outcome);
        if outcome.good() {
            unsteady.push(case.name.as_str());
        }
        outcomes[index] = outcome;
    }
    unsteady
}

fn work(runner: &Runner<'_>, case: &Case, mode: Mode) -> Outcome {
    let result = if mode == Mode::Record {
        record(runner, case)
    } else {
        check(runner, case, mode)
    };
    result.unwrap_or_else(|error| Outcome {
        error: Some(format!("{error:#}")),
        ..Outcome::default()
    })
}

fn record(runner: &Runner<'_>, case: &Case) -> Result<Outcome> {
    let mut recording = json!({ "case": case.name, "about": case.about, "envoy": envoy::VERSION });
    let observed = runner.run(case, None)?;
    for (key, value) in observed.as_object().into_iter().flatten() {
        recording[key] = value.clone();
    }
    let file = recorded(runner.root, case);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&file, format!("{recording:#}\n"))?;
    Ok(Outcome {
        passed: case.scenarios.len(),
        ..Outcome::default()
    })
}

fn check(runner: &Runner<'_>, case: &Case, mode: Mode) -> Result<Outcome> {
    let file = recorded(runner.root, case);
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{} is missing; run with --record", file.display()))?;
    let recorded: Value = serde_json::from_str(&normalise::of_this_machine(text))?;
    let deviate = mode == Mode::Compare;
    let mut expected = recorded.clone();
    for scenario in &case.scenarios {
        expected["scenarios"][&scenario.name] = compare::expectation(scenario, &recorded, deviate);
    }
    let observed = runner.run(case, Some(&expected));
    let mut outcome = Outcome::default();
    if let Some(reason) = case.not_yet.as_ref().filter(|_| deviate) {
        match observed {
            Err(error) if error.is::<Refused>() => outcome.not_yet = Some(reason.clone()),
            _ => anyhow::bail!("the configuration is accepted now: remove `not_yet`"),
        }
        return Ok(outcome);
    }
    let observed = observed?;
    for scenario in &case.scenarios {
        let want = &expected["scenarios"][&scenario.name];
        match compare::difference(
            want,
            &observed["scenarios"][&scenario.name],
            scenario.ordered,
        ) {
            Some(difference) => outcome.failed.push((scenario.name.clone(), difference)),
            None => outcome.passed += 1,
        }
        if let Some(deviation) = scenario.deviation.as_ref().filter(|_| deviate) {
            outcome
                .deviations
                .push((scenario.name.clone(), deviation.reason.clone()));
        }
    }
    if expected.get("exit") != observed.get("exit") {
        let difference = format!(
            "  exit code: expected {:?}, got {:?}\n",
            expected.get("exit"),
            observed.get("exit")
        );
        outcome.failed.push(("(exit)".to_owned(), difference));
    }
    Ok(outcome)
}

fn recorded(root: &Path, case: &Case) -> PathBuf {
    root.join("recorded")
        .join(&case.name)
        .with_extension("json")
}

/// The given binary, or the newer one of the release and debug builds.
fn nuncio(workspace: &Path, given: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(std::path::absolute(path)?);
    }
    ["release", "debug"]
        .iter()
        .map(|profile| workspace.join("target").join(profile).join("nuncio"))
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .context(
            "no nuncio is built; run `cargo build --release -p nuncio` or name one with --nuncio",
        )
}

fn print_outcome(case: &Case, outcome: &Outcome) {
    let mut text = String::new();
    if let Some(error) = &outcome.error {
        text.push_str(&format!("ERROR {}: {error}\n", case.name));
    } else if let Some(reason) = &outcome.not_yet {
        text.push_str(&format!("later {}: {reason}\n", case.name));
    } else if outcome.failed.is_empty() {
        text.push_str(&format!(
            "ok    {} ({} scenarios)\n",
            case.name, outcome.passed
        ));
    } else {
        text.push_str(&format!(
            "DIFF  {} ({} of {})\n",
            case.name,
            outcome.failed.len(),
            case.scenarios.len()
        ));
        for (scenario, difference) in &outcome.failed {
            text.push_str(&format!("\n  {} / {scenario}\n{difference}\n", case.name));
        }
    }
    print!("{text}");
}

fn report(
    cases: &[Case],
    outcomes: &[Outcome],
    unsteady: &[&str],
    mode: Mode,
    began: Instant,
    scratch: &Path,
) -> Result<bool> {
    let passed: usize = outcomes.iter().map(|outcome| outcome.passed).sum();
    let failed: usize = outcomes.iter().map(|outcome| outcome.failed.len()).sum();
    let errors = outcomes
        .iter()
        .filter(|outcome| outcome.error.is_some())
        .count();
    let deviations: usize = outcomes
        .iter()
        .map(|outcome| outcome.deviations.len())
        .sum();
    if deviations > 0 {
        println!("\nintended deviations:");
        for (case, outcome) in cases.iter().zip(outcomes) {
            for (scenario, reason) in &outcome.deviations {
                println!("  {} / {scenario}: {reason}", case.name);
            }
        }
    }
    let later = outcomes
        .iter()
        .filter(|outcome| outcome.not_yet.is_some())
        .count();
    let verb = if mode == Mode::Record {
        "recorded"
    } else {
        "as expected"
    };
    println!(
        "\n{} cases: {passed} scenarios {verb}, {failed} differ, {errors} cases could not be run, {later} cases come later, {deviations} scenarios deviate on purpose; {:.1} s",
        cases.len(),
        began.elapsed().as_secs_f32()
    );
    for name in unsteady {
        println!("unsteady: {name} passed only when it ran alone");
    }
    for (case, outcome) in cases.iter().zip(outcomes) {
        for (scenario, _) in &outcome.failed {
            println!("differs: {} / {scenario}", case.name);
        }
        if outcome.error.is_some() {
            println!("not run: {}", case.name);
        }
    }
    let good = failed == 0 && errors == 0;
    if good {
        std::fs::remove_dir_all(scratch).ok();
    } else {
        println!(
            "configurations, logs and what the proxy said are in {}",
            scratch.display()
        );
    }
    Ok(good)
}
