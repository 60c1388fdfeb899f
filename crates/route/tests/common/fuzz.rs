//! One run of the route matcher on bytes from the network: it must not panic, and the index must find the route
//! that trying all routes in order finds. Shared by the fuzz target and a test.

use nuncio_config::api::protobuf::BoolValue;
use nuncio_config::api::route::route_match::{ConnectMatcher, PathSpecifier};
use nuncio_config::api::route::{CookieMatcher, QueryParameterMatcher, Route};
use nuncio_http::HeaderMap;
use nuncio_route::WorkerRouteTable;
use nuncio_sdk::{RouteView, StreamInfo};

use super::{
    config, exact, header_is, info, prefix, regex, route, separated, string_is, virtual_host,
    worker,
};

struct Tables {
    together: WorkerRouteTable,
    /// Each route in a table of its own.
    alone: Vec<WorkerRouteTable>,
    info: StreamInfo,
}

thread_local! {
    static TABLES: Tables = tables();
}

fn all_routes() -> Vec<Route> {
    let mut all: Vec<Route> = [
        exact("/"),
        exact("/exact/path"),
        prefix("/prefix"),
        prefix("/prefix/longer/"),
        separated("/separated"),
        regex("/regex/[0-9]+"),
        regex("/regex/[0-9]+/.*"),
        regex(".*\\.(html|js)"),
        regex("(?i)/any/case"),
        regex("/(a|aa)+b"),
        regex("/\\w+/\\d+"),
        regex("/.\u{e9}.*"),
        PathSpecifier::ConnectMatcher(ConnectMatcher {}),
    ]
    .map(route)
    .into();
    for number in 0..20 {
        all.push(route(regex(&format!("/users/[a-z]+/{number}"))));
        all.push(route(prefix(&format!("/p{number}"))));
    }
    let folded = [
        exact("/Folded"),
        prefix("/Folded/Prefix"),
        separated("/Folded-Separated"),
    ]
    .map(|path| {
        let mut route = route(path);
        route
            .r#match
            .as_mut()
            .expect("made with a match")
            .case_sensitive = Some(BoolValue { value: false });
        route
    });
    all.extend(folded);
    let mut conditional = route(prefix("/"));
    let matching = conditional.r#match.as_mut().expect("made with a match");
    matching.headers = vec![header_is("x", "1")];
    matching.query_parameters = vec![QueryParameterMatcher {
        name: "q".into(),
        ..Default::default()
    }];
    matching.cookies = vec![CookieMatcher {
        name: "c".into(),
        string_match: Some(string_is("1")),
        invert_match: true,
    }];
    all.push(conditional);
    all
}

fn tables() -> Tables {
    let table = |routes: Vec<Route>| {
        let hosts = [
            ("suffix", "*.example.com"),
            ("prefix", "www.*"),
            ("exact", "example.com"),
            ("all", "*"),
        ];
        let mut config = config(
            hosts
                .map(|(name, domain)| virtual_host(name, &[domain], routes.clone()))
                .into(),
        );
        config.ignore_port_in_host_matching = true;
        config.ignore_path_parameters_in_path_matching = true;
        worker(&config)
    };
    let all = all_routes();
    let alone = all.iter().map(|route| table(vec![route.clone()])).collect();
    let mut numbered = all;
    for (number, route) in numbered.iter_mut().enumerate() {
        route.name = number.to_string();
    }
    Tables {
        together: table(numbered),
        alone,
        info: info(),
    }
}

/// The input is lines: method, host, path, then header values for `x`, `cookie` and `upgrade`.
pub fn route_match(input: &[u8]) {
    let mut headers = HeaderMap::new();
    let names = [":method", ":authority", ":path", "x", "cookie", "upgrade"];
    for (name, value) in names.iter().zip(input.split(|&byte| byte == b'\n')) {
        headers.append(*name, value);
    }
    TABLES.with(
        |Tables {
             together,
             alone,
             info,
         }| {
            let found = together.find(&headers, info, 0);
            let expected = alone
                .iter()
                .position(|table| table.find(&headers, info, 0).is_some());
            assert_eq!(
                found.as_ref().map(|entry| entry.route_name().to_owned()),
                expected.map(|number| number.to_string()),
                "{headers:?}"
            );
            if let Some(entry) = found {
                entry.finalize_request_headers(&mut headers, info, true);
            }
        },
    );
}
