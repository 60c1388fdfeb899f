//! A child process bound to a core, ended by its pid however this program ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::usage::{self, Cpu};

const STOP_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// A running child. Dropping it sends SIGTERM (an nginx master ends its worker only then), after a while SIGKILL.
pub(crate) struct Process {
    name: String,
    child: Child,
    stderr: PathBuf,
}

/// `program` on `cores`, and so that the kernel ends it with this program.
///
/// `setpriv` and `taskset` (util-linux) replace themselves by the program: the pid is the program's.
pub(crate) fn command(program: impl AsRef<OsStr>, cores: &[usize]) -> Command {
    let cores: Vec<String> = cores.iter().map(ToString::to_string).collect();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "taskset", "-c", &cores.join(",")])
        .arg(program)
        .stdin(Stdio::null());
    command
}

impl Process {
    /// Starts `command` in `folder`; what it prints goes to files there.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let stderr = folder.join("stderr");
        let child = command
            .current_dir(folder)
            .stdout(File::create(folder.join("stdout"))?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stderr,
        })
    }

    /// Waits until `ready` says so; an error when the process ends first or `limit` has passed.
    pub(crate) fn wait_until(&mut self, limit: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, self.said());
            }
            if start.elapsed() > limit {
                bail!("{} not ready after {limit:?}:\n{}", self.name, self.said());
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// What it wrote to its standard error, the last lines of it.
    pub(crate) fn said(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its pid and its children's (an nginx worker's).
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut next = 0;
        while let Some(&pid) = pids.get(next) {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            pids.extend(
                children
                    .unwrap_or_default()
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
            next += 1;
        }
        pids
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(&self.pids())
    }

    /// Resident memory in KiB once it stays the same for half a second (or, at the latest, after five).
    pub(crate) fn settled_resident(&self) -> Result<u64> {
        let pids = self.pids();
        let mut last = usage::resident(&pids)?;
        let mut same = 0;
        for _ in 0..50 {
            sleep(Duration::from_millis(100));
            let now = usage::resident(&pids)?;
            same = if now.abs_diff(last) <= 16 {
                same + 1
            } else {
                0
            };
            last = now;
            if same == 5 {
                break;
            }
        }
        Ok(last)
    }

    /// SIGTERM, then its end.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("SIGTERM")?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > STOP_LIMIT {
                bail!("{} still runs {STOP_LIMIT:?} after SIGTERM", self.name);
            }
            sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.stop().is_err() {
            // Fails only when the process has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
