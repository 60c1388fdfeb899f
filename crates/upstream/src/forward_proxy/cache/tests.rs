use nuncio_config::api::dns_cache::{DnsCacheCircuitBreakers, DnsCacheConfig};
use nuncio_config::api::protobuf::{Duration as DurationMessage, UInt32Value};

use super::super::DnsCaches;
use super::*;
use crate::testing::{Script, run_paused};

/// Lives as long as the test: groups do not keep their store.
fn store() -> &'static Store {
    Box::leak(Box::new(Store::new(1)))
}

fn cache(config: DnsCacheConfig, resolver: &Arc<Script>) -> Arc<DnsCache> {
    let resolver: Arc<dyn DnsResolver> = resolver.clone();
    let config = DnsCacheConfig {
        name: "c".into(),
        ..config
    };
    DnsCaches::default()
        .get(&config, store(), &Dispatchers::none(), Some(&resolver))
        .unwrap()
}

fn seconds(seconds: i64) -> Option<DurationMessage> {
    Some(DurationMessage { seconds, nanos: 0 })
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn known(cache: &Arc<DnsCache>, authority: &str) -> Known {
    match cache.load(authority, 80) {
        Load::Known(known) => Known::clone(&known),
        Load::Loading(_) => panic!("{authority} is being resolved"),
        Load::Overflow => panic!("overflow"),
    }
}

async fn resolved(cache: &Arc<DnsCache>, authority: &str) -> Known {
    match cache.load(authority, 80) {
        Load::Loading(waiting) => waiting.known().await.unwrap(),
        _ => panic!("{authority} is known, or one too many"),
    }
}

fn address(known: &Known) -> Option<String> {
    known.address.as_ref().map(ToString::to_string)
}

fn sleep_of(seconds: u64) -> tokio::time::Sleep {
    sleep(Duration::from_secs(seconds))
}

#[test]
fn a_host_is_resolved_once_and_then_again_and_again_while_it_is_used() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let cache = cache(
            DnsCacheConfig {
                host_ttl: seconds(100),
                ..Default::default()
            },
            &script,
        );
        let cluster = Arc::new(ForwardProxy::new());
        cache.attach(&cluster);
        script.answer(&["10.0.0.1", "10.0.0.2"]);
        let first = resolved(&cache, "a.name").await;
        assert_eq!(address(&first).unwrap(), "10.0.0.1:80");
        assert_eq!(known(&cache, "a.name:80"), first, "the same host");
        assert_eq!(cluster.all()[0].hostname(), "a.name:80");
        // An hour later, still used.
        script.answer(&["10.0.0.3"]);
        sleep_of(61).await;
        assert_eq!(address(&known(&cache, "a.name")).unwrap(), "10.0.0.3:80");
        assert_eq!(cluster.all().len(), 1);
        assert_eq!(cluster.all()[0].address().to_string(), "10.0.0.3:80");
        // An answer without addresses takes nothing away.
        script.answer(&[]);
        sleep_of(60).await;
        assert_eq!(address(&known(&cache, "a.name")).unwrap(), "10.0.0.3:80");
        assert_eq!(script.count(), 3);
        for _ in 0..4 {
            script.answer(&["10.0.0.3"]);
        }
        sleep_of(600).await;
        assert!(cluster.all().is_empty(), "nobody has used it");
        let stats = &cache.stats;
        assert_eq!(stats.gauge(S::NUM_HOSTS), 0);
        assert_eq!(stats.counter(S::HOST_REMOVED), 1);
        assert_eq!(stats.counter(S::HOST_ADDRESS_CHANGED), 2);
        assert_eq!(
            stats.counter(S::DNS_QUERY_ATTEMPT),
            stats.counter(S::DNS_QUERY_SUCCESS)
        );
    });
}

#[test]
fn the_time_to_live_of_an_answer_has_a_floor() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let cache = cache(DnsCacheConfig::default(), &script);
        let entry = Entry::new(Authority::parse("a"), 80);
        for (ttl, wait) in [(Some(1), 5), (Some(9), 9), (None, 60)] {
            let answer = Ok(Resolved {
                addresses: vec!["10.0.0.1".parse().unwrap()],
                ttl: ttl.map(Duration::from_secs),
            });
            let next = cache.on_answer("a:80", &entry, answer);
            assert_eq!(next, Some(Duration::from_secs(wait)), "{ttl:?}");
        }
    });
}

#[test]
fn addresses_are_not_asked_for() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let cache = cache(DnsCacheConfig::default(), &script);
        let v6 = resolved(&cache, "[::1]:8080").await;
        assert_eq!(address(&v6).unwrap(), "[::1]:8080");
        let v4 = resolved(&cache, "127.0.0.1").await;
        assert_eq!(address(&v4).unwrap(), "127.0.0.1:80");
        assert_eq!(script.count(), 0);
        assert_eq!(cache.stats.counter(S::DNS_QUERY_ATTEMPT), 2);
    });
}

#[test]
fn failures_are_answers_too() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let cache = cache(DnsCacheConfig::default(), &script);
        script.fail();
        let failed = resolved(&cache, "a").await;
        assert_eq!((address(&failed), &*failed.details), (None, "no_answer"));
        assert_eq!(known(&cache, "a"), failed, "it is remembered");
        let silent = resolved(&cache, "b").await;
        assert_eq!(&*silent.details, "resolve_timeout");
        let wrong = resolved(&cache, "c:70000").await;
        assert_eq!(&*wrong.details, "cares_failure:Misformatted_domain_name");
        script.answer(&["10.0.0.1"]);
        script.answer(&["10.0.0.2"]);
        sleep_of(61).await;
        assert!(known(&cache, "a").address.is_some(), "and asked again");
        assert_eq!(cache.stats.counter(S::DNS_QUERY_TIMEOUT), 1);
        assert_eq!(cache.stats.counter(S::DNS_QUERY_FAILURE), 4);
    });
}

#[test]
fn failures_can_be_forgotten() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let config = DnsCacheConfig {
            disable_dns_refresh_on_failure: true,
            ..Default::default()
        };
        let cache = cache(config, &script);
        script.answer(&[]);
        assert_eq!(resolved(&cache, "a").await.address, None);
        assert_eq!(cache.stats.gauge(S::NUM_HOSTS), 0);
        script.answer(&["10.0.0.1"]);
        assert!(resolved(&cache, "a").await.address.is_some());
    });
}

#[test]
fn hosts_and_waiting_requests_are_limited() {
    run_paused(async {
        let script = Arc::new(Script::default());
        let config = DnsCacheConfig {
            max_hosts: number(1),
            dns_cache_circuit_breaker: Some(DnsCacheCircuitBreakers {
                max_pending_requests: number(1),
            }),
            ..Default::default()
        };
        let cache = cache(config, &script);
        script.answer(&["10.0.0.1"]);
        resolved(&cache, "a").await;
        assert!(matches!(cache.load("b", 80), Load::Overflow));
        assert!(known(&cache, "a").address.is_some());
        let permit = cache.take_pending().unwrap();
        assert!(cache.take_pending().is_none());
        assert_eq!(cache.breaker.gauge(B::RQ_PENDING_OPEN), 1);
        assert_eq!(cache.breaker.gauge(B::RQ_PENDING_REMAINING), 0);
        drop(permit);
        assert!(cache.take_pending().is_some());
        assert_eq!(cache.breaker.gauge(B::RQ_PENDING_OPEN), 0);
        assert_eq!(cache.breaker.gauge(B::RQ_PENDING_REMAINING), 1);
        assert_eq!(cache.stats.counter(S::HOST_OVERFLOW), 1);
        assert_eq!(cache.stats.counter(S::DNS_RQ_PENDING_OVERFLOW), 1);
    });
}

#[test]
fn a_name_has_one_configuration() {
    run_paused(async {
        let caches = DnsCaches::default();
        let config = DnsCacheConfig {
            name: "c".into(),
            ..Default::default()
        };
        let other = DnsCacheConfig {
            max_hosts: number(1),
            ..config.clone()
        };
        let store = store();
        let one = caches
            .get(&config, store, &Dispatchers::none(), None)
            .unwrap();
        let two = caches
            .get(&config, store, &Dispatchers::none(), None)
            .unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        let errors = caches
            .get(&other, store, &Dispatchers::none(), None)
            .unwrap_err();
        assert!(errors[0].to_string().contains("with different settings"));
        drop((one, two));
        caches
            .get(&other, store, &Dispatchers::none(), None)
            .unwrap();
    });
}
