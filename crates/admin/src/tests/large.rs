//! Long answers: sent as they are made, with little memory, and without delaying others.

use super::fixture::Fixture;
use crate::memory::MemoryUsage;

/// Stats whose text is about 20 MiB.
fn with_many_stats() -> Fixture {
    let admin = Fixture::new();
    let filler = "x".repeat(1000);
    for index in 0..20_000 {
        admin
            .server
            .stats
            .counter(&format!("many.{index}.{filler}"))
            .inc();
    }
    admin
}

#[test]
fn a_scrape_that_nobody_reads_delays_nobody_and_holds_little() {
    let admin = with_many_stats();
    let before = MemoryUsage::now().physical;
    let mut stuck: Vec<_> = (0..4).map(|_| admin.connect()).collect();
    for client in &mut stuck {
        client.send("GET /stats?filter=^many HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut first = [0; 64];
        assert!(client.read_some(&mut first) > 0);
    }
    // All writers are busy; short answers need none.
    for _ in 0..10 {
        assert_eq!(admin.get("/ready").body, "LIVE\n");
    }
    // The names of a walk are held (20 MiB each here, as these are single stats, not groups); the text is not.
    let grown = MemoryUsage::now().physical.saturating_sub(before);
    assert!(grown < 200 << 20, "{grown}");
}

#[test]
fn long_answers_arrive_whole() {
    let admin = with_many_stats();
    let answer = admin.get("/stats?filter=^many");
    assert_eq!(answer.body.lines().count(), 20_000);
    assert!(answer.body.lines().all(|line| line.ends_with(": 1")));
    let prometheus = admin.get("/stats/prometheus?filter=^many");
    assert_eq!(prometheus.body.lines().count(), 40_000);
}
