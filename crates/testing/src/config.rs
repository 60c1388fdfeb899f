//! A bootstrap with one listener, one route per cluster and an access log.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Fields that a test adds are fragments of a YAML flow mapping that end in a comma: `"idle_timeout: 1s, "`.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Fields of the listener.
    pub listener: String,
    /// Fields of the HTTP connection manager.
    pub hcm: String,
    /// HTTP filters before the router: `"{name: …}, "`.
    pub filters: String,
    /// Routes before those of the clusters: `"{match: …}, "`.
    pub routes: String,
    /// Fields of the route action of every cluster.
    pub route: String,
    /// Operators at the end of each line of the access log.
    pub log: String,
    /// The first one takes all paths, each of the others those below `/<its name>`.
    pub clusters: Vec<Cluster>,
}

/// A static cluster, or one that finds hosts of its own.
#[derive(Clone, Debug)]
pub struct Cluster {
    name: &'static str,
    /// `None`: it has no `load_assignment`.
    hosts: Option<Vec<Host>>,
    fields: String,
}

#[derive(Clone, Debug)]
struct Host {
    address: SocketAddr,
    /// Of the `LbEndpoint`.
    fields: String,
}

impl Cluster {
    /// A cluster with these hosts; `fields` is a fragment as in [`Config`].
    pub fn new(name: &'static str, hosts: &[SocketAddr], fields: &str) -> Cluster {
        let hosts = hosts.iter().map(|address| Host {
            address: *address,
            fields: String::new(),
        });
        Cluster {
            name,
            hosts: Some(hosts.collect()),
            fields: fields.to_owned(),
        }
    }

    /// A cluster that has no endpoints in its configuration.
    pub fn without_endpoints(name: &'static str, fields: &str) -> Cluster {
        Cluster {
            name,
            hosts: None,
            fields: fields.to_owned(),
        }
    }

    /// Gives the endpoint with this number metadata for load balancers.
    #[must_use]
    pub fn metadata(mut self, host: usize, metadata: &str) -> Cluster {
        let fields = format!("metadata: {{filter_metadata: {{envoy.lb: {{{metadata}}}}}}}, ");
        let hosts = self.hosts.as_mut().expect("the cluster has endpoints");
        hosts[host].fields.push_str(&fields);
        self
    }

    fn yaml(&self) -> String {
        let Cluster {
            name,
            hosts,
            fields,
        } = self;
        let Some(hosts) = hosts else {
            return format!("  - {{name: {name}, {fields}}}\n");
        };
        let mut endpoints = String::new();
        for host in hosts {
            let (address, fields) = (address(host.address), &host.fields);
            let _ = write!(endpoints, "{{{fields}endpoint: {{address: {address}}}}}, ");
        }
        format!(
            "  - {{name: {name}, {fields}load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}}}\n"
        )
    }
}

/// A socket address as in a bootstrap.
fn address(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!("{{socket_address: {{address: '{ip}', port_value: {port}}}}}")
}

impl Config {
    /// All requests go to one cluster with this host.
    pub fn to(host: SocketAddr) -> Config {
        Config::of(Cluster::new("origin", &[host], ""))
    }

    /// All requests go to this cluster.
    pub fn of(cluster: Cluster) -> Config {
        Config {
            clusters: vec![cluster],
            ..Config::default()
        }
    }

    /// Adds a cluster for the paths below `/<its name>`.
    #[must_use]
    pub fn and(mut self, cluster: Cluster) -> Config {
        self.clusters.push(cluster);
        self
    }

    /// Adds fields of the HTTP connection manager.
    #[must_use]
    pub fn hcm(mut self, fields: &str) -> Config {
        self.hcm.push_str(fields);
        self
    }

    /// The listener alone, as one line of flow YAML.
    pub fn listener_yaml(&self, listen: SocketAddr, access_log: &Path) -> String {
        let Config {
            listener,
            hcm,
            filters,
            routes,
            route,
            log: operators,
            clusters,
        } = self;
        let mut all_routes = routes.clone();
        for (index, cluster) in clusters.iter().enumerate().rev() {
            let name = cluster.name;
            let prefix = match index {
                0 => "/".to_owned(),
                _ => format!("/{name}"),
            };
            let _ = write!(
                all_routes,
                "{{match: {{prefix: {prefix}}}, route: {{cluster: {name}, {route}}}}}, "
            );
        }
        let listen = address(listen);
        let log = access_log.display();
        format!(
            "{{name: main, {listener}address: {listen}, filter_chains: [{{filters: [{{name: hcm, typed_config: {{\
             '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \
             stat_prefix: ingress, {hcm}\
             access_log: [{{name: log, typed_config: {{\
             '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: '{log}', \
             log_format: {{text_format_source: {{inline_string: \"%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%{operators}\\n\"}}}}}}}}], \
             http_filters: [{filters}{{name: router, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}], \
             route_config: {{name: routes, virtual_hosts: [{{name: any, domains: ['*'], routes: [{all_routes}]}}]}}\
             }}}}]}}]}}"
        )
    }

    /// The bootstrap; admin interface and listener get their ports from the kernel.
    pub fn yaml(&self, access_log: &Path) -> String {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = address(any_port);
        let listener = self.listener_yaml(any_port, access_log);
        let clusters: String = self.clusters.iter().map(Cluster::yaml).collect();
        let clusters = match clusters.is_empty() {
            true => String::new(),
            false => format!("  clusters:\n{clusters}"),
        };
        format!(
            "admin: {{address: {admin}}}\nstatic_resources:\n  listeners:\n  - {listener}\n{clusters}"
        )
    }
}
