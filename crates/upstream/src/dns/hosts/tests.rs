use super::*;

#[test]
fn waits_after_failures_double_up_to_a_bound() {
    let second = Duration::from_secs(1);
    let mut options = DnsOptions {
        refresh_rate: 5 * second,
        failure_refresh_rate: None,
        jitter: Duration::ZERO,
        respect_ttl: false,
        min_refresh_rate: second,
        lookup_family: LookupFamily::Auto,
        single_host: false,
    };
    assert_eq!(options.wait_after_failures(3), 5 * second);
    options.failure_refresh_rate = Some((second, 10 * second));
    for (failures, bound) in [(1, 1), (2, 2), (4, 8), (5, 10), (4000, 10)] {
        for _ in 0..50 {
            let wait = options.wait_after_failures(failures);
            assert!(wait <= bound * second && wait >= Duration::from_millis(1));
        }
    }
}
