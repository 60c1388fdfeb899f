//! The step that runs the tests, and its closing line.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, line};
use crate::setup::Runner;

/// Runs all tests of the workspace; doc tests are a step of their own. `peers`: the Python peers are installed. `closing`
/// becomes the summary line as nextest prints it, whatever the runner.
///
/// # Errors
/// When a test failed.
pub(crate) fn run(runner: Runner, peers: bool, closing: &mut Option<String>) -> Result<()> {
    let mut command = match runner {
        Runner::Nextest => cargo([
            "nextest",
            "run",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
        ]),
        Runner::CargoTest => cargo(["test", "--workspace", "--all-targets", "--no-fail-fast"]),
    };
    if !peers {
        command.env("NUNCIO_NO_PEERS", "1");
    }
    let start = Instant::now();
    let mut count = Count::default();
    // Nextest reports on standard error, cargo test on standard output.
    let result = echo(&mut command, runner, |text| {
        count.note(text);
        if text.trim_start().starts_with("Summary [") {
            *closing = Some(text.to_owned());
        }
    });
    if runner == Runner::CargoTest {
        *closing = Some(count.summary(start.elapsed().as_secs_f64()));
    }
    result
}

/// Runs the command and hands on each line of its report, after it was shown.
fn echo(command: &mut Command, runner: Runner, mut note: impl FnMut(&str)) -> Result<()> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    match runner {
        Runner::Nextest => command.stderr(Stdio::piped()),
        Runner::CargoTest => command.stdout(Stdio::piped()),
    };
    let shown = line(command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let report: Box<dyn std::io::Read> = match (child.stderr.take(), child.stdout.take()) {
        (Some(report), _) => Box::new(report),
        (None, Some(report)) => Box::new(report),
        (None, None) => bail!("`{shown}` has no output"),
    };
    let mut report = BufReader::new(report);
    let mut bytes = Vec::new();
    while report.read_until(b'\n', &mut bytes)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let mut out = std::io::stderr().lock();
        out.write_all(text.as_bytes())?;
        note(&without_colour(text.trim_end()));
        bytes.clear();
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The text without escape sequences.
fn without_colour(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

/// Sums up the `test result:` lines of cargo test.
#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Count {
    fn note(&mut self, text: &str) {
        let Some((_, numbers)) = text
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in numbers.split("; ") {
            let Some((Ok(number), what)) = part
                .split_once(' ')
                .map(|(n, what)| (n.parse::<u32>(), what))
            else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    fn summary(&self, seconds: f64) -> String {
        let Count {
            passed,
            failed,
            ignored,
        } = self;
        let run = passed + failed;
        let failures = match failed {
            0 => String::new(),
            n => format!("{n} failed, "),
        };
        format!(
            "     Summary [{seconds:>8.3}s] {run} tests run: {passed} passed, {failures}{ignored} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_cargo_test_are_added_up() {
        let mut count = Count::default();
        count.note("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.19s");
        count.note("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.19s");
        count.note("test result: nonsense");
        assert_eq!(
            count.summary(1.5),
            "     Summary [   1.500s] 17 tests run: 15 passed, 2 failed, 1 skipped"
        );
    }

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(
            without_colour("\u{1b}[32;1m Summary\u{1b}[0m [ 1s]"),
            " Summary [ 1s]"
        );
    }
}
