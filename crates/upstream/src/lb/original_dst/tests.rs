use std::rc::Rc;

use nuncio_config::api::protobuf::{ListValue, Value};
use nuncio_http::HeaderMap;
use nuncio_sdk::metadata::DynamicMetadata;
use nuncio_sdk::{ConnectionInfo, FilterState};

use super::*;
use crate::lb::testing::{env, one_priority};
use crate::testing::port;

fn policy(options: Options) -> Arc<OriginalDst> {
    Arc::new(OriginalDst::new(options, "c"))
}

fn every_source() -> Options {
    Options {
        header: Some("x-to".into()),
        metadata: Some(MetadataKey {
            namespace: "ns".into(),
            path: ["to".into(), "host".into()].into(),
        }),
        port: None,
        cleanup_interval: Duration::from_secs(5),
    }
}

fn address(port: u16) -> Address {
    Address::parse_ip("127.0.0.1", port).unwrap()
}

fn connection(restored: bool) -> ConnectionInfo {
    let any = Rc::new(address(9));
    ConnectionInfo {
        id: 1,
        remote_address: any.clone(),
        direct_remote_address: any,
        local_address: Rc::new(address(4)),
        local_address_restored: restored,
        listener_name: Arc::from(""),
        filter_chain_name: Arc::from(""),
        listener_metadata: None,
        filter_chain_metadata: None,
        tls: false,
        start: tokio::time::Instant::now(),
    }
}

fn metadata(value: Kind) -> DynamicMetadata {
    let mut inner = nuncio_config::api::protobuf::Struct::default();
    inner
        .fields
        .insert("host".into(), Value { kind: Some(value) });
    let mut metadata = DynamicMetadata::default();
    let value = Kind::StructValue(inner);
    metadata.set("ns", "to", Value { kind: Some(value) });
    metadata
}

fn text(text: &str) -> Kind {
    Kind::StringValue(text.into())
}

#[test]
fn sources_have_an_order() {
    let env = env(1);
    let mut balancer = policy(every_source()).build(&env.random);
    let nothing = one_priority([].into_iter());
    let mut state = FilterState::default();
    state.set(ORIGINAL_DST_ADDRESS, Rc::new(AddressObject(address(1))));
    let metadata = metadata(text("127.0.0.1:2"));
    let headers: HeaderMap = [("x-to", "127.0.0.1:3"), ("x-to", "127.0.0.1:7")]
        .into_iter()
        .collect();
    let (restored, plain) = (connection(true), connection(false));
    let mut cx = LbContext {
        filter_state: Some(&state),
        metadata: Some(&metadata),
        request_headers: Some(&headers),
        downstream: Some(&restored),
        ..LbContext::default()
    };
    let mut chosen =
        |cx: &LbContext<'_>| balancer.choose(&nothing, cx, &env).map(|host| port(&host));
    assert_eq!(chosen(&cx), Some(1));
    cx.filter_state = None;
    assert_eq!(chosen(&cx), Some(2));
    cx.metadata = None;
    assert_eq!(chosen(&cx), Some(3));
    cx.request_headers = None;
    assert_eq!(chosen(&cx), Some(4));
    cx.downstream = Some(&plain);
    assert_eq!(chosen(&cx), None, "nobody has redirected it");
    assert_eq!(env.group.counter(S::ORIGINAL_DST_HOST_INVALID), 0);
}

#[test]
fn what_is_no_address_is_counted_and_passed_over() {
    let env = env(1);
    let mut balancer = policy(every_source()).build(&env.random);
    let nothing = one_priority([].into_iter());
    let list = ListValue {
        values: vec![Value {
            kind: Some(text("a.name:80")),
        }],
    };
    let metadata = metadata(Kind::ListValue(list));
    let headers: HeaderMap = [("x-to", "127.0.0.1")].into_iter().collect();
    let restored = connection(true);
    let cx = LbContext {
        metadata: Some(&metadata),
        request_headers: Some(&headers),
        downstream: Some(&restored),
        ..LbContext::default()
    };
    let host = balancer.choose(&nothing, &cx, &env).unwrap();
    assert_eq!(port(&host), 4);
    assert_eq!(env.group.counter(S::ORIGINAL_DST_HOST_INVALID), 2);
}

#[test]
fn the_port_can_be_said_and_hosts_are_made_once() {
    let env = env(1);
    let policy = policy(Options {
        port: Some(80),
        ..every_source()
    });
    let mut balancer = policy.clone().build(&env.random);
    let mut other = policy.clone().build(&env.random);
    let nothing = one_priority([].into_iter());
    let restored = connection(true);
    let cx = LbContext {
        downstream: Some(&restored),
        ..LbContext::default()
    };
    let host = balancer.choose(&nothing, &cx, &env).unwrap().into_owned();
    assert_eq!(port(&host), 80);
    let again = balancer.choose(&nothing, &cx, &env).unwrap().into_owned();
    let elsewhere = other.choose(&nothing, &cx, &env).unwrap().into_owned();
    assert!(Arc::ptr_eq(&host, &again) && Arc::ptr_eq(&host, &elsewhere));
    assert!(balancer.keeps(&host));
    let shown = one_priority(policy.hosts().take_new().into_iter());
    balancer.on_hosts(&shown);
    assert!(!balancer.keeps(&host), "the main thread has it now");
    let found = balancer.choose(&shown, &cx, &env).unwrap();
    assert!(matches!(found, Cow::Borrowed(found) if Arc::ptr_eq(found, &host)));
}
