//! Peers written in Python with the libraries that everybody uses: grpcio and h2.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the peers' libraries are installed: by `cargo xtask setup`, which `cargo xtask test` does first.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/peers/bin/python");

/// Whether the peers cannot be had on this machine: `cargo xtask test` says so, by this variable, where they cannot be
/// installed.
#[must_use]
pub fn peers_are_absent() -> bool {
    let absent = std::env::var_os("NUNCIO_NO_PEERS").is_some();
    if absent {
        eprintln!("left out: there are no Python peers here");
    }
    absent
}

fn script(name: &str, args: &[&str]) -> Command {
    assert!(
        Path::new(PYTHON).exists(),
        "Python peers are not installed: run `cargo xtask setup`"
    );
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.extend(["peers", name]);
    let mut command = Command::new(PYTHON);
    command.arg("-B").arg(path).args(args);
    // gRPC would send loopback calls there.
    for name in ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"] {
        command.env_remove(name);
        command.env_remove(name.to_uppercase());
    }
    command
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct PythonServer {
    /// Where it listens.
    pub address: SocketAddr,
    child: Child,
}

impl PythonServer {
    /// Starts `crates/testing/peers/<name>`, which prints its port.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(name: &str) -> PythonServer {
        let mut child = script(name, &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its first line");
        let port: u16 = line.trim().parse().expect("a port");
        PythonServer {
            address: ([127, 0, 0, 1], port).into(),
            child,
        }
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `crates/testing/peers/<name>` to its end.
///
/// # Panics
/// When it does not end with 0; what it said is shown.
#[track_caller]
pub fn run_python(name: &str, args: &[&str]) {
    let output = script(name, args)
        .stdin(Stdio::null())
        .output()
        .expect("Python");
    assert!(
        output.status.success(),
        "{name} {args:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
