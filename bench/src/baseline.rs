//! Instruction counts kept in the repository, and what has changed since.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Growth beyond this fails.
const TOLERANCE: f64 = 0.03;

/// Instructions for one of what each name says.
pub(crate) type Counts = BTreeMap<String, f64>;

/// Writes a new baseline.
pub(crate) fn save(file: &Path, counts: &Counts) -> Result<()> {
    let counts: Map<String, Value> = counts
        .iter()
        .map(|(name, count)| (name.clone(), json!((count * 10.0).round() / 10.0)))
        .collect();
    let document = json!({"rustc": rustc()?, "instructions": counts});
    fs::write(file, format!("{document:#}\n"))
        .with_context(|| format!("writing {}", file.display()))
}

/// Reads the baseline, and says when another compiler made it.
pub(crate) fn load(file: &Path) -> Result<Counts> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("reading {} (--update writes it)", file.display()))?;
    let document: Value = serde_json::from_str(&text)?;
    let (then, now) = (document["rustc"].as_str().unwrap_or_default(), rustc()?);
    if then != now {
        println!("note: the baseline is of {then}, this is {now}");
    }
    let counts = document["instructions"]
        .as_object()
        .context("no instructions")?;
    counts
        .iter()
        .map(|(name, count)| Ok((name.clone(), count.as_f64().context("a number")?)))
        .collect()
}

fn rustc() -> Result<String> {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .context("rustc")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Prints the counts beside the baseline; false when one grew beyond the tolerance.
pub(crate) fn compare(counts: &Counts, baseline: &Counts) -> bool {
    let mut kept = true;
    println!(
        "{:<52}  {:>10}  {:>10}  {:>8}",
        "instructions", "now", "baseline", "change"
    );
    for (name, &now) in counts {
        let Some(&then) = baseline.get(name) else {
            println!("{name:<52}  {now:>10.1}  {:>10}", "-");
            continue;
        };
        let change = now / then - 1.0;
        let verdict = if change > TOLERANCE {
            kept = false;
            "FAIL"
        } else if change < -TOLERANCE {
            "better: --update keeps it"
        } else {
            ""
        };
        println!(
            "{name:<52}  {now:>10.1}  {then:>10.1}  {:>+7.1}%  {verdict}",
            change * 100.0
        );
    }
    for name in baseline.keys().filter(|name| !counts.contains_key(*name)) {
        println!("{name:<52}  no longer measured: --update forgets it");
        kept = false;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, f64)]) -> Counts {
        pairs
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn growth_beyond_the_tolerance_fails() {
        let baseline = counts(&[("a", 1_000.0)]);
        assert!(compare(&counts(&[("a", 1_029.0)]), &baseline));
        assert!(!compare(&counts(&[("a", 1_031.0)]), &baseline));
        assert!(compare(&counts(&[("a", 500.0)]), &baseline));
    }

    #[test]
    fn new_probes_pass_and_lost_ones_fail() {
        let baseline = counts(&[("a", 10.0)]);
        assert!(compare(&counts(&[("a", 10.0), ("b", 5.0)]), &baseline));
        assert!(!compare(&counts(&[("b", 5.0)]), &baseline));
    }
}
