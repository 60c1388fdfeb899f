//! Bootstraps for Envoy, which Nuncio takes unchanged.

use std::fmt::Write as _;
use std::path::Path;

use super::{Protocol, Setup, endpoints};

const TYPE: &str = "type.googleapis.com/envoy.extensions";

/// One route to the origin: what `h1` and its like use.
pub(crate) fn plain(setup: &Setup) -> String {
    let timeout = if setup.patient { ", timeout: 0s" } else { "" };
    let hosts = format!(
        "            - name: all\n\
         \x20             domains: [\"*\"]\n\
         \x20             routes:\n\
         \x20             - match: {{ prefix: \"/\" }}\n\
         \x20               route: {{ cluster: origin{timeout} }}\n"
    );
    bootstrap(setup, &hosts, &origin_cluster(setup))
}

/// `count` routes in one virtual host, prefix, exact and regex in turn, all to the origin.
pub(crate) fn routes(setup: &Setup, count: usize) -> String {
    let mut hosts = String::from(
        "            - name: all\n              domains: [\"*\"]\n              routes:\n",
    );
    for number in 0..count {
        let matcher = match number % 3 {
            0 => format!("prefix: \"/prefix/{number:05}/\""),
            1 => format!("path: \"/exact/{number:05}/item\""),
            _ => format!("safe_regex: {{ regex: \"/regex/{number:05}/[a-z]+\" }}"),
        };
        let _ = writeln!(
            hosts,
            "              - {{ match: {{ {matcher} }}, route: {{ cluster: origin }} }}"
        );
    }
    bootstrap(setup, &hosts, &origin_cluster(setup))
}

/// A path that route `number` of [`routes`] matches.
pub(crate) fn route_path(number: usize) -> String {
    let kind = ["prefix", "exact", "regex"][number % 3];
    format!("/{kind}/{number:05}/item")
}

/// The virtual host of [`scale`] that leads to the origin.
pub(crate) const LIVE_HOST: &str = "live.example.com";

/// `count` clusters of four endpoints and as many virtual hosts, one for each, beside one that leads to the origin.
pub(crate) fn scale(setup: &Setup, count: usize) -> String {
    let mut hosts = String::new();
    let mut clusters = origin_cluster(setup);
    virtual_host(&mut hosts, LIVE_HOST, "origin");
    for number in 0..count {
        let name = format!("service_{number:05}");
        virtual_host(&mut hosts, &format!("host-{number:05}.example.com"), &name);
        // Loopback addresses that nobody connects to.
        let (high, low) = (1 + number / 250, 1 + number % 250);
        let addresses = (0..4).map(|host| (format!("127.{}.{high}.{low}", 10 + host), 8080));
        cluster(&mut clusters, &name, "", addresses);
    }
    bootstrap(setup, &hosts, &clusters)
}

/// How many clusters [`tables`] has.
pub(crate) const TABLES: usize = 20;

/// Clusters of a thousand hosts, of which nobody listens, each behind a virtual host `c<number>`; `policy` is a piece of
/// each cluster.
pub(crate) fn tables(setup: &Setup, policy: &str) -> String {
    let (mut hosts, mut clusters) = (String::new(), String::new());
    for number in 0..TABLES {
        let name = format!("c{number}");
        virtual_host(&mut hosts, &name, &name);
        let addresses = (0..1000).map(|at| (format!("127.1.{}.{}", at / 250, 1 + at % 250), 1));
        cluster(&mut clusters, &name, policy, addresses);
    }
    bootstrap(setup, &hosts, &clusters)
}

/// The cluster of [`discovered`], which is also the virtual host that leads to it.
pub(crate) const DISCOVERED: &str = "discovered";

/// A piece of a cluster: its hosts are asked by HTTP at this interval (`0.5s`), and one answer decides.
pub(crate) fn health_checks(interval: &str) -> String {
    format!(
        "    health_checks:
    - timeout: 5s
      interval: {interval}
      no_traffic_interval: {interval}
      no_traffic_healthy_interval: {interval}
      unhealthy_threshold: 1
      healthy_threshold: 1
      http_health_check: {{ path: / }}
"
    )
}

/// A cluster whose endpoints `file` tells, behind a virtual host of its name (all others lead to the origin); `policy`
/// is a piece of it. Beside it `others` clusters of one endpoint.
pub(crate) fn discovered(setup: &Setup, file: &Path, policy: &str, others: usize) -> String {
    let (mut hosts, mut clusters) = (String::new(), origin_cluster(setup));
    virtual_host(&mut hosts, DISCOVERED, DISCOVERED);
    hosts += "            - name: all\n              domains: [\"*\"]\n              routes:\n\
              \x20             - { match: { prefix: \"/\" }, route: { cluster: origin } }\n";
    let _ = write!(
        clusters,
        "  - name: {DISCOVERED}\n    type: EDS\n    connect_timeout: 5s\n{policy}    eds_cluster_config:\n\
         \x20     eds_config: {{ path_config_source: {{ path: {} }} }}\n",
        file.display()
    );
    for number in 0..others {
        let address = (endpoints::address(number as u32), 8080);
        cluster(
            &mut clusters,
            &format!("service_{number:05}"),
            "",
            [address],
        );
    }
    // Who subscribes must say who it is.
    let node = "node: { id: bench, cluster: bench }\n";
    format!("{node}{}", bootstrap(setup, &hosts, &clusters))
}

fn virtual_host(out: &mut String, domain: &str, target: &str) {
    let _ = write!(
        out,
        "            - name: {domain}\n\
         \x20             domains: [\"{domain}\"]\n\
         \x20             routes:\n\
         \x20             - match: {{ prefix: \"/\" }}\n\
         \x20               route: {{ cluster: {target} }}\n"
    );
}

/// Breakers raised, as Envoy's FAQ asks of a benchmark.
fn origin_cluster(setup: &Setup) -> String {
    let mut extra = String::from(
        "    circuit_breakers:\n\
         \x20     thresholds:\n\
         \x20     - { max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000, max_retries: 1000000 }\n",
    );
    if setup.upstream == Protocol::Http2 {
        let _ = write!(
            extra,
            "    typed_extension_protocol_options:\n\
             \x20     envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n\
             \x20       \"@type\": {TYPE}.upstreams.http.v3.HttpProtocolOptions\n\
             \x20       explicit_http_config: {{ http2_protocol_options: {{}} }}\n"
        );
    }
    let mut out = String::new();
    cluster(
        &mut out,
        "origin",
        &extra,
        [("127.0.0.1".to_owned(), setup.origin)],
    );
    out
}

fn cluster(
    out: &mut String,
    name: &str,
    extra: &str,
    addresses: impl IntoIterator<Item = (String, u16)>,
) {
    let _ = write!(
        out,
        "  - name: {name}\n    type: STATIC\n{extra}    load_assignment:\n\
         \x20     cluster_name: {name}\n      endpoints:\n      - lb_endpoints:\n"
    );
    for (address, port) in addresses {
        let _ = writeln!(
            out,
            "        - endpoint: {{ address: {{ socket_address: {{ address: {address}, port_value: {port} }} }} }}"
        );
    }
}

fn bootstrap(setup: &Setup, virtual_hosts: &str, clusters: &str) -> String {
    let Setup {
        listener, admin, ..
    } = setup;
    let mut options = String::new();
    if setup.lean {
        options += "          generate_request_id: false\n";
    }
    if let Some(file) = &setup.access_log {
        let _ = write!(
            options,
            "          access_log:\n\
             \x20         - name: envoy.access_loggers.file\n\
             \x20           typed_config:\n\
             \x20             \"@type\": {TYPE}.access_loggers.file.v3.FileAccessLog\n\
             \x20             path: {}\n",
            file.display()
        );
    }
    let router = if setup.lean {
        "              dynamic_stats: false\n"
    } else {
        ""
    };
    format!(
        "admin:
  address: {{ socket_address: {{ address: 127.0.0.1, port_value: {admin} }} }}
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {listener} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": {TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
{options}          route_config:
            name: front
            virtual_hosts:
{virtual_hosts}          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              \"@type\": {TYPE}.filters.http.router.v3.Router
{router}  clusters:
{clusters}"
    )
}
