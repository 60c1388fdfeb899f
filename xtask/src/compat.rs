//! COMPATIBILITY.md: its upper part is written by hand, its lower part from the field support table of `nuncio-config`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{built, cargo, execute, workspace};

/// Where the generated part begins.
const GENERATED: &str = "## Configuration, field by field\n";

fn file() -> PathBuf {
    workspace().join("COMPATIBILITY.md")
}

/// Writes the generated part anew.
///
/// # Errors
/// When it does not build or cannot be written.
pub(crate) fn write() -> Result<()> {
    execute(&mut cargo([
        "build",
        "--package",
        "nuncio-config",
        "--example",
        "compat",
    ]))?;
    let old = fs::read_to_string(file()).unwrap_or_default();
    fs::write(file(), merged(&old, &generated()?)).context("writing COMPATIBILITY.md")
}

/// Whether the generated part is what the code says. The example is built already.
///
/// # Errors
/// When it is not.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(file()).context("reading COMPATIBILITY.md")?;
    if text != merged(&text, &generated()?) {
        bail!("it is not what the code says: run `cargo xtask compat` and commit it");
    }
    Ok(())
}

fn generated() -> Result<String> {
    let output = Command::new(built("examples/compat")?)
        .output()
        .context("cannot run the example compat of nuncio-config")?;
    if !output.status.success() {
        bail!(
            "the example compat of nuncio-config failed ({})",
            output.status
        );
    }
    let text = String::from_utf8(output.stdout).context("its output")?;
    if !text.starts_with(GENERATED) {
        bail!("the generated part does not begin with {GENERATED:?}");
    }
    Ok(text)
}

/// The hand-written part of the old text, and the new generated part.
fn merged(old: &str, generated: &str) -> String {
    let by_hand = match old.find(GENERATED) {
        Some(end) => &old[..end],
        None => old,
    };
    format!("{by_hand}{generated}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_by_hand_stays() {
        let new = format!("{GENERATED}new\n");
        assert_eq!(
            merged(&format!("# By hand\n\n{GENERATED}old\n"), &new),
            format!("# By hand\n\n{new}")
        );
        assert_eq!(merged("", &new), new);
    }
}
