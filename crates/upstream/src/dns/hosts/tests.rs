use super::*;

/// Names are asked for every five seconds.
fn options() -> DnsOptions {
    DnsOptions {
        refresh_rate: Duration::from_secs(5),
        failure_refresh_rate: None,
        jitter: Duration::ZERO,
        respect_ttl: false,
        min_refresh_rate: Duration::from_secs(1),
        lookup_family: LookupFamily::Auto,
        single_host: false,
    }
}

#[test]
fn waits_after_failures_double_up_to_a_bound() {
    let second = Duration::from_secs(1);
    let mut options = options();
    assert_eq!(options.wait_after_failures(3), 5 * second);
    options.failure_refresh_rate = Some((second, 10 * second));
    for (failures, bound) in [(1, 1), (2, 2), (4, 8), (5, 10), (4000, 10)] {
        for _ in 0..50 {
            let wait = options.wait_after_failures(failures);
            assert!(wait <= bound * second && wait >= Duration::from_millis(1));
        }
    }
}

#[test]
fn a_ttl_counts_if_it_shall_and_is_no_less_than_the_least_rate() {
    let second = Duration::from_secs(1);
    let mut options = DnsOptions {
        min_refresh_rate: 2 * second,
        ..options()
    };
    let with = |ttl: Option<u32>| Resolved {
        addresses: Vec::new(),
        ttl: ttl.map(|ttl| ttl * second),
    };
    assert_eq!(options.wait_after(&with(Some(30))), 5 * second);
    options.respect_ttl = true;
    for (ttl, wanted) in [(None, 5), (Some(0), 5), (Some(1), 2), (Some(30), 30)] {
        assert_eq!(options.wait_after(&with(ttl)), wanted * second, "{ttl:?}");
    }
}

#[test]
fn jitter_spreads_what_would_be_asked_together() {
    let second = Duration::from_secs(1);
    let options = DnsOptions {
        jitter: 2 * second,
        respect_ttl: true,
        ..options()
    };
    for (ttl, rate) in [(None, 5), (Some(30 * second), 30)] {
        let resolved = Resolved {
            addresses: Vec::new(),
            ttl,
        };
        let waits: Vec<_> = (0..100).map(|_| options.wait_after(&resolved)).collect();
        let range = rate * second..(rate + 2) * second;
        assert!(waits.iter().all(|wait| range.contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
    // A failure is waited for without it, as in Envoy.
    assert_eq!(options.wait_after_failures(1), 5 * second);
}
