use super::*;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn families() {
    let both = ["10.0.0.1", "::1", "10.0.0.2"];
    let v4 = ips(&["10.0.0.1", "10.0.0.2"]);
    let v6 = ips(&["::1"]);
    for (family, wanted) in [
        (LookupFamily::Auto, &v6),
        (LookupFamily::V4Only, &v4),
        (LookupFamily::V6Only, &v6),
        (LookupFamily::V4Preferred, &v4),
        (LookupFamily::All, &ips(&both)),
    ] {
        assert_eq!(&family.choose(ips(&both)), wanted, "{family:?}");
    }
    assert_eq!(LookupFamily::Auto.choose(v4.clone()), v4);
    assert_eq!(LookupFamily::V4Preferred.choose(v6.clone()), v6);
    assert!(LookupFamily::V4Only.choose(v6).is_empty());
}

#[test]
fn waits_after_failures_double_up_to_a_bound() {
    let second = Duration::from_secs(1);
    let mut options = DnsOptions {
        refresh_rate: 5 * second,
        failure_refresh_rate: None,
        jitter: Duration::ZERO,
        lookup_family: LookupFamily::Auto,
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
