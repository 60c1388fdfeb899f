//! What the position of a route costs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Bench, Scenario, column, compared};
use crate::configs::envoy;
use crate::peer::Proxy;
use crate::results::Results;
use crate::wrk;

const COUNT: usize = 10_000;
const CONNECTIONS: u32 = 50;

pub(super) const ROUTES: Scenario = Scenario {
    name: "routes",
    about: "10,000 routes, prefix, exact and regex mixed: the last three against the first three",
    columns: &[
        compared("first_us", "first: CPU us/rq", 2),
        compared("last_us", "last: CPU us/rq", 2),
        column("last_over_first", "last / first", 2),
    ],
    run,
};

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let scripts = [
        script(bench, "first.lua", 0)?,
        script(bench, "last.lua", COUNT - 3)?,
    ];
    let mut proxies = Vec::new();
    for peer in bench.speak_envoy() {
        let setup = bench.setup()?;
        let bootstrap = Some(envoy::routes(&setup, COUNT));
        let proxy = bench.start("routes", peer, &setup, bootstrap)?;
        for number in (0..3).chain(COUNT - 3..COUNT) {
            let path = envoy::route_path(number);
            bench
                .origin
                .answers_through(proxy.port, "localhost", &path)?;
        }
        proxies.push((peer, proxy));
    }
    for _ in 0..bench.rounds {
        for (peer, proxy) in &proxies {
            let first = cost(bench, proxy, &scripts[0])?;
            let last = cost(bench, proxy, &scripts[1])?;
            results.add("routes", *peer, "first_us", first);
            results.add("routes", *peer, "last_us", last);
            results.add("routes", *peer, "last_over_first", last / first);
        }
    }
    Ok(())
}

/// CPU microseconds per request of what `script` asks for.
fn cost(bench: &Bench, proxy: &Proxy, script: &Path) -> Result<f64> {
    let url = format!("http://127.0.0.1:{}/", proxy.port);
    let core = bench.cores.load;
    let (load, spent) =
        proxy.spent_on(|| wrk::run(core, &url, CONNECTIONS, bench.seconds, Some(script)))?;
    Ok(spent.total / load.requests)
}

/// Writes a script that asks for three routes, one of each kind, in turn.
fn script(bench: &Bench, name: &str, first: usize) -> Result<PathBuf> {
    let paths: Vec<String> = (first..first + 3)
        .map(|number| format!("\"{}\"", envoy::route_path(number)))
        .collect();
    let text = format!(
        "local requests, turn = {{}}, 0
init = function()
  for at, path in ipairs({{ {} }}) do requests[at] = wrk.format(\"GET\", path) end
end
request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
",
        paths.join(", ")
    );
    let file = bench.scratch.path().join(name);
    fs::write(&file, text)?;
    Ok(file)
}
