use std::sync::Arc;

use super::*;
use crate::host::HealthFlags;
use crate::host_set::{LocalityGroup, PriorityOptions, PrioritySet};
use crate::testing::host;

const UP: HealthFlags = HealthFlags::NONE;
const DOWN: HealthFlags = HealthFlags::FAILED_EDS_HEALTH;
const POOR: HealthFlags = HealthFlags::DEGRADED_EDS_HEALTH;

/// Hosts per priority: (healthy, degraded, unhealthy).
fn set(counts: &[(usize, usize, usize)], options: PriorityOptions) -> PrioritySet {
    let mut groups = Vec::new();
    for (priority, &(up, poor, down)) in counts.iter().enumerate() {
        let flags = [(UP, up), (POOR, poor), (DOWN, down)];
        let hosts = flags
            .iter()
            .flat_map(|&(flag, n)| (0..n).map(move |_| host(1, 1, flag)));
        groups.push(LocalityGroup {
            locality: Arc::default(),
            weight: None,
            priority: priority as u32,
            hosts: hosts.collect(),
        });
    }
    PrioritySet::build(&groups, options)
}

/// (healthy %, degraded %, panic) per priority.
fn shares(counts: &[(usize, usize, usize)], options: PriorityOptions) -> Vec<(u8, u8, bool)> {
    let set = set(counts, options);
    let share = |priority| set.loads().share(priority);
    (0..counts.len())
        .map(|p| (share(p).healthy, share(p).degraded, share(p).panic))
        .collect()
}

fn default_shares(counts: &[(usize, usize, usize)]) -> Vec<(u8, u8, bool)> {
    shares(counts, PriorityOptions::default())
}

#[test]
fn the_first_priority_gets_all_while_it_is_healthy_enough() {
    assert_eq!(
        default_shares(&[(10, 0, 0), (10, 0, 0)]),
        [(100, 0, false), (0, 0, false)]
    );
    // 72 % healthy × 1.4 is over 100 %.
    assert_eq!(
        default_shares(&[(18, 0, 7), (5, 0, 0)]),
        [(100, 0, false), (0, 0, false)]
    );
}

#[test]
fn the_next_one_takes_what_is_left() {
    // Envoy's documentation: 50 % healthy × 1.4 = 70 %.
    assert_eq!(
        default_shares(&[(5, 0, 5), (10, 0, 0)]),
        [(70, 0, false), (30, 0, false)]
    );
    assert_eq!(
        default_shares(&[(0, 0, 5), (10, 0, 0)]),
        [(0, 0, false), (100, 0, false)]
    );
}

#[test]
fn degraded_hosts_come_after_all_healthy_ones() {
    assert_eq!(
        default_shares(&[(0, 10, 0), (5, 0, 5)]),
        [(0, 30, false), (70, 0, false)]
    );
    assert_eq!(default_shares(&[(0, 10, 0)]), [(0, 100, false)]);
}

#[test]
fn panic_when_all_together_cannot_take_the_load() {
    // 20 % and 20 % healthy: 28 + 28 < 100, both below the threshold.
    assert_eq!(
        default_shares(&[(1, 0, 4), (1, 0, 4)]),
        [(50, 0, true), (50, 0, true)]
    );
    // Total panic goes by numbers of hosts.
    assert_eq!(
        default_shares(&[(0, 0, 3), (0, 0, 1)]),
        [(75, 0, true), (25, 0, true)]
    );
    // A priority above the threshold does not panic: 60 % × 1.4 = 84 %, 10 % × 1.4 = 14 %; 98 % in all.
    assert_eq!(
        default_shares(&[(6, 0, 4), (1, 0, 9)]),
        [(86, 0, false), (14, 0, true)]
    );
}

#[test]
fn without_panic_nobody_gets_anything_when_all_are_down() {
    let options = PriorityOptions {
        panic_threshold: 0,
        ..Default::default()
    };
    assert_eq!(shares(&[(0, 0, 3)], options), [(100, 0, false)]);
    let set = set(&[(0, 0, 3)], options);
    let (priority, source) = set.loads().choose(|| 5);
    assert!(source.of(&set.sets()[priority]).is_empty());
}

#[test]
fn no_host_at_all_is_panic_as_in_envoy() {
    assert_eq!(default_shares(&[(0, 0, 0)]), [(100, 0, true)]);
}

#[test]
fn excluded_hosts_do_not_count() {
    let draining = host(1, 1, HealthFlags::EDS_STATUS_DRAINING);
    let group = LocalityGroup {
        locality: Arc::default(),
        weight: None,
        priority: 0,
        hosts: vec![host(2, 1, UP), draining.clone(), draining],
    };
    let set = PrioritySet::build(&[group], PriorityOptions::default());
    assert_eq!(set.sets()[0].excluded, 2);
    assert_eq!(
        set.loads().share(0),
        Share {
            healthy: 100,
            degraded: 0,
            panic: false
        }
    );
}

#[test]
fn health_can_be_a_matter_of_weight() {
    let group = LocalityGroup {
        locality: Arc::default(),
        weight: None,
        priority: 0,
        hosts: vec![host(1, 9, UP), host(2, 1, DOWN)],
    };
    let by_count = PrioritySet::build(std::slice::from_ref(&group), PriorityOptions::default());
    assert_eq!(
        by_count.loads().share(0).healthy,
        100,
        "all of what there is"
    );
    let options = PriorityOptions {
        weighted_priority_health: true,
        ..Default::default()
    };
    let next = LocalityGroup {
        priority: 1,
        hosts: vec![host(3, 1, UP)],
        ..group.clone()
    };
    let down = LocalityGroup {
        hosts: vec![host(1, 1, UP), host(2, 9, DOWN)],
        ..group
    };
    let set = PrioritySet::build(&[down, next], options);
    assert_eq!(set.loads().share(0).healthy, 14);
    assert_eq!(set.loads().share(1).healthy, 86);
}

#[test]
fn the_draw_follows_the_shares() {
    let set = set(&[(0, 10, 0), (5, 0, 5)], PriorityOptions::default());
    let mut counts = [0; 2];
    for point in 0..100 {
        let (priority, source) = set.loads().choose(|| point);
        assert_eq!(source, [Source::Degraded, Source::Healthy][priority]);
        counts[priority] += 1;
    }
    assert_eq!(counts, [30, 70]);
}
