//! Route configurations and requests for tests, examples and the fuzz target.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "shared by tests, the example and the fuzz target: every user takes what it needs"
)]

pub mod fuzz;

use std::rc::Rc;
use std::sync::Arc;

use nuncio_config::api::core::{HeaderValue, HeaderValueOption, TypedExtensionConfig};
use nuncio_config::api::matcher::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use nuncio_config::api::route::header_matcher::HeaderMatchSpecifier;
use nuncio_config::api::route::route::Action;
use nuncio_config::api::route::route_action::ClusterSpecifier;
use nuncio_config::api::route::route_match::PathSpecifier;
use nuncio_config::api::route::{
    HeaderMatcher, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use nuncio_config::api::uri_template_match::UriTemplateMatchConfig;
use nuncio_config::{ConfigError, any};
use nuncio_http::HeaderMap;
use nuncio_net::Address;
use nuncio_route::{CompileContext, RouteTable, WorkerRouteTable};
use nuncio_sdk::{
    ClusterNames, ConnectionInfo, Extensions, FactoryContext, LocalInfo, ServerContext, Services,
    StreamInfo,
};
use nuncio_stats::Store;
use tokio::time::Instant;

pub fn server() -> Arc<ServerContext> {
    server_with(Extensions::default())
}

pub fn server_with(extensions: Extensions) -> Arc<ServerContext> {
    Arc::new(ServerContext {
        stats: Arc::new(Store::new(1)),
        extensions,
        local_info: LocalInfo::default(),
        cluster_names: ClusterNames::default(),
        concurrency: 1,
        services: Services::default(),
    })
}

pub fn info() -> StreamInfo {
    let address = Rc::new(Address::parse_ip("127.0.0.1", 1).expect("an address"));
    let connection = ConnectionInfo {
        id: 1,
        remote_address: address.clone(),
        direct_remote_address: address.clone(),
        local_address: address,
        local_address_restored: false,
        listener_name: "".into(),
        filter_chain_name: "".into(),
        listener_metadata: None,
        filter_chain_metadata: None,
        tls: false,
        start: Instant::now(),
    };
    StreamInfo::new(Rc::new(connection), Instant::now())
}

/// Compiles; every cluster but `nope` exists.
pub fn compile(
    config: &RouteConfiguration,
    server: &Arc<ServerContext>,
) -> Result<Arc<RouteTable>, Vec<ConfigError>> {
    let factory = FactoryContext {
        server,
        stat_prefix: "http.test.",
        name: "",
    };
    let cx = CompileContext {
        factory: &factory,
        known_cluster: &|name| name != "nope",
        validate_clusters: true,
    };
    nuncio_route::compile(config, cx)
}

pub fn worker(config: &RouteConfiguration) -> WorkerRouteTable {
    let server = server();
    let table = compile(config, &server).unwrap_or_else(|errors| panic!("{errors:?}"));
    WorkerRouteTable::new(table, server)
}

pub fn request(method: &str, host: &str, path: &str, more: &[(&str, &str)]) -> HeaderMap {
    let pseudo = [
        (":method", method),
        (":authority", host),
        (":path", path),
        (":scheme", "http"),
    ];
    let mut headers: HeaderMap = pseudo.into_iter().collect();
    headers.append("x-forwarded-proto", b"http");
    for (name, value) in more {
        headers.append(*name, value.as_bytes());
    }
    headers
}

pub fn get(path: &str) -> HeaderMap {
    request("GET", "host", path, &[])
}

/// A route to cluster `c`.
pub fn route(path: PathSpecifier) -> Route {
    route_to(path, "c")
}

pub fn route_to(path: PathSpecifier, cluster: &str) -> Route {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        ..RouteAction::default()
    };
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(path),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(action)),
        ..Route::default()
    }
}

pub fn prefix(text: &str) -> PathSpecifier {
    PathSpecifier::Prefix(text.to_owned())
}

pub fn exact(text: &str) -> PathSpecifier {
    PathSpecifier::Path(text.to_owned())
}

pub fn separated(text: &str) -> PathSpecifier {
    PathSpecifier::PathSeparatedPrefix(text.to_owned())
}

pub fn regex(text: &str) -> PathSpecifier {
    PathSpecifier::SafeRegex(regex_matcher(text))
}

pub fn template(text: &str) -> PathSpecifier {
    let config = UriTemplateMatchConfig {
        path_template: text.to_owned(),
    };
    PathSpecifier::PathMatchPolicy(TypedExtensionConfig {
        name: "template".to_owned(),
        typed_config: Some(any::pack(&config)),
    })
}

pub fn regex_matcher(text: &str) -> RegexMatcher {
    RegexMatcher {
        regex: text.to_owned(),
        engine_type: None,
    }
}

pub fn string_is(value: &str) -> StringMatcher {
    StringMatcher {
        ignore_case: false,
        match_pattern: Some(MatchPattern::Exact(value.to_owned())),
    }
}

pub fn header_is(name: &str, value: &str) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(string_is(value))),
        ..HeaderMatcher::default()
    }
}

pub fn add_header(name: &str, value: &str) -> HeaderValueOption {
    let header = HeaderValue {
        key: name.to_owned(),
        value: value.to_owned(),
        ..HeaderValue::default()
    };
    HeaderValueOption {
        header: Some(header),
        ..HeaderValueOption::default()
    }
}

pub fn virtual_host(name: &str, domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    VirtualHost {
        name: name.to_owned(),
        domains: domains.iter().map(|domain| (*domain).to_owned()).collect(),
        routes,
        ..VirtualHost::default()
    }
}

pub fn config(virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration {
        name: "rc".to_owned(),
        virtual_hosts,
        ..RouteConfiguration::default()
    }
}

/// One virtual host for all domains.
pub fn routes(routes: Vec<Route>) -> RouteConfiguration {
    config(vec![virtual_host("all", &["*"], routes)])
}
