use std::sync::atomic::AtomicU32 as Counter;
use std::thread;
use std::time::Duration;

use nuncio_stats::Store;

use super::*;
use crate::stats::{ClusterStats, RemainingStats};
use crate::testing::{below, seeded};

fn breakers(thresholds: Thresholds) -> (Store, Arc<Group>, Arc<Breakers>) {
    let store = Store::new(1);
    let group = store.group("cluster.x", ClusterStats::SCHEMA);
    let remaining = |priority: Priority| {
        store.group(
            format!("cluster.x.circuit_breakers.{}", priority.as_str()),
            RemainingStats::SCHEMA,
        )
    };
    let breakers = Breakers::new(&[thresholds, Thresholds::default()], &*group, remaining);
    (store, group, Arc::new(breakers))
}

fn gauges(group: &Group, breakers: &Breakers) -> WorkerGauges {
    WorkerGauges::new(group.local(), breakers)
}

const P: Priority = Priority::Default;
const R: Resource = Resource::Requests;

#[test]
fn a_budget_is_taken_and_given_back() {
    let (_store, group, breakers) = breakers(Thresholds {
        max_requests: 2,
        ..Default::default()
    });
    let gauges = gauges(&group, &breakers);
    assert!(breakers.try_take(P, R, &gauges));
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_OPEN), 0);
    let second = Taken::try_take(&breakers, &gauges, P, R).unwrap();
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_OPEN), 1);
    assert!(!breakers.try_take(P, R, &gauges) && !breakers.can_take(P, R));
    assert!(
        breakers.try_take(Priority::High, R, &gauges),
        "priorities have budgets of their own"
    );
    drop(second);
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_OPEN), 0);
    assert_eq!(breakers.used(P, R), 1);
}

#[test]
fn beyond_the_limit_only_on_purpose() {
    let (_store, group, breakers) = breakers(Thresholds {
        max_connections: 1,
        ..Default::default()
    });
    let gauges = gauges(&group, &breakers);
    let cx = Resource::Connections;
    assert!(breakers.try_take(P, cx, &gauges) && !breakers.try_take(P, cx, &gauges));
    breakers.take_beyond(P, cx, &gauges);
    assert_eq!(breakers.used(P, cx), 2);
    breakers.give_back(P, cx, &gauges);
    assert_eq!(group.gauge(ClusterStats::DEFAULT_CX_OPEN), 1);
    breakers.give_back(P, cx, &gauges);
    assert_eq!(group.gauge(ClusterStats::DEFAULT_CX_OPEN), 0);
}

#[test]
fn new_limits_hold_at_once() {
    let (_store, group, breakers) = breakers(Thresholds::default());
    let gauges = gauges(&group, &breakers);
    assert!(breakers.try_take(P, R, &gauges));
    let lower = [
        Thresholds {
            max_requests: 1,
            ..Default::default()
        },
        Thresholds::default(),
    ];
    breakers.set_thresholds(&lower, &*group);
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_OPEN), 1);
    assert!(!breakers.try_take(P, R, &gauges));
    breakers.set_thresholds(&Default::default(), &*group);
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_OPEN), 0);
    let closed = [
        Thresholds {
            max_requests: 0,
            ..Default::default()
        },
        Thresholds::default(),
    ];
    breakers.set_thresholds(&closed, &*group);
    breakers.give_back(P, R, &gauges);
    assert_eq!(
        group.gauge(ClusterStats::DEFAULT_RQ_OPEN),
        1,
        "nothing in use of nothing: open"
    );
}

#[test]
fn what_remains_is_shown_when_asked_for() {
    let (store, group, breakers) = breakers(Thresholds {
        max_requests: 10,
        track_remaining: true,
        ..Default::default()
    });
    let gauges = gauges(&group, &breakers);
    let remaining = store.group("cluster.x.circuit_breakers.default", RemainingStats::SCHEMA);
    assert!(breakers.try_take(P, R, &gauges) && breakers.try_take(P, Resource::Pools, &gauges));
    assert_eq!(remaining.gauge(RemainingStats::REMAINING_RQ), 9);
    assert_eq!(
        remaining.gauge(RemainingStats::REMAINING_CX_POOLS),
        u64::MAX - 1
    );
    breakers.give_back(P, R, &gauges);
    assert_eq!(remaining.gauge(RemainingStats::REMAINING_RQ), 10);
    assert!(!breakers.can_take_over(&Default::default()));
}

#[test]
fn a_retry_budget_grows_with_the_requests() {
    let budget = RetryBudget {
        budget: 25 * RetryBudget::PERCENT,
        min_concurrency: 1,
    };
    let (store, group, breakers) = breakers(Thresholds {
        max_retries: 1,
        retry_budget: Some(budget),
        track_remaining: true,
        ..Default::default()
    });
    let gauges = gauges(&group, &breakers);
    let retries = Resource::Retries;
    assert!(breakers.try_take(P, retries, &gauges), "one is always free");
    assert!(!breakers.try_take(P, retries, &gauges));
    for _ in 0..6 {
        assert!(breakers.try_take(P, R, &gauges));
    }
    assert!(breakers.try_take(P, Resource::Pending, &gauges));
    assert_eq!(breakers.max(P, retries), 1, "a quarter of 7");
    assert!(breakers.try_take(P, Resource::Pending, &gauges));
    assert!(breakers.try_take(P, retries, &gauges));
    assert!(!breakers.try_take(P, retries, &gauges) && !breakers.can_take(P, retries));
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_RETRY_OPEN), 1);
    let remaining = store.group("cluster.x.circuit_breakers.default", RemainingStats::SCHEMA);
    assert_eq!(remaining.gauge(RemainingStats::REMAINING_RETRIES), 0);
    // What is in use beyond a limit that has fallen stays in use.
    breakers.give_back(P, R, &gauges);
    assert_eq!(
        (breakers.max(P, retries), breakers.used(P, retries)),
        (1, 2)
    );
    breakers.give_back(P, retries, &gauges);
    breakers.give_back(P, retries, &gauges);
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_RETRY_OPEN), 0);
    assert_eq!(remaining.gauge(RemainingStats::REMAINING_RETRIES), 0);
    let plain = Breakers::new(&Default::default(), &*group, |_| {
        unreachable!("nothing is tracked")
    });
    assert_eq!(plain.max(P, retries), 3);
}

/// Requests, waiting ones and retries come and go; `NUNCIO_SEED` chooses one run, which a failure names.
#[test]
fn retries_stay_within_their_budget_whatever_comes_and_goes() {
    seeded(40, |random, seed| {
        let percent = below(&random, 101) as u32;
        let min_concurrency = below(&random, 6) as u32;
        let max_retries = below(&random, 6) as u32;
        let with_budget = below(&random, 4) != 0;
        let (_store, group, breakers) = breakers(Thresholds {
            max_requests: 40,
            max_pending_requests: 20,
            max_retries,
            retry_budget: with_budget.then_some(RetryBudget {
                budget: percent * RetryBudget::PERCENT,
                min_concurrency,
            }),
            ..Default::default()
        });
        let gauges = gauges(&group, &breakers);
        let kinds = [R, Resource::Pending, Resource::Retries];
        let mut used = [0u32; 3];
        for step in 0..500 {
            let kind = below(&random, 3) as usize;
            let limit = match (kind, with_budget) {
                (0, _) => 40,
                (1, _) => 20,
                (_, true) => ((used[0] + used[1]) * percent / 100).max(min_concurrency),
                (_, false) => max_retries,
            };
            let what = format!("seed {seed}, step {step}: {:?} {used:?}", kinds[kind]);
            assert_eq!(breakers.max(P, kinds[kind]), limit, "{what}");
            assert_eq!(breakers.used(P, kinds[kind]), used[kind], "{what}");
            let room = used[kind] < limit;
            assert_eq!(breakers.can_take(P, kinds[kind]), room, "{what}");
            if below(&random, 5) < 3 {
                let taken = breakers.try_take(P, kinds[kind], &gauges);
                assert_eq!(taken, room, "{what}");
                used[kind] += u32::from(taken);
            } else if used[kind] > 0 {
                breakers.give_back(P, kinds[kind], &gauges);
                used[kind] -= 1;
            }
        }
    });
}

#[test]
fn threads_never_exceed_a_budget_and_use_all_of_it() {
    const LIMIT: u32 = 7;
    let (_store, group, breakers) = breakers(Thresholds {
        max_requests: LIMIT,
        ..Default::default()
    });
    let (in_use, most, refused) = (Counter::new(0), Counter::new(0), Counter::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let gauges = gauges(&group, &breakers);
                for round in 0..5_000 {
                    if breakers.try_take(P, R, &gauges) {
                        let now = in_use.fetch_add(1, AcqRel) + 1;
                        assert!(now <= LIMIT, "{now} in use of {LIMIT}");
                        most.fetch_max(now, AcqRel);
                        if round % 3 == 0 {
                            thread::yield_now();
                        }
                        in_use.fetch_sub(1, AcqRel);
                        breakers.give_back(P, R, &gauges);
                    } else {
                        refused.fetch_add(1, Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(breakers.used(P, R), 0);
    assert_eq!(
        group.gauge(ClusterStats::DEFAULT_RQ_OPEN),
        0,
        "the gauge ends where the count ends"
    );
    assert!(most.load(Acquire) >= 1);
    let gauges = gauges(&group, &breakers);
    for _ in 0..LIMIT {
        assert!(
            breakers.try_take(P, R, &gauges),
            "all of the budget can be used"
        );
    }
    assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_OPEN), 1);
}

#[test]
fn a_budget_may_be_a_share_of_the_requests_of_late() {
    let budget = RetryBudget {
        budget: 25 * RetryBudget::PERCENT,
        min_concurrency: 0,
    };
    let limits = Thresholds {
        retry_budget: Some(budget),
        budget_interval: Duration::from_secs(3600),
        ..Default::default()
    };
    let (store, group, breakers) = breakers(limits);
    let gauges = gauges(&group, &breakers);
    for _ in 0..9 {
        assert!(breakers.try_take(P, R, &gauges));
        breakers.note_request(P);
        breakers.give_back(P, R, &gauges);
    }
    assert_eq!(breakers.max(P, Resource::Retries), 2, "a quarter of 9");
    for _ in 0..20 {
        assert!(breakers.try_take(P, R, &gauges));
    }
    assert_eq!(breakers.max(P, Resource::Retries), 2, "not noted");
    assert!(breakers.can_take_over(&[limits, Thresholds::default()]));
    assert!(!breakers.can_take_over(&Default::default()));
    drop(store);
}

/// Threads take and give back everything of both priorities, some of it beyond its limit, while the limits change: no budget is
/// exceeded, nothing leaks, and the gauges end where they began. `NUNCIO_SEED` chooses one run.
#[test]
fn threads_share_every_budget_of_both_priorities() {
    const LIMITS: [u32; 5] = [3, 5, 7, 2, 4];
    let all = Thresholds {
        max_connections: LIMITS[0],
        max_pending_requests: LIMITS[1],
        max_requests: LIMITS[2],
        max_retries: LIMITS[3],
        max_connection_pools: LIMITS[4],
        track_remaining: true,
        ..Thresholds::default()
    };
    let store = Store::new(1);
    let group = store.group("cluster.x", ClusterStats::SCHEMA);
    let remaining: [Arc<Group>; 2] = Priority::ALL.map(|priority| {
        let prefix = format!("cluster.x.circuit_breakers.{}", priority.as_str());
        store.group(prefix, RemainingStats::SCHEMA)
    });
    seeded(3, |random, seed| {
        let breakers = Breakers::new(&[all, all], &*group, |priority| {
            remaining[priority.index()].clone()
        });
        let in_use: [[Counter; 5]; 2] = Default::default();
        let seeds: Vec<u64> = (0..6).map(|_| random.next()).collect();
        thread::scope(|scope| {
            for own_seed in seeds {
                let (breakers, group, in_use) = (&breakers, &group, &in_use);
                scope.spawn(move || {
                    let random = crate::random::Random::seeded(own_seed);
                    let gauges = gauges(group, breakers);
                    let mut held: Vec<(Priority, Resource)> = Vec::new();
                    for _ in 0..4_000 {
                        let priority = Priority::ALL[below(&random, 2) as usize];
                        let resource = RESOURCES[below(&random, 5) as usize];
                        let count = &in_use[priority.index()][resource as usize];
                        if below(&random, 2) == 0 {
                            if breakers.try_take(priority, resource, &gauges) {
                                let now = count.fetch_add(1, AcqRel) + 1;
                                let limit = LIMITS[resource as usize];
                                assert!(now <= limit, "seed {seed}: {now} {resource:?} of {limit}");
                                held.push((priority, resource));
                            }
                        } else if !held.is_empty() {
                            let at = below(&random, held.len() as u64) as usize;
                            let (priority, resource) = held.swap_remove(at);
                            let count = &in_use[priority.index()][resource as usize];
                            count.fetch_sub(1, AcqRel);
                            breakers.give_back(priority, resource, &gauges);
                        }
                    }
                    for (priority, resource) in held {
                        in_use[priority.index()][resource as usize].fetch_sub(1, AcqRel);
                        breakers.give_back(priority, resource, &gauges);
                    }
                });
            }
        });
        let gauges = gauges(&group, &breakers);
        for priority in Priority::ALL {
            for resource in RESOURCES {
                let what = format!("seed {seed}: {priority:?} {resource:?}");
                let limit = LIMITS[resource as usize];
                let shown = || remaining[priority.index()].gauge(remaining_gauge(resource));
                assert_eq!(breakers.used(priority, resource), 0, "{what}");
                assert_eq!(group.gauge(open_gauge(priority, resource)), 0, "{what}");
                assert_eq!(shown(), u64::from(limit), "{what}");
                // All of it can be used, and no more.
                for left in (0..limit).rev() {
                    assert!(breakers.try_take(priority, resource, &gauges), "{what}");
                    assert_eq!(shown(), u64::from(left), "{what}");
                }
                assert!(!breakers.try_take(priority, resource, &gauges), "{what}");
                assert_eq!(group.gauge(open_gauge(priority, resource)), 1, "{what}");
                for _ in 0..limit {
                    breakers.give_back(priority, resource, &gauges);
                }
                assert_eq!(group.gauge(open_gauge(priority, resource)), 0, "{what}");
            }
        }
    });
}

/// A retry budget that many share is no more exceeded than one with a fixed limit; here the requests do not change meanwhile.
#[test]
fn threads_never_exceed_a_retry_budget() {
    let (_store, group, breakers) = breakers(Thresholds {
        retry_budget: Some(RetryBudget {
            budget: 25 * RetryBudget::PERCENT,
            min_concurrency: 1,
        }),
        ..Thresholds::default()
    });
    let own = gauges(&group, &breakers);
    for _ in 0..24 {
        assert!(breakers.try_take(P, R, &own));
    }
    let in_use = Counter::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let gauges = gauges(&group, &breakers);
                for _ in 0..3_000 {
                    if let Some(taken) = Taken::try_take(&breakers, &gauges, P, Resource::Retries) {
                        let now = in_use.fetch_add(1, AcqRel) + 1;
                        assert!(now <= 6, "{now} in use");
                        in_use.fetch_sub(1, AcqRel);
                        drop(taken);
                    }
                }
            });
        }
    });
    assert_eq!(breakers.used(P, Resource::Retries), 0);
}

/// Requests begin, wait and end as time passes, and retries ask for their share of those that began within the interval: more
/// than 0.9 of it counts for sure, less than the whole may. `NUNCIO_SEED` chooses one run, which a failure names.
#[test]
fn retries_stay_within_the_budget_of_an_interval() {
    crate::testing::run_paused(async {
        for seed in crate::testing::seeds(40) {
            let random = crate::random::Random::seeded(seed);
            let percent = 1 + below(&random, 100);
            let least = below(&random, 4);
            let interval = Duration::from_millis(10 + below(&random, 2000));
            let (_store, group, breakers) = breakers(Thresholds {
                max_retries: 3,
                retry_budget: Some(RetryBudget {
                    budget: percent as u32 * RetryBudget::PERCENT,
                    min_concurrency: least as u32,
                }),
                budget_interval: interval,
                ..Thresholds::default()
            });
            let gauges = gauges(&group, &breakers);
            let mut begun: Vec<tokio::time::Instant> = Vec::new();
            let mut retries = 0;
            for step in 0..400 {
                let now = tokio::time::Instant::now();
                let since = |part: f64| {
                    let young = begun
                        .iter()
                        .filter(|at| now - **at < interval.mul_f64(part));
                    young.count() as u64
                };
                let limit = |requests: u64| (requests * percent / 100).max(least) as u32;
                let (low, high) = (limit(since(0.9)), limit(since(1.0)));
                let found = breakers.max(P, Resource::Retries);
                assert!(
                    (low..=high).contains(&found),
                    "seed {seed}, step {step}: {found}, not {low} to {high}"
                );
                match below(&random, 4) {
                    0 => {
                        breakers.note_request(P);
                        begun.push(now);
                    }
                    1 => {
                        let taken = breakers.try_take(P, Resource::Retries, &gauges);
                        assert_eq!(taken, retries < found, "seed {seed}, step {step}");
                        retries += u32::from(taken);
                    }
                    2 if retries > 0 => {
                        breakers.give_back(P, Resource::Retries, &gauges);
                        retries -= 1;
                    }
                    _ => {
                        let wait = interval.mul_f64(below(&random, 40) as f64 / 100.0);
                        tokio::time::advance(wait).await;
                    }
                }
            }
            for _ in 0..retries {
                breakers.give_back(P, Resource::Retries, &gauges);
            }
            assert_eq!(group.gauge(ClusterStats::DEFAULT_RQ_RETRY_OPEN), 0);
        }
    });
}
