//! What was measured: per scenario, proxy and metric one value for each round.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::peer::Peer;

type Metrics = BTreeMap<String, Vec<f64>>;

/// All values of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Results(BTreeMap<String, BTreeMap<Peer, Metrics>>);

impl Results {
    /// Adds the next round's value.
    pub(crate) fn add(&mut self, scenario: &str, peer: Peer, metric: &str, value: f64) {
        self.0
            .entry(scenario.to_owned())
            .or_default()
            .entry(peer)
            .or_default()
            .entry(metric.to_owned())
            .or_default()
            .push(value);
    }

    /// The median over the rounds.
    pub(crate) fn median(&self, scenario: &str, peer: Peer, metric: &str) -> Option<f64> {
        median(self.rounds(scenario, peer, metric)?.to_vec())
    }

    /// The median of the rounds' quotients: what disturbs a whole round disturbs both sides of its quotient.
    pub(crate) fn ratio(&self, scenario: &str, metric: &str, of: Peer, to: Peer) -> Option<f64> {
        let of = self.rounds(scenario, of, metric)?;
        let to = self.rounds(scenario, to, metric)?;
        median(of.iter().zip(to).map(|(of, to)| of / to).collect())
    }

    fn rounds(&self, scenario: &str, peer: Peer, metric: &str) -> Option<&[f64]> {
        Some(self.0.get(scenario)?.get(&peer)?.get(metric)?)
    }

    /// Writes `{scenario: {proxy: {metric: {median, rounds}}}}`.
    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        let mut document = Map::new();
        for (scenario, peers) in &self.0 {
            let mut by_peer = Map::new();
            for (peer, metrics) in peers {
                let metrics = metrics.iter().map(|(metric, rounds)| {
                    let value = json!({"median": median(rounds.clone()), "rounds": rounds});
                    (metric.clone(), value)
                });
                by_peer.insert(peer.name().to_owned(), Value::Object(metrics.collect()));
            }
            document.insert(scenario.clone(), Value::Object(by_peer));
        }
        let text = format!("{:#}\n", Value::Object(document));
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// Reads what [`Results::save`] wrote.
    pub(crate) fn load(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let document: Value = serde_json::from_str(&text)?;
        let mut results = Self::default();
        let object = |value: &Value| value.as_object().cloned().context("an object");
        for (scenario, peers) in object(&document)? {
            for (peer, metrics) in object(&peers)? {
                let peer = peer.parse()?;
                for (metric, value) in object(&metrics)? {
                    let rounds = value["rounds"].as_array().context("rounds")?;
                    for value in rounds {
                        let value = value.as_f64().context("a number")?;
                        results.add(&scenario, peer, &metric, value);
                    }
                }
            }
        }
        Ok(results)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values.get(middle).copied()
    } else {
        Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_rounds() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn ratios_pair_the_rounds() {
        let mut results = Results::default();
        // The second round was disturbed by half, on both sides.
        for (nuncio, envoy) in [(1.0, 4.0), (1.5, 6.0), (1.0, 4.0)] {
            results.add("h1", Peer::Nuncio, "cpu_us", nuncio);
            results.add("h1", Peer::Envoy, "cpu_us", envoy);
        }
        assert_eq!(
            results.ratio("h1", "cpu_us", Peer::Nuncio, Peer::Envoy),
            Some(0.25)
        );
        assert_eq!(
            results.ratio("h1", "cpu_us", Peer::Nuncio, Peer::Nginx),
            None
        );
    }

    #[test]
    fn a_saved_run_is_read_back() {
        let mut results = Results::default();
        results.add("h1", Peer::Nuncio, "cpu_us", 7.25);
        results.add("h1", Peer::Nuncio, "cpu_us", 7.5);
        results.add("idle", Peer::Haproxy, "rss_mib", 8.0);
        let name = format!("nuncio-bench-results-{}.json", std::process::id());
        let file = std::env::temp_dir().join(name);
        results.save(&file).unwrap();
        let read = Results::load(&file);
        fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap(), results);
    }
}
