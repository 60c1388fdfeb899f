//! Names whose addresses change.

use std::net::{IpAddr, SocketAddr, TcpListener};

use nuncio_testing::{Cluster, Config, DnsReply, DnsServer, Origin, until};

use crate::start;

fn addresses(texts: &[&str]) -> DnsReply {
    let all: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
    DnsReply::Addresses(all, 1)
}

/// Origins on `127.0.0.1` and `127.0.0.2`, and their port.
fn origins() -> (Origin, Origin, u16) {
    let first = Origin::answering("one");
    let port = first.address.port();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], port))).unwrap();
    let second = Origin::on(listener, |peer, _| {
        loop {
            peer.request()?;
            peer.answer("two")?;
        }
    });
    (first, second, port)
}

/// A cluster for one name.
fn cluster(server: &DnsServer, fields: &str, port: u16) -> Config {
    let fields = format!(
        "{fields}dns_lookup_family: V4_ONLY, {}load_assignment: {{cluster_name: origin, endpoints: [{{lb_endpoints: [\
         {{endpoint: {{address: {{socket_address: {{address: a.test, port_value: {port}}}}}}}}}]}}]}}, ",
        server.resolver()
    );
    Config::of(Cluster::without_endpoints("origin", &fields))
}

#[test]
fn a_ttl_says_when_to_ask_again_and_failures_keep_what_was_known() {
    let (_one, _two, port) = origins();
    let server = DnsServer::start();
    server.set("a.test", addresses(&["127.0.0.1"]));
    let fields = "type: STRICT_DNS, dns_refresh_rate: 1s, respect_dns_ttl: true, ";
    let mut proxy = start(&cluster(&server, fields, port));
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "one");
    server.set("a.test", addresses(&["127.0.0.2"]));
    until("the new address", || client.get("/").text() == "two");
    for reply in [DnsReply::Junk, DnsReply::Code(2), DnsReply::Silence] {
        server.set("a.test", reply);
        let failures = proxy.stat("cluster.origin.update_failure");
        until("a failure", || {
            proxy.stat("cluster.origin.update_failure") > failures
        });
        assert_eq!(client.get("/").text(), "two");
    }
    // That there is no such name is no failure.
    server.set("a.test", DnsReply::Code(3));
    proxy.wait_for_stat("cluster.origin.membership_total", 0);
    assert_eq!(client.get("/").status(), 503);
    proxy.assert_alive();
}

#[test]
fn a_logical_host_moves() {
    let (_one, _two, port) = origins();
    let server = DnsServer::start();
    server.set("a.test", addresses(&["127.0.0.1", "127.0.0.2"]));
    let fields = "type: LOGICAL_DNS, dns_refresh_rate: 1s, ";
    let proxy = start(&cluster(&server, fields, port));
    let mut client = proxy.client();
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(proxy.stat("cluster.origin.membership_total"), 1);
    server.set("a.test", addresses(&["127.0.0.2", "127.0.0.1"]));
    until("the new address", || client.get("/").text() == "two");
    assert!(
        proxy
            .admin("/clusters")
            .contains(&format!("origin::127.0.0.2:{port}::hostname::a.test"))
    );
    server.set("a.test", DnsReply::Code(3));
    until("a failure", || {
        proxy.stat("cluster.origin.update_failure") > 0
    });
    assert_eq!(client.get("/").text(), "two");
    assert_eq!(proxy.stat("cluster.origin.membership_total"), 1);
}

#[test]
fn a_host_that_is_not_named_any_more_stays_while_it_passes() {
    let (_one, two, port) = origins();
    let server = DnsServer::start();
    server.set("a.test", addresses(&["127.0.0.1", "127.0.0.2"]));
    let fields = "type: STRICT_DNS, dns_refresh_rate: 0.05s, health_checks: [{timeout: 1s, \
                  interval: 0.05s, no_traffic_interval: 0.05s, unhealthy_threshold: 1, \
                  healthy_threshold: 1, tcp_health_check: {}}], ";
    let proxy = start(&cluster(&server, fields, port));
    proxy.wait_for_stat("cluster.origin.membership_healthy", 2);
    server.set("a.test", addresses(&["127.0.0.1"]));
    let flagged = format!("origin::127.0.0.2:{port}::health_flags::/pending_dynamic_removal");
    until("the flag", || proxy.admin("/clusters").contains(&flagged));
    assert_eq!(proxy.stat("cluster.origin.membership_total"), 2);
    drop(two);
    proxy.wait_for_stat("cluster.origin.membership_total", 1);
}
