//! The load generator.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::process::command;

/// What one round of load brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Answered requests.
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// Latencies in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// Keeps `connections` connections to `url` busy for `seconds`; `script` chooses other requests than a plain GET.
pub(crate) fn run(
    core: usize,
    url: &str,
    connections: u32,
    seconds: u64,
    script: Option<&Path>,
) -> Result<Load> {
    let mut wrk = command("wrk", &[core]);
    wrk.args(["-t1", "--latency", "--timeout", "10s"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg(url);
    if let Some(script) = script {
        wrk.arg("-s").arg(script);
    }
    let output = wrk
        .stderr(Stdio::piped())
        .output()
        .context("starting wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&text).with_context(|| format!("wrk printed:\n{text}"))
}

/// Reads wrk's report; errors of any kind spoil a measurement.
fn parse(text: &str) -> Result<Load> {
    for line in text.lines().map(str::trim) {
        if line.starts_with("Socket errors:") || line.starts_with("Non-2xx or 3xx responses:") {
            bail!("{line}");
        }
    }
    // Marks of percentiles only at the start: the lines above them hold percentages too.
    let begins = |mark: &str| {
        text.lines()
            .map(str::trim)
            .find(|line| line.starts_with(mark))
    };
    let total = text.lines().find(|line| line.contains(" requests in "));
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let last = |line: &str| line.split_whitespace().last().map(str::to_owned);
    let number = |word: Option<String>| word.and_then(|word| word.parse::<f64>().ok());
    Ok(Load {
        requests: number(total.and_then(first)).context("no requests")?,
        per_second: number(begins("Requests/sec:").and_then(last)).context("no rate")?,
        p50: milliseconds(&begins("50%").and_then(last).unwrap_or_default()).context("no p50")?,
        p99: milliseconds(&begins("99%").and_then(last).unwrap_or_default()).context("no p99")?,
    })
}

/// `830.00us`, `1.23ms`, `2.00s` or `1.50m`.
fn milliseconds(text: &str) -> Option<f64> {
    let unit = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let number: f64 = text[..unit].parse().ok()?;
    match &text[unit..] {
        "us" => Some(number / 1_000.0),
        "ms" => Some(number),
        "s" => Some(number * 1_000.0),
        "m" => Some(number * 60_000.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 2s test @ http://127.0.0.1:1/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.55ms  199.50us   7.50ms   85.97%
    Req/Sec    32.36k     1.50k   34.45k    75.00%
  Latency Distribution
     50%  830.00us
     75%    1.60ms
     90%    1.68ms
     99%    2.16ms
  64400 requests in 2.00s, 11.61MB read
Requests/sec:  32165.37
Transfer/sec:      5.80MB
";

    #[test]
    fn a_report_is_read() {
        let load = parse(REPORT).unwrap();
        let expected = Load {
            requests: 64_400.0,
            per_second: 32_165.37,
            p50: 0.83,
            p99: 2.16,
        };
        assert_eq!(load, expected);
    }

    #[test]
    fn errors_spoil_the_round() {
        for line in [
            "  Socket errors: connect 0, read 3, write 0, timeout 0\n",
            "  Non-2xx or 3xx responses: 7\n",
        ] {
            assert!(parse(&format!("{REPORT}{line}")).is_err());
        }
    }
}
