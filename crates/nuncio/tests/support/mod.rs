//! Runs the program on an example of `configs/`, with ports and files of its own.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod client;
pub(crate) mod ports;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use client::Response;
use ports::Ports;

/// The longest that anything may take; only a failing test waits this long.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// What the log says once the workers serve.
const SERVING: &str = "starting main dispatch loop";

/// The folder of the examples.
pub(crate) fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

/// The program, not started yet.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nuncio"));
    command.stdin(Stdio::null());
    command
}

/// A configuration rewritten for one test: its ports are free ones, its files lie in a folder of their own.
pub(crate) struct Sandbox {
    pub(crate) folder: TempDir,
    pub(crate) ports: Ports,
    pub(crate) config: PathBuf,
}

impl Sandbox {
    /// For an example of `configs/`.
    pub(crate) fn of_example(name: &str) -> Sandbox {
        let text = fs::read_to_string(configs().join(name)).expect("an example of configs/");
        Sandbox::of_text(name, &text)
    }

    /// For this text.
    pub(crate) fn of_text(name: &str, text: &str) -> Sandbox {
        let folder = tempfile::tempdir().expect("a folder");
        let (text, ports) = Ports::choose(text);
        let own = format!("{}/nuncio-", folder.path().display());
        let text = text.replace("/tmp/nuncio-", &own);
        let config = folder.path().join(name);
        fs::write(&config, text).expect("writing the configuration");
        Sandbox {
            folder,
            ports,
            config,
        }
    }

    /// A file that the example has as `/tmp/<name>`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program and waits until it serves.
    pub(crate) fn start(self, args: &[&str]) -> Proxy {
        let log = self.file("stderr");
        self.start_logging_to(&log, args)
    }

    /// As [`Sandbox::start`], where `args` send the application log to this file.
    pub(crate) fn start_logging_to(self, log: &Path, args: &[&str]) -> Proxy {
        let child = program()
            .arg("-c")
            .arg(&self.config)
            .args(["--concurrency", "1"])
            .args(args)
            .stdout(Stdio::null())
            .stderr(File::create(self.file("stderr")).expect("a file for the log"))
            .spawn()
            .expect("starting nuncio");
        let mut proxy = Proxy {
            sandbox: self,
            child,
            log: log.to_owned(),
        };
        let ended = wait_for(|| {
            let ended = proxy.child.try_wait().expect("waiting");
            (ended.is_some() || proxy.log().contains(SERVING)).then_some(ended)
        });
        assert!(
            matches!(ended, Some(None)),
            "nuncio did not start: {ended:?}\n{}",
            proxy.log()
        );
        proxy
    }
}

/// A running program; killed when it is dropped.
pub(crate) struct Proxy {
    pub(crate) sandbox: Sandbox,
    child: Child,
    log: PathBuf,
}

impl Proxy {
    /// What it wrote to its application log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a request to the listener that has this port in the example, on a connection of its own.
    pub(crate) fn request(&self, port: u16, request: &str) -> Response {
        let stream = client::connect(self.sandbox.ports.of(port));
        client::exchange(stream, request).unwrap_or_else(|error| {
            panic!("{request:?} to {port}: {error}\n{}", self.log());
        })
    }

    /// `GET path` from the admin interface.
    pub(crate) fn admin(&self, path: &str) -> Response {
        self.request(9901, &format!("GET {path} HTTP/1.1\r\nHost: admin\r\n\r\n"))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for(|| self.child.try_wait().expect("waiting"))
            .unwrap_or_else(|| panic!("nuncio does not end\n{}", self.log()))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks `condition` until it has an answer; `None` when [`BOUND`] has passed.
pub(crate) fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until the file has this text in it, and returns all of the file.
pub(crate) fn wait_for_text(file: &Path, text: &str) -> String {
    let read = || -> io::Result<String> { fs::read_to_string(file) };
    wait_for(|| read().ok().filter(|content| content.contains(text))).unwrap_or_else(|| {
        panic!(
            "{} never holds {text:?}, but {:?}",
            file.display(),
            read().ok()
        )
    })
}
