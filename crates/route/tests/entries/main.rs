//! What a matched route does: virtual hosts, clusters, header changes, rewrites, answers.

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod headers;
mod rewrites;

use std::rc::Rc;

use nuncio_config::api::core::header_value_option::HeaderAppendAction;
use nuncio_config::api::core::{DataSource, HeaderValueOption, data_source::Specifier};
use nuncio_config::api::matcher::RegexMatchAndSubstitute;
use nuncio_config::api::protobuf::{BoolValue, Duration as ProtoDuration, UInt32Value};
use nuncio_config::api::route::redirect_action::{PathRewriteSpecifier, SchemeRewriteSpecifier};
use nuncio_config::api::route::route::Action as Config;
use nuncio_config::api::route::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use nuncio_config::api::route::route_match::{
    ConnectMatcher, GrpcRouteMatchOptions, PathSpecifier,
};
use nuncio_config::api::route::virtual_host::TlsRequirementType;
use nuncio_config::api::route::weighted_cluster::{
    ClusterWeight, RandomValueSpecifier, cluster_weight,
};
use nuncio_config::api::route::{
    DirectResponseAction, NonForwardingAction, RedirectAction, Route, RouteAction, VirtualCluster,
    WeightedCluster,
};
use nuncio_config::api::types::FractionalPercent;
use nuncio_http::HeaderMap;
use nuncio_route::{Action, RouteEntry, WorkerRouteTable};
use nuncio_sdk::RouteView;

use common::{
    add_header, compile, config, exact, get, header_is, info, prefix, regex, regex_matcher,
    request, route, routes, separated, server, virtual_host, worker,
};

fn named(mut route: Route, name: &str) -> Route {
    route.name = name.to_owned();
    route
}

fn forward(path: PathSpecifier, change: impl FnOnce(&mut RouteAction)) -> Route {
    let mut route = route(path);
    let Some(Config::Route(action)) = &mut route.action else {
        unreachable!("made so")
    };
    change(action);
    route
}

fn find(table: &WorkerRouteTable, headers: &HeaderMap) -> Option<Rc<RouteEntry>> {
    table.find(headers, &info(), 0)
}

/// The headers of a request behind the only route.
fn finalized(route: Route, mut headers: HeaderMap) -> HeaderMap {
    let entry = find(&worker(&routes(vec![route])), &headers).expect("the route matches");
    entry.finalize_request_headers(&mut headers, &info(), true);
    headers
}

fn text(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers
        .get_all(name)
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn virtual_hosts_are_found_by_host_header_or_another() {
    let hosts = || {
        let host = |domain: &str| virtual_host(domain, &[domain], vec![route(prefix("/"))]);
        config(
            ["a.com", "*.suf.com", "pre.*", "port.com:80", "*"]
                .map(host)
                .to_vec(),
        )
    };
    let name = |table: &WorkerRouteTable, host: &str, more: &[(&str, &str)]| {
        find(table, &request("GET", host, "/", more))
            .map(|entry| entry.virtual_host_name().to_owned())
    };
    let table = worker(&hosts());
    assert_eq!(name(&table, "A.COM", &[]).as_deref(), Some("a.com"));
    assert_eq!(name(&table, "x.suf.com", &[]).as_deref(), Some("*.suf.com"));
    assert_eq!(
        name(&table, "port.com:80", &[]).as_deref(),
        Some("port.com:80")
    );
    assert_eq!(name(&table, "a.com:80", &[]).as_deref(), Some("*"));
    let table = worker(&{
        let mut config = hosts();
        config.ignore_port_in_host_matching = true;
        config.vhost_header = "X-VH".to_owned();
        config
    });
    assert_eq!(
        name(&table, "a.com", &[]),
        None,
        "without the header there is no virtual host"
    );
    assert_eq!(
        name(&table, "zz", &[("x-vh", "a.com:80")]).as_deref(),
        Some("a.com")
    );
    assert_eq!(
        name(&table, "zz", &[("x-vh", "port.com:80")]).as_deref(),
        Some("*")
    );
}

#[test]
fn conditions_beside_the_path() {
    let mut all = Vec::new();
    let mut add = |name: &str, change: fn(&mut Route)| {
        let mut route = named(route(prefix("/")), name);
        change(&mut route);
        all.push(route);
    };
    add("grpc", |route| {
        route.r#match.as_mut().unwrap().grpc = Some(GrpcRouteMatchOptions {})
    });
    add("fraction", |route| {
        route.r#match.as_mut().unwrap().runtime_fraction =
            Some(nuncio_config::api::core::RuntimeFractionalPercent {
                default_value: Some(FractionalPercent {
                    numerator: 30,
                    denominator: 0,
                }),
                runtime_key: "key".into(),
            });
    });
    add("header", |route| {
        route.r#match.as_mut().unwrap().headers = vec![header_is("x", "1")]
    });
    let mut connect = named(route(prefix("/")), "connect");
    connect.r#match.as_mut().unwrap().path_specifier =
        Some(PathSpecifier::ConnectMatcher(ConnectMatcher {}));
    all.push(connect);
    let table = worker(&routes(all));
    let found = |headers: &HeaderMap, random| {
        table
            .find(headers, &info(), random)
            .map(|entry| entry.route_name().to_owned())
            .unwrap_or_default()
    };
    for (content_type, is) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;x", false),
    ] {
        let headers = request("POST", "h", "/", &[("content-type", content_type)]);
        assert_eq!(found(&headers, 99) == "grpc", is, "{content_type}");
    }
    assert_eq!(found(&get("/"), 129), "fraction");
    assert_eq!(found(&get("/"), 130), "");
    assert_eq!(
        found(&request("GET", "h", "/", &[("x", "1")]), 99),
        "header"
    );
    let mut headers = request("CONNECT", "h:1", "/", &[]);
    headers.remove(":path");
    assert_eq!(
        found(&headers, 0),
        "connect",
        "only connect_matcher takes requests without a path"
    );
}

#[test]
fn weighted_clusters_are_chosen_by_number_or_header() {
    let cluster = |name: &str, header: &str, weight| ClusterWeight {
        name: name.into(),
        cluster_header: header.into(),
        weight: Some(UInt32Value { value: weight }),
        request_headers_to_add: vec![add_header(
            "x-cluster",
            if name.is_empty() { "named" } else { name },
        )],
        ..ClusterWeight::default()
    };
    let mut weighted = WeightedCluster {
        clusters: vec![
            cluster("a", "", 10),
            cluster("zero", "", 0),
            cluster("b", "", 20),
            cluster("", "x-c", 5),
        ],
        ..WeightedCluster::default()
    };
    let build = |weighted: &WeightedCluster| {
        let specifier = ClusterSpecifier::WeightedClusters(weighted.clone());
        let config = routes(vec![forward(prefix("/"), |action| {
            action.cluster_specifier = Some(specifier)
        })]);
        let server = server();
        server.cluster_names.intern("known");
        WorkerRouteTable::new(compile(&config, &server).unwrap(), server)
    };
    let table = build(&weighted);
    let chosen = |random| {
        table
            .find(&get("/"), &info(), random)
            .unwrap()
            .cluster_name()
            .to_string()
    };
    assert_eq!([0, 9, 10, 29, 35].map(chosen), ["a", "a", "b", "b", "a"]);
    assert!(Rc::ptr_eq(
        &table.find(&get("/"), &info(), 0).unwrap(),
        &table.find(&get("/"), &info(), 9).unwrap()
    ));

    weighted.random_value_specifier = Some(RandomValueSpecifier::HeaderName("x-w".into()));
    let table = build(&weighted);
    let chosen = |value: &str, cluster: &str| {
        let headers = request("GET", "h", "/", &[("x-w", value), ("x-c", cluster)]);
        table.find(&headers, &info(), 10).unwrap()
    };
    assert_eq!(&**chosen("5", "known").cluster_name(), "a");
    assert_eq!(
        &**chosen("x", "known").cluster_name(),
        "b",
        "not a number: by random"
    );
    let named = chosen("30", "known");
    assert_eq!(&**named.cluster_name(), "known");
    assert!(named.cluster().is_some());
    assert!(Rc::ptr_eq(&named, &chosen("31", "known")), "kept");
    let unknown = chosen("30", "never heard of");
    assert_eq!((unknown.cluster(), &**unknown.cluster_name()), (None, ""));
    let mut headers = get("/");
    unknown.finalize_request_headers(&mut headers, &info(), true);
    assert_eq!(text(&headers, "x-cluster"), ["named"]);
}

#[test]
fn settings_of_a_forwarding_route() {
    let plain = worker(&routes(vec![route(prefix("/"))]));
    let entry = find(&plain, &get("/")).unwrap();
    let forward_settings = entry.forward().unwrap();
    assert_eq!(
        forward_settings.timeout,
        Some(std::time::Duration::from_secs(15))
    );
    assert_eq!(
        (
            forward_settings.idle_timeout,
            forward_settings.cluster_not_found_status
        ),
        (None, 503)
    );
    let zero = Some(ProtoDuration::default());
    let table = worker(&routes(vec![forward(prefix("/"), |action| {
        action.timeout = zero;
        action.idle_timeout = zero;
        action.cluster_not_found_response_code = 1;
        action.priority = 1;
    })]));
    let entry = find(&table, &get("/")).unwrap();
    let settings = entry.forward().unwrap();
    assert_eq!(
        (settings.timeout, settings.idle_timeout),
        (None, Some(std::time::Duration::ZERO))
    );
    assert_eq!(
        (settings.cluster_not_found_status, settings.high_priority),
        (404, true)
    );

    let mut none = route(prefix("/"));
    none.action = Some(Config::NonForwardingAction(NonForwardingAction {}));
    let entry = find(&worker(&routes(vec![none])), &get("/")).unwrap();
    assert!(matches!(entry.action(), Action::Forward(_)) && entry.cluster().is_none());
}

#[test]
fn names_for_stats() {
    let mut counted = route(prefix("/"));
    counted.stat_prefix = "p".into();
    let mut host = virtual_host("v", &["*"], vec![counted]);
    let plain = worker(&config(vec![host.clone()]));
    assert!(
        find(&plain, &get("/"))
            .unwrap()
            .virtual_cluster(&get("/"))
            .is_none()
    );
    host.virtual_clusters = vec![VirtualCluster {
        headers: vec![header_is("x", "1")],
        name: "one".into(),
    }];
    let entry = find(&worker(&config(vec![host])), &get("/")).unwrap();
    assert_eq!(entry.stat_prefix(), Some("p"));
    let name = |headers: &HeaderMap| {
        entry
            .virtual_cluster(headers)
            .unwrap()
            .map(|cluster| cluster.name().to_owned())
    };
    assert_eq!(
        name(&request("GET", "h", "/", &[("x", "1")])).as_deref(),
        Some("one")
    );
    assert_eq!(name(&get("/")), None);
}

#[test]
fn limits_of_held_bodies() {
    use nuncio_config::api::protobuf::UInt64Value;
    let limit = |host_body: Option<u64>,
                 host_request: Option<u32>,
                 body: Option<u64>,
                 request: Option<u32>| {
        let mut route = route(prefix("/"));
        let (large, small) = (|value| UInt64Value { value }, |value| UInt32Value { value });
        route.request_body_buffer_limit = body.map(large);
        let mut host = virtual_host("v", &["*"], Vec::new());
        host.request_body_buffer_limit = host_body.map(large);
        #[expect(deprecated, reason = "Envoy still takes these fields")]
        {
            route.per_request_buffer_limit_bytes = request.map(small);
            host.per_request_buffer_limit_bytes = host_request.map(small);
        }
        host.routes.push(route);
        find(&worker(&config(vec![host])), &get("/"))
            .unwrap()
            .body_buffer_limit(1000)
    };
    assert_eq!(limit(None, None, None, None), 1000);
    assert_eq!(limit(Some(5000), None, None, None), 5000);
    assert_eq!(limit(Some(5000), None, Some(7), None), 7);
    assert_eq!(limit(None, Some(10), None, None), 10);
    assert_eq!(limit(None, Some(10), None, Some(2000)), 1000);
    assert_eq!(limit(Some(5000), None, None, Some(10)), 5000);
}
