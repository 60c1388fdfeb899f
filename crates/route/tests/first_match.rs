//! The index finds the route that trying all routes in order finds.

mod common;

use common::{
    compile, exact, header_is, info, prefix, regex, request, route, routes, separated, server,
    template,
};
use nuncio_config::api::protobuf::BoolValue;
use nuncio_config::api::route::route_match::{ConnectMatcher, PathSpecifier};
use nuncio_config::api::route::{Route, RouteMatch};
use nuncio_route::WorkerRouteTable;
use nuncio_sdk::RouteView;
use proptest::prelude::*;

/// Paths over few letters, so that routes and requests often meet.
fn text() -> impl Strategy<Value = String> {
    "/[aAb/]{0,5}"
}

fn path_specifier() -> impl Strategy<Value = PathSpecifier> {
    let separable = "/[aAb/]{0,3}[aAb]";
    let pattern = prop_oneof![
        text(),
        text().prop_map(|text| format!("{text}.*")),
        text().prop_map(|text| format!("{text}[ab]+")),
        text().prop_map(|text| format!("({text}|/b/.+)")),
        text().prop_map(|text| format!(".*{text}")),
        Just("(?i)/AB.*".to_owned()),
        Just(r"/\w+/?\w*".to_owned()),
    ];
    // Few templates: compiling them takes longest.
    prop_oneof![
        2 => text().prop_map(|text| prefix(&text)),
        2 => text().prop_map(|text| exact(&text)),
        2 => separable.prop_map(|text| separated(&text)),
        2 => pattern.prop_map(|text| regex(&text)),
        1 => "/([ab]/)?(\\*|\\*\\*|\\{x\\}|b\\{x\\}a|\\{x=\\*\\*\\})(/[aA])?"
            .prop_map(|text| template(&text)),
        2 => Just(prefix("")),
        2 => Just(PathSpecifier::ConnectMatcher(ConnectMatcher {})),
    ]
}

fn any_route() -> impl Strategy<Value = Route> {
    (
        path_specifier(),
        prop::bool::weighted(0.3),
        prop::option::weighted(0.4, "[01]"),
    )
        .prop_map(|(path, folded, header)| {
            let mut route = route(path);
            let matching: &mut RouteMatch = route.r#match.as_mut().expect("made with a match");
            matching.case_sensitive = folded.then_some(BoolValue { value: false });
            matching.headers = header.iter().map(|value| header_is("x", value)).collect();
            route
        })
}

fn any_request() -> impl Strategy<Value = (bool, Option<String>, String)> {
    let path = (text(), "(|/[ab]|\\?a=/b|;p|#f)").prop_map(|(path, rest)| path + &rest);
    (
        prop::bool::weighted(0.2),
        prop::option::weighted(0.95, path),
        "[012]",
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_keeps_the_order(
        all in prop::collection::vec(any_route(), 1..60),
        requests in prop::collection::vec(any_request(), 20),
        ignore_path_parameters in any::<bool>(),
    ) {
        let server = server();
        let table = |routes: Vec<Route>| {
            let mut config = common::routes(routes);
            config.ignore_path_parameters_in_path_matching = ignore_path_parameters;
            WorkerRouteTable::new(compile(&config, &server).expect("valid"), server.clone())
        };
        let mut numbered = all.clone();
        for (number, route) in numbered.iter_mut().enumerate() {
            route.name = number.to_string();
        }
        let together = table(numbered);
        let alone: Vec<WorkerRouteTable> = all.iter().map(|route| table(vec![route.clone()])).collect();
        let info = info();
        for (connect, path, header) in requests {
            let method = if connect { "CONNECT" } else { "GET" };
            let mut headers = request(method, "host", path.as_deref().unwrap_or(""), &[("x", &header)]);
            if path.is_none() {
                headers.remove(":path");
            }
            let expected = alone.iter().position(|table| table.find(&headers, &info, 0).is_some());
            let found = together.find(&headers, &info, 0);
            prop_assert_eq!(
                found.as_ref().map(|entry| entry.route_name().to_owned()),
                expected.map(|number| number.to_string()),
                "{:?}", headers
            );
        }
    }
}

/// Many regexes without a literal to tell them apart are found in one pass, still in order.
#[test]
fn regexes_that_share_their_literal() {
    let mut all: Vec<Route> = (0..300)
        .map(|number| route(regex(&format!("/users/[a-z]+/{number}"))))
        .collect();
    all.insert(200, route(prefix("/users/")));
    for (number, route) in all.iter_mut().enumerate() {
        route.name = number.to_string();
    }
    let table = common::worker(&routes(all));
    let info = info();
    let found = |path: &str| {
        table
            .find(&common::get(path), &info, 0)
            .map(|entry| entry.route_name().to_owned())
    };
    assert_eq!(found("/users/joe/0").as_deref(), Some("0"));
    assert_eq!(found("/users/joe/199").as_deref(), Some("199"));
    assert_eq!(
        found("/users/joe/250").as_deref(),
        Some("200"),
        "the prefix comes first"
    );
    assert_eq!(found("/other"), None);
}
