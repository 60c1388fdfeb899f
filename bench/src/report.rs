//! Tables for people.

use crate::peer::Peer;
use crate::results::Results;
use crate::scenarios::Scenario;

/// Prints a scenario's medians, one line per proxy, and Nuncio's ratios to each of the others.
pub(crate) fn print(scenario: &Scenario, peers: &[Peer], results: &Results) {
    let width = |title: &str| title.len().max(8);
    println!("\n{}: {}", scenario.name, scenario.about);
    print!("{:>10}", "");
    for column in scenario.columns {
        print!("  {:>1$}", column.title, width(column.title));
    }
    println!();
    for &peer in peers {
        let line: Vec<String> = scenario
            .columns
            .iter()
            .map(
                |column| match results.median(scenario.name, peer, column.metric) {
                    Some(value) => format!("{value:.0$}", column.digits),
                    None => "-".to_owned(),
                },
            )
            .collect();
        if line.iter().all(|cell| cell == "-") {
            continue;
        }
        print!("{peer:>10}");
        for (cell, column) in line.iter().zip(scenario.columns) {
            print!("  {cell:>0$}", width(column.title));
        }
        println!();
    }
    for &other in peers.iter().filter(|&&peer| peer != Peer::Nuncio) {
        let ratios: Vec<String> = scenario
            .columns
            .iter()
            .filter(|column| column.compare)
            .filter_map(|column| {
                let ratio = results.ratio(scenario.name, column.metric, Peer::Nuncio, other)?;
                Some(format!("{} {ratio:.2}", column.title))
            })
            .collect();
        if !ratios.is_empty() {
            println!("  nuncio / {other}: {}", ratios.join(", "));
        }
    }
}
