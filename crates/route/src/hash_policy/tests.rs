use std::rc::Rc;
use std::sync::Arc;

use nuncio_config::api::matcher::{RegexMatchAndSubstitute, RegexMatcher};
use nuncio_config::api::protobuf;
use nuncio_http::Known;
use nuncio_sdk::ConnectionInfo;
use nuncio_sdk::filter_state::FilterStateObject;

use super::*;

fn info() -> StreamInfo {
    let address = |port| Rc::new(Address::parse_ip("127.0.0.1", port).unwrap());
    let connection = Rc::new(ConnectionInfo {
        id: 1,
        remote_address: address(1111),
        direct_remote_address: address(1111),
        local_address: address(80),
        local_address_restored: false,
        listener_name: Arc::from(""),
        filter_chain_name: Arc::from(""),
        listener_metadata: None,
        filter_chain_metadata: None,
        tls: false,
        start: tokio::time::Instant::now(),
    });
    StreamInfo::new(connection, tokio::time::Instant::now())
}

fn message(specifier: PolicySpecifier, terminal: bool) -> Message {
    Message {
        policy_specifier: Some(specifier),
        terminal,
    }
}

fn header(name: &str) -> PolicySpecifier {
    PolicySpecifier::Header(HeaderMessage {
        header_name: name.into(),
        regex_rewrite: None,
    })
}

fn request(path: &str, headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.set(Known::Path, path.as_bytes());
    for (name, value) in headers {
        map.append(*name, value.as_bytes());
    }
    map
}

/// Hash and cookies of a request.
fn hash(messages: &[Message], request: &HeaderMap) -> (Option<u64>, Vec<String>) {
    let policy = HashPolicy::from_config(messages).unwrap().unwrap();
    let mut cookies = Vec::new();
    let hash = policy.hash(request, &info(), |cookie| cookies.push(cookie));
    (hash, cookies)
}

#[test]
fn a_header_is_hashed_whatever_the_order_of_its_values() {
    let policy = [message(header("X-Key"), false)];
    assert_eq!(hash(&policy, &request("/", &[])).0, None);
    let foo = hash(&policy, &request("/", &[("x-key", "foo")])).0;
    assert_eq!(foo, Some(3_728_699_739_546_630_719));
    let both = hash(
        &policy,
        &request("/", &[("x-key", "foo"), ("x-key", "bar")]),
    )
    .0;
    let turned = hash(
        &policy,
        &request("/", &[("x-key", "bar"), ("x-key", "foo")]),
    )
    .0;
    assert_eq!(both, turned);
    assert_eq!(both, Some(XxHash64::oneshot(of(b"bar"), b"foo")));
}

#[test]
fn a_header_is_rewritten_first() {
    let policy = [message(
        PolicySpecifier::Header(HeaderMessage {
            header_name: "x-key".into(),
            regex_rewrite: Some(RegexMatchAndSubstitute {
                pattern: Some(RegexMatcher {
                    regex: "^user-(.*)$".into(),
                    ..Default::default()
                }),
                substitution: "\\1".into(),
            }),
        }),
        false,
    )];
    let rewritten = hash(&policy, &request("/", &[("x-key", "user-foo")])).0;
    assert_eq!(rewritten, Some(of(b"foo")));
}

#[test]
fn hashes_are_put_together_until_a_terminal_one() {
    let query = PolicySpecifier::QueryParameter(QueryParameter { name: "q".into() });
    let request = request("/?q=foo", &[("x-key", "foo")]);
    let foo = of(b"foo");
    let both = [
        message(header("x-key"), false),
        message(query.clone(), false),
    ];
    assert_eq!(hash(&both, &request).0, Some(foo.rotate_left(1) ^ foo));
    let first = [
        message(header("x-key"), true),
        message(query.clone(), false),
    ];
    assert_eq!(hash(&first, &request).0, Some(foo));
    let missing = [message(header("x-none"), true), message(query, false)];
    assert_eq!(hash(&missing, &request).0, Some(foo));
}

#[test]
fn the_source_address_counts_without_its_port() {
    let source = |source_ip| {
        let properties = ConnectionProperties { source_ip };
        message(PolicySpecifier::ConnectionProperties(properties), false)
    };
    assert_eq!(
        hash(&[source(true)], &request("/", &[])).0,
        Some(of(b"127.0.0.1"))
    );
    assert!(HashPolicy::from_config(&[source(false)]).unwrap().is_none());
}

#[test]
fn a_cookie_is_made_when_it_has_a_time_to_live() {
    let cookie = |ttl: Option<i64>| {
        message(
            PolicySpecifier::Cookie(CookieMessage {
                name: "sess".into(),
                ttl: ttl.map(|seconds| protobuf::Duration { seconds, nanos: 0 }),
                path: "/p".into(),
                attributes: vec![
                    CookieAttribute {
                        name: "SameSite".into(),
                        value: "Lax".into(),
                    },
                    CookieAttribute {
                        name: "Secure".into(),
                        value: String::new(),
                    },
                ],
            }),
            false,
        )
    };
    let with = request("/", &[("cookie", "a=b; sess=\"foo\"")]);
    assert_eq!(hash(&[cookie(Some(9))], &with), (Some(of(b"foo")), vec![]));
    assert_eq!(hash(&[cookie(None)], &request("/", &[])), (None, vec![]));
    let value = format!("{:016x}", of(b"127.0.0.1:1111127.0.0.1:80"));
    let (made, cookies) = hash(&[cookie(Some(9))], &request("/", &[]));
    assert_eq!(made, Some(of(value.as_bytes())));
    let wanted = format!("sess=\"{value}\"; Max-Age=9; Path=/p; SameSite=Lax; Secure; HttpOnly");
    assert_eq!(cookies, [wanted]);
    let (_, cookies) = hash(&[cookie(Some(0))], &request("/", &[]));
    assert_eq!(
        cookies,
        [format!(
            "sess=\"{value}\"; Path=/p; SameSite=Lax; Secure; HttpOnly"
        )]
    );
}

#[test]
fn an_object_of_a_filter_can_be_hashed() {
    struct Object;
    impl FilterStateObject for Object {
        fn hash(&self) -> Option<u64> {
            Some(7)
        }
    }
    let key = FilterState { key: "x".into() };
    let policy = [message(PolicySpecifier::FilterState(key), false)];
    let policy = HashPolicy::from_config(&policy).unwrap().unwrap();
    let mut info = info();
    assert_eq!(policy.hash(&request("/", &[]), &info, drop), None);
    info.filter_state_mut().set("x", Rc::new(Object));
    assert_eq!(policy.hash(&request("/", &[]), &info, drop), Some(7));
}

#[test]
fn errors_have_their_places() {
    let errors = HashPolicy::from_config(&[message(header("a"), false), Message::default()]);
    let shown = errors.unwrap_err()[0].to_string();
    assert!(shown.starts_with("[1]"), "{shown}");
    let bad = PolicySpecifier::QueryParameter(QueryParameter::default());
    let errors = HashPolicy::from_config(&[message(bad, false)]).unwrap_err();
    assert!(
        errors[0]
            .to_string()
            .starts_with("[0].query_parameter.name")
    );
}
