//! CPU per HTTP/2 request: `h2` (HTTP/1.1 upstream), `h2-h2`, `grpc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, Column, Scenario, column, compared};
use crate::binaries::installed;
use crate::configs::Protocol;
use crate::h2load::{self, Ask, Load, Until};
use crate::origin::BODY;
use crate::peer::{Peer, Proxy};
use crate::process::{Process, command};
use crate::results::Results;
use crate::{h2, machine};

const CONNECTIONS: u32 = 10;
const STREAMS: u32 = 10;
const WARM_UP: Until = Until::Seconds(1);

const COLUMNS: &[Column] = &[
    compared("cpu_us", "CPU us/rq", 2),
    compared("user_us", "user us", 2),
    compared("kernel_us", "kernel us", 2),
    compared("rps", "rq/s", 0),
    column("mean_ms", "mean ms", 2),
    column("rss_mib", "RSS MiB", 1),
];

pub(super) const H2: Scenario = Scenario {
    name: "h2",
    about: "HTTP/2, 10 connections of 10 streams, HTTP/1.1 upstream",
    columns: COLUMNS,
    run: |bench, results| run(bench, results, "h2", Kind::ToHttp1),
};

pub(super) const H2_H2: Scenario = Scenario {
    name: "h2-h2",
    about: "HTTP/2, 10 connections of 10 streams, HTTP/2 upstream (nghttpd)",
    columns: COLUMNS,
    run: |bench, results| run(bench, results, "h2-h2", Kind::ToHttp2),
};

pub(super) const GRPC: Scenario = Scenario {
    name: "grpc",
    about: "unary calls in shape: POST with a message both ways and trailers, HTTP/2 both sides",
    columns: COLUMNS,
    run: |bench, results| run(bench, results, "grpc", Kind::Grpc),
};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    ToHttp1,
    ToHttp2,
    Grpc,
}

/// A message of 32 bytes: not compressed, its length, its bytes.
fn message() -> Vec<u8> {
    let mut message = vec![0];
    message.extend((BODY.len() as u32).to_be_bytes());
    message.extend(BODY.as_bytes());
    message
}

fn run(bench: &Bench, results: &mut Results, name: &str, kind: Kind) -> Result<()> {
    installed("h2load")?;
    let folder = bench.scratch.path().join(name);
    let origin = match kind {
        Kind::ToHttp1 => None,
        Kind::ToHttp2 => Some(nghttpd(&folder, bench.cores.load, &[])?),
        Kind::Grpc => Some(nghttpd(&folder, bench.cores.load, ECHO)?),
    };
    let body = folder.join("message");
    fs::create_dir_all(&folder)?;
    fs::write(&body, message())?;
    let mut proxies = Vec::new();
    for &peer in &bench.peers {
        // nginx speaks HTTP/1 to upstream servers.
        if peer == Peer::Nginx && kind != Kind::ToHttp1 {
            continue;
        }
        let mut setup = bench.setup()?;
        setup.downstream = Protocol::Http2;
        if let Some((port, _)) = &origin {
            setup.origin = *port;
            setup.upstream = Protocol::Http2;
        }
        let proxy = bench.start(name, peer, &setup, None)?;
        let mut client = h2::Client::connect(proxy.port)?;
        client.send("/")?;
        let status = client.status().with_context(|| peer.name())?;
        anyhow::ensure!(status == 200, "{peer} answers {status}");
        load(bench, &proxy, kind, &body, WARM_UP).with_context(|| peer.name())?;
        proxies.push((peer, proxy));
    }
    for _ in 0..bench.rounds {
        for (peer, proxy) in &proxies {
            let until = Until::Seconds(bench.seconds);
            let load = || load(bench, proxy, kind, &body, until);
            let (load, spent) = proxy.spent_on(load).with_context(|| peer.name())?;
            results.add_cost(name, *peer, proxy, (spent, load.requests))?;
            results.add(name, *peer, "rps", load.per_second);
            results.add(name, *peer, "mean_ms", load.mean);
        }
    }
    Ok(())
}

fn load(bench: &Bench, proxy: &Proxy, kind: Kind, body: &Path, until: Until) -> Result<Load> {
    let body = body.to_string_lossy();
    let grpc = [
        "-d",
        &body,
        "-H",
        "content-type: application/grpc",
        "-H",
        "te: trailers",
        "-H",
        "grpc-timeout: 1S",
    ];
    let (path, more): (_, &[&str]) = match kind {
        Kind::Grpc => ("/bench.Echo/Unary", &grpc),
        Kind::ToHttp1 | Kind::ToHttp2 => ("/", &[]),
    };
    let ask = Ask {
        url: &format!("http://127.0.0.1:{}{path}", proxy.port),
        connections: CONNECTIONS,
        streams: STREAMS,
        more,
    };
    h2load::run(bench.cores.load, &ask, until)
}

/// Makes nghttpd answer a POST with its body and gRPC's trailer.
const ECHO: &[&str] = &["--echo-upload", "--trailer", "grpc-status: 0"];

/// An HTTP/2 origin with a file of 32 bytes.
fn nghttpd(folder: &Path, core: usize, more: &[&str]) -> Result<(u16, Process)> {
    let folder = folder.join("origin");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("index.html"), BODY)?;
    let [port] = machine::free_ports()?;
    let mut process = Process::start(
        "nghttpd",
        command(installed("nghttpd")?, &[core])
            .args(["--no-tls", "-a", "127.0.0.1", "-m", "1000"])
            .args(more)
            .arg("-d")
            .arg(&folder)
            .arg(port.to_string()),
        &folder,
    )?;
    process.wait_until(Duration::from_secs(10), || {
        h2::Client::connect(port).is_ok()
    })?;
    Ok((port, process))
}
