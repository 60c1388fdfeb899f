//! gRPC between a client and a server by grpcio, and a client by h2, which is strict about frames.

use std::net::SocketAddr;

use nuncio_testing::{
    Cluster, Config, Proxy, PythonServer, peers_are_absent, refused_address, run_python,
};

use crate::{http2_upstreams, start};

/// All requests go to this host, by HTTP/2.
fn to(server: SocketAddr) -> Config {
    let fields = http2_upstreams::http2_with("", "");
    let mut config = Config::of(Cluster::new("origin", &[server], &fields));
    config.log = "%GRPC_STATUS%".into();
    config
}

fn call(proxy: &Proxy, scenario: &str) {
    run_python("grpc_client.py", &[&proxy.address.to_string(), scenario]);
}

/// Runs a scenario of the client through a proxy, and looks that nothing is left of it.
fn through(change: impl FnOnce(&mut Config), scenario: &str) {
    if peers_are_absent() {
        return;
    }
    let server = PythonServer::start("grpc_server.py");
    let mut config = to(server.address);
    change(&mut config);
    let mut proxy = start(&config);
    call(&proxy, scenario);
    http2_upstreams::assert_idle(&mut proxy);
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { through(|_| {}, stringify!($name)); })*
    };
}

scenarios! {
    unary
    metadata
    client_streaming
    server_streaming
    bidirectional
    large_messages
    many_at_once
    failures
    deadline_of_the_client
    cancellation
}

#[test]
fn deadline_of_the_route() {
    let limit = |config: &mut Config| config.route = "max_grpc_timeout: 1.5s, ".into();
    through(limit, "deadline_of_the_route");
}

#[test]
fn deadline_of_the_stream() {
    let limit = |config: &mut Config| {
        config.route = "max_stream_duration: {grpc_timeout_header_max: 1.5s}, ".into();
    };
    through(limit, "deadline_of_the_stream");
}

/// Runs a scenario of the client by h2.
fn by_h2(scenario: &str) {
    if peers_are_absent() {
        return;
    }
    let server = PythonServer::start("grpc_server.py");
    let mut proxy = start(&to(server.address));
    run_python("h2_client.py", &[&proxy.address.to_string(), scenario]);
    http2_upstreams::assert_idle(&mut proxy);
}

macro_rules! scenarios_by_h2 {
    ($($name:ident)*) => {
        mod h2 {
            $(#[test] fn $name() { super::by_h2(stringify!($name)); })*
        }
    };
}

scenarios_by_h2! {
    streams
    download
    upload
    cancel
}

#[test]
fn filters_count_calls() {
    if peers_are_absent() {
        return;
    }
    let server = PythonServer::start("grpc_server.py");
    let mut config = to(server.address);
    config.filters = "{name: stats, typed_config: {\
         '@type': type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig, \
         stats_for_all_methods: true, enable_upstream_stats: true}}, "
        .into();
    let proxy = start(&config);
    call(&proxy, "bidirectional");
    call(&proxy, "failures");
    let of_chat = |stat: &str| format!("cluster.origin.grpc.peer.Peer.Chat.{stat}");
    proxy.wait_for_stat(&of_chat("0"), 1);
    proxy.wait_for_stat(&of_chat("success"), 1);
    proxy.wait_for_stat(&of_chat("request_message_count"), 200);
    proxy.wait_for_stat(&of_chat("response_message_count"), 200);
    proxy.wait_for_stat("cluster.origin.grpc.peer.Peer.Fail.6", 1);
    proxy.wait_for_stat("cluster.origin.grpc.peer.Peer.Fail.failure", 1);
    proxy.wait_for_stat("cluster.origin.grpc.peer.Peer.FailLate.15", 1);
}

#[test]
fn unreachable_servers_are_unavailable() {
    if peers_are_absent() {
        return;
    }
    let (address, _bound) = refused_address();
    call(&start(&to(address)), "unavailable");
}

#[test]
fn the_proxy_answers_in_grpc() {
    if peers_are_absent() {
        return;
    }
    let (address, _bound) = refused_address();
    let mut config = to(address);
    config.routes = "{match: {prefix: /peer.Peer/Unary}, \
         direct_response: {status: 403, body: {inline_string: \"not for you: ü\"}}}, "
        .into();
    call(&start(&config), "direct");
    config.routes = "{match: {prefix: /peer.Peer/Unary}, direct_response: {status: 404}}, ".into();
    call(&start(&config), "no_route");
}
