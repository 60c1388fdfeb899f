//! The bars that Nuncio is held to, beside what was measured.

use crate::peer::Peer::{Envoy, Haproxy, Nginx, Nuncio};
use crate::results::Results;

/// A limit on one measured value.
struct Bar {
    text: &'static str,
    scenario: &'static str,
    value: fn(&Results) -> Option<f64>,
    limit: fn(&Results) -> f64,
    unit: &'static str,
}

const BARS: &[Bar] = &[
    Bar {
        text: "CPU per HTTP/1.1 request, to Envoy's",
        scenario: "h1",
        value: |results| results.ratio("h1", "cpu_us", Nuncio, Envoy),
        limit: |_| 0.27,
        unit: "x",
    },
    Bar {
        text: "CPU per HTTP/1.1 request, to nginx's",
        scenario: "h1",
        value: |results| results.ratio("h1", "cpu_us", Nuncio, Nginx),
        limit: |_| 1.0,
        unit: "x",
    },
    Bar {
        text: "CPU per HTTP/1.1 request, to HAProxy's",
        scenario: "h1",
        value: |results| results.ratio("h1", "cpu_us", Nuncio, Haproxy),
        limit: |_| 1.0,
        unit: "x",
    },
    Bar {
        text: "user-space part of it (see README)",
        scenario: "h1",
        value: |results| results.median("h1", Nuncio, "user_us"),
        limit: user_limit,
        unit: "us",
    },
    Bar {
        text: "the same with an access log, to Envoy's",
        scenario: "h1-log",
        value: |results| results.ratio("h1-log", "cpu_us", Nuncio, Envoy),
        limit: |_| 0.35,
        unit: "x",
    },
    Bar {
        text: "resident memory, idle",
        scenario: "idle",
        value: |results| results.median("idle", Nuncio, "rss_mib"),
        limit: |_| 12.0,
        unit: "MiB",
    },
    Bar {
        text: "10,000 clusters: ready, to Envoy's time",
        scenario: "scale",
        value: |results| results.ratio("scale", "ready_s", Nuncio, Envoy),
        limit: |_| 0.2,
        unit: "x",
    },
    Bar {
        text: "10,000 clusters: resident memory",
        scenario: "scale",
        value: |results| results.median("scale", Nuncio, "rss_mib"),
        limit: |_| 60.0,
        unit: "MiB",
    },
    Bar {
        text: "a Maglev table for 1,000 hosts, to Envoy's",
        scenario: "tables",
        value: |results| results.ratio("tables", "maglev_ms", Nuncio, Envoy),
        limit: |_| 1.0,
        unit: "x",
    },
    Bar {
        text: "a ring of 100,000 entries, to Envoy's",
        scenario: "tables",
        value: |results| results.ratio("tables", "ring_ms", Nuncio, Envoy),
        limit: |_| 1.0,
        unit: "x",
    },
    Bar {
        text: "10,000 new endpoints, binary, to Envoy's",
        scenario: "endpoints",
        value: |results| results.ratio("endpoints", "new_pb_ms", Nuncio, Envoy),
        limit: |_| 0.33,
        unit: "x",
    },
    Bar {
        text: "1 of 10,000 endpoints changed, to Envoy's",
        scenario: "endpoints",
        value: |results| results.ratio("endpoints", "one_pb_ms", Nuncio, Envoy),
        limit: |_| 0.33,
        unit: "x",
    },
    Bar {
        text: "10,000 weights changed, to Envoy's",
        scenario: "endpoints",
        value: |results| results.ratio("endpoints", "weights_pb_ms", Nuncio, Envoy),
        limit: |_| 0.33,
        unit: "x",
    },
    Bar {
        text: "10,000 new endpoints, YAML, to Envoy's",
        scenario: "endpoints",
        value: |results| results.ratio("endpoints", "new_yaml_ms", Nuncio, Envoy),
        limit: |_| 0.33,
        unit: "x",
    },
    Bar {
        text: "1 of 10,000 hosts flips, to Envoy's",
        scenario: "flips",
        value: |results| results.ratio("flips", "rr_us", Nuncio, Envoy),
        limit: |_| 0.33,
        unit: "x",
    },
    Bar {
        text: "the same on a worker (see README)",
        scenario: "flips",
        value: |results| results.median("flips", Nuncio, "worker_us"),
        limit: |_| 30.0,
        unit: "us",
    },
    Bar {
        text: "p99 of another cluster while it flips",
        scenario: "flips",
        value: |results| results.median("flips", Nuncio, "p99_ratio"),
        limit: |_| 1.25,
        unit: "x",
    },
    Bar {
        text: "memory of a cluster of one endpoint",
        scenario: "footprint",
        value: |results| results.median("footprint", Nuncio, "cluster_bytes"),
        limit: |_| 2048.0,
        unit: "B",
    },
    Bar {
        text: "memory of an endpoint",
        scenario: "footprint",
        value: |results| results.median("footprint", Nuncio, "endpoint_bytes"),
        limit: |_| 400.0,
        unit: "B",
    },
    Bar {
        text: "10,000 health-checked hosts: loop held up",
        scenario: "checks",
        value: |results| results.median("checks", Nuncio, "misses"),
        limit: |_| 0.0,
        unit: "x",
    },
    Bar {
        text: "a health check, to Envoy's",
        scenario: "checks",
        value: |results| results.ratio("checks", "check_us", Nuncio, Envoy),
        limit: |_| 1.0,
        unit: "x",
    },
    Bar {
        text: "last of 10,000 routes, to the first",
        scenario: "routes",
        value: |results| results.median("routes", Nuncio, "last_over_first"),
        limit: |_| 1.2,
        unit: "x",
    },
    Bar {
        text: "an idle keep-alive connection",
        scenario: "idle-conns",
        value: |results| results.median("idle-conns", Nuncio, "kib_each"),
        limit: |_| 3.0,
        unit: "KiB",
    },
    Bar {
        text: "512 MiB to a slow-starting reader: growth",
        scenario: "big",
        value: |results| results.median("big", Nuncio, "growth_mib"),
        limit: |_| 8.0,
        unit: "MiB",
    },
    Bar {
        text: "CPU per GiB of it, to Envoy's",
        scenario: "big",
        value: |results| results.ratio("big", "cpu_ms_per_gib", Nuncio, Envoy),
        limit: |_| 0.6,
        unit: "x",
    },
    Bar {
        text: "CPU per HTTP/2 request, to Envoy's",
        scenario: "h2",
        value: |results| results.ratio("h2", "cpu_us", Nuncio, Envoy),
        limit: |_| 0.25,
        unit: "x",
    },
    Bar {
        text: "CPU per HTTP/2 request, to HAProxy's",
        scenario: "h2",
        value: |results| results.ratio("h2", "cpu_us", Nuncio, Haproxy),
        limit: |_| 0.9,
        unit: "x",
    },
    Bar {
        text: "CPU per HTTP/2 request, to nginx's",
        scenario: "h2",
        value: |results| results.ratio("h2", "cpu_us", Nuncio, Nginx),
        limit: |_| 0.65,
        unit: "x",
    },
    Bar {
        text: "HTTP/2 to HTTP/2, to Envoy's",
        scenario: "h2-h2",
        value: |results| results.ratio("h2-h2", "cpu_us", Nuncio, Envoy),
        limit: |_| 0.3,
        unit: "x",
    },
    Bar {
        text: "HTTP/2 to HTTP/2, to HAProxy's",
        scenario: "h2-h2",
        value: |results| results.ratio("h2-h2", "cpu_us", Nuncio, Haproxy),
        limit: |_| 1.0,
        unit: "x",
    },
    Bar {
        text: "CPU per gRPC call, to Envoy's",
        scenario: "grpc",
        value: |results| results.ratio("grpc", "cpu_us", Nuncio, Envoy),
        limit: |_| 0.3,
        unit: "x",
    },
    Bar {
        text: "CPU per GiB over one stream, to Envoy's",
        scenario: "h2-big",
        value: |results| results.ratio("h2-big", "cpu_ms_per_gib", Nuncio, Envoy),
        limit: |_| 0.6,
        unit: "x",
    },
    Bar {
        text: "10,000 idle streams: memory, to Envoy's",
        scenario: "idle-streams",
        value: |results| results.ratio("idle-streams", "growth_mib", Nuncio, Envoy),
        limit: |_| 0.25,
        unit: "x",
    },
];

/// 2.0 µs where nginx shows 2.2 to 3.3: a machine (or an hour) on which nginx needs more or less moves the bar with it.
fn user_limit(results: &Results) -> f64 {
    let nginx = results.median("h1", Nginx, "user_us").unwrap_or(2.2);
    2.0 * nginx / nginx.clamp(2.2, 3.3)
}

/// Prints the bars that were measured, or all; true when each of those printed is met.
pub(crate) fn print(results: &Results, all: bool) -> bool {
    let mut met = true;
    let mut title = false;
    for bar in BARS {
        let value = (bar.value)(results);
        if value.is_none() && !all {
            continue;
        }
        if !title {
            println!(
                "\n{:<44}  {:<12}  {:>9}  {:>9}",
                "bar", "scenario", "measured", "limit"
            );
            title = true;
        }
        let limit = (bar.limit)(results);
        let (measured, verdict) = match value {
            Some(value) if value <= limit => (format!("{value:.2}"), "pass"),
            Some(value) => (format!("{value:.2}"), "FAIL"),
            None => ("-".to_owned(), "not measured"),
        };
        met &= verdict == "pass";
        println!(
            "{:<44}  {:<12}  {measured:>9}  {limit:>9.2} {:<4}  {verdict}",
            bar.text, bar.scenario, bar.unit
        );
    }
    met
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios;

    #[test]
    fn every_bar_names_a_scenario() {
        for bar in BARS {
            assert!(scenarios::find(bar.scenario).is_ok(), "{}", bar.scenario);
        }
    }

    #[test]
    fn the_user_space_bar_moves_with_nginx_outside_its_usual_range() {
        let with_nginx = |user: f64| {
            let mut results = Results::default();
            results.add("h1", Nginx, "user_us", user);
            user_limit(&results)
        };
        assert!((with_nginx(2.5) - 2.0).abs() < 1e-9);
        assert!((with_nginx(6.6) - 4.0).abs() < 1e-9);
        assert!((with_nginx(1.1) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_unmeasured_bar_is_not_met() {
        assert!(!print(&Results::default(), true));
        assert!(print(&Results::default(), false));
    }
}
