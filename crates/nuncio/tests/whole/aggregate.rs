//! Clusters that pass requests on to others, on two workers, while what they pass them to changes.

use std::net::SocketAddr;

use nuncio_testing::{Client, Cluster, Config, Mortal, Origin, Proxy, until};

use crate::{start, start_with};

/// An aggregate or composite cluster of `first` and `second`.
fn of_both(kind: &str, members: &str) -> Cluster {
    let fields = format!(
        "lb_policy: CLUSTER_PROVIDED, cluster_type: {{name: envoy.clusters.{kind}, typed_config: \
         {{'@type': type.googleapis.com/envoy.extensions.clusters.{kind}.v3.ClusterConfig, clusters: [{members}]}}}}, "
    );
    Cluster::without_endpoints("origin", &fields)
}

/// Connections enough to be on both workers.
fn connections(proxy: &Proxy) -> Vec<Client> {
    (0..8).map(|_| proxy.client()).collect()
}

/// Waits until every connection is answered with `text`; not one request may fail meanwhile.
fn all_get(clients: &mut [Client], text: &str) {
    until(text, || {
        let mut all = true;
        for client in &mut *clients {
            let response = client.get("/");
            assert_eq!(response.status(), 200, "{response:?}");
            all &= response.text() == text;
        }
        all
    });
}

#[test]
fn every_worker_follows_the_health_of_the_members() {
    let mut host = Mortal::new("first");
    let second = Origin::answering("second");
    let checks = "common_lb_config: {update_merge_window: 0s}, health_checks: [{timeout: 5s, interval: 0.02s, no_traffic_interval: 0.02s, \
                  unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: {path: /well}}], ";
    let mut config = Config::of(of_both("aggregate", "first, missing, second"))
        .and(Cluster::new("first", &[host.address], checks))
        .and(Cluster::new("second", &[second.address], ""));
    // A request that meets the end of the host is tried again.
    config.route = "retry_policy: {retry_on: 'connect-failure,reset', num_retries: 20, retry_back_off: {base_interval: 0.02s}}, ".into();
    let mut proxy = start(&config);
    proxy.wait_for_stat("cluster.first.membership_healthy", 1);
    let mut clients = connections(&proxy);
    all_get(&mut clients, "first 0");
    for _ in 0..2 {
        host.kill();
        all_get(&mut clients, "second");
        host.revive();
        all_get(&mut clients, "first 0");
    }
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_total"), 0);
    assert!(proxy.stat("cluster.origin.upstream_rq_200") > 0);
    proxy.assert_alive();
}

/// Two workers, and who asks for endpoints.
const EDS: [&str; 6] = [
    "--concurrency",
    "2",
    "--service-node",
    "node",
    "--service-cluster",
    "cluster",
];

/// Writes the endpoints of the cluster `first`, in place of those that were there.
fn put_endpoints(folder: &std::path::Path, hosts: &[SocketAddr]) {
    let endpoint = |host: &SocketAddr| {
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}}}, ",
            host.ip(),
            host.port()
        )
    };
    let endpoints: String = hosts.iter().map(endpoint).collect();
    let text = format!(
        "resources: [{{'@type': type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment, \
         cluster_name: first, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}]"
    );
    let new = folder.join("new.yaml");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.join("first.yaml")).unwrap();
}

#[test]
fn every_worker_follows_the_endpoints_of_the_members() {
    let (first, other) = (Origin::answering("first"), Origin::answering("other"));
    let second = Origin::answering("second");
    let folder = tempfile::tempdir().unwrap();
    put_endpoints(folder.path(), &[]);
    let discovered = format!(
        "type: EDS, eds_cluster_config: {{eds_config: {{path_config_source: {{path: '{}'}}, resource_api_version: V3}}}}, ",
        folder.path().join("first.yaml").display()
    );
    let parts = |kind, members| {
        Config::of(of_both(kind, members))
            .and(Cluster::without_endpoints("first", &discovered))
            .and(Cluster::new("second", &[second.address], ""))
    };
    for config in [
        parts("aggregate", "first, second"),
        parts("composite", "{name: first}, {name: second}"),
    ] {
        put_endpoints(folder.path(), &[]);
        let mut proxy = start_with(&config, &EDS);
        let mut clients = connections(&proxy);
        all_get(&mut clients, "second");
        put_endpoints(folder.path(), &[first.address]);
        all_get(&mut clients, "first");
        put_endpoints(folder.path(), &[other.address]);
        all_get(&mut clients, "other");
        put_endpoints(folder.path(), &[]);
        all_get(&mut clients, "second");
        proxy.assert_alive();
    }
}
