use super::*;
use crate::host::HealthFlags;
use crate::lb::LbContext;
use crate::lb::testing::{env, one_priority, picks};
use crate::testing::{host, port};

/// Hosts with these weights, of which each has so many requests in flight.
fn hosts(weights_and_active: &[(u32, u32)]) -> Arc<PrioritySet> {
    let hosts = weights_and_active.iter().enumerate();
    one_priority(hosts.map(|(port, (weight, active))| {
        let host = host(port as u16, *weight, HealthFlags::NONE);
        host.stats().rq_active.store(*active, Relaxed);
        host
    }))
}

fn counts(policy: LeastRequest, hosts: &Arc<PrioritySet>, picked: usize) -> Vec<usize> {
    let env = env(7);
    let mut balancer = Arc::new(policy).build(&env.random);
    let ports = picks(&mut *balancer, hosts, &env, picked);
    let count = |wanted| {
        ports
            .iter()
            .filter(|&&port| usize::from(port) == wanted)
            .count()
    };
    (0..hosts.len()).map(count).collect()
}

#[test]
fn the_busier_of_two_is_chosen_only_when_drawn_twice() {
    let hosts = hosts(&[(1, 5), (1, 0)]);
    let counts = counts(LeastRequest::default(), &hosts, 4000);
    assert!((850..1150).contains(&counts[0]), "{counts:?}");
}

#[test]
fn a_full_scan_finds_the_idle_ones_evenly() {
    let policy = LeastRequest {
        selection: Selection::FullScan,
        ..LeastRequest::default()
    };
    let counts = counts(policy, &hosts(&[(1, 2), (1, 0), (1, 1), (1, 0)]), 1000);
    assert_eq!((counts[0], counts[2]), (0, 0));
    assert!((400..600).contains(&counts[1]), "{counts:?}");
}

#[test]
fn weights_count_less_the_busier_a_host_is() {
    // 4 / (3 + 1) = 1 against 2 / (0 + 1) = 2.
    let busy = [(4, 3), (2, 0)];
    let found = counts(LeastRequest::default(), &hosts(&busy), 3000);
    assert!((990..1010).contains(&found[0]), "{found:?}");
    let blind = LeastRequest {
        active_request_bias: 0.0,
        ..LeastRequest::default()
    };
    let found = counts(blind, &hosts(&busy), 3000);
    assert!((1990..2010).contains(&found[0]), "{found:?}");
}

#[test]
fn no_hosts_no_choice() {
    let env = env(1);
    for selection in [Selection::FullScan, Selection::Choices(3)] {
        let policy = LeastRequest {
            selection,
            ..LeastRequest::default()
        };
        let mut balancer = Arc::new(policy).build(&env.random);
        assert!(
            balancer
                .choose(&hosts(&[]), &LbContext::default(), &env)
                .is_none()
        );
    }
}

#[test]
fn a_host_that_was_tried_is_passed_over() {
    let env = env(1);
    let all = hosts(&[(1, 0), (1, 0)]);
    let tried = [all.hosts().next().unwrap().clone()];
    let cx = LbContext {
        attempted: &tried,
        max_reselections: 50,
        ..LbContext::default()
    };
    let mut balancer = Arc::new(LeastRequest::default()).build(&env.random);
    for _ in 0..20 {
        assert_eq!(port(&balancer.choose(&all, &cx, &env).unwrap()), 1);
    }
}
