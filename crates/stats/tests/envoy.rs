//! What Envoy 1.40 answered for given stats, byte for byte.

use std::fmt;

use nuncio_stats::{
    BucketSettings, HistogramBuckets, Kind, NameMatcher, Query, StatsConfig, Store, TagExtractors,
    TagSpecifier, TagValue, Unit,
};

/// Names and the Prometheus lines (without value) that Envoy made of them.
const TAGS: &str = include_str!("data/tags.tsv");

macro_rules! captured {
    ($name:literal) => {
        include_str!(concat!("data/histograms/", $name))
    };
}

fn sanitized(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

#[test]
fn tags_are_envoys() {
    let extractors = TagExtractors::with_defaults();
    let mut checked = 0;
    for line in TAGS.lines() {
        let (name, expected) = line.split_once('\t').expect("two columns");
        let tagged = extractors.extract(name);
        let labels: Vec<String> = tagged
            .tags
            .iter()
            .map(|(tag, value)| format!("{}=\"{value}\"", sanitized(tag)))
            .collect();
        let seen = format!("envoy_{}{{{}}}", sanitized(&tagged.name), labels.join(","));
        assert_eq!(seen, expected, "of {name}");
        checked += 1;
    }
    assert!(checked >= 150, "only {checked} names");
}

#[derive(Debug)]
struct Suffix(&'static str);

impl NameMatcher for Suffix {
    fn matches(&self, name: &str) -> bool {
        name.ends_with(self.0)
    }
}

/// The histograms as Envoy had them: some values, a flush, some more, a flush.
fn store() -> Store {
    let config = StatsConfig {
        buckets: vec![BucketSettings {
            matcher: Box::new(Suffix("custom")),
            bounds: vec![0.1, 3.0, 37.5, 255.0, 100_000.0],
        }],
        ..StatsConfig::default()
    };
    let store = Store::with_config(1, config).expect("a valid configuration");
    let record = |values: &[u64]| {
        for (name, unit, scale) in [
            ("hist.ms", Unit::Ms, 1),
            ("hist.pct", Unit::Percent, Unit::PERCENT_SCALE),
            ("hist.custom", Unit::Bytes, 1),
        ] {
            for value in values {
                store.histogram(name, unit).record(value * scale);
            }
        }
        store.merge_histograms();
    };
    record(&[
        0,
        1,
        1,
        3,
        9,
        10,
        37,
        37,
        99,
        100,
        101,
        254,
        255,
        256,
        999,
        1000,
        12345,
        500_000,
        1_000_000,
        123_456_789,
        99_999_999_999,
        1_234_567,
    ]);
    record(&[2, 37, 38, 250, 700_000, 5_000]);
    store
}

fn written(write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut out = String::new();
    write(&mut out).expect("writing to a string does not fail");
    out
}

/// Envoy writes a histogram's cumulative and interval counts per bound, quantiles, or bins.
#[test]
fn histograms_are_envoys() {
    let store = store();
    let query = Query::default();
    for (buckets, text, json) in [
        (
            HistogramBuckets::Summary,
            captured!("summary.txt"),
            captured!("summary.json"),
        ),
        (
            HistogramBuckets::Cumulative,
            captured!("cumulative.txt"),
            captured!("cumulative.json"),
        ),
        (
            HistogramBuckets::Disjoint,
            captured!("disjoint.txt"),
            captured!("disjoint.json"),
        ),
        (
            HistogramBuckets::Detailed,
            captured!("detailed.txt"),
            captured!("detailed.json"),
        ),
    ] {
        assert_eq!(
            written(|out| store.write_text(&query, buckets, out)),
            text,
            "{buckets:?}"
        );
        assert_eq!(
            written(|out| store.write_json(&query, buckets, out)),
            json,
            "{buckets:?}"
        );
    }
}

#[test]
fn prometheus_histograms_are_envoys() {
    let store = store();
    let query = Query::default();
    for (buckets, expected) in [
        (HistogramBuckets::Cumulative, captured!("histogram.prom")),
        (HistogramBuckets::Summary, captured!("summary.prom")),
    ] {
        let seen = written(|out| store.write_prometheus(&query, false, buckets, out));
        assert_eq!(seen, expected, "{buckets:?}");
    }
}

/// Counters and gauges of a run with a fixed tag and names of every shape: order, grouping, labels, escapes.
#[test]
fn numbers_are_envoys() {
    let tag = TagSpecifier {
        name: "fixed.tag-x".to_owned(),
        value: TagValue::Fixed("va\"l\\ue".to_owned()),
    };
    let config = StatsConfig {
        tags: vec![tag],
        ..StatsConfig::default()
    };
    let store = Store::with_config(1, config).expect("a valid configuration");
    let parse = |line: &'static str| {
        let (name, value) = line.rsplit_once(": ").expect("name and value");
        (name, value.parse::<u64>().expect("a number"))
    };
    for (name, value) in include_str!("data/stats/counters.txt").lines().map(parse) {
        store.counter(name).add(value);
    }
    for (name, value) in include_str!("data/stats/gauges.txt").lines().map(parse) {
        store.gauge(name).set(value);
    }
    let query = Query::default();
    let buckets = HistogramBuckets::default();
    let text = written(|out| store.write_text(&query, buckets, out));
    assert_eq!(text, include_str!("data/stats/text.txt"));
    let json = written(|out| store.write_json(&query, buckets, out));
    assert_eq!(json, include_str!("data/stats/stats.json"));
    let prometheus = written(|out| store.write_prometheus(&query, false, buckets, out));
    assert_eq!(prometheus, include_str!("data/stats/prometheus.txt"));
    let counters = Query {
        kind: Some(Kind::Counter),
        ..query
    };
    let text = written(|out| store.write_text(&counters, buckets, out));
    assert_eq!(text, include_str!("data/stats/counters.txt"));
}
