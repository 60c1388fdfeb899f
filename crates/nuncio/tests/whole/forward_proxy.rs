//! Requests to hosts that they name themselves.

use std::net::SocketAddr;

use nuncio_testing::{Body, Client, Cluster, Config, Message, Origin};

use crate::start;

fn config(cache: &str) -> Config {
    let cache = format!("dns_cache_config: {{name: names, dns_lookup_family: V4_ONLY, {cache}}}");
    let cluster = format!(
        "lb_policy: CLUSTER_PROVIDED, cluster_type: {{name: forward, typed_config: {{\
         '@type': type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig, {cache}}}}}, "
    );
    let mut config = Config::of(Cluster::without_endpoints("origin", &cluster));
    config.filters = format!(
        "{{name: forward, typed_config: {{\
         '@type': type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig, {cache}}}}}, "
    );
    config
}

fn post(client: &mut Client, host: &str, body: &str) -> Message {
    let length = body.len();
    client
        .send(format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
        .unwrap();
    client.message(Body::Response).unwrap()
}

fn names(origin: SocketAddr) -> [String; 3] {
    let port = origin.port();
    ["localhost", "LocalHost", "127.0.0.1"].map(|name| format!("{name}:{port}"))
}

#[test]
fn many_at_once_wait_for_one_answer() {
    let origin = Origin::answering("one");
    let proxy = start(&config(""));
    let mut clients: Vec<Client> = (0..24).map(|_| proxy.client()).collect();
    // All ask before the first is answered.
    for (client, host) in clients.iter_mut().zip(names(origin.address).iter().cycle()) {
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        client.send(request).unwrap();
    }
    for client in &mut clients {
        let response = client.message(Body::Response).unwrap();
        assert_eq!((response.status(), &*response.text()), (200, "one"));
    }
    for client in &mut clients {
        let response = post(client, &names(origin.address)[0], "a body");
        assert_eq!((response.status(), &*response.text()), (200, "one"));
    }
    assert_eq!(proxy.stat("dns_cache.names.host_added"), 3);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_200"), 48);
    assert_eq!(proxy.stat("cluster.origin.membership_total"), 3);
    let pending = "dns_cache.names.circuit_breakers.rq_pending_remaining";
    assert_eq!(proxy.stat(pending), 1024);
}

#[test]
fn hosts_that_nobody_asks_for_are_forgotten() {
    let origin = Origin::answering("one");
    let times = "host_ttl: 0.05s, dns_refresh_rate: 0.03s, dns_min_refresh_rate: 1s, ";
    let proxy = start(&config(times));
    let mut client = proxy.client();
    let host = &names(origin.address)[0];
    for _ in 0..2 {
        let response = post(&mut client, host, "a body");
        assert_eq!((response.status(), &*response.text()), (200, "one"));
        proxy.wait_for_stat("dns_cache.names.num_hosts", 0);
        proxy.wait_for_stat("cluster.origin.membership_total", 0);
    }
    assert_eq!(proxy.stat("dns_cache.names.host_added"), 2);
}

#[test]
fn names_do_not_use_up_the_memory() {
    let proxy = start(&config("max_hosts: 2, "));
    let mut client = proxy.client();
    for port in [1, 2] {
        let response = post(&mut client, &format!("127.0.0.1:{port}"), "");
        assert!(!response.text().contains("overflow"));
    }
    for number in 0..50 {
        let response = post(&mut client, &format!("127.0.0.2:{}", 10 + number), "");
        assert_eq!(response.text(), "DNS cache overflow");
    }
    assert_eq!(proxy.stat("dns_cache.names.num_hosts"), 2);
    assert_eq!(proxy.stat("dns_cache.names.host_overflow"), 50);
}
