use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::read::{Query, Value};
use crate::{NameMatcher, StatsMatcher};

crate::stats_schema! {
    /// For these tests.
    Traffic {
        counters { total, dotted = "a.b" }
        gauges { active, version (NeverImport) }
        histograms { time (Ms) }
        codes { rq, external_rq = "external.rq" }
    }
}

crate::stats_schema! {
    /// Only gauges.
    Plain { gauges { live } }
}

/// Every stat: name, value (a histogram's count), used.
fn all(store: &Store) -> Vec<(String, u64, bool)> {
    all_of(store, &Query::default())
}

fn all_of(store: &Store, query: &Query<'_>) -> Vec<(String, u64, bool)> {
    let mut stats = Vec::new();
    let kinds = [
        Kind::Counter,
        Kind::Gauge,
        Kind::TextReadout,
        Kind::Histogram,
    ];
    let _ = store.visit(&kinds, query, |stat| {
        let value = match stat.value {
            Value::Counter(value) | Value::Gauge(value) => value,
            Value::Text(text) => text.len() as u64,
            Value::Histogram(view) => view.count(crate::Span::Cumulative),
        };
        stats.push((stat.name.to_owned(), value, stat.used));
        Ok::<(), Infallible>(())
    });
    stats
}

fn value(store: &Store, name: &str) -> Option<u64> {
    all(store)
        .into_iter()
        .find(|stat| stat.0 == name)
        .map(|stat| stat.1)
}

#[test]
fn names_and_values() {
    let store = Store::new(1);
    let group = store.group("g", Traffic::SCHEMA);
    let local = group.local();
    local.inc(Traffic::TOTAL);
    group.add(Traffic::TOTAL, 2);
    local.gauge_add(Traffic::ACTIVE, 3);
    local.gauge_sub(Traffic::ACTIVE, 3);
    group.gauge_set(Traffic::VERSION, u64::MAX);
    local.charge_code(Traffic::EXTERNAL_RQ, 200);
    local.record(Traffic::TIME, 5);
    let expected = [
        ("g.a.b", 0, false),
        ("g.active", 0, true),
        ("g.external.rq_200", 1, true),
        ("g.external.rq_2xx", 1, true),
        ("g.external.rq_completed", 1, true),
        ("g.time", 0, false),
        ("g.total", 3, true),
        ("g.version", u64::MAX, true),
    ];
    let expected = expected.map(|(name, value, used)| (name.to_owned(), value, used));
    assert_eq!(all(&store), expected);
    store.merge_histograms();
    assert_eq!(
        value(&store, "g.time"),
        Some(1),
        "a histogram shows what was merged"
    );
    assert_eq!(
        Traffic::SCHEMA.gauges[1].import,
        crate::ImportMode::NeverImport
    );
}

#[test]
fn groups_are_shared_by_name_and_vanish() {
    let store = Store::new(1);
    let first = store.group("x", Plain::SCHEMA);
    let again = store.group("x.", Plain::SCHEMA);
    assert!(Arc::ptr_eq(&first, &again));
    first.gauge_set(Plain::LIVE, 1);
    drop(first);
    assert_eq!(value(&store, "x.live"), Some(1));
    drop(again);
    assert_eq!(all(&store), []);
    let new = store.group("x", Plain::SCHEMA);
    assert_eq!(
        new.gauge(Plain::LIVE),
        0,
        "a group of the same name begins anew"
    );
    assert_eq!(
        store
            .group("listener.[::1]:80", Plain::SCHEMA)
            .prefix()
            .as_ref(),
        "listener.[__1]_80"
    );
    assert_eq!(store.group("", Plain::SCHEMA).prefix().as_ref(), "");
    assert_eq!(all(&store), [("x.live".to_owned(), 0, false)]);
}

#[test]
fn names_are_sorted_across_groups_and_singles() {
    let store = Store::new(1);
    let groups = ["b", "a.b", "a", "", "a-b"].map(|prefix| store.group(prefix, Plain::SCHEMA));
    store.counter("a.c").inc();
    store.counter("a.live.x").inc();
    let names: Vec<String> = all(&store).into_iter().map(|stat| stat.0).collect();
    assert_eq!(
        names,
        [
            "a-b.live", "a.b.live", "a.c", "a.live", "a.live.x", "b.live", "live"
        ]
    );
    drop(groups);
}

#[test]
fn stats_of_one_name_are_one() {
    let store = Store::new(1);
    let group = store.group("a", Traffic::SCHEMA);
    group.inc(Traffic::TOTAL);
    store.counter("a.total").add(4);
    assert_eq!(value(&store, "a.total"), Some(5));
    let mut out = String::new();
    let query = Query {
        filter: Some(&|name| name == "a.total"),
        ..Query::default()
    };
    store
        .write_prometheus(&query, false, crate::HistogramBuckets::Cumulative, &mut out)
        .expect("a string");
    assert_eq!(out, "# TYPE envoy_a_total counter\nenvoy_a_total{} 5\n");
}

#[test]
fn reset_makes_counters_zero_but_used() {
    let store = Store::new(1);
    let group = store.group("g", Traffic::SCHEMA);
    let local = group.local();
    let single = store.counter("single");
    for _ in 0..2 {
        local.inc(Traffic::TOTAL);
        local.charge_code(Traffic::RQ, 404);
        local.gauge_add(Traffic::ACTIVE, 1);
        single.inc();
        store.reset_counters();
    }
    let reset: Vec<_> = all_of(
        &store,
        &Query {
            used_only: true,
            ..Query::default()
        },
    );
    let expected = [
        ("g.active", 2),
        ("g.rq_404", 0),
        ("g.rq_4xx", 0),
        ("g.rq_completed", 0),
        ("g.total", 0),
        ("single", 0),
    ];
    assert_eq!(
        reset,
        expected.map(|(name, value)| (name.to_owned(), value, true))
    );
    local.inc(Traffic::TOTAL);
    assert_eq!(group.counter(Traffic::TOTAL), 1);
}

#[test]
fn queries_filter() {
    let store = Store::new(1);
    let group = store.group("g", Traffic::SCHEMA);
    group.inc(Traffic::TOTAL);
    let names = |query: &Query<'_>| -> Vec<String> {
        all_of(&store, query)
            .into_iter()
            .map(|stat| stat.0)
            .collect()
    };
    let filter = |name: &str| name.contains("to");
    let filtered = Query {
        filter: Some(&filter),
        ..Query::default()
    };
    assert_eq!(names(&filtered), ["g.total"]);
    let inverted = Query {
        invert_filter: true,
        ..filtered
    };
    assert_eq!(
        names(&inverted),
        ["g.a.b", "g.active", "g.time", "g.version"]
    );
    assert_eq!(
        names(&Query {
            used_only: true,
            ..Query::default()
        }),
        ["g.total"]
    );
    assert_eq!(
        names(&Query {
            kind: Some(Kind::Gauge),
            ..Query::default()
        }),
        ["g.active", "g.version"]
    );
    let stopped = store.visit(&[Kind::Counter], &Query::default(), |_| Err("enough"));
    assert_eq!(stopped, Err("enough"));
}

#[derive(Debug)]
struct Prefix(&'static str);

impl NameMatcher for Prefix {
    fn matches(&self, name: &str) -> bool {
        name.starts_with(self.0)
    }
}

#[test]
fn a_matcher_hides_stats() {
    let with = |matcher| {
        let config = StatsConfig {
            matcher,
            ..StatsConfig::default()
        };
        let store = Store::with_config(1, config).expect("valid");
        let groups = ["a", "b"].map(|prefix| store.group(prefix, Plain::SCHEMA));
        let names: Vec<String> = all(&store).into_iter().map(|stat| stat.0).collect();
        drop(groups);
        names
    };
    assert_eq!(
        with(StatsMatcher::Exclude(vec![Box::new(Prefix("a."))])),
        ["b.live"]
    );
    assert_eq!(
        with(StatsMatcher::Include(vec![Box::new(Prefix("a."))])),
        ["a.live"]
    );
    assert!(with(StatsMatcher::RejectAll).is_empty());
}

#[test]
fn text_readouts_are_written() {
    let store = Store::new(1);
    store.text_readout("control_plane.identifier").set("a\"b");
    let (mut text, mut json, mut prometheus) = (String::new(), String::new(), String::new());
    let (query, buckets) = (Query::default(), crate::HistogramBuckets::Cumulative);
    store
        .write_text(&query, buckets, &mut text)
        .expect("a string");
    store
        .write_json(&query, buckets, &mut json)
        .expect("a string");
    store
        .write_prometheus(&query, true, buckets, &mut prometheus)
        .expect("a string");
    assert_eq!(text, "control_plane.identifier: \"a\"b\"\n");
    assert_eq!(
        json,
        r#"{"stats":[{"name":"control_plane.identifier","value":"a\"b"}]}"#
    );
    assert_eq!(
        prometheus,
        "# TYPE envoy_control_plane_identifier gauge\nenvoy_control_plane_identifier{text_value=\"a\\\"b\"} 1\n"
    );
}

#[test]
fn threads_count_while_others_read() {
    const EACH: u64 = 20_000;
    let store = Store::new(4);
    let group = store.group("g", Traffic::SCHEMA);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Relaxed) {
                store.merge_histograms();
                let seen = value(&store, "g.total").expect("exists");
                assert!(seen >= last, "a counter only rises");
                last = seen;
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|index| {
                let group = &group;
                scope.spawn(move || {
                    // Two register; two do not, and get blocks of their own all the same.
                    if index < 2 {
                        Store::register_thread(index);
                    }
                    let local = group.local();
                    for count in 0..EACH {
                        local.inc(Traffic::TOTAL);
                        local.gauge_add(Traffic::ACTIVE, 2);
                        local.gauge_sub(Traffic::ACTIVE, 1);
                        local.record(Traffic::TIME, count);
                        local.charge_code(Traffic::RQ, 200 + (count % 300) as u16);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Relaxed);
        reader.join().expect("no panic");
    });
    store.merge_histograms();
    for name in ["g.total", "g.active", "g.time", "g.rq_completed"] {
        assert_eq!(value(&store, name), Some(4 * EACH), "{name}");
    }
}

#[test]
fn gauges_sum_over_threads() {
    let store = Store::new(1);
    let group = store.group("g", Plain::SCHEMA);
    group.local().gauge_set(Plain::LIVE, 5);
    std::thread::scope(|scope| {
        scope.spawn(|| group.local().gauge_sub(Plain::LIVE, 2));
    });
    assert_eq!(group.gauge(Plain::LIVE), 3);
    group.gauge_add(Plain::LIVE, 10);
    group.gauge_sub(Plain::LIVE, 1);
    assert_eq!(group.gauge(Plain::LIVE), 12);
    group.local().gauge_sub(Plain::LIVE, 100);
    assert_eq!(group.gauge(Plain::LIVE), 0, "below zero is shown as zero");
}

crate::stats_schema! {
    Sparse {
        counters { first, second }
        gauges { third }
        histograms { fourth (Ms) }
        names { sparse }
    }
}

#[test]
fn names_of_a_sparse_group_exist_once_written() {
    let store = Store::new(1);
    let group = store.group("sparse", Sparse::SCHEMA);
    let names = || {
        let mut names: Vec<String> = all(&store).into_iter().map(|(name, ..)| name).collect();
        names.sort();
        names
    };
    assert!(names().is_empty());
    group.local().inc(Sparse::SECOND);
    group.gauge_set(Sparse::THIRD, 0);
    assert_eq!(names(), ["sparse.second", "sparse.third"]);
    store.reset_counters();
    assert_eq!(names(), ["sparse.second", "sparse.third"]);
    group.record(Sparse::FOURTH, 1);
    store.merge_histograms();
    assert_eq!(names(), ["sparse.fourth", "sparse.second", "sparse.third"]);
}

#[test]
fn slots_of_another_schema_do_no_harm() {
    let store = Store::new(1);
    let local = store.group("g", Plain::SCHEMA).local();
    local.inc(Traffic::DOTTED);
    local.gauge_add(Traffic::VERSION, 1);
    local.record(Traffic::TIME, 1);
    local.charge_code(Traffic::RQ, 200);
}

crate::stats_schema! {
    /// What Envoy makes or sets together with something else.
    Together {
        counters { asked, never }
        gauges { active, idle with active, open with asked, warm with always, cold }
        histograms { length (Ms), time (Ms, lazy) }
    }
}

#[test]
fn what_is_set_together_is_used_together() {
    let store = Store::new(1);
    let group = store.group("x", Together::SCHEMA);
    let names = |used_only: bool| {
        let query = Query {
            used_only,
            ..Query::default()
        };
        let mut names = Vec::new();
        let kinds = [Kind::Counter, Kind::Gauge, Kind::Histogram];
        store
            .visit(&kinds, &query, |stat| {
                names.push(stat.name.to_owned());
                Ok::<(), Infallible>(())
            })
            .unwrap();
        names.join(" ")
    };
    assert_eq!(
        names(false),
        "x.active x.asked x.cold x.idle x.length x.never x.open x.warm"
    );
    assert_eq!(names(true), "x.warm");
    group.add(Together::NEVER, 0);
    group.local().gauge_add(Together::ACTIVE, 1);
    assert_eq!(names(true), "x.active x.idle x.never x.warm");
    group.inc(Together::ASKED);
    assert_eq!(names(true), "x.active x.asked x.idle x.never x.open x.warm");
    // Before it is merged, too.
    group.record(Together::TIME, 5);
    assert!(names(false).ends_with("x.open x.time x.warm"));
}
