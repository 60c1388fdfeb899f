//! Clusters whose hosts requests name.

use std::net::SocketAddr;
use std::thread;

use nuncio_testing::{Body, Client, Cluster, Config, Message, Origin};

use crate::start;

const FIELDS: &str = "type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, \
                      original_dst_lb_config: {use_http_header: true}, ";

/// Connections are given up soon.
const SHORT: &str = "cleanup_interval: 0.02s, typed_extension_protocol_options: {\
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\
    '@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
    common_http_protocol_options: {idle_timeout: 0.01s}, explicit_http_config: {http_protocol_options: {}}}}, ";

fn get(client: &mut Client, to: SocketAddr) -> Message {
    let request =
        format!("GET / HTTP/1.1\r\nhost: test\r\nx-envoy-original-dst-host: {to}\r\n\r\n");
    client.send(request).unwrap();
    client.message(Body::Response).unwrap()
}

#[test]
fn two_workers_share_the_hosts_that_they_make() {
    let origins = ["one", "two", "three"].map(Origin::answering);
    let proxy = start(&Config::of(Cluster::without_endpoints("origin", FIELDS)));
    let mut clients: Vec<Client> = (0..12).map(|_| proxy.client()).collect();
    for _ in 0..3 {
        for client in &mut clients {
            for (origin, name) in origins.iter().zip(["one", "two", "three"]) {
                let response = get(client, origin.address);
                assert_eq!((response.status(), &*response.text()), (200, name));
            }
        }
    }
    proxy.wait_for_stat("cluster.origin.membership_total", 3);
    let requests: u64 = proxy
        .admin("/clusters")
        .lines()
        .filter_map(|line| line.split_once("::rq_total::")?.1.parse::<u64>().ok())
        .sum();
    assert_eq!(requests, 3 * 12 * 3, "no host was made twice");
}

#[test]
fn hosts_come_and_go_under_load() {
    let origins = ["one", "two"].map(Origin::answering);
    let fields = format!("{FIELDS}{SHORT}");
    let proxy = start(&Config::of(Cluster::without_endpoints("origin", &fields)));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let mut client = proxy.client();
                    for (origin, name) in origins.iter().zip(["one", "two"]) {
                        let response = get(&mut client, origin.address);
                        assert_eq!((response.status(), &*response.text()), (200, name));
                    }
                }
            });
        }
    });
    proxy.wait_for_stat("cluster.origin.upstream_cx_active", 0);
    proxy.wait_for_stat("cluster.origin.membership_total", 0);
    assert_eq!(proxy.stat("cluster.origin.upstream_rq_200"), 160);
    assert_eq!(get(&mut proxy.client(), origins[0].address).text(), "one");
}
