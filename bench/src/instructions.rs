//! Instruction counts.
use crate::args::Args;
use anyhow::{Result, bail};
pub(crate) fn run(_args: &Args, _update: bool) -> Result<bool> {
    bail!("later")
}
