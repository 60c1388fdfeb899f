//! What a matched route does: virtual hosts, clusters, header changes, rewrites, answers.

mod common;

use std::rc::Rc;

use common::{
    add_header, compile, config, exact, get, header_is, info, prefix, regex, regex_matcher,
    request, route, routes, separated, server, virtual_host, worker,
};
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

fn option(name: &str, value: &str, action: HeaderAppendAction) -> HeaderValueOption {
    HeaderValueOption {
        append_action: action as i32,
        ..add_header(name, value)
    }
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

/// What Envoy 1.40 sent upstream for this configuration.
#[test]
fn append_actions() {
    use HeaderAppendAction::{
        AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists, OverwriteIfExistsOrAdd,
    };
    let mut route = route(prefix("/"));
    route.request_headers_to_add = vec![
        option("x-1", "n", AddIfAbsent),
        option("x-2", "n", AddIfAbsent),
        option("x-2", "m", AddIfAbsent),
        option("x-3", "n", OverwriteIfExists),
        option("x-4", "n", OverwriteIfExists),
        option("x-5", "n", OverwriteIfExistsOrAdd),
        option("x-6", "n", OverwriteIfExistsOrAdd),
        option("x-7", "z", AppendIfExistsOrAdd),
        option("x-7", "n", OverwriteIfExistsOrAdd),
        option("x-8", "%REQ(x-9)%", AppendIfExistsOrAdd),
        option("x-9", "new", AppendIfExistsOrAdd),
        option("accept", "q", AppendIfExistsOrAdd),
    ];
    route.request_headers_to_remove = vec!["x-rm".into(), "X-RM2".into()];
    let given = [
        ("x-1", "o"),
        ("x-3", "o"),
        ("x-5", "o"),
        ("x-5", "p"),
        ("x-7", "o"),
        ("x-9", "old"),
        ("x-rm", "1"),
        ("x-rm2", "2"),
        ("accept", "o"),
    ];
    let headers = finalized(route, request("GET", "h", "/", &given));
    let added: Vec<String> = headers
        .iter()
        .skip(5)
        .map(|(name, value)| {
            format!(
                "{}: {}",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        })
        .collect();
    let expected = [
        "x-1: o",
        "x-9: old",
        "accept: o,q",
        "x-3: n",
        "x-5: n",
        "x-6: n",
        "x-7: n",
        "x-2: n",
        "x-2: m",
        "x-7: z",
        "x-8: old",
        "x-9: new",
    ];
    assert_eq!(added, expected);
}

#[test]
fn empty_values_are_left_out_unless_kept() {
    let keep = |name: &str, value: &str| HeaderValueOption {
        keep_empty_value: true,
        ..add_header(name, value)
    };
    let mut route = route(prefix("/"));
    route.request_headers_to_add = vec![
        add_header("x-a", ""),
        keep("x-b", ""),
        add_header("x-c", "%REQ(nope)%"),
        keep("x-d", "%REQ(nope)%"),
        add_header("x-e", "a%REQ(nope)%b"),
        add_header("X-Upper", "100%%"),
    ];
    let headers = finalized(route, get("/"));
    assert_eq!(text(&headers, "x-a"), [""; 0]);
    assert_eq!(text(&headers, "x-b"), [""]);
    assert_eq!(text(&headers, "x-c"), [""; 0]);
    assert_eq!(text(&headers, "x-d"), [""]);
    assert_eq!(text(&headers, "x-e"), ["ab"]);
    assert_eq!(text(&headers, "x-upper"), ["100%"]);
}

#[test]
fn levels_of_header_changes() {
    let over = |value: &str| option("x-o", value, HeaderAppendAction::OverwriteIfExistsOrAdd);
    let weighted = WeightedCluster {
        clusters: vec![ClusterWeight {
            name: "c".into(),
            weight: Some(UInt32Value { value: 1 }),
            request_headers_to_add: vec![add_header("x-l", "wc"), over("wc")],
            response_headers_to_add: vec![add_header("x-l", "wc")],
            host_rewrite_specifier: Some(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(
                "wchost".into(),
            )),
            ..ClusterWeight::default()
        }],
        ..WeightedCluster::default()
    };
    let mut route = forward(prefix("/"), |action| {
        action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(weighted));
        action.host_rewrite_specifier =
            Some(HostRewriteSpecifier::HostRewriteLiteral("rthost".into()));
    });
    route.request_headers_to_add = vec![add_header("x-l", "rt"), over("rt")];
    route.response_headers_to_add = vec![add_header("x-l", "rt")];
    let mut host = virtual_host("v", &["*"], vec![route]);
    host.request_headers_to_add = vec![add_header("x-l", "vh"), over("vh")];
    let mut config = config(vec![host]);
    config.request_headers_to_add = vec![add_header("x-l", "rc")];
    config.response_headers_to_add = vec![add_header("x-l", "rc")];
    for (wins, order, last) in [
        (false, ["wc", "rt", "vh", "rc"], "vh"),
        (true, ["wc", "rc", "vh", "rt"], "rt"),
    ] {
        config.most_specific_header_mutations_wins = wins;
        let table = worker(&config);
        let mut headers = get("/");
        let entry = find(&table, &headers).unwrap();
        entry.finalize_request_headers(&mut headers, &info(), true);
        assert_eq!(text(&headers, "x-l"), order);
        assert_eq!(text(&headers, "x-o"), [last]);
        assert_eq!(text(&headers, ":authority"), ["rthost"]);
        assert_eq!(text(&headers, "x-envoy-original-host"), ["wchost"]);
        let mut response: HeaderMap = [(":status", "200")].into_iter().collect();
        entry.finalize_response_headers(&mut response, &headers, &info());
        let expected = if wins {
            ["wc", "rc", "rt"]
        } else {
            ["wc", "rt", "rc"]
        };
        assert_eq!(text(&response, "x-l"), expected);
    }
}

#[test]
fn path_rewrites() {
    let rewrite = |path: PathSpecifier, change: fn(&mut RouteAction), given: &str| {
        let headers = finalized(forward(path, change), get(given));
        (
            text(&headers, ":path").remove(0),
            text(&headers, "x-envoy-original-path")
                .pop()
                .unwrap_or_default(),
        )
    };
    let to = |new: &str, old: &str| (new.to_owned(), old.to_owned());
    let new = |action: &mut RouteAction| action.prefix_rewrite = "/new".into();
    assert_eq!(
        rewrite(prefix("/p"), new, "/p/a?q=1"),
        to("/new/a?q=1", "/p/a?q=1")
    );
    assert_eq!(rewrite(prefix(""), new, "/p/a"), to("/new/p/a", "/p/a"));
    assert_eq!(rewrite(exact("/p"), new, "/p?a"), to("/new?a", "/p?a"));
    assert_eq!(rewrite(separated("/p"), new, "/p/a"), to("/new/a", "/p/a"));
    assert_eq!(
        rewrite(regex("/p.*"), new, "/p/a?q"),
        to("/new?q", "/p/a?q")
    );
    let substitute = |pattern: &str, substitution: &str| {
        Some(RegexMatchAndSubstitute {
            pattern: Some(regex_matcher(pattern)),
            substitution: substitution.into(),
        })
    };
    let regex_rewrite = forward(prefix("/"), |action| {
        action.regex_rewrite = substitute("/p/([^/]+)", r"/q/\1")
    });
    assert_eq!(
        text(&finalized(regex_rewrite, get("/p/abc/d?q=1")), ":path"),
        ["/q/abc/d?q=1"]
    );
    let empty = forward(prefix("/"), |action| {
        action.regex_rewrite = substitute(".*", "")
    });
    let headers = finalized(empty, get("/p?q=1"));
    assert_eq!(
        text(&headers, ":path"),
        ["/p?q=1"],
        "an empty result changes nothing"
    );
    assert!(text(&headers, "x-envoy-original-path").is_empty());
    let format = |action: &mut RouteAction| action.path_rewrite = "/n%REQ(x)%".into();
    assert_eq!(
        rewrite(prefix("/"), format, "/p/a?q=1"),
        to("/n?q=1", "/p/a?q=1")
    );
}

#[test]
fn host_rewrites() {
    let rewrite = |specifier: HostRewriteSpecifier, given: &[(&str, &str)]| {
        let route = forward(prefix("/"), |action| {
            action.host_rewrite_specifier = Some(specifier);
            action.append_x_forwarded_host = true;
        });
        let headers = finalized(route, request("GET", "old", "/p/abc/d?q", given));
        let one = |name: &str| text(&headers, name).join("|");
        (
            one(":authority"),
            one("x-envoy-original-host"),
            one("x-forwarded-host"),
        )
    };
    let to = |new: &str, old: &str, forwarded: &str| {
        (new.to_owned(), old.to_owned(), forwarded.to_owned())
    };
    let unchanged = to("old", "", "");
    let literal = || HostRewriteSpecifier::HostRewriteLiteral("lit".into());
    assert_eq!(rewrite(literal(), &[]), to("lit", "old", "old"));
    assert_eq!(
        rewrite(literal(), &[("x-forwarded-host", "a,b")]),
        to("lit", "old", "a,b,old")
    );
    let auto = HostRewriteSpecifier::AutoHostRewrite(BoolValue { value: true });
    assert_eq!(
        rewrite(auto, &[]),
        unchanged,
        "that is for the router, when it knows the host"
    );
    let header = || HostRewriteSpecifier::HostRewriteHeader("X-Host".into());
    assert_eq!(rewrite(header(), &[]), unchanged);
    assert_eq!(
        rewrite(header(), &[("x-host", "hh")]),
        to("hh", "old", "old")
    );
    let by_path = HostRewriteSpecifier::HostRewritePathRegex(RegexMatchAndSubstitute {
        pattern: Some(regex_matcher("^/p/([^/]+)/.*")),
        substitution: r"\1.example".into(),
    });
    assert_eq!(rewrite(by_path, &[]), to("abc.example", "old", "old"));
    let format = HostRewriteSpecifier::HostRewrite("pre-%REQ(x)%".into());
    assert_eq!(
        rewrite(format, &[]),
        to("pre--", "old", "old"),
        "a missing value is a dash"
    );
}

/// Status and location of an answer.
fn answer(route: Route, headers: &mut HeaderMap) -> (u16, String, String) {
    let entry = find(&worker(&routes(vec![route])), headers).expect("the route matches");
    let mut info = info();
    let reply = entry
        .direct_reply(headers, &mut info, true)
        .expect("an answer");
    let location = reply
        .location
        .map(|location| String::from_utf8(location).unwrap())
        .unwrap_or_default();
    (
        reply.status,
        location,
        String::from_utf8_lossy(&reply.body).into_owned(),
    )
}

#[test]
fn redirects() {
    let location = |change: fn(&mut RedirectAction), given: &str| {
        let mut action = RedirectAction::default();
        change(&mut action);
        let mut route = route(prefix("/p"));
        route.action = Some(Config::Redirect(action));
        let (status, location, _) =
            answer(route, &mut request("GET", "h:80", given, &[("x", "yy")]));
        format!("{status} {location}")
    };
    assert_eq!(location(|_| (), "/p/a?q=1"), "301 http://h:80/p/a?q=1");
    let https = |action: &mut RedirectAction| {
        action.scheme_rewrite_specifier = Some(SchemeRewriteSpecifier::HttpsRedirect(true));
        action.response_code = 4;
    };
    assert_eq!(location(https, "/p/a?q=1"), "308 https://h/p/a?q=1");
    fn with(action: &mut RedirectAction, path: PathRewriteSpecifier) {
        action.path_rewrite_specifier = Some(path);
    }
    let prefix_rewrite = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PrefixRewrite("/np".into()))
    };
    assert_eq!(
        location(prefix_rewrite, "/p/a?q=1"),
        "301 http://h:80/np/a?q=1"
    );
    let path = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PathRedirect("np?x".into()))
    };
    assert_eq!(location(path, "/p/a?q=1"), "301 http://h:80/np?x");
    let format = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PathRewrite("%REQ(x)%".into()));
        action.port_redirect = 99;
    };
    assert_eq!(location(format, "/p/a?q=1"), "301 http://h:99/yy?q=1");
    let missing = |action: &mut RedirectAction| {
        with(action, PathRewriteSpecifier::PathRewrite("%REQ(z)%".into()))
    };
    assert_eq!(location(missing, "/p/a?q=1"), "301 http://h:80/p/a?q=1");
}

#[test]
fn direct_responses() {
    let reply = |status| {
        let mut route = route(prefix("/"));
        let specifier = Some(Specifier::InlineString("text".into()));
        let body = Some(DataSource {
            specifier,
            watched_directory: None,
        });
        route.action = Some(Config::DirectResponse(DirectResponseAction {
            status,
            body,
            body_format: None,
        }));
        answer(route, &mut get("/p?q"))
    };
    assert_eq!(reply(200), (200, String::new(), "text".to_owned()));
    assert_eq!(
        reply(201),
        (201, "http://host/p?q".to_owned(), "text".to_owned())
    );
    assert_eq!(
        reply(302),
        (302, "http://host/p?q".to_owned(), "text".to_owned())
    );
}

#[test]
fn tls_may_be_required() {
    let mut host = virtual_host("tls", &["*"], vec![route(prefix("/"))]);
    let mut outcome = |requirement: TlsRequirementType, headers: &mut HeaderMap| {
        host.require_tls = requirement as i32;
        host.response_headers_to_add = vec![add_header("x-v", "1")];
        let entry = find(&worker(&config(vec![host.clone()])), headers).expect("something matches");
        let mut response = HeaderMap::new();
        entry.finalize_response_headers(&mut response, headers, &info());
        assert_eq!(
            response.is_empty(),
            matches!(entry.action(), Action::TlsRedirect)
        );
        let mut info = info();
        let reply = entry.direct_reply(headers, &mut info, true)?;
        Some((
            reply.status,
            String::from_utf8(reply.location.unwrap_or_default()).unwrap(),
        ))
    };
    let redirect = Some((301, "https://h:80/p?q".to_owned()));
    let mut plain = request("GET", "h:80", "/p?q", &[]);
    let mut internal = request("GET", "h:80", "/p?q", &[("x-envoy-internal", "true")]);
    let mut secure = request("GET", "h", "/p?q", &[]);
    secure.set("x-forwarded-proto", b"https");
    assert_eq!(outcome(TlsRequirementType::All, &mut plain), redirect);
    assert_eq!(outcome(TlsRequirementType::All, &mut internal), redirect);
    assert_eq!(outcome(TlsRequirementType::All, &mut secure), None);
    assert_eq!(
        outcome(TlsRequirementType::ExternalOnly, &mut plain),
        redirect
    );
    assert_eq!(
        outcome(TlsRequirementType::ExternalOnly, &mut internal),
        None
    );
    assert_eq!(outcome(TlsRequirementType::None, &mut plain), None);
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
