//! Updates of a cluster of ten thousand endpoints.

use anyhow::Result;

use super::discovered::Discovered;
use super::{Bench, Scenario, compared};
use crate::configs::endpoints::{Endpoint, Format, endpoint};
use crate::peer::Peer;
use crate::results::Results;

const COUNT: u32 = 10_000;
/// Updates of each shape, of which the mean is taken.
const UPDATES: u32 = 3;
const MOST_ROUNDS: usize = 3;

pub(super) const ENDPOINTS: Scenario = Scenario {
    name: "endpoints",
    about: "an EDS file of 10,000 endpoints is replaced, 2 workers: CPU per update",
    columns: &[
        compared("new_pb_ms", "all new, .pb ms", 1),
        compared("one_pb_ms", "one changed ms", 1),
        compared("weights_pb_ms", "weights ms", 1),
        compared("new_yaml_ms", "all new, YAML ms", 1),
        compared("one_yaml_ms", "one changed ms", 1),
        compared("weights_yaml_ms", "weights ms", 1),
    ],
    run,
};

/// What differs from update to update.
type Shape = fn(u32) -> Vec<Endpoint>;

const SHAPES: [(&str, Shape); 3] = [
    ("new", |turn| {
        let first = turn % 2 * COUNT;
        (first..first + COUNT).map(endpoint).collect()
    }),
    ("one", |turn| {
        let last = endpoint(5 * COUNT + turn);
        (1..COUNT).map(endpoint).chain([last]).collect()
    }),
    ("weights", |turn| {
        let weight = |number| Endpoint {
            weight: Some(1 + (number + turn) % 3),
            ..endpoint(number)
        };
        (0..COUNT).map(weight).collect()
    }),
];

fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for _ in 0..bench.rounds.min(MOST_ROUNDS) {
        for peer in bench.speak_envoy() {
            for format in Format::ALL {
                measure(bench, peer, format, results)?;
            }
        }
    }
    Ok(())
}

fn measure(bench: &Bench, peer: Peer, format: Format, results: &mut Results) -> Result<()> {
    for (shape, endpoints) in SHAPES {
        let first = (format, &*endpoints(0));
        let mut cluster = Discovered::start(bench, "endpoints", peer, ("", 0), first)?;
        let mut spent = 0.0;
        for turn in 1..=UPDATES {
            spent += cluster.update(&endpoints(turn))?;
        }
        let metric = format!("{shape}_{}_ms", format.extension());
        results.add("endpoints", peer, &metric, spent / 1e3 / f64::from(UPDATES));
    }
    Ok(())
}
