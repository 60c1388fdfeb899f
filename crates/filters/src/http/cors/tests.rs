use nuncio_config::api::core::RuntimeFractionalPercent;
use nuncio_config::api::cors::{Cors, CorsPolicy};
use nuncio_config::api::matcher::{StringMatcher, string_matcher::MatchPattern};
use nuncio_config::api::protobuf::BoolValue;
use nuncio_config::api::types::FractionalPercent;
use nuncio_http::Known;
use nuncio_sdk::route::CORS_FIELD;

use super::{CORS, CorsStats};
use crate::testing::Fixture;

fn origin(pattern: &str) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(MatchPattern::Exact(pattern.into())),
        ..StringMatcher::default()
    }
}

fn percent(numerator: u32) -> Option<RuntimeFractionalPercent> {
    Some(RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator,
            denominator: 0,
        }),
        runtime_key: String::new(),
    })
}

fn some(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

/// Allows `http://a`.
fn policy() -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: vec![origin("http://a")],
        ..CorsPolicy::default()
    }
}

fn stream(levels: &[(&str, CorsPolicy)], request: &[(&str, &str)]) -> Fixture {
    let mut stream = Fixture::new(&CORS, &Cors {}, request);
    stream.set_levels(&CORS, levels);
    stream
}

fn simple(levels: &[(&str, CorsPolicy)], origin: &str) -> Option<String> {
    let mut stream = stream(levels, &[(":method", "GET"), ("origin", origin)]);
    assert!(stream.request_headers(true));
    assert!(stream.response_headers(&[("access-control-allow-origin", "old")], true));
    let allowed = stream.response.get(Known::AccessControlAllowOrigin);
    allowed.map(|origin| String::from_utf8_lossy(origin).into_owned())
}

const PREFLIGHT: [(&str, &str); 4] = [
    (":method", "OPTIONS"),
    ("origin", "http://a"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-a"),
];

#[test]
fn responses_say_who_may_read_them() {
    let levels = [("filter", policy())];
    assert_eq!(simple(&levels, "http://a").as_deref(), Some("http://a"));
    // What the upstream says stays.
    assert_eq!(simple(&levels, "http://b").as_deref(), Some("old"));
    assert_eq!(simple(&levels, "").as_deref(), Some("old"));
    assert_eq!(simple(&[], "http://a").as_deref(), Some("old"));
    let any = CorsPolicy {
        allow_origin_string_match: vec![origin("*")],
        ..CorsPolicy::default()
    };
    assert_eq!(
        simple(&[("filter", any)], "http://b").as_deref(),
        Some("http://b")
    );
}

#[test]
fn preflight_requests_are_answered() {
    let full = CorsPolicy {
        allow_methods: "GET,PUT".into(),
        allow_headers: "*".into(),
        max_age: "100".into(),
        allow_credentials: some(true),
        allow_private_network_access: some(true),
        ..policy()
    };
    let answer = stream(&[("filter", full.clone())], &PREFLIGHT).answer_to_request();
    let headers = |name: &str| {
        let mut found = answer.headers.iter().filter(|(known, _)| known == name);
        found
            .next()
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!((answer.status, answer.plain), (200, true));
    for (name, value) in [
        ("allow-origin", Some("http://a")),
        ("allow-methods", Some("GET,PUT")),
        ("allow-headers", Some("x-a")),
        ("max-age", Some("100")),
        ("allow-credentials", Some("true")),
        ("allow-private-network", None),
    ] {
        let name = format!("access-control-{name}");
        assert_eq!(headers(&name).as_deref(), value, "{name}");
    }
    // Without a method that is asked for it is no preflight request.
    assert!(stream(&[("filter", full)], &PREFLIGHT[..2]).request_headers(true));
}

#[test]
fn preflight_requests_of_others_may_be_forwarded() {
    let other = |forward| CorsPolicy {
        allow_origin_string_match: vec![origin("http://b")],
        forward_not_matching_preflights: forward,
        ..CorsPolicy::default()
    };
    for forward in [None, some(true)] {
        assert!(stream(&[("filter", other(forward))], &PREFLIGHT).request_headers(true));
    }
    let answer = stream(&[("filter", other(some(false)))], &PREFLIGHT).answer_to_request();
    assert!(answer.headers.is_empty());
}

#[test]
fn the_nearest_level_that_says_something_counts() {
    let general = CorsPolicy {
        allow_methods: "GET".into(),
        allow_credentials: some(true),
        ..policy()
    };
    let route = CorsPolicy {
        max_age: "5".into(),
        allow_credentials: some(false),
        ..CorsPolicy::default()
    };
    let levels = [("filter", general.clone()), ("filter", route.clone())];
    let answer = stream(&levels, &PREFLIGHT).answer_to_request();
    let names: Vec<_> = answer.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(
        names,
        [
            "access-control-allow-origin",
            "access-control-allow-methods",
            "access-control-max-age"
        ]
    );
    // The nearest one alone says whether the filter is on.
    let off = CorsPolicy {
        filter_enabled: percent(0),
        ..route
    };
    let levels = [("filter", general), ("filter", off)];
    assert!(stream(&levels, &PREFLIGHT).request_headers(true));
}

#[test]
fn older_fields_count_where_nothing_else_does() {
    let old = [(CORS_FIELD, policy())];
    assert_eq!(simple(&old, "http://a").as_deref(), Some("http://a"));
    let both = [(CORS_FIELD, policy()), ("filter", CorsPolicy::default())];
    assert_eq!(simple(&both, "http://a").as_deref(), Some("old"));
}

#[test]
fn shadowed_policies_only_count() {
    let shadow = CorsPolicy {
        filter_enabled: percent(0),
        shadow_enabled: percent(100),
        ..policy()
    };
    let levels = [("filter", shadow)];
    assert_eq!(simple(&levels, "http://a").as_deref(), Some("old"));
    let mut stream = stream(&levels, &PREFLIGHT);
    assert!(stream.request_headers(true));
    let stats = stream
        .server
        .stats
        .group("http.test.cors.", CorsStats::SCHEMA);
    assert_eq!(stats.counter(CorsStats::ORIGIN_VALID), 1);
}
