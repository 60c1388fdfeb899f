//! Which host a request meets, over several workers and connections.

use std::collections::HashSet;
use std::time::Duration;

use nuncio_testing::{Body, Client, Cluster, Config, Message, Origin, Proxy};

use crate::start;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// A cluster of origins that answer with their names.
fn named(count: usize, fields: &str) -> (Vec<Origin>, Cluster) {
    let origins: Vec<Origin> = NAMES[..count]
        .iter()
        .map(|name| Origin::answering(name))
        .collect();
    let hosts: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let cluster = Cluster::new("origin", &hosts, fields);
    (origins, cluster)
}

/// Connections enough to be on both workers.
fn connections(proxy: &Proxy) -> Vec<Client> {
    (0..12).map(|_| proxy.client()).collect()
}

fn get(client: &mut Client, path: &str, header: &str) -> Message {
    client
        .send(format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\n{header}\r\n\r\n"
        ))
        .unwrap();
    client.message(Body::Response).unwrap()
}

#[test]
fn two_workers_take_turns_together() {
    let (_origins, cluster) = named(2, "");
    let proxy = start(&Config::of(cluster));
    let mut last = String::new();
    for client in &mut connections(&proxy) {
        for _ in 0..3 {
            let name = client.get("/").text();
            assert_ne!(name, last);
            last = name;
        }
    }
}

#[test]
fn few_connections_reach_every_host_as_often() {
    let (origins, cluster) = named(3, "");
    let proxy = start(&Config::of(cluster));
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for round in 0..30 {
        // Not in step with the hosts.
        let turn = round % 3;
        for client in clients.iter_mut().skip(turn % 2).rev() {
            client.get("/");
        }
    }
    let counts: Vec<usize> = origins.iter().map(Origin::requests).collect();
    assert_eq!(counts.iter().sum::<usize>(), 110);
    assert!(
        counts.iter().all(|count| (36..=37).contains(count)),
        "{counts:?}"
    );
}

/// A policy of `load_balancing_policy`.
fn extension(kind: &str, fields: &str) -> String {
    format!(
        "load_balancing_policy: {{policies: [{{typed_extension_config: {{name: p, typed_config: \
         {{'@type': type.googleapis.com/envoy.extensions.load_balancing_policies.{kind}, {fields}}}}}}}]}}, "
    )
}

#[test]
fn peak_ewma_avoids_a_slow_host() {
    let slow = Origin::start(|peer, _| {
        loop {
            peer.request()?;
            std::thread::sleep(Duration::from_secs(1));
            peer.answer("slow")?;
        }
    });
    let quick = [Origin::answering("one"), Origin::answering("two")];
    let hosts = [slow.address, quick[0].address, quick[1].address];
    // So small a default that every host is tried.
    let policy = extension("peak_ewma.v3alpha.PeakEwma", "default_rtt: 0.000001s");
    let proxy = start(&Config::of(Cluster::new("origin", &hosts, &policy)));
    let mut clients: Vec<Client> = (0..4).map(|_| proxy.client()).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client.get("/");
        }
    }
    assert_eq!(slow.requests(), 1);
    let counts = quick.map(|origin| origin.requests());
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
}

#[test]
fn load_aware_localities_serve_with_any_policy_inside() {
    let (origins, _) = named(2, "");
    let hosts: Vec<_> = origins.iter().map(|origin| origin.address).collect();
    let inner = extension("round_robin.v3.RoundRobin", "");
    let inner = inner.trim_end_matches(", ").replacen(
        "load_balancing_policy",
        "endpoint_picking_policy",
        1,
    );
    let policy = extension("load_aware_locality.v3.LoadAwareLocality", &inner);
    let proxy = start(&Config::of(Cluster::new("origin", &hosts, &policy)));
    let mut client = proxy.client();
    let names: Vec<String> = (0..4).map(|_| client.get("/").text()).collect();
    assert_eq!(names[0], names[2]);
    assert_ne!(names[0], names[1]);
}

#[test]
fn a_key_meets_one_host_from_every_worker() {
    for policy in ["RING_HASH", "MAGLEV"] {
        let (_origins, cluster) = named(3, &format!("lb_policy: {policy}, "));
        let mut config = Config::of(cluster);
        config.route = "hash_policy: [{header: {header_name: x-key}}], ".into();
        let proxy = start(&config);
        let mut clients = connections(&proxy);
        let mut met = HashSet::new();
        for key in 0..20 {
            let key = format!("x-key: {key}");
            let mut ask = |client: &mut Client| get(client, "/", &key).text();
            let hosts: HashSet<String> = clients.iter_mut().map(&mut ask).collect();
            assert_eq!(hosts.len(), 1, "{policy}, {key}: {hosts:?}");
            met.extend(hosts);
        }
        assert_eq!(met.len(), 3, "{policy}: every host has keys");
    }
}

#[test]
fn a_cookie_that_was_made_leads_to_its_host() {
    let (_origins, cluster) = named(3, "lb_policy: MAGLEV, ");
    let mut config = Config::of(cluster);
    config.route = "hash_policy: [{cookie: {name: c, ttl: 60s}}], ".into();
    let proxy = start(&config);
    for client in &mut connections(&proxy) {
        let first = client.get("/");
        let cookie = first.header("set-cookie").unwrap();
        assert!(cookie.ends_with("; Max-Age=60; HttpOnly"), "{cookie}");
        let (cookie, _) = cookie.split_once(';').unwrap();
        let again = get(&mut proxy.client(), "/", &format!("cookie: {cookie}"));
        assert_eq!(again.text(), first.text());
        assert_eq!(again.header("set-cookie"), None);
    }
}

const SESSION: &str = "{name: session, typed_config: {\
    '@type': type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession, \
    session_state: {name: envoy.http.stateful_session.cookie, typed_config: {\
    '@type': type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState, \
    cookie: {name: s, ttl: 60s}}}}}, ";

#[test]
fn a_session_stays_with_its_host() {
    let (_origins, cluster) = named(3, "");
    let mut config = Config::of(cluster);
    config.filters = SESSION.into();
    let proxy = start(&config);
    let first = proxy.client().get("/");
    let cookie = first.header("set-cookie").unwrap();
    let (cookie, _) = cookie.split_once(';').unwrap();
    for client in &mut connections(&proxy) {
        let again = get(client, "/", &format!("cookie: {cookie}"));
        assert_eq!(again.text(), first.text());
        assert_eq!(again.header("set-cookie"), None);
    }
}

#[test]
fn a_subset_is_what_the_route_asks_for() {
    let (_origins, cluster) = named(
        2,
        "metadata: {}, lb_subset_config: {fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [v]}]}, ",
    );
    let mut config = Config::of(cluster);
    config.route = "metadata_match: {filter_metadata: {envoy.lb: {v: '1'}}}, ".into();
    let proxy = start(&config);
    // No host has such metadata: any of them serves.
    let met: HashSet<String> = (0..4).map(|_| proxy.client().get("/").text()).collect();
    assert_eq!(met.len(), 2);
    proxy.wait_for_stat("cluster.origin.lb_subsets_fallback", 4);
}
