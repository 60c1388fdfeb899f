use std::rc::Rc;

use nuncio_http::HeaderMap;
use nuncio_sdk::filter_state::{DYNAMIC_PORT, NumberObject};

use super::*;
use crate::lb::testing::{env, one_priority};
use crate::testing::port;

fn policy() -> Arc<ForwardProxy> {
    let policy = Arc::new(ForwardProxy::new());
    for (key, port) in [("a:80", 1), ("b:8080", 2)] {
        policy.set(key, &Address::parse_ip("127.0.0.1", port).unwrap());
    }
    policy
}

fn chosen(balancer: &mut dyn LoadBalancer, hosts: &Arc<PrioritySet>, name: &str) -> Option<u16> {
    let headers: HeaderMap = [(":authority", name)].into_iter().collect();
    let cx = LbContext {
        request_headers: Some(&headers),
        ..LbContext::default()
    };
    let host = balancer.choose(hosts, &cx, &env(1))?;
    Some(port(&host))
}

#[test]
fn the_authority_names_the_host() {
    let policy = policy();
    let mut balancer = policy.clone().build(&env(1).random);
    let hosts = one_priority(policy.all().into_iter());
    for (name, port) in [
        ("a", Some(1)),
        ("a:80", Some(1)),
        ("b:8080", Some(2)),
        ("b", None),
        ("A", None),
        ("", None),
    ] {
        assert_eq!(chosen(&mut *balancer, &hosts, name), port, "{name}");
    }
    assert!(policy.take_used("a:80") && !policy.take_used("a:80"));
    assert!(!policy.take_used("c:80"));
}

#[test]
fn filters_may_name_another_host() {
    let policy = policy();
    let mut balancer = policy.clone().build(&env(1).random);
    let hosts = one_priority(policy.all().into_iter());
    let headers: HeaderMap = [(":authority", "c:1")].into_iter().collect();
    for (host, number, expected) in [
        (Some("a"), None, Some(1)),
        (Some("b"), Some(8080), Some(2)),
        (Some("b"), Some(0), None),
        (Some("a"), Some(65_536), Some(1)),
        // Its own port comes first.
        (Some("b:8080"), Some(9), Some(2)),
        (Some(""), Some(80), None),
        (None, Some(80), None),
    ] {
        let mut state = FilterState::default();
        if let Some(host) = host {
            state.set(DYNAMIC_HOST, Rc::new(TextObject(host.into())));
        }
        if let Some(number) = number {
            state.set(DYNAMIC_PORT, Rc::new(NumberObject(number)));
        }
        let cx = LbContext {
            request_headers: Some(&headers),
            filter_state: Some(&state),
            ..LbContext::default()
        };
        let chosen = balancer.choose(&hosts, &cx, &env(1));
        let chosen = chosen.map(|host| port(&host));
        assert_eq!(chosen, expected, "{host:?} {number:?}");
    }
}

#[test]
fn a_host_that_was_not_shown_yet_is_kept_until_it_is() {
    let policy = policy();
    let mut balancer = policy.clone().build(&env(1).random);
    let nothing = one_priority([].into_iter());
    assert_eq!(chosen(&mut *balancer, &nothing, "a"), Some(1));
    let host = policy.find("a:80").unwrap();
    assert!(balancer.keeps(&host));
    balancer.on_hosts(&nothing);
    assert!(balancer.keeps(&host), "an update from before it was known");
    balancer.on_hosts(&one_priority(policy.all().into_iter()));
    assert!(!balancer.keeps(&host), "it is shown now");
    assert_eq!(chosen(&mut *balancer, &nothing, "b:8080"), Some(2));
    policy.remove("b:8080");
    balancer.on_hosts(&nothing);
    assert_eq!(chosen(&mut *balancer, &nothing, "b:8080"), None);
}
