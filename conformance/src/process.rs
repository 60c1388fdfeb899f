//! The proxy under test as a child process: start, readiness, stop. A dropped process is killed by its own pid.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::admin;
use crate::conn::wait_until;

/// A machine that writes much to its disk may stand still for seconds.
const START_LIMIT: Duration = Duration::from_secs(30);
const SETPRIV: &str = "/usr/bin/setpriv";
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running proxy.
pub(crate) struct Process {
    child: Child,
    stderr: PathBuf,
}

/// How a start ended.
pub(crate) enum Started {
    Ready(Process),
    /// The process ended by itself before it was ready.
    Exited {
        status: ExitStatus,
        stderr: String,
    },
}

impl Process {
    /// Starts `binary` with `config` and waits for the admin interface to say that it is ready.
    pub(crate) fn start(
        binary: &Path,
        config: &Path,
        admin_port: u16,
        args: &[String],
    ) -> Result<Started> {
        let folder = config
            .parent()
            .context("a configuration file in a folder")?;
        let stderr = folder.join("stderr");
        let child = command(binary, config)
            .args(["--concurrency", "1", "--file-flush-interval-msec", "10"])
            .args(args)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut process = Self { child, stderr };
        let mut exited = None;
        let in_time = wait_until(START_LIMIT, || {
            exited = process.child.try_wait().unwrap_or(None);
            exited.is_some()
                || admin::get(admin_port, "/ready").is_ok_and(|answer| answer.status() == 200)
        });
        let text = std::fs::read_to_string(&process.stderr).unwrap_or_default();
        match exited {
            Some(status) => Ok(Started::Exited {
                status,
                stderr: text,
            }),
            None if in_time => Ok(Started::Ready(process)),
            None => bail!("not ready after {START_LIMIT:?}; it said:\n{text}"),
        }
    }

    /// SIGTERM, then the exit code; an error when the process does not end or dies of a signal.
    pub(crate) fn stop(mut self) -> Result<i32> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("SIGTERM")?;
        let mut status = None;
        wait_until(STOP_LIMIT, || {
            status = self.child.try_wait().unwrap_or(None);
            status.is_some()
        });
        let status =
            status.with_context(|| format!("still running {STOP_LIMIT:?} after SIGTERM"))?;
        status
            .code()
            .with_context(|| format!("ended with {status}"))
    }

    /// The process still runs.
    pub(crate) fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only when the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `--mode validate` and returns the exit code.
pub(crate) fn validate(binary: &Path, config: &Path, args: &[String]) -> Result<i32> {
    let stderr = config.with_extension("stderr");
    let child = command(binary, config)
        .args(["--mode", "validate"])
        .args(args)
        .stderr(File::create(&stderr)?)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))?;
    let mut process = Process { child, stderr };
    let mut status = None;
    wait_until(START_LIMIT, || {
        status = process.child.try_wait().unwrap_or(None);
        status.is_some()
    });
    let status = status.with_context(|| format!("validation still runs after {START_LIMIT:?}"))?;
    status
        .code()
        .with_context(|| format!("validation ended with {status}"))
}

/// The proxy's command line up to what start and validation do not share.
///
/// `setpriv` (util-linux) makes the kernel end the proxy when this program is killed before it can clean up; without it,
/// such an end leaves processes behind.
fn command(binary: &Path, config: &Path) -> Command {
    let mut command = if Path::new(SETPRIV).exists() {
        let mut command = Command::new(SETPRIV);
        command.args(["--pdeathsig", "KILL"]).arg(binary);
        command
    } else {
        Command::new(binary)
    };
    command
        .arg("-c")
        .arg(config)
        .args(["--disable-hot-restart", "-l", "warning"]);
    if let Some(folder) = config.parent() {
        command.current_dir(folder);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
