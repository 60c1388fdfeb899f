//! Named steps, one after the other, and what is said of them at the end.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What became of the steps so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: &'static str,
    took: Duration,
    error: Option<String>,
}

impl Steps {
    /// Runs a step. Its failure is told now and again at the end; the steps after it run all the same, so that one run
    /// tells all there is to mend. Returns what the step gives, if it succeeds.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let result = step();
        let error = result.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            eprintln!("error: {name}: {error}");
        }
        self.done.push(Step {
            name,
            took: start.elapsed(),
            error,
        });
        result.ok()
    }

    /// Prints a table of all steps.
    ///
    /// # Errors
    /// When a step failed; the error names it.
    pub(crate) fn finish(&self) -> Result<()> {
        eprintln!("\n{self}");
        let failed: Vec<_> = self
            .done
            .iter()
            .filter(|step| step.error.is_some())
            .map(|step| step.name)
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { name, took, error } in &self.done {
            let verdict = if error.is_some() { "FAILED" } else { "ok" };
            writeln!(f, "{verdict:>8} {:>7.1}s  {name}", took.as_secs_f64())?;
            if let Some(error) = error {
                writeln!(f, "                   {error}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_named_and_the_next_one_runs() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("one", || Ok(1)), Some(1));
        assert_eq!(steps.run::<()>("two", || bail!("broken")), None);
        assert_eq!(steps.run("three", || Ok(3)), Some(3));
        assert_eq!(steps.finish().unwrap_err().to_string(), "failed: two");
        let table = steps.to_string();
        assert!(table.contains("FAILED"), "{table}");
        assert!(table.contains("broken"), "{table}");
    }
}
