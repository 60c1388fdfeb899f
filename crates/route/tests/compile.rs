//! What is taken, what is refused, and with which words.

mod common;

use std::collections::HashMap;

use common::{
    add_header, compile, config, prefix, regex, route, route_to, routes, server, virtual_host,
};
use nuncio_config::any;
use nuncio_config::api::core::{
    DataSource, data_source::Specifier, header_value_option::HeaderAppendAction,
};
use nuncio_config::api::protobuf::{BoolValue, UInt32Value};
use nuncio_config::api::route::route::Action;
use nuncio_config::api::route::route_action::upgrade_config::ConnectConfig;
use nuncio_config::api::route::route_action::{
    ClusterSpecifier, HashPolicy, RequestMirrorPolicy, UpgradeConfig,
};
use nuncio_config::api::route::weighted_cluster::ClusterWeight;
use nuncio_config::api::route::{
    DirectResponseAction, FilterConfig, Route, RouteAction, RouteConfiguration, VirtualCluster,
    WeightedCluster,
};

/// All errors as text.
fn errors(config: &RouteConfiguration) -> Vec<String> {
    match compile(config, &server()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The errors of one route in a virtual host, without the path to it.
fn route_errors(route: Route) -> Vec<String> {
    let strip = |error: String| error.replacen("virtual_hosts[0].routes[0].", "", 1);
    errors(&routes(vec![route]))
        .into_iter()
        .map(strip)
        .collect()
}

fn with_action(change: impl FnOnce(&mut RouteAction)) -> Route {
    let mut route = route(prefix("/"));
    let Some(Action::Route(action)) = &mut route.action else {
        unreachable!("made so")
    };
    change(action);
    route
}

#[test]
fn tables_may_be_shared() {
    fn shared<T: Send + Sync>(_: &T) {}
    let table = compile(&routes(vec![route(prefix("/"))]), &server()).unwrap();
    shared(&table);
    assert_eq!((table.name(), table.route_count()), ("rc", 1));
}

#[test]
fn duplicate_domains() {
    let two = |first: &str, second: &str| {
        errors(&config(vec![
            virtual_host("a", &[first], vec![]),
            virtual_host("b", &[second], vec![]),
        ]))
    };
    let duplicate = |domain: &str| {
        vec![format!(
            "virtual_hosts[1].domains[0]: Only unique values for domains are permitted. \
             Duplicate entry of domain {domain} in route rc"
        )]
    };
    assert_eq!(two("x.y", "X.y"), duplicate("x.y"));
    assert_eq!(two("*.a", "*.A"), duplicate("*.a"));
    assert_eq!(two("a.*", "a.*"), duplicate("a.*"));
    assert_eq!(
        two("*", "*"),
        ["virtual_hosts[1].domains[0]: Only a single wildcard domain is permitted in route rc"]
    );
    assert!(two("a", "*").is_empty());
}

#[test]
fn all_errors_are_reported_with_their_paths() {
    let mut host = virtual_host(
        "",
        &[],
        vec![route(regex("[b")), route_to(prefix("/"), "nope")],
    );
    host.request_headers_to_remove = vec!["host".into()];
    host.virtual_clusters = vec![VirtualCluster {
        headers: vec![],
        name: "x".into(),
    }];
    assert_eq!(
        errors(&config(vec![host])),
        [
            "virtual_hosts[0].name: value length must be at least 1 characters",
            "virtual_hosts[0].domains: value must contain at least 1 item(s)",
            "virtual_hosts[0].request_headers_to_remove[0]: :-prefixed or host headers may not be removed",
            "virtual_hosts[0].virtual_clusters[0].headers: virtual clusters must define 'headers'",
            "virtual_hosts[0].routes[0].match.safe_regex.regex: missing ]: [b",
            "virtual_hosts[0].routes[1].route.cluster: route: unknown cluster 'nope'",
        ]
    );
}

#[test]
fn unknown_clusters_may_be_allowed() {
    let mut config = routes(vec![route_to(prefix("/"), "nope")]);
    assert_eq!(errors(&config).len(), 1);
    config.validate_clusters = Some(BoolValue { value: false });
    assert!(errors(&config).is_empty());
}

#[test]
fn weighted_clusters() {
    let check = |weights: &[(&str, &str, Option<u32>)]| {
        let cluster = |&(name, cluster_header, weight): &(&str, &str, Option<u32>)| ClusterWeight {
            name: name.into(),
            cluster_header: cluster_header.into(),
            weight: weight.map(|value| UInt32Value { value }),
            ..ClusterWeight::default()
        };
        let clusters = weights.iter().map(cluster).collect();
        let weighted = WeightedCluster {
            clusters,
            ..WeightedCluster::default()
        };
        let specifier = ClusterSpecifier::WeightedClusters(weighted);
        route_errors(with_action(|action| {
            action.cluster_specifier = Some(specifier)
        }))
    };
    assert!(check(&[("a", "", Some(0)), ("b", "", Some(5)), ("", "x", Some(1))]).is_empty());
    assert_eq!(
        check(&[]),
        ["route.weighted_clusters.clusters: value must contain at least 1 item(s)"]
    );
    let sum =
        "route.weighted_clusters: Sum of weights in the weighted_cluster must be greater than 0.";
    assert_eq!(check(&[("a", "", Some(0))]), [sum]);
    let overflow = "route.weighted_clusters: The sum of weights of all weighted clusters of route  exceeds 4294967295";
    assert_eq!(
        check(&[("a", "", Some(u32::MAX)), ("b", "", Some(1))]),
        [overflow]
    );
    assert_eq!(
        check(&[
            ("nope", "", Some(1)),
            ("a", "x", Some(1)),
            ("", "", Some(1)),
            ("a", "", None)
        ]),
        [
            "route.weighted_clusters.clusters[0].name: route: unknown weighted cluster 'nope'",
            "route.weighted_clusters.clusters[1]: Only one of name or cluster_header can be specified",
            "route.weighted_clusters.clusters[2]: At least one of name or cluster_header need to be specified",
            "route.weighted_clusters.clusters[3].weight: Field 'weight' is missing",
        ]
    );
}

#[test]
fn header_mutations() {
    let check = |change: fn(&mut Route)| {
        let mut route = route(prefix("/"));
        change(&mut route);
        route_errors(route)
    };
    let modified =
        "request_headers_to_add[0].header.key: :-prefixed or host headers may not be modified";
    assert_eq!(
        check(|route| route.request_headers_to_add = vec![add_header("Host", "x")]),
        [modified]
    );
    assert_eq!(
        check(|route| route.request_headers_to_add = vec![add_header(":path", "x")]),
        [modified]
    );
    assert_eq!(
        check(|route| route.response_headers_to_remove = vec!["x".into(), ":status".into()]),
        ["response_headers_to_remove[1]: :-prefixed or host headers may not be removed"]
    );
    let both = |route: &mut Route| {
        let mut header = add_header("x", "y");
        header.append_action = HeaderAppendAction::AddIfAbsent as i32;
        #[expect(deprecated, reason = "Envoy still takes it")]
        {
            header.append = Some(BoolValue { value: true });
        }
        route.request_headers_to_add = vec![header];
    };
    assert_eq!(
        check(both),
        [
            "request_headers_to_add[0].append_action: Both append and append_action are set and it's not allowed"
        ]
    );
    assert!(
        check(|route| route.request_headers_to_add = vec![add_header("x", "%NOPE%")])[0]
            .starts_with("request_headers_to_add[0].header.value: ")
    );
}

#[test]
fn route_actions() {
    let rewrites = with_action(|action| {
        action.prefix_rewrite = "/a".into();
        action.path_rewrite = "/b".into();
    });
    assert_eq!(
        route_errors(rewrites),
        ["route: Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy"]
    );
    let upgrade = |kind: &str| UpgradeConfig {
        upgrade_type: kind.into(),
        ..UpgradeConfig::default()
    };
    let upgrades = with_action(|action| {
        action.upgrade_configs = vec![upgrade("websocket"), upgrade("WebSocket")]
    });
    assert_eq!(
        route_errors(upgrades),
        ["route.upgrade_configs[1].upgrade_type: Duplicate upgrade WebSocket"]
    );
    let connect = with_action(|action| {
        let mut upgrade = upgrade("websocket");
        upgrade.connect_config = Some(Default::default());
        action.upgrade_configs = vec![upgrade];
    });
    assert_eq!(
        route_errors(connect),
        [
            "route.upgrade_configs[0].connect_config: Non-CONNECT upgrade type websocket has ConnectConfig"
        ]
    );
    let beyond = with_action(|action| {
        let mut upgrade = upgrade("CONNECT");
        upgrade.connect_config = Some(ConnectConfig {
            allow_post: true,
            proxy_protocol_config: Some(Default::default()),
        });
        action.upgrade_configs = vec![upgrade];
    });
    assert_eq!(
        route_errors(beyond),
        [
            "route.upgrade_configs[0].connect_config.proxy_protocol_config: unsupported: not implemented yet"
        ]
    );
    let refused = with_action(|action| {
        action.request_mirror_policies = vec![RequestMirrorPolicy::default()];
        action.hash_policy = vec![HashPolicy::default()];
    });
    assert_eq!(
        route_errors(refused),
        [
            "route.hash_policy[0]: value is required: policy_specifier",
            "route.request_mirror_policies[0]: Exactly one of cluster or cluster_header in request mirror policy need to be specified",
        ]
    );
}

#[test]
fn direct_responses() {
    let check = |status: u32, specifier: Specifier| {
        let body = Some(DataSource {
            specifier: Some(specifier),
            watched_directory: None,
        });
        let mut route = route(prefix("/"));
        route.action = Some(Action::DirectResponse(DirectResponseAction {
            status,
            body,
            body_format: None,
        }));
        route_errors(route)
    };
    assert!(check(200, Specifier::InlineString("x".repeat(4096))).is_empty());
    assert_eq!(
        check(200, Specifier::InlineString("x".repeat(4097))),
        ["direct_response.body: response body size is 4097 bytes; maximum is 4096"]
    );
    assert_eq!(
        check(99, Specifier::InlineString(String::new())),
        ["direct_response.status: value must be inside range [200, 600)"]
    );
    assert!(!check(200, Specifier::Filename("/does/not/exist".into())).is_empty());
}

#[test]
fn per_filter_configurations() {
    let check = |config| {
        let mut route = route(prefix("/"));
        route.typed_per_filter_config = HashMap::from([("f".to_owned(), config)]);
        route_errors(route)
    };
    let wrapped = |change: fn(&mut FilterConfig)| {
        let mut config = FilterConfig::default();
        change(&mut config);
        any::pack(&config)
    };
    let unknown = any::pack(&nuncio_config::api::core::Locality::default());
    assert_eq!(
        check(unknown.clone()),
        [
            "typed_per_filter_config[\"f\"]: Didn't find a registered implementation for 'f' with type URL: \
          'envoy.config.core.v3.Locality'"
        ]
    );
    assert_eq!(
        check(wrapped(|_| ())),
        [
            "typed_per_filter_config[\"f\"].config: Empty route/virtual host per filter configuration for f filter"
        ]
    );
    assert!(check(wrapped(|config| config.disabled = true)).is_empty());
    assert!(check(wrapped(|config| config.config = Some(Default::default()))).is_empty());
    let optional = FilterConfig {
        config: Some(unknown),
        is_optional: true,
        disabled: false,
    };
    assert!(check(any::pack(&optional)).is_empty());
}

#[test]
fn incomplete_routes() {
    assert_eq!(
        errors(&routes(vec![Route::default()])),
        [
            "virtual_hosts[0].routes[0].match: value is required",
            "virtual_hosts[0].routes[0]: an action is required",
        ]
    );
    let mut without_path = route(prefix("/"));
    without_path.r#match.as_mut().unwrap().path_specifier = None;
    assert_eq!(
        route_errors(without_path),
        ["match: a path specifier is required"]
    );
    assert_eq!(
        route_errors(with_action(|action| action.cluster_specifier = None)),
        ["route: a cluster specifier is required"]
    );
    for bad in ["/a/", "a?b", "/a#", "/", ""] {
        let error =
            "match.path_separated_prefix: value does not match regex pattern \"^[^?#]+[^?#/]$\"";
        assert_eq!(
            route_errors(route(common::separated(bad))),
            [error],
            "{bad}"
        );
    }
}
