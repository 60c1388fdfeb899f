//! `--fuzz`: scenarios made up from a seed, through Envoy and through Nuncio. What differs becomes a case, once its
//! reason is known.

mod grammar;

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::case::{self, Case};
use crate::compare;
use crate::run::Runner;
use grammar::{Random, exchange};

/// Scenarios of a round: both proxies are through with them long before a case's time is over.
const SCENARIOS: usize = 40;

/// Options of the connection manager that rounds take in turns.
const OPTIONS: &[&str] = &[
    "",
    "use_remote_address: true\nvia: v\nproxy_100_continue: true",
    "normalize_path: true\nmerge_slashes: true\npath_with_escaped_slashes_action: UNESCAPE_AND_FORWARD\nstrip_any_host_port: true",
    "http_protocol_options: {accept_http_10: true, default_host_for_http_10: a}\nserver_header_transformation: PASS_THROUGH",
    "stream_error_on_invalid_http_message: true\ncommon_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST, max_headers_count: 8}",
    "http_protocol_options: {enable_trailers: true, allow_chunked_length: true}\npath_with_escaped_slashes_action: REJECT_REQUEST",
    "http_protocol_options: {header_key_format: {proper_case_words: {}}}\nalways_set_request_id_in_response: true",
];

/// Runs rounds from `seed` on, and prints what differs. Returns whether nothing did.
pub(crate) fn run(
    root: &Path,
    scratch: &Path,
    proxies: [&Path; 2],
    seed: u64,
    rounds: u64,
) -> Result<bool> {
    let [envoy, nuncio] = proxies.map(|binary| Runner {
        binary,
        root,
        scratch,
        // Nothing is known to wait for.
        recording: true,
    });
    let mut different = 0;
    for seed in seed..seed.saturating_add(rounds) {
        let (case, scenarios) = round(seed)?;
        let expected = envoy.run(&case, None)?;
        let observed = nuncio.run(&case, None)?;
        let mut found = 0;
        for (scenario, written) in case.scenarios.iter().zip(&scenarios) {
            let at = |all: &Value| all["scenarios"][&scenario.name].clone();
            let difference = compare::difference(&at(&expected), &at(&observed), true);
            if let Some(difference) = difference {
                found += 1;
                println!("\n{}: {written:#}\n{difference}", case.name);
            }
        }
        println!("{}: {found} of {SCENARIOS} scenarios differ", case.name);
        different += found;
    }
    std::fs::remove_dir_all(scratch).ok();
    Ok(different == 0)
}

/// The case of a round, and its scenarios as a case file would have them.
fn round(seed: u64) -> Result<(Case, Vec<Value>)> {
    let mut random = Random::new(seed);
    let scenarios: Vec<Value> = (0..SCENARIOS)
        .map(|index| {
            let mut scenario = exchange(&mut random);
            scenario["name"] = json!(format!("{index}"));
            scenario
        })
        .collect();
    let options = OPTIONS[seed as usize % OPTIONS.len()];
    let case = json!({
        "about": "made up",
        "template": "http",
        "with": {"hcm": options},
        "stats": ["http.ingress.downstream_*", "cluster.origin.upstream_*"],
        "scenarios": scenarios,
    });
    Ok((case::from_value(case, format!("fuzz/{seed}"))?, scenarios))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_all() {
        for seed in 0..50 {
            let (_, scenarios) = round(seed).unwrap();
            assert_eq!(scenarios, round(seed).unwrap().1);
        }
        assert_ne!(round(1).unwrap().1, round(2).unwrap().1);
    }
}
