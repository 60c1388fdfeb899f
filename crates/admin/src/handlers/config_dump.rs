//! `/config_dump`: the configuration in force.

use std::sync::Arc;
use std::time::SystemTime;

use nuncio_config::any;
use nuncio_config::api::admin::{
    ClustersConfigDump, UpdateFailureState,
    clusters_config_dump::{DynamicCluster, StaticCluster},
    endpoints_config_dump::StaticEndpointConfig,
    listeners_config_dump::{DynamicListener, DynamicListenerState, StaticListener},
    routes_config_dump::StaticRouteConfig,
};
use nuncio_config::api::core::Node;
use nuncio_config::api::endpoint::lb_endpoint::HostIdentifier;
use nuncio_config::api::endpoint::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
    cluster_load_assignment::Policy,
};
use nuncio_config::api::hcm::{HttpConnectionManager, http_connection_manager::RouteSpecifier};
use nuncio_config::api::listener::Listener;
use nuncio_config::api::listener::filter::ConfigType;
use nuncio_config::api::protobuf::{Timestamp, UInt32Value};
use nuncio_config::api::route::RouteConfiguration;
use nuncio_config::api::{Any, core::HealthStatus};
use nuncio_downstream as downstream;
use nuncio_route::regex::Regex;
use nuncio_upstream::{ClusterStatus, DumpedCluster, Health};
use prost::Message;
use prost::encoding::{self, DecodeContext};

use super::dump_section::{List, Resource, Section};
use crate::handlers::{clusters, proto_address};
use crate::json::{timestamp, write_list};
use crate::request::Request;
use crate::response::{BARE_TEXT, Body, JSON, Response};
use crate::thread::Admin;

/// `/config_dump`
pub(crate) fn config_dump(admin: &Admin, request: &Request) -> Response {
    let params = &request.params;
    let name_regex = match params
        .get_some("name_regex")
        .map(|text| (text, Regex::new(text)))
    {
        None => None,
        Some((_, Ok(regex))) => Some(regex),
        Some((text, Err(error))) => {
            let message =
                format!("INVALID_ARGUMENT: Error while parsing name_regex from {text}: {error}");
            return refuse(400, message);
        }
    };
    let sections = sections(admin, name_regex.as_ref(), params.has("include_eds"));
    let mask = params.get_some("mask");
    let paths: Vec<String> = mask
        .map(|mask| {
            mask.split(',')
                .filter(|path| !path.is_empty())
                .map(str::to_owned)
                .collect()
        })
        .unwrap_or_default();
    match params.get_some("resource") {
        Some(resource) => dump_resource(sections, resource, &paths),
        None => dump_all(sections, mask.unwrap_or_default(), &paths),
    }
}

fn refuse(status: u16, message: String) -> Response {
    Response::new(status, BARE_TEXT, Body::Text(message))
}

/// The items of one list.
fn dump_resource(sections: Vec<Section>, resource: &str, paths: &[String]) -> Response {
    let found = sections
        .iter()
        .position(|section| section.resource(resource).is_some());
    let Some(section) = found.and_then(|at| sections.into_iter().nth(at)) else {
        return refuse(404, format!("{resource} not found in config dump"));
    };
    // The first item tells whether the mask can be used; what is sent later cannot be taken back.
    let first = match section.resource(resource) {
        Some(Resource::List(list)) => list.and_then(|list| list.print(paths).next()),
        _ => Some(Err(format!(
            "{resource} is not a repeated field. Use ?mask={resource} to get only this field"
        ))),
    };
    if let Some(Err(error)) = first {
        return refuse(400, error);
    }
    let (resource, paths) = (resource.to_owned(), paths.to_vec());
    Response::stream(JSON, move |out| {
        let list = match section.resource(&resource) {
            Some(Resource::List(list)) => list,
            _ => None,
        };
        let items = list.into_iter().flat_map(|list| list.print(&paths));
        write_list(out, "configs", items.filter_map(Result::ok))
    })
}

/// All sections to which the mask can be applied.
fn dump_all(sections: Vec<Section>, mask: &str, paths: &[String]) -> Response {
    let sections: Vec<Section> = match paths.is_empty() {
        true => sections,
        false => sections
            .into_iter()
            .filter_map(|section| section.trim(paths).ok())
            .collect(),
    };
    if sections.is_empty() {
        return refuse(
            400,
            format!("FieldMask {mask} could not be successfully applied to any configs."),
        );
    }
    Response::stream(JSON, move |out| {
        out.write_str("{\n \"configs\": [\n")?;
        for (index, section) in sections.iter().enumerate() {
            out.write_str(if index == 0 { "  " } else { ",\n  " })?;
            section.write(out, 2)?;
        }
        out.write_str("\n ]\n}\n")
    })
}

/// The sections in Envoy's order, which is that of their keys (`bootstrap`, `clusters` …).
fn sections(admin: &Admin, name_regex: Option<&Regex>, with_endpoints: bool) -> Vec<Section> {
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

/// `include_eds`: the endpoints that clusters have now.
fn endpoints(admin: &Admin, passes: impl Fn(&str) -> bool) -> Section {
    let mut clusters = admin.context.clusters.statuses();
    clusters.retain(|cluster| passes(&cluster.info.name));
    Section {
        lists: vec![List::of("static_endpoint_configs", clusters, |cluster| {
            StaticEndpointConfig {
                endpoint_config: Some(any::pack(&load_assignment(cluster))),
                last_updated: None,
            }
        })],
        ..Section::empty("envoy.admin.v3.EndpointsConfigDump")
    }
}

fn load_assignment(cluster: &ClusterStatus) -> ClusterLoadAssignment {
    let number = |value| Some(UInt32Value { value });
    let mut localities = Vec::new();
    for (priority, set) in cluster.hosts.sets().iter().enumerate() {
        for group in set.localities.iter() {
            localities.push(LocalityLbEndpoints {
                locality: Some(clusters::locality(&group.locality)),
                lb_endpoints: group.all.iter().map(endpoint).collect(),
                load_balancing_weight: number(group.weight.unwrap_or(0)),
                priority: u32::try_from(priority).unwrap_or(u32::MAX),
                ..Default::default()
            });
        }
    }
    ClusterLoadAssignment {
        cluster_name: cluster.info.name.to_string(),
        endpoints: localities,
        policy: Some(Policy {
            overprovisioning_factor: number(cluster.info.priorities.overprovisioning_factor),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn endpoint(host: &Arc<nuncio_upstream::Host>) -> LbEndpoint {
    let health = match host.health() {
        Health::Healthy => HealthStatus::Healthy,
        Health::Degraded => HealthStatus::Degraded,
        Health::Unhealthy => HealthStatus::Unhealthy,
    };
    LbEndpoint {
        health_status: health.into(),
        load_balancing_weight: Some(UInt32Value {
            value: host.weight(),
        }),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(proto_address(host.address())),
            health_check_config: Some(Default::default()),
            hostname: host.hostname().to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    }
}
