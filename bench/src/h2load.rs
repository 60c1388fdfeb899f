//! The load generator for HTTP/2.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::process::command;

/// What to ask for, and how much at once.
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    pub(crate) connections: u32,
    /// Requests that each connection keeps under way.
    pub(crate) streams: u32,
    /// Further arguments: headers, a body.
    pub(crate) more: &'a [&'a str],
}

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Seconds(u64),
    Requests(u32),
}

/// What one round of load brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Answered requests.
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Mean latency in milliseconds.
    pub(crate) mean: f64,
}

/// Asks on `core`; an answer other than 2xx is an error.
pub(crate) fn run(core: usize, ask: &Ask<'_>, until: Until) -> Result<Load> {
    let mut h2load = command("h2load", &[core]);
    h2load
        .arg("-t1")
        .arg(format!("-c{}", ask.connections))
        .arg(format!("-m{}", ask.streams))
        .args(ask.more);
    match until {
        Until::Seconds(seconds) => h2load.arg(format!("-D{seconds}")),
        Until::Requests(count) => h2load.arg(format!("-n{count}")),
    };
    let output = h2load
        .arg(ask.url)
        .stderr(Stdio::piped())
        .output()
        .context("starting h2load")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "h2load ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&text).with_context(|| format!("h2load printed:\n{text}"))
}

/// Reads h2load's report; errors of any kind spoil a measurement.
fn parse(text: &str) -> Result<Load> {
    let line = |mark: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(mark))
            .with_context(|| format!("no line {mark}"))
    };
    let count = |of: &str, what: &str| {
        line(of)?
            .split(',')
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<f64>().ok())
            .with_context(|| format!("no {what}"))
    };
    let succeeded = count("requests:", "succeeded")?;
    for trouble in ["failed", "errored", "timeout"] {
        ensure!(count("requests:", trouble)? == 0.0, "requests {trouble}");
    }
    ensure!(succeeded > 0.0, "nothing was answered");
    // 2xx may be one more than what succeeded: headers whose body came too late.
    for class in ["3xx", "4xx", "5xx"] {
        ensure!(count("status codes:", class)? == 0.0, "answers {class}");
    }
    let mean = line("time for request:")?.split_whitespace().nth(2);
    Ok(Load {
        requests: succeeded,
        per_second: line("finished in ")?
            .split(',')
            .find_map(|part| part.trim().strip_suffix("req/s")?.trim().parse().ok())
            .context("no rate")?,
        mean: mean.and_then(milliseconds).context("no latency")?,
    })
}

/// `435us`, `1.23ms`, `2.00s`.
fn milliseconds(text: &str) -> Option<f64> {
    for (unit, factor) in [("us", 0.001), ("ms", 1.0), ("s", 1000.0)] {
        let number: Option<f64> = text.strip_suffix(unit).and_then(|text| text.parse().ok());
        if let Some(number) = number {
            return Some(factor * number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "starting benchmark...
finished in 2.00s, 207570.00 req/s, 14.25MB/s
requests: 415140 total, 415240 started, 415140 done, 415140 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 415140 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 28.51MB (29891850) total, 4.75MB (4983100) headers (space savings 93.78%), 12.67MB (13284480) data
                     min         max         mean         sd        +/- sd
time for request:       41us      2.18ms       435us       193us    71.16%
time for connect:      182us      1.85ms      1.36ms       470us    80.00%
";

    #[test]
    fn a_report_is_read() {
        let load = parse(REPORT).unwrap();
        assert_eq!((load.requests, load.per_second), (415_140.0, 207_570.0));
        assert!((load.mean - 0.435).abs() < 1e-9);
    }

    #[test]
    fn errors_spoil_the_round() {
        for (good, bad) in [
            ("0 failed", "1 failed"),
            ("0 errored", "7 errored"),
            ("0 timeout", "7 timeout"),
            ("415140 2xx, 0 3xx", "415139 2xx, 1 3xx"),
            ("requests:", "nothing:"),
        ] {
            assert!(parse(&REPORT.replace(good, bad)).is_err(), "{bad}");
        }
    }
}
