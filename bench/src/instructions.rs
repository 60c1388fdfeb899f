//! Instructions under callgrind: the same from run to run, so that small changes for the worse are seen.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::args::Args;
use crate::baseline::{self, Counts};
use crate::binaries::{self, cargo, installed, run as run_command, workspace};
use crate::configs::{Protocol, Setup, envoy};
use crate::machine::{self, Cores, Scratch};
use crate::origin::Origin;
use crate::process::{Process, command};
use crate::{h2, http};

/// An example program of a crate, and what to count of it.
struct Probe {
    name: &'static str,
    package: &'static str,
    example: &'static str,
    count: Count,
}

enum Count {
    /// The program's first argument is a number of iterations: the difference of two runs counts.
    Iterations,
    /// One function (a pattern of callgrind's) with all it calls, which together do something `times` times.
    Function {
        pattern: &'static str,
        arguments: &'static [&'static str],
        times: f64,
    },
}

/// One policy's choices, of which there are 10,000.
const fn choice(name: &'static str, arguments: &'static [&'static str]) -> Probe {
    Probe {
        name,
        package: "nuncio-upstream",
        example: "balancers",
        count: Count::Function {
            pattern: "*balancers::measured*",
            arguments,
            times: 10_000.0,
        },
    }
}

const PROBES: &[Probe] = &[
    Probe {
        name: "http: decode and encode one exchange, both sides",
        package: "nuncio-http",
        example: "h1_cycle",
        count: Count::Iterations,
    },
    Probe {
        name: "http: decode and encode one HTTP/2 exchange, both sides",
        package: "nuncio-http",
        example: "h2_cycle",
        count: Count::Iterations,
    },
    Probe {
        name: "http: decode a request of 12 fields (HPACK)",
        package: "nuncio-http",
        example: "hpack_cycle",
        count: Count::Function {
            pattern: "hpack_cycle::decode_request",
            arguments: &["10000"],
            times: 10_000.0,
        },
    },
    Probe {
        name: "http: encode a response of 8 fields (HPACK)",
        package: "nuncio-http",
        example: "hpack_cycle",
        count: Count::Function {
            pattern: "hpack_cycle::encode_response",
            arguments: &["10000"],
            times: 10_000.0,
        },
    },
    Probe {
        name: "stats: inc",
        package: "nuncio-stats",
        example: "count",
        count: Count::Function {
            pattern: "count::inc",
            arguments: &["calls"],
            times: 1e6,
        },
    },
    Probe {
        name: "stats: record in a histogram",
        package: "nuncio-stats",
        example: "count",
        count: Count::Function {
            pattern: "count::record",
            arguments: &["calls"],
            times: 2e6,
        },
    },
    Probe {
        name: "stats: charge a response code",
        package: "nuncio-stats",
        example: "count",
        count: Count::Function {
            pattern: "count::charge_code",
            arguments: &["calls"],
            times: 1e6,
        },
    },
    Probe {
        name: "access-log: a line in default format",
        package: "nuncio-access-log",
        example: "lines",
        count: Count::Function {
            pattern: "lines::log_lines",
            arguments: &["10000", "/dev/null"],
            times: 10_000.0,
        },
    },
    Probe {
        name: "route: find the first of 10,000 mixed",
        package: "nuncio-route",
        example: "route_cost",
        count: Count::Function {
            pattern: "*find_many*",
            arguments: &["mixed", "0"],
            times: 1_000.0,
        },
    },
    Probe {
        name: "route: find the last of 10,000 mixed",
        package: "nuncio-route",
        example: "route_cost",
        count: Count::Function {
            pattern: "*find_many*",
            arguments: &["mixed", "9999"],
            times: 1_000.0,
        },
    },
    choice(
        "upstream: choose a host among 10,000, round robin",
        &["round robin", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, round robin, weighted",
        &["round robin, weighted", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, least request",
        &["least request", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, least request, weighted",
        &["least request, weighted", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, random",
        &["random", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, ring hash",
        &["ring hash", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, Maglev",
        &["maglev", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, client-side weighted round robin",
        &["client-side weighted", "10000"],
    ),
    choice(
        "upstream: choose a host among 10,000, peak EWMA",
        &["peak EWMA", "10000"],
    ),
];

/// Iterations of the shorter and the longer run whose difference counts.
const FEW: u32 = 2_000;
const MANY: u32 = 22_000;

/// Counts, and compares with the baseline or replaces it; false when something grew.
pub(crate) fn run(args: &Args, update: bool) -> Result<bool> {
    for program in ["valgrind", "setpriv", "taskset"] {
        installed(program)?;
    }
    let nginx = installed("nginx")?;
    let nuncio = binaries::nuncio(args)?;
    let examples = nuncio.with_file_name("examples");
    if args.build {
        for probe in PROBES {
            run_command(cargo().args(["build", "--quiet", "--release"]).args([
                "--package",
                probe.package,
                "--example",
                probe.example,
            ]))?;
        }
    }
    let cores = Cores::choose()?;
    let scratch = Scratch::new()?;
    let log = scratch.path().join("callgrind.log");
    let mut counts = Counts::new();
    for probe in PROBES {
        eprintln!("{}", probe.name);
        let program = examples.join(probe.example);
        let count = probe.measure(&program, &log).with_context(|| probe.name)?;
        counts.insert(probe.name.to_owned(), count);
    }
    let origin = Origin::start(&nginx, scratch.path(), cores.load)?;
    for (name, downstream, access_log) in [
        ("proxy: one HTTP/1.1 request", Protocol::Http1, false),
        (
            "proxy: one HTTP/1.1 request with an access log",
            Protocol::Http1,
            true,
        ),
        ("proxy: one HTTP/2 request", Protocol::Http2, false),
    ] {
        eprintln!("{name}");
        let folder = scratch.path().join("proxy");
        let [listener, admin] = machine::free_ports()?;
        let setup = Setup {
            listener,
            admin,
            origin: origin.port,
            downstream,
            upstream: Protocol::Http1,
            patient: false,
            connections: 1,
            access_log: access_log.then(|| "/dev/null".into()),
            lean: false,
        };
        let proxy = |requests| requests_through(&nuncio, cores.proxy, &setup, &folder, requests);
        let difference = proxy(MANY)?.saturating_sub(proxy(FEW)?);
        counts.insert(name.to_owned(), difference as f64 / f64::from(MANY - FEW));
    }
    let file = workspace().join("bench/baseline/instructions.json");
    if update {
        baseline::save(&file, &counts)?;
        println!("{} holds these counts now", file.display());
        baseline::compare(&counts, &Counts::new());
        return Ok(true);
    }
    Ok(baseline::compare(&counts, &baseline::load(&file)?))
}

impl Probe {
    fn measure(&self, program: &Path, log: &Path) -> Result<f64> {
        match self.count {
            Count::Iterations => {
                let of = |iterations: u32| {
                    collected(
                        callgrind(Command::new("valgrind"), log)
                            .arg(program)
                            .arg(iterations.to_string()),
                        log,
                    )
                };
                let difference = of(MANY)?.saturating_sub(of(FEW)?);
                Ok(difference as f64 / f64::from(MANY - FEW))
            }
            Count::Function {
                pattern,
                arguments,
                times,
            } => {
                let total = collected(
                    callgrind(Command::new("valgrind"), log)
                        .arg(format!("--toggle-collect={pattern}"))
                        .arg(program)
                        .args(arguments),
                    log,
                )?;
                ensure!(total > 0, "callgrind saw no {pattern}");
                Ok(total as f64 / times)
            }
        }
    }
}

fn callgrind(mut valgrind: Command, log: &Path) -> Command {
    let mut log_file = std::ffi::OsString::from("--log-file=");
    log_file.push(log);
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(log_file);
    valgrind
}

/// Runs an example to its end and returns its instructions.
fn collected(command: &mut Command, log: &Path) -> Result<u64> {
    let output = command.output().context("starting valgrind")?;
    ensure!(
        output.status.success(),
        "ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    total(log)
}

/// All instructions of a proxy that starts, hands `requests` requests on, one after the other, and stops.
fn requests_through(
    nuncio: &Path,
    core: usize,
    setup: &Setup,
    folder: &Path,
    requests: u32,
) -> Result<u64> {
    fs::create_dir_all(folder)?;
    let listener = setup.listener;
    let config = folder.join("envoy.yaml");
    fs::write(&config, envoy::plain(setup))?;
    let log = folder.join("callgrind.log");
    let mut command = callgrind(command("valgrind", &[core]), &log);
    command.arg(nuncio).arg("-c").arg(config);
    command.args([
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "warning",
    ]);
    let mut process = Process::start("nuncio under valgrind", &mut command, folder)?;
    process.wait_until(std::time::Duration::from_secs(60), || {
        http::status(listener, "localhost", "/").is_ok()
    })?;
    let mut exchange: Box<dyn FnMut() -> Result<u16>> = match setup.downstream {
        Protocol::Http1 => {
            let mut stream = http::connect(listener)?;
            Box::new(move || Ok(http::exchange(&mut stream, "localhost", "/")?.0))
        }
        Protocol::Http2 => {
            let mut client = h2::Client::connect(listener)?;
            Box::new(move || client.exchange("/"))
        }
    };
    for _ in 0..requests {
        let status = exchange()?;
        ensure!(status == 200, "answered {status}");
    }
    drop(exchange);
    process.stop()?;
    total(&log)
}

/// Callgrind's `Collected : N`.
fn total(log: &Path) -> Result<u64> {
    let text = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    text.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .with_context(|| format!("no count in:\n{text}"))
}
