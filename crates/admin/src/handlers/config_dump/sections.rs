//! What the sections are made of.

use std::time::SystemTime;

use nuncio_config::any;
use nuncio_config::api::Any;
use nuncio_config::api::admin::{
    ClustersConfigDump, UpdateFailureState,
    clusters_config_dump::{DynamicCluster, StaticCluster},
    listeners_config_dump::{DynamicListener, DynamicListenerState, StaticListener},
    routes_config_dump::StaticRouteConfig,
};
use nuncio_config::api::core::Node;
use nuncio_config::api::hcm::{HttpConnectionManager, http_connection_manager::RouteSpecifier};
use nuncio_config::api::listener::Listener;
use nuncio_config::api::listener::filter::ConfigType;
use nuncio_config::api::protobuf::Timestamp;
use nuncio_config::api::route::RouteConfiguration;
use nuncio_downstream as downstream;
use nuncio_route::regex::Regex;
use nuncio_upstream::DumpedCluster;
use prost::Message;
use prost::encoding::{self, DecodeContext};

use super::endpoints::endpoints;
use super::section::{List, Section};
use crate::json::timestamp;
use crate::thread::Admin;

/// The sections in Envoy's order, which is that of their keys (`bootstrap`, `clusters` …).
pub(super) fn sections(
    admin: &Admin,
    name_regex: Option<&Regex>,
    with_endpoints: bool,
) -> Vec<Section> {
    let passes = |name: &str| name_regex.is_none_or(|regex| regex.is_match(name.as_bytes()));
    let listeners = admin.context.listeners.snapshot();
    let mut sections = vec![bootstrap(admin), clusters_section(admin, passes)];
    if with_endpoints {
        sections.push(endpoints(admin, passes));
    }
    sections.push(listeners_section(&listeners, passes));
    sections.push(Section::empty("envoy.admin.v3.ScopedRoutesConfigDump"));
    sections.push(routes(&listeners, passes));
    sections.push(Section::empty("envoy.admin.v3.SecretsConfigDump"));
    sections
}

fn bootstrap(admin: &Admin) -> Section {
    let context = &admin.context;
    Section {
        fields: encode_bootstrap(
            &context.bootstrap,
            &context.node,
            timestamp(context.state.started_at()),
        ),
        ..Section::empty("envoy.admin.v3.BootstrapConfigDump")
    }
}

/// Field numbers of `BootstrapConfigDump`, and of `Bootstrap`.
const BOOTSTRAP: u32 = 1;
const LAST_UPDATED: u32 = 2;
const NODE: u32 = 1;

/// A `BootstrapConfigDump`: the bootstrap with its node replaced by the completed one, as in Envoy. It is not decoded: with many
/// clusters it is large.
fn encode_bootstrap(bootstrap: &[u8], node: &Node, last_updated: Timestamp) -> Vec<u8> {
    let mut inner = Vec::with_capacity(bootstrap.len());
    let mut rest = bootstrap;
    while !rest.is_empty() {
        let field = rest;
        let Ok((tag, wire_type)) = encoding::decode_key(&mut rest) else {
            break;
        };
        if encoding::skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
        if tag != NODE {
            inner.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    encoding::message::encode(NODE, node, &mut inner);
    let mut dump = Vec::with_capacity(inner.len() + 32);
    encoding::bytes::encode(BOOTSTRAP, &inner, &mut dump);
    encoding::message::encode(LAST_UPDATED, &last_updated, &mut dump);
    dump
}

fn clusters_section(admin: &Admin, passes: impl Fn(&str) -> bool) -> Section {
    let dump = admin.context.clusters.config_dump();
    let named = |mut clusters: Vec<DumpedCluster>| {
        clusters.retain(|cluster| passes(&cluster_name(&cluster.config)));
        clusters
    };
    let fields = ClustersConfigDump {
        version_info: dump.version_info.to_string(),
        ..Default::default()
    };
    Section {
        message: "envoy.admin.v3.ClustersConfigDump",
        fields: fields.encode_to_vec(),
        lists: vec![
            List::of("static_clusters", named(dump.static_clusters), |cluster| {
                StaticCluster {
                    cluster: Some(cluster_any(cluster)),
                    last_updated: Some(timestamp(cluster.last_updated)),
                }
            }),
            List::of(
                "dynamic_active_clusters",
                named(dump.dynamic_active_clusters),
                dynamic_cluster,
            ),
            List::of(
                "dynamic_warming_clusters",
                named(dump.dynamic_warming_clusters),
                dynamic_cluster,
            ),
        ],
    }
}

fn dynamic_cluster(cluster: &DumpedCluster) -> DynamicCluster {
    DynamicCluster {
        version_info: cluster.version_info.to_string(),
        cluster: Some(cluster_any(cluster)),
        last_updated: Some(timestamp(cluster.last_updated)),
        ..Default::default()
    }
}

fn cluster_any(cluster: &DumpedCluster) -> Any {
    Any {
        type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".into(),
        value: cluster.config.to_vec(),
    }
}

/// The start of an `envoy.config.cluster.v3.Cluster`.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// The name in an encoded cluster.
fn cluster_name(encoded: &[u8]) -> String {
    Named::decode(encoded).unwrap_or_default().name
}

fn listeners_section(
    snapshot: &downstream::ListenersSnapshot,
    passes: impl Fn(&str) -> bool,
) -> Section {
    let mut fixed = snapshot.static_listeners.clone();
    fixed.retain(|listener| passes(&listener.listener.name));
    let mut dynamic = snapshot.dynamic_listeners.clone();
    dynamic.retain(|listener| passes(&listener.name));
    Section {
        lists: vec![
            List::of("static_listeners", fixed, |listener| StaticListener {
                listener: Some(any::pack(&*listener.listener)),
                last_updated: Some(timestamp(listener.last_updated)),
            }),
            List::of("dynamic_listeners", dynamic, dynamic_listener),
        ],
        ..Section::empty("envoy.admin.v3.ListenersConfigDump")
    }
}

fn dynamic_listener(listener: &downstream::DynamicListener) -> DynamicListener {
    let state = |state: &Option<downstream::ListenerState>| {
        state.as_ref().map(|state| DynamicListenerState {
            version_info: state.version_info.clone(),
            listener: Some(any::pack(&*state.listener)),
            last_updated: Some(timestamp(state.last_updated)),
        })
    };
    DynamicListener {
        name: listener.name.clone(),
        active_state: state(&listener.active),
        warming_state: state(&listener.warming),
        draining_state: state(&listener.draining),
        error_state: listener.error.as_ref().map(|error| UpdateFailureState {
            failed_configuration: Some(any::pack(&*error.listener)),
            last_update_attempt: Some(timestamp(error.last_update_attempt)),
            details: error.details.clone(),
            version_info: error.version_info.clone(),
        }),
        ..Default::default()
    }
}

/// Route configurations stand inside the listeners that use them.
fn routes(snapshot: &downstream::ListenersSnapshot, passes: impl Fn(&str) -> bool) -> Section {
    let fixed = snapshot.static_listeners.iter();
    let fixed = fixed.map(|listener| (&listener.listener, listener.last_updated));
    let dynamic = snapshot.dynamic_listeners.iter();
    let dynamic = dynamic.filter_map(|listener| listener.active.as_ref());
    let dynamic = dynamic.map(|state| (&state.listener, state.last_updated));
    let mut found: Vec<(RouteConfiguration, SystemTime)> = Vec::new();
    for (listener, last_updated) in fixed.chain(dynamic) {
        let mut routes = route_configs(listener);
        routes.retain(|route| passes(&route.name));
        found.extend(routes.into_iter().map(|route| (route, last_updated)));
    }
    Section {
        lists: vec![List::of(
            "static_route_configs",
            found,
            |(route, last_updated)| StaticRouteConfig {
                route_config: Some(any::pack(route)),
                last_updated: Some(timestamp(*last_updated)),
            },
        )],
        ..Section::empty("envoy.admin.v3.RoutesConfigDump")
    }
}

/// The route configurations of the connection managers in a listener.
fn route_configs(listener: &Listener) -> Vec<RouteConfiguration> {
    let chains = listener
        .filter_chains
        .iter()
        .chain(&listener.default_filter_chain);
    let managers = chains
        .flat_map(|chain| &chain.filters)
        .filter_map(|filter| {
            let Some(ConfigType::TypedConfig(config)) = &filter.config_type else {
                return None;
            };
            match any::is::<HttpConnectionManager>(config) {
                true => HttpConnectionManager::decode(&*config.value).ok(),
                false => None,
            }
        });
    let routes = managers.filter_map(|manager| match manager.route_specifier {
        Some(RouteSpecifier::RouteConfig(routes)) => Some(routes),
        _ => None,
    });
    routes.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nuncio_config::api::listener::{Filter, FilterChain};

    use super::super::section::Resource;
    use super::*;

    fn listener(name: &str, routes: &str) -> Arc<Listener> {
        let manager = HttpConnectionManager {
            route_specifier: Some(RouteSpecifier::RouteConfig(RouteConfiguration {
                name: routes.into(),
                ..Default::default()
            })),
            ..Default::default()
        };
        let filter = Filter {
            config_type: Some(ConfigType::TypedConfig(any::pack(&manager))),
            ..Default::default()
        };
        let chain = FilterChain {
            filters: vec![Filter::default(), filter],
            ..Default::default()
        };
        Arc::new(Listener {
            name: name.into(),
            default_filter_chain: Some(chain),
            ..Default::default()
        })
    }

    fn snapshot() -> downstream::ListenersSnapshot {
        let last_updated = SystemTime::UNIX_EPOCH;
        downstream::ListenersSnapshot {
            static_listeners: vec![downstream::StaticListener {
                listener: listener("fixed", "one"),
                last_updated,
            }],
            dynamic_listeners: vec![downstream::DynamicListener {
                name: "moving".into(),
                active: Some(downstream::ListenerState {
                    version_info: "7".into(),
                    listener: listener("moving", "two"),
                    last_updated,
                }),
                error: Some(downstream::ErrorState {
                    listener: listener("moving", "three"),
                    version_info: "8".into(),
                    last_update_attempt: last_updated,
                    details: "no".into(),
                }),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn printed(section: &Section, list: &str) -> Vec<String> {
        let Some(Resource::List(Some(list))) = section.resource(list) else {
            panic!("no list {list}");
        };
        list.print(&[]).map(Result::unwrap).collect()
    }

    #[test]
    fn listeners_are_shown_by_origin() {
        let section = listeners_section(&snapshot(), |_| true);
        let fixed = printed(&section, "static_listeners");
        assert!(
            fixed.len() == 1 && fixed[0].contains("\"name\": \"fixed\""),
            "{fixed:?}"
        );
        assert!(
            fixed[0].ends_with(" \"last_updated\": \"1970-01-01T00:00:00Z\"\n}"),
            "{fixed:?}"
        );
        let dynamic = printed(&section, "dynamic_listeners").concat();
        let expected = [
            "\"active_state\": {\n  \"version_info\": \"7\"",
            "\"details\": \"no\"",
        ];
        assert!(
            expected.iter().all(|text| dynamic.contains(text)),
            "{dynamic}"
        );
        let named = listeners_section(&snapshot(), |name| name == "moving");
        assert!(printed(&named, "static_listeners").is_empty());
    }

    #[test]
    fn routes_are_found_in_active_listeners() {
        let routes = printed(&routes(&snapshot(), |_| true), "static_route_configs");
        assert!(
            routes.len() == 2 && routes[1].contains("\"name\": \"two\""),
            "{routes:?}"
        );
        assert!(
            printed(
                &super::routes(&snapshot(), |_| false),
                "static_route_configs"
            )
            .is_empty()
        );
    }

    #[test]
    fn the_node_of_the_bootstrap_is_replaced() {
        use nuncio_config::api::admin::BootstrapConfigDump;
        use nuncio_config::api::bootstrap::Bootstrap;
        let node = |id: &str| Node {
            id: id.into(),
            ..Default::default()
        };
        let bootstrap = Bootstrap {
            node: Some(node("old")),
            header_prefix: "kept".into(),
            ..Default::default()
        };
        let encoded = encode_bootstrap(
            &bootstrap.encode_to_vec(),
            &node("new"),
            Timestamp::default(),
        );
        let dump = BootstrapConfigDump::decode(&*encoded).unwrap();
        let found = dump.bootstrap.unwrap();
        assert_eq!(
            (found.node, found.header_prefix),
            (Some(node("new")), "kept".to_owned())
        );
        assert!(dump.last_updated.is_some());
    }
}
