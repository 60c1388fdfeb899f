use std::collections::HashMap;

use nuncio_config::any;
use nuncio_config::api::cluster::cluster::DiscoveryType;
use nuncio_config::api::cluster::{
    CircuitBreakers, LoadBalancingPolicy, circuit_breakers, load_balancing_policy,
};
use nuncio_config::api::core::{
    Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions, Metadata,
    TypedExtensionConfig, http2_protocol_options::SettingsParameter,
};
use nuncio_config::api::http_protocol_options::{
    HttpProtocolOptions as TypedOptions,
    http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
        explicit_http_config::ProtocolConfig,
    },
};
use nuncio_config::api::protobuf::{self, Struct, UInt32Value, Value, value::Kind};
use nuncio_config::api::round_robin::RoundRobin;

use nuncio_sdk::Protocol;

use super::*;
use crate::breaker::Thresholds;
use crate::dns::LookupFamily;
use crate::host_set::PriorityOptions;
use crate::info::UpstreamProtocol;
use crate::testing::{cluster, endpoint, static_cluster};

const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn ok(cluster: Cluster) -> ClusterSpec {
    compile(cluster, &SharedParts::default()).unwrap()
}

fn errors(cluster: Cluster) -> Vec<String> {
    let errors = compile(cluster, &SharedParts::default()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn plain() -> Cluster {
    static_cluster("a", &[([127, 0, 0, 1], 80).into()])
}

#[test]
fn defaults_are_envoys() {
    let parts = SharedParts::default();
    let spec = compile(plain(), &parts).unwrap();
    assert_eq!(spec.connect_timeout, Duration::from_secs(5));
    assert_eq!(spec.per_connection_buffer_limit, 1 << 20);
    assert_eq!(spec.thresholds, <[Thresholds; 2]>::default());
    assert_eq!(spec.http.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(spec.priorities, PriorityOptions::default());
    assert!(spec.wait_for_warm && spec.dns.is_none() && spec.metadata.is_none());
    // What is default costs a cluster nothing.
    assert!(Arc::ptr_eq(&spec.http, &parts.http) && Arc::ptr_eq(&spec.connect, &parts.connect));
    let lb = Arc::as_ptr(&spec.lb).cast::<()>();
    assert_eq!(lb, Arc::as_ptr(&parts.round_robin).cast::<()>());
}

fn typed(options: TypedOptions) -> Cluster {
    let mut cluster = plain();
    cluster.typed_extension_protocol_options =
        HashMap::from([(KEY.to_owned(), any::pack(&options))]);
    cluster
}

fn http1(options: Http1ProtocolOptions) -> Option<UpstreamProtocolOptions> {
    Some(UpstreamProtocolOptions::ExplicitHttpConfig(
        ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::HttpProtocolOptions(options)),
        },
    ))
}

#[test]
fn typed_http_options() {
    let spec = ok(typed(TypedOptions {
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: Some(protobuf::Duration::default()),
            max_connection_duration: Some(protobuf::Duration {
                seconds: 9,
                nanos: 0,
            }),
            max_requests_per_connection: Some(UInt32Value { value: 3 }),
            max_headers_count: Some(UInt32Value { value: 7 }),
            max_response_headers_kb: Some(UInt32Value { value: 2 }),
            ..Default::default()
        }),
        upstream_protocol_options: http1(Http1ProtocolOptions {
            enable_trailers: true,
            ..Default::default()
        }),
        ..Default::default()
    }));
    assert_eq!(spec.http.idle_timeout, None, "zero is for ever");
    assert_eq!(
        spec.http.max_connection_duration,
        Some(Duration::from_secs(9))
    );
    assert_eq!(spec.http.max_requests_per_connection, Some(3));
    assert_eq!(
        (spec.http.h1.max_headers, spec.http.h1.max_head_bytes),
        (7, 2048)
    );
    assert!(spec.http.h1.enable_trailers);
}

fn explicit_http2(options: Http2ProtocolOptions) -> Cluster {
    let config = ExplicitHttpConfig {
        protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(options)),
    };
    typed(TypedOptions {
        common_http_protocol_options: Some(HttpProtocolOptions {
            max_headers_count: Some(UInt32Value { value: 7 }),
            max_response_headers_kb: Some(UInt32Value { value: 2 }),
            ..Default::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(config)),
        ..Default::default()
    })
}

#[test]
fn http2_is_spoken_where_it_is_asked_for() {
    let http = ok(explicit_http2(Http2ProtocolOptions {
        max_concurrent_streams: Some(UInt32Value { value: 9 }),
        // More than all headers together may have: Envoy does not mind, upstream.
        max_header_field_size_kb: Some(UInt32Value { value: 64 }),
        ..Default::default()
    }))
    .http;
    assert_eq!(http.protocol, Some(UpstreamProtocol::Http2));
    assert_eq!(http.h2.max_concurrent_streams, 9);
    assert_eq!((http.h2.max_headers, http.h2.max_header_bytes), (7, 2048));
    assert_eq!(http.h2.max_header_field_bytes, 64 * 1024);
    assert_eq!(http.keepalive, None);

    let shown = errors(explicit_http2(Http2ProtocolOptions {
        custom_settings_parameters: vec![SettingsParameter {
            identifier: Some(UInt32Value { value: 2 }),
            value: Some(UInt32Value { value: 1 }),
        }],
        ..Default::default()
    }));
    let path = format!(
        "typed_extension_protocol_options[{KEY:?}].explicit_http_config.http2_protocol_options.\
         custom_settings_parameters"
    );
    assert!(shown[0].starts_with(&path), "{shown:?}");
}

#[test]
fn an_upstream_can_speak_what_the_client_speaks() {
    let config = UseDownstreamHttpConfig {
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: Some(UInt32Value { value: 9 }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let options = UpstreamProtocolOptions::UseDownstreamProtocolConfig(config);
    let http = ok(typed(TypedOptions {
        upstream_protocol_options: Some(options),
        ..Default::default()
    }))
    .http;
    assert_eq!(http.h2.max_concurrent_streams, 9);
    for (downstream, protocol) in [
        (Some(Protocol::Http10), UpstreamProtocol::Http1),
        (Some(Protocol::Http11), UpstreamProtocol::Http1),
        (Some(Protocol::Http2), UpstreamProtocol::Http2),
        (None, UpstreamProtocol::Http1),
    ] {
        assert_eq!(http.protocol_for(downstream), protocol);
    }
}

#[test]
#[expect(deprecated, reason = "these are the fields")]
fn the_deprecated_fields_choose_a_protocol() {
    let mut cluster = plain();
    cluster.http2_protocol_options = Some(Http2ProtocolOptions::default());
    let http = ok(cluster.clone()).http;
    assert_eq!(http.protocol, Some(UpstreamProtocol::Http2));
    cluster.http_protocol_options = Some(Http1ProtocolOptions::default());
    assert!(errors(cluster.clone())[0].contains("Both HTTP1 and HTTP2 options"));
    cluster.protocol_selection = ClusterProtocolSelection::UseDownstreamProtocol.into();
    assert_eq!(ok(cluster).http.protocol, None);
}

#[test]
fn what_is_not_implemented_is_refused_with_its_path() {
    let mut message = typed(TypedOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::AutoConfig(Default::default())),
        ..Default::default()
    });
    message.queuing_policies = Some(Default::default());
    let shown = errors(message);
    let paths: Vec<&str> = shown
        .iter()
        .filter_map(|error| error.split(": ").next())
        .collect();
    let auto = format!("typed_extension_protocol_options[{KEY:?}].auto_config");
    assert_eq!(paths, ["queuing_policies", auto.as_str()]);
    assert!(errors(typed(TypedOptions::default()))[0].contains("value is required"));
}

#[test]
fn the_first_threshold_of_a_priority_counts() {
    let threshold = |priority, value| circuit_breakers::Thresholds {
        priority,
        max_requests: Some(UInt32Value { value }),
        ..Default::default()
    };
    let mut message = plain();
    message.circuit_breakers = Some(CircuitBreakers {
        thresholds: vec![threshold(1, 5), threshold(0, 6), threshold(0, 7)],
        ..Default::default()
    });
    let spec = ok(message);
    assert_eq!(spec.thresholds[0].max_requests, 6);
    assert_eq!(spec.thresholds[1].max_requests, 5);
    assert_eq!(spec.thresholds[1].max_retries, 3);
}

#[test]
fn policies_as_extensions() {
    let policy = |config| load_balancing_policy::Policy {
        typed_extension_config: Some(TypedExtensionConfig {
            name: "p".into(),
            typed_config: Some(config),
        }),
    };
    let unknown = policy(nuncio_config::api::Any {
        type_url: "x/y.Z".into(),
        value: Vec::new(),
    });
    let known = policy(any::pack(&RoundRobin::default()));
    let mut message = plain();
    message.load_balancing_policy = Some(LoadBalancingPolicy {
        policies: vec![unknown.clone(), known],
    });
    assert_eq!(
        ok(message).lb.name(),
        "envoy.load_balancing_policies.round_robin"
    );
    let mut message = plain();
    message.load_balancing_policy = Some(LoadBalancingPolicy {
        policies: vec![unknown],
    });
    let shown = errors(message);
    assert!(
        shown[0].contains("didn't find a registered load balancer factory with names from [p]")
    );
}

#[test]
fn names_need_dns() {
    let spec = ok(cluster(
        "a",
        DiscoveryType::StrictDns,
        vec![endpoint("a.test", 80), endpoint("::1", 80)],
    ));
    let addresses: Vec<_> = spec.localities[0]
        .endpoints
        .iter()
        .map(|e| e.address.clone())
        .collect();
    assert_eq!(addresses[0], EndpointAddress::Name("a.test".into(), 80));
    assert!(matches!(addresses[1], EndpointAddress::Literal(_)));
    let dns = spec.dns.unwrap();
    assert_eq!(
        (dns.options.refresh_rate, dns.options.lookup_family),
        (Duration::from_secs(5), LookupFamily::Auto)
    );
}

#[test]
fn metadata_is_kept() {
    let value = Value {
        kind: Some(Kind::StringValue("v".into())),
    };
    let fields = Struct {
        fields: HashMap::from([("k".to_owned(), value.clone())]),
    };
    let mut message = plain();
    message.metadata = Some(Metadata {
        filter_metadata: HashMap::from([("ns".to_owned(), fields)]),
        ..Default::default()
    });
    assert_eq!(ok(message).metadata.unwrap().get("ns", ["k"]), Some(&value));
}

#[test]
fn resolvers() {
    use nuncio_config::api::cares_resolver::CaresDnsResolverConfig;
    use nuncio_config::api::protobuf::UInt64Value;

    use crate::dns::{CaresOptions, ResolverConfig};

    let typed = |config| TypedExtensionConfig {
        name: "any".into(),
        typed_config: Some(config),
    };
    let mut asking = cluster("a", DiscoveryType::StrictDns, Vec::new());
    asking.typed_dns_resolver_config = Some(typed(any::pack(&CaresDnsResolverConfig {
        query_timeout_seconds: Some(UInt64Value { value: u64::MAX }),
        query_tries: Some(UInt32Value { value: 2 }),
        filter_unroutable_families: true,
        ..CaresDnsResolverConfig::default()
    })));
    let wanted = CaresOptions {
        timeout: Duration::from_secs(86_400),
        tries: 2,
        filter_unroutable_families: true,
        ..CaresOptions::default()
    };
    let dns = ok(asking.clone()).dns.unwrap();
    assert_eq!(dns.resolver, Some(ResolverConfig::Cares(wanted)));
    asking.typed_dns_resolver_config = Some(typed(any::pack(&Struct::default())));
    let wrong = compile(asking.clone(), &SharedParts::default()).unwrap_err();
    let wrong = wrong[0].to_string();
    assert!(
        wrong.starts_with(
            "typed_dns_resolver_config.typed_config: Didn't find a registered implementation"
        ),
        "{wrong}"
    );
    asking.typed_dns_resolver_config = None;
    assert_eq!(ok(asking).dns.unwrap().resolver, None);
}
