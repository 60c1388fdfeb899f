use std::net::IpAddr;

use nuncio_stats::Store;

use super::*;
use crate::dns::cares::tests::{Reply, server};
use crate::testing::run;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn resolver(server: SocketAddr, cache_size: usize) -> HickoryResolver {
    let store = Box::leak(Box::new(Store::new(1)));
    let options = HickoryOptions {
        servers: vec![server],
        use_system: false,
        cache_size,
        timeout: Duration::from_millis(200),
        tries: 2,
    };
    HickoryResolver::new(options, store.group("dns.hickory", S::SCHEMA))
}

#[test]
fn every_family_but_one_is_both() {
    run(async {
        let both = ips(&["::1", "10.0.0.1"]).into_iter().map(|ip| (ip, 30));
        let zone = [("both.test.", Reply::Records(both.collect()))];
        let (at, _) = server(&zone).await;
        let resolver = resolver(at, 0);
        for (family, wanted) in [
            (LookupFamily::Auto, &["10.0.0.1", "::1"][..]),
            (LookupFamily::All, &["10.0.0.1", "::1"]),
            (LookupFamily::V4Preferred, &["10.0.0.1", "::1"]),
            (LookupFamily::V4Only, &["10.0.0.1"]),
            (LookupFamily::V6Only, &["::1"]),
        ] {
            let found = resolver.resolve("both.test", family).await.unwrap();
            assert_eq!(found.addresses, ips(wanted), "{family:?}");
            assert_eq!(found.ttl, Some(Duration::from_secs(30)), "{family:?}");
        }
        let local = resolver.resolve("localhost", LookupFamily::V4Only).await;
        assert_eq!(local.unwrap().ttl, Some(DAY));
        assert_eq!(resolver.0.stats.counter(S::RESOLVE_TOTAL), 6);
    });
}

#[test]
fn what_has_no_address_is_a_failure() {
    run(async {
        let zone = [
            ("broken.test.", Reply::Code(2)),
            ("silent.test.", Reply::Silence),
        ];
        let (at, _) = server(&zone).await;
        let resolver = resolver(at, 0);
        for (name, family, text) in [
            (
                "nowhere.test",
                LookupFamily::V4Only,
                "A lookup failed: DNS error: no records found for Query { name: Name(\"nowhere.test.\"), query_type: A, query_class: IN }",
            ),
            (
                "broken.test",
                LookupFamily::V6Only,
                "AAAA lookup failed: DNS error: error response: Server Failure",
            ),
            (
                "silent.test",
                LookupFamily::V4Only,
                "A lookup failed: request timed out",
            ),
        ] {
            let error = resolver.resolve(name, family).await.unwrap_err();
            assert_eq!(error.0, text, "{name}");
        }
        for counter in [S::NOT_FOUND, S::GET_ADDR_FAILURE, S::TIMEOUTS] {
            assert_eq!(resolver.0.stats.counter(counter), 1);
        }
    });
}

#[test]
fn answers_are_used_again() {
    run(async {
        let records = Reply::Records(vec![(ips(&["10.0.0.1"])[0], 600)]);
        let (at, log) = server(&[("a.test.", records)]).await;
        for (size, asked) in [(0, 2), (8, 1)] {
            let resolver = resolver(at, size);
            for _ in 0..2 {
                let found = resolver.resolve("a.test", LookupFamily::V4Only).await;
                assert_eq!(found.unwrap().addresses, ips(&["10.0.0.1"]));
            }
            assert_eq!(std::mem::take(&mut *log.lock().unwrap()).len(), asked);
        }
    });
}
