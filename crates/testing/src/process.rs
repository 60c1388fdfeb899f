//! The program as a process.

use std::collections::HashMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

use crate::{Client, Config, H2Client, until};

/// A running proxy with a folder of its own; killed when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// The admin interface.
    pub admin: SocketAddr,
    /// The listener.
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Proxy {
    /// Starts the program with these further arguments and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(program: &str, config: &Config, args: &[&str]) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        fs::write(file("bootstrap.yaml"), config.yaml(&file("access.log"))).expect("a file");
        let unbound = SocketAddr::from(([127, 0, 0, 1], 0));
        let child = Command::new(program)
            .arg("-c")
            .arg(file("bootstrap.yaml"))
            .arg("--admin-address-path")
            .arg(file("admin"))
            .args(["--disable-hot-restart", "--log-level", "warning"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(file("stderr")).expect("a file"))
            .spawn()
            .expect("the program");
        let mut proxy = Proxy {
            admin: unbound,
            address: unbound,
            child,
            folder,
        };
        proxy.wait_until_ready();
        proxy
    }

    fn wait_until_ready(&mut self) {
        until("the address of the admin interface", || {
            self.assert_alive();
            let address = fs::read_to_string(self.file("admin")).unwrap_or_default();
            address.parse().map(|address| self.admin = address).is_ok()
        });
        until("readiness", || {
            self.assert_alive();
            Client::try_connect(self.admin)
                .and_then(|mut admin| admin.try_get("/ready"))
                .is_ok_and(|response| response.status() == 200)
        });
        let listeners = self.admin("/listeners");
        let main = listeners
            .lines()
            .find_map(|line| line.strip_prefix("main::"));
        let address = main.and_then(|address| address.parse().ok());
        self.address = address.expect("the address of the listener");
    }

    /// A file in the folder of this proxy.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A connection to the listener.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A connection to the listener that speaks HTTP/2.
    #[track_caller]
    pub fn h2_client(&self) -> H2Client {
        H2Client::connect(self.address)
    }

    /// What the admin interface answers.
    #[track_caller]
    pub fn admin(&self, path: &str) -> String {
        Client::connect(self.admin).get(path).text()
    }

    /// All counters and gauges.
    pub fn stats(&self) -> HashMap<String, u64> {
        let text = self.admin("/stats");
        let numbers = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        numbers.collect()
    }

    /// A counter or gauge; 0 when it does not exist.
    pub fn stat(&self, name: &str) -> u64 {
        self.stats().get(name).copied().unwrap_or(0)
    }

    /// Waits until a counter or gauge has this value.
    #[track_caller]
    pub fn wait_for_stat(&self, name: &str, value: u64) {
        let mut seen = 0;
        until(&format!("{name} = {value}"), || {
            seen = self.stat(name);
            seen == value
        });
    }

    /// Resident memory in KiB that is not a mapped file: pages of the program that are touched late do not count.
    pub fn resident_kib(&self) -> u64 {
        self.status_kib("RssAnon:")
    }

    fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the status of the process");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("a size")
    }

    /// How many file descriptors are open.
    pub fn descriptors(&self) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        folder.expect("the descriptors of the process").count()
    }

    /// How many of them are ends of pipes.
    pub fn pipe_ends(&self) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        folder
            .expect("the descriptors of the process")
            .filter_map(|link| fs::read_link(link.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("pipe:"))
            .count()
    }

    /// Limits the descriptors that the process may open; what is open stays so.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn limit_descriptors(&self, limit: u64) {
        let old = prlimit(
            Some(self.pid()),
            Resource::Nofile,
            Rlimit {
                current: Some(limit),
                ..hard_limit()
            },
        );
        old.expect("a limit");
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a process");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        until("the end of the process", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.expect("waited for")
    }

    /// The application log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("stderr")).unwrap_or_default()
    }

    /// The access log so far.
    pub fn access_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the access log has this many lines.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize) -> Vec<String> {
        until("lines of the access log", || {
            self.access_log().len() >= count
        });
        self.access_log()
    }

    /// # Panics
    /// When the process has ended.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.child.try_wait().expect("a child");
        assert!(ended.is_none(), "{ended:?}\n{}", self.log());
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// The hard limit of this process, which its children inherit.
fn hard_limit() -> Rlimit {
    rustix::process::getrlimit(Resource::Nofile)
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- application log\n{}", self.log());
            eprintln!("--- access log\n{}", self.access_log().join("\n"));
        }
    }
}
