//! Virtual hosts with a matcher, and clusters that one chooses.

mod common;

use std::rc::Rc;

use common::{
    compile, config, exact, get, header_is, info, prefix, request, route, route_to, server,
    virtual_host, worker,
};
use nuncio_config::any;
use nuncio_config::api::core;
use nuncio_config::api::matcher::HttpRequestHeaderMatchInput;
use nuncio_config::api::matcher_cluster_specifier::{ClusterAction, MatcherClusterSpecifier};
use nuncio_config::api::protobuf::Any;
use nuncio_config::api::route::route::Action;
use nuncio_config::api::route::route_action::ClusterSpecifier;
use nuncio_config::api::route::{
    ClusterSpecifierPlugin, Route, RouteConfiguration, RouteList, VirtualHost,
};
use nuncio_config::api::xds_core::TypedExtensionConfig;
use nuncio_config::api::xds_matcher::Matcher;
use nuncio_config::api::xds_matcher::matcher::matcher_tree::{MatchMap, TreeType};
use nuncio_config::api::xds_matcher::matcher::on_match::OnMatch as Then;
use nuncio_config::api::xds_matcher::matcher::{MatcherTree, MatcherType, OnMatch};

fn extension(config: Any) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: "extension".into(),
        typed_config: Some(config),
    }
}

fn action(config: Any) -> OnMatch {
    OnMatch {
        keep_matching: false,
        on_match: Some(Then::Action(extension(config))),
    }
}

/// A tree over the exact value of a header.
fn tree(header: &str, entries: Vec<(&str, Any)>, otherwise: Option<Any>) -> Matcher {
    let input = any::pack(&HttpRequestHeaderMatchInput {
        header_name: header.into(),
    });
    let map = entries
        .into_iter()
        .map(|(key, config)| (key.to_owned(), action(config)))
        .collect();
    Matcher {
        on_no_match: otherwise.map(|config| Box::new(action(config))),
        matcher_type: Some(MatcherType::MatcherTree(MatcherTree {
            input: Some(extension(input)),
            tree_type: Some(TreeType::ExactMatchMap(MatchMap { map })),
        })),
    }
}

fn matched(matcher: Matcher) -> RouteConfiguration {
    let host = VirtualHost {
        matcher: Some(matcher),
        ..virtual_host("tree", &["tree"], Vec::new())
    };
    // Routes of other hosts lie around those of the tree.
    let before = virtual_host("before", &["before"], vec![route(prefix("/"))]);
    let behind = virtual_host("behind", &["*"], vec![route_to(prefix("/"), "behind")]);
    config(vec![before, host, behind])
}

#[test]
fn a_tree_leads_to_lists_of_routes() {
    // Long enough for an index.
    let mut routes: Vec<Route> = (0..40)
        .map(|number| route_to(exact(&format!("/{number}")), &format!("c{number}")))
        .collect();
    let mut special = route_to(prefix("/"), "special");
    special.r#match.as_mut().unwrap().headers = vec![header_is("y", "1")];
    routes.push(special);
    let table = worker(&matched(tree(
        "x",
        vec![
            ("list", any::pack(&RouteList { routes })),
            ("one", any::pack(&route_to(prefix("/"), "one"))),
            ("unknown", any::pack(&route_to(prefix("/"), "nope"))),
        ],
        Some(any::pack(&route_to(prefix("/n"), "none"))),
    )));
    let cluster = |path: &str, more: &[(&str, &str)]| {
        let found = table.find(&request("GET", "tree", path, more), &info(), 0)?;
        Some(found.cluster_name().to_string())
    };
    let is = |name: &str| Some(name.to_owned());
    assert_eq!(cluster("/7", &[("x", "list")]), is("c7"));
    assert_eq!(cluster("/39", &[("x", "list")]), is("c39"));
    assert_eq!(cluster("/40", &[("x", "list")]), None);
    assert_eq!(cluster("/40", &[("x", "list"), ("y", "1")]), is("special"));
    assert_eq!(cluster("/7", &[("x", "one")]), is("one"));
    assert_eq!(cluster("/7", &[("x", "unknown")]), is("nope"));
    assert_eq!(cluster("/nothing", &[]), is("none"));
    assert_eq!(
        cluster("/7", &[]),
        None,
        "the route that is found must match"
    );
    assert_eq!(
        cluster("/7", &[("x", "one"), ("x", "one")]),
        None,
        "values are joined"
    );
    let other = table.find(&get("/"), &info(), 0).unwrap();
    assert_eq!(&**other.cluster_name(), "behind");
}

#[test]
fn either_a_tree_or_routes() {
    let mut config = matched(tree("x", vec![("1", any::pack(&route(prefix("/"))))], None));
    config.virtual_hosts[1].routes = vec![route(prefix("/"))];
    let errors = compile(&config, &server()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "virtual_hosts[1].matcher: cannot set both matcher and routes on virtual host"
    );
}

#[test]
fn errors_of_routes_have_their_places_in_the_tree() {
    let list = RouteList {
        routes: vec![route(prefix("/")), Route::default()],
    };
    let config = matched(tree("x", vec![("1", any::pack(&list))], None));
    let errors = compile(&config, &server()).unwrap_err();
    let place = "virtual_hosts[1].matcher.matcher_tree.exact_match_map.map[\"1\"].action.typed_config.routes[1]";
    assert!(
        errors.iter().all(|error| error.path.starts_with(place)),
        "{errors:?}"
    );
}

fn plugin(name: &str, matcher: Matcher) -> ClusterSpecifierPlugin {
    let config = MatcherClusterSpecifier {
        cluster_matcher: Some(matcher),
    };
    ClusterSpecifierPlugin {
        extension: Some(core::TypedExtensionConfig {
            name: name.into(),
            typed_config: Some(any::pack(&config)),
        }),
        is_optional: false,
    }
}

fn to(cluster: &str) -> Any {
    any::pack(&ClusterAction {
        cluster: cluster.into(),
    })
}

fn with_specifier(specifier: ClusterSpecifier) -> Route {
    let mut route = route(prefix("/"));
    let Some(Action::Route(action)) = &mut route.action else {
        unreachable!("made so")
    };
    action.cluster_specifier = Some(specifier);
    route
}

#[test]
fn a_tree_chooses_the_cluster() {
    let by_header = || tree("x", vec![("1", to("c1")), ("2", to("nope"))], None);
    let named = with_specifier(ClusterSpecifier::ClusterSpecifierPlugin("p".into()));
    let inline = with_specifier(ClusterSpecifier::InlineClusterSpecifierPlugin(plugin(
        "q",
        by_header(),
    )));
    let mut config = config(vec![
        virtual_host("named", &["named"], vec![named]),
        virtual_host("inline", &["*"], vec![inline]),
    ]);
    config.cluster_specifier_plugins = vec![
        plugin("p", by_header()),
        plugin("p", tree("x", vec![("1", to("second"))], None)),
    ];
    let table = worker(&config);
    for host in ["named", "inline"] {
        let find = |x: &str| {
            table
                .find(&request("GET", host, "/", &[("x", x)]), &info(), 0)
                .unwrap()
        };
        let one = find("1");
        assert_eq!(&**one.cluster_name(), "c1");
        assert!(Rc::ptr_eq(&one, &find("1")), "an entry for each cluster");
        assert_eq!(&**find("2").cluster_name(), "nope");
        let none = find("3");
        assert_eq!((&**none.cluster_name(), none.cluster()), ("", None));
    }
}

#[test]
fn a_plugin_must_be_known() {
    let route = with_specifier(ClusterSpecifier::ClusterSpecifierPlugin("p".into()));
    let errors = compile(&common::routes(vec![route]), &server()).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "virtual_hosts[0].routes[0].route.cluster_specifier_plugin: Unknown cluster specifier plugin name: p is used in the route"
    );
}
