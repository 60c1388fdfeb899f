//! What counting costs, and what groups without traffic weigh.
//!
//! `cargo run --release -p nuncio-stats --example count` prints times and memory. Instructions per call:
//! `valgrind --tool=callgrind --toggle-collect='count::*' target/release/examples/count calls`, divided by [`CALLS`].

use std::hint::black_box;
use std::time::Instant;

use nuncio_stats::{LocalGroup, Store, stats_schema};

/// How often each operation runs.
const CALLS: u64 = 1_000_000;

/// How many groups are weighed.
const GROUPS: usize = 10_000;

macro_rules! schema {
    ($($letter:ident)*) => {
        nuncio_stats::private::paste! {
            stats_schema! {
                /// As large as a cluster's: 130 slots.
                Large {
                    counters { $([<$letter 0>], [<$letter 1>], [<$letter 2>], [<$letter 3>], [<$letter 4>]),* }
                    histograms { upstream_rq_time (Ms) }
                    codes { upstream_rq }
                }
            }
        }
    };
}
schema!(a b c d e f g h i j k l m n o p q r s t u v w x y z);

stats_schema! {
    /// What the main thread sets for each cluster.
    Membership {
        counters { membership_change }
        gauges { membership_total, membership_healthy, max_host_weight }
    }
}

/// One function per operation, so that a profile tells them apart.
#[inline(never)]
fn inc(local: &LocalGroup) {
    local.inc(Large::D3);
}

#[inline(never)]
fn record(local: &LocalGroup, value: u64) {
    local.record(Large::UPSTREAM_RQ_TIME, value);
}

#[inline(never)]
fn charge_code(local: &LocalGroup, code: u16) {
    local.charge_code(Large::UPSTREAM_RQ, code);
}

fn timed(what: &str, mut call: impl FnMut(u64)) {
    let start = Instant::now();
    for count in 0..CALLS {
        call(count);
    }
    println!(
        "{what}: {:.2} ns",
        start.elapsed().as_nanos() as f64 / CALLS as f64
    );
}

/// Resident memory of this process in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

fn main() {
    let store = Store::new(1);
    Store::register_thread(0);
    let group = store.group("cluster.one", Large::SCHEMA);
    let local = black_box(group.local());
    timed("inc", |_| inc(black_box(&local)));
    timed("record, 0 to 99", |count| {
        record(black_box(&local), count % 100)
    });
    timed("record, 0 to 9,999", |count| {
        record(black_box(&local), count % 10_000)
    });
    timed("charge_code", |count| {
        charge_code(black_box(&local), 200 + (count % 8) as u16)
    });

    // Under callgrind only the calls matter; the rest takes minutes there.
    if std::env::args().nth(1).as_deref() == Some("calls") {
        return;
    }
    let before = resident();
    let idle: Vec<_> = (0..GROUPS)
        .map(|index| store.group(format!("cluster.some_service_{index}"), Large::SCHEMA))
        .collect();
    let made = resident();
    println!(
        "a group without traffic: {} bytes",
        (made - before) * 1024 / GROUPS
    );
    let members: Vec<_> = (0..GROUPS)
        .map(|index| {
            let group = store.group(format!("cluster.some_service_{index}"), Membership::SCHEMA);
            group.inc(Membership::MEMBERSHIP_CHANGE);
            group.gauge_set(Membership::MEMBERSHIP_TOTAL, 4);
            group.gauge_set(Membership::MEMBERSHIP_HEALTHY, 4);
            group.gauge_set(Membership::MAX_HOST_WEIGHT, 1);
            group
        })
        .collect();
    let set = resident();
    println!(
        "a group with four values set by main: {} bytes",
        (set - made) * 1024 / GROUPS
    );

    let query = nuncio_stats::Query::default();
    let mut length = Length(0);
    let start = Instant::now();
    let written = store.write_text(&query, nuncio_stats::HistogramBuckets::Summary, &mut length);
    println!(
        "/stats: {written:?}, {} MiB in {:?}, {} KiB more",
        length.0 >> 20,
        start.elapsed(),
        resident() - set
    );
    let (mut length, start) = (Length(0), Instant::now());
    let written = store.write_prometheus(
        &query,
        false,
        nuncio_stats::HistogramBuckets::Cumulative,
        &mut length,
    );
    println!(
        "/stats/prometheus: {written:?}, {} MiB in {:?}, {} KiB more",
        length.0 >> 20,
        start.elapsed(),
        resident() - set
    );
    drop((idle, members));
}

/// Counts what is written.
struct Length(usize);

impl std::fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}
