//! Long answers: sent as they are made, with little memory, and without delaying others.

use std::sync::Arc;
use std::time::Duration;

use nuncio_stats::Group;

use super::fixture::Fixture;
use crate::limits::Limits;
use crate::memory::MemoryUsage;
use crate::own_stats::ListenerHttpSchema;

/// Groups of six counters each.
const GROUPS: usize = 20_000;

/// Stats whose text is about 16 MiB: more than the kernel buffers for a connection.
fn with_many_stats(limits: Limits) -> (Fixture, Vec<Arc<Group>>) {
    let admin = Fixture::with(limits, |_| {});
    let filler = "x".repeat(100);
    let groups = (0..GROUPS).map(|index| {
        let prefix = format!("many.{index}.{filler}");
        admin.server.stats.group(prefix, ListenerHttpSchema::SCHEMA)
    });
    let groups = groups.collect();
    (admin, groups)
}

#[test]
fn scrapes_that_nobody_reads_delay_nobody_and_hold_little() {
    let (admin, _groups) = with_many_stats(Limits::default());
    let before = MemoryUsage::now().physical;
    let mut stuck: Vec<_> = (0..4).map(|_| admin.connect()).collect();
    for client in &mut stuck {
        client.send("GET /stats HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut first = [0; 64];
        assert!(client.read_some(&mut first) > 0);
    }
    // All writers are busy; short answers need none.
    for _ in 0..10 {
        assert_eq!(admin.get("/ready").body, "LIVE\n");
    }
    // Each scrape holds a list of the groups and some pieces of text.
    let grown = MemoryUsage::now().physical.saturating_sub(before);
    assert!(grown < 12 << 20, "{grown}");
}

#[test]
fn long_answers_arrive_whole() {
    let (admin, groups) = with_many_stats(Limits::default());
    groups[7].add(ListenerHttpSchema::DOWNSTREAM_RQ_COMPLETED, 5);
    let answer = admin.get("/stats");
    assert!(answer.body.len() > 12 << 20);
    let lines = answer.body.lines().filter(|line| line.starts_with("many."));
    assert_eq!(lines.count(), GROUPS * 6);
    let completed = format!("{}.downstream_rq_completed: 5", groups[7].prefix());
    assert!(answer.body.lines().any(|line| line == completed));
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let (admin, _groups) = with_many_stats(Limits {
        stalled: Duration::from_millis(50),
        ..Limits::default()
    });
    let mut stuck = admin.connect();
    stuck.send("GET /stats HTTP/1.1\r\nHost: a\r\n\r\n");
    admin.wait_for("http.admin.downstream_cx_destroy_active_rq", 1);
    // What the kernel holds can be read, but the end never comes.
    assert!(!stuck.read_to_end().ends_with("\r\n0\r\n\r\n"));
    assert_eq!(admin.stat("http.admin.downstream_cx_active"), 1);
}
