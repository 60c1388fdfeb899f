use super::*;
use crate::testing::{address, chain, echo, listener, pipe, server};

use nuncio_config::api::core::socket_option::{SocketType, Value, socket_type};
use nuncio_config::api::protobuf::{Any, UInt32Value};
use nuncio_net::{Address, Keepalive, SocketState};

/// What is wrong with `listener("l", "")` after `change`.
fn errors(change: impl FnOnce(&mut proto::Listener)) -> Vec<String> {
    let mut changed = listener("l", "");
    change(&mut changed);
    match compile(&changed.into(), &server(), None) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn good(change: impl FnOnce(&mut proto::Listener)) -> ListenerSpec {
    let mut changed = listener("l", "");
    change(&mut changed);
    match compile(&changed.into(), &server(), None) {
        Ok(spec) => spec,
        Err(errors) => panic!("{errors:?}"),
    }
}

fn socket(listener: &mut proto::Listener) -> &mut core::SocketAddress {
    match listener.address.as_mut().and_then(|a| a.address.as_mut()) {
        Some(core::address::Address::SocketAddress(socket)) => socket,
        _ => panic!("no socket address"),
    }
}

fn wanted(listener: &mut proto::Listener) -> &mut proto::FilterChainMatch {
    let chain = &mut listener.filter_chains[0];
    chain.filter_chain_match.get_or_insert_default()
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

#[test]
fn defaults_are_envoys() {
    let spec = good(|l| l.stat_prefix.clear());
    assert_eq!(spec.stat_prefix, "listener.127.0.0.1:0");
    assert_eq!(spec.buffer_limit, 1 << 20);
    assert_eq!(spec.max_accepts, u32::MAX);
    assert!(spec.bind_to_port && spec.addresses[0].options.reuse_port);
    assert_eq!(spec.drain_type, DrainType::Default);
    assert_eq!(spec.addresses[0].options.backlog, i32::MAX);
}

#[test]
fn addresses_are_checked_in_envoys_words() {
    assert_eq!(
        errors(|l| l.address = None),
        ["address: error adding listener named 'l': address is necessary"]
    );
    assert_eq!(
        errors(|l| socket(l).address = "foo".into()),
        ["address.socket_address.address: malformed IP address: foo"]
    );
    assert_eq!(
        errors(|l| socket(l).ipv4_compat = true),
        [
            "address.socket_address.ipv4_compat: Only IPv6 address '::' or valid IPv4-mapped IPv6 \
          address can set ipv4_compat: 127.0.0.1:0"
        ]
    );
    assert_eq!(
        errors(|l| {
            l.address = Some(pipe("/x"));
            l.enable_mptcp = true;
        }),
        ["enable_mptcp: listener l: enable_mptcp can only be used with IP addresses"]
    );
    assert_eq!(errors(|l| socket(l).protocol = 1).len(), 1);
    assert_eq!(
        errors(|l| socket(l).network_namespace_filepath = "/x".into()).len(),
        1
    );
    assert_eq!(errors(|l| socket(l).resolver_name = "x".into()).len(), 1);
    assert_eq!(errors(|l| socket(l).port_specifier = None).len(), 1);
    let spec = good(|l| {
        l.address = Some(address("::", 80));
        socket(l).ipv4_compat = true;
    });
    assert!(spec.addresses[0].options.ipv4_compat);
}

#[test]
fn additional_addresses_inherit_or_override() {
    let option = |ip_version, datagram| core::SocketOption {
        level: 1,
        name: 8,
        value: Some(Value::IntValue(5)),
        ip_version,
        r#type: Some(SocketType {
            stream: None,
            datagram,
        }),
        ..Default::default()
    };
    let spec = good(|l| {
        l.socket_options = vec![
            option(0, None),
            option(1, None),
            option(0, Some(socket_type::Datagram {})),
        ];
        l.tcp_keepalive = Some(core::TcpKeepalive {
            keepalive_probes: number(3),
            ..Default::default()
        });
        l.additional_addresses = vec![
            proto::AdditionalAddress {
                address: Some(address("::1", 1)),
                ..Default::default()
            },
            proto::AdditionalAddress {
                address: Some(pipe("@x")),
                socket_options: Some(core::SocketOptionsOverride::default()),
                tcp_keepalive: Some(core::TcpKeepalive {
                    keepalive_time: number(0),
                    ..Default::default()
                }),
            },
        ];
    });
    let [v4, v6, abs] = &spec.addresses[..] else {
        panic!("three addresses")
    };
    assert_eq!(v4.options.options.len(), 2);
    assert_eq!(v4.options.options[0].value, 5_i32.to_ne_bytes());
    assert_eq!(v4.options.options[0].state, SocketState::PreBind);
    assert_eq!(v6.options.options.len(), 1);
    let keepalive = Keepalive {
        probes: Some(3),
        ..Keepalive::default()
    };
    assert_eq!(v6.options.keepalive, Some(keepalive));
    assert!(abs.options.options.is_empty() && abs.options.keepalive.is_none());
    assert!(!abs.options.reuse_port);
    assert_eq!(abs.address, Address::pipe("@x", 0).unwrap());
}

#[test]
fn chains_are_checked_in_envoys_words() {
    assert_eq!(
        errors(|l| l.filter_chains.clear()),
        ["filter_chains: no filter chains specified"]
    );
    assert_eq!(
        errors(|l| l.filter_chains = vec![chain("a", ""), chain("b", "")]),
        ["filter_chains[1]: filter chain 'b' has the same matching rules defined as 'a'"]
    );
    assert_eq!(
        errors(|l| {
            l.filter_chains = vec![chain("a", ""), chain("b", "")];
            wanted(l).source_type = 0;
            wanted(l).source_ports = vec![1, 2];
            l.filter_chains[1].filter_chain_match = Some(proto::FilterChainMatch {
                source_ports: vec![2],
                ..Default::default()
            });
        }),
        ["filter_chains[1]: multiple filter chains with overlapping matching rules are defined"]
    );
    for name in ["*", "*w.example.com", "a.*.com"] {
        assert_eq!(
            errors(|l| wanted(l).server_names = vec![name.into()]),
            [
                "filter_chains[0].filter_chain_match.server_names[0]: partial wildcards are not \
              supported in \"server_names\""
            ]
        );
    }
    assert_eq!(
        errors(|l| wanted(l).address_suffix = "x".into()),
        ["filter_chains[0].filter_chain_match: filter chain '' contains unimplemented fields"]
    );
    assert_eq!(errors(|l| wanted(l).source_ports = vec![0]).len(), 1);
    assert_eq!(
        errors(|l| wanted(l).destination_port = number(70_000)).len(),
        1
    );
    assert_eq!(
        errors(|l| {
            wanted(l).prefix_ranges = vec![core::CidrRange {
                address_prefix: "foo".into(),
                prefix_len: number(3),
            }];
        }),
        [
            "filter_chains[0].filter_chain_match.prefix_ranges[0].address_prefix: malformed IP \
          address: foo"
        ]
    );
}

#[test]
fn filters_are_found_by_type_and_the_terminal_one_is_last() {
    let unknown = |name: &str, config_type| proto::Filter {
        name: name.into(),
        config_type,
    };
    assert_eq!(
        errors(|l| l.filter_chains[0].filters = vec![unknown("x", None)]),
        [
            "filter_chains[0].filters[0]: Didn't find a registered implementation for 'x' with type \
          URL: ''"
        ]
    );
    let other = Any {
        type_url: "type.googleapis.com/some.Other".into(),
        value: Vec::new(),
    };
    let other = Some(proto::filter::ConfigType::TypedConfig(other));
    assert_eq!(
        errors(|l| l.filter_chains[0].filters = vec![unknown("x", other)]),
        [
            "filter_chains[0].filters[0]: Didn't find a registered implementation for 'x' with type \
          URL: 'some.Other'"
        ]
    );
    assert_eq!(
        errors(|l| l.filter_chains[0].filters.push(echo(""))),
        [
            "filter_chains[0].filters[0]: Error: terminal filter named echo of type test.echo must be \
          the last filter in a network filter chain."
        ]
    );
    assert!(
        good(|l| l.filter_chains[0].filters.clear()).chains[0]
            .filter
            .is_none()
    );
}

#[test]
fn transport_sockets_other_than_plain_text_are_refused() {
    let with = |config: Option<Any>| core::TransportSocket {
        name: "x".into(),
        config_type: config.map(core::transport_socket::ConfigType::TypedConfig),
    };
    let raw = nuncio_config::any::pack(&nuncio_config::api::raw_buffer::RawBuffer {});
    good(|l| l.filter_chains[0].transport_socket = Some(with(Some(raw))));
    let refused = errors(|l| l.filter_chains[0].transport_socket = Some(with(None)));
    assert!(refused[0].starts_with("filter_chains[0].transport_socket: Didn't find"));
}

/// Every error is told at once.
#[test]
fn what_is_not_supported_is_refused_by_name() {
    let found = errors(|l| {
        l.access_log.push(Default::default());
        l.listener_filters.push(Default::default());
        l.connection_balance_config = Some(Default::default());
        l.udp_listener_config = Some(Default::default());
        l.api_listener = Some(Default::default());
        l.filter_chain_matcher = Some(Default::default());
        l.fcds_config = Some(Default::default());
        l.stats_matcher = Some(Default::default());
        l.per_connection_buffer_high_watermark_timeout = Some(Default::default());
        l.drain_type = 9;
        l.traffic_direction = 9;
        l.filter_chains[0].filters = vec![echo("refuse")];
    });
    assert_eq!(found.len(), 12, "{found:#?}");
}

#[test]
fn unchanged_chains_are_taken_over_only_when_nothing_else_has_changed() {
    let mut first = listener("l", "");
    first.filter_chains = vec![chain("a", "a")];
    first.default_filter_chain = Some(chain("d", "d"));
    let server = server();
    let old = compile(&first.clone().into(), &server, None).ok().unwrap();
    let mut second = first.clone();
    second.filter_chains[0] = chain("b", "b");
    let new = compile(&second.clone().into(), &server, Some(&old))
        .ok()
        .unwrap();
    assert!(!Arc::ptr_eq(&old.chains[0], &new.chains[0]));
    let default = |spec: &ListenerSpec| spec.default_chain.clone().unwrap();
    assert!(Arc::ptr_eq(&default(&old), &default(&new)));
    second.stat_prefix = "other".into();
    let new = compile(&second.clone().into(), &server, Some(&old))
        .ok()
        .unwrap();
    assert!(!Arc::ptr_eq(&default(&old), &default(&new)));
}
