use std::net::SocketAddr;
use std::time::Duration;

use nuncio_config::api::Any;
use nuncio_config::api::listener as proto;
use nuncio_config::api::listener::listener_filter::ConfigType;
use nuncio_config::api::listener::listener_filter_chain_match_predicate::Rule;
use nuncio_config::api::protobuf::{BoolValue, Duration as DurationMessage};
use tokio::task::LocalSet;

use crate::stats::ListenerStats as S;
use crate::testing::*;

const LONG: Duration = Duration::from_secs(600);

/// Runs a test on a loop like the main thread's.
async fn local(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// The filter that does what `text` says.
fn inspecting(text: &str) -> proto::ListenerFilter {
    proto::ListenerFilter {
        name: "inspect".into(),
        config_type: Some(ConfigType::TypedConfig(Any {
            type_url: "type.googleapis.com/test.Inspect".into(),
            value: text.into(),
        })),
        ..Default::default()
    }
}

/// A listener with these filters.
fn listening(name: &str, filters: &[&str]) -> proto::Listener {
    proto::Listener {
        listener_filters: filters.iter().map(|text| inspecting(text)).collect(),
        ..listener(name, &format!("{name}:"))
    }
}

/// A listener without sockets.
fn elsewhere(name: &str, at: SocketAddr) -> proto::Listener {
    proto::Listener {
        address: Some(address(&at.ip().to_string(), at.port())),
        bind_to_port: Some(BoolValue { value: false }),
        ..listening(name, &[])
    }
}

async fn answer(proxy: &Proxy, name: &str) -> String {
    ask(&mut proxy.connect(name).await, "xy").await
}

#[tokio::test]
async fn filters_run_in_order_and_what_they_read_is_served() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        proxy.add(&listening("a", &["continue", "read"]));
        assert_eq!(answer(&proxy, "a").await, "a:xy");
        proxy.add(&listening("b", &["continue", "close", "hang"]));
        assert_eq!(answer(&proxy, "b").await, "");
        assert_eq!(proxy.counter("b", S::DOWNSTREAM_CX_TOTAL), 0);
        until(|| proxy.waiting("b") == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_filter_can_be_switched_off() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let mut a = listening("a", &["close"]);
        a.listener_filters[0].filter_disabled = Some(proto::ListenerFilterChainMatchPredicate {
            rule: Some(Rule::AnyMatch(true)),
        });
        proxy.add(&a);
        assert_eq!(answer(&proxy, "a").await, "a:xy");
    })
    .await;
}

#[tokio::test]
async fn filters_have_a_time_limit() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let timeout = Some(DurationMessage {
            seconds: 0,
            nanos: 20_000_000,
        });
        let strict = proto::Listener {
            listener_filters_timeout: timeout,
            ..listening("strict", &["hang"])
        };
        proxy.add(&strict);
        proxy.add(&proto::Listener {
            name: "lenient".into(),
            stat_prefix: "lenient".into(),
            continue_on_listener_filters_timeout: true,
            ..strict
        });
        assert_eq!(answer(&proxy, "strict").await, "");
        assert_eq!(proxy.counter("strict", S::DOWNSTREAM_PRE_CX_TIMEOUT), 1);
        assert_eq!(answer(&proxy, "lenient").await, "strict:xy");
        assert_eq!(proxy.counter("lenient", S::DOWNSTREAM_PRE_CX_TIMEOUT), 1);
    })
    .await;
}

#[tokio::test]
async fn what_waits_when_its_listener_ends_is_closed() {
    local(async {
        let proxy = Proxy::started(Duration::from_millis(1)).await;
        let waiting = proto::Listener {
            continue_on_listener_filters_timeout: true,
            listener_filters_timeout: Some(DurationMessage {
                seconds: 0,
                nanos: 200_000_000,
            }),
            ..listening("a", &["hang"])
        };
        proxy.add(&waiting);
        let mut client = proxy.connect("a").await;
        until(|| proxy.waiting("a") == 1).await;
        proxy.manager.remove("a");
        closed(&mut client).await;
        assert_eq!(proxy.counter("a", S::DOWNSTREAM_CX_TOTAL), 0);
    })
    .await;
}

#[tokio::test]
async fn a_restored_connection_goes_to_the_listener_at_its_destination() {
    local(async {
        let proxy = Proxy::started(LONG).await;
        let at: SocketAddr = "127.0.0.9:7777".parse().unwrap();
        let front = proto::Listener {
            use_original_dst: Some(BoolValue { value: true }),
            ..listening("front", &["restore 127.0.0.9:7777"])
        };
        proxy.add(&front);
        assert_eq!(answer(&proxy, "front").await, "front:xy", "nobody is there");
        proxy.add(&elsewhere("any", "0.0.0.0:7777".parse().unwrap()));
        assert_eq!(answer(&proxy, "front").await, "any:xy");
        let mut exact = elsewhere("exact", at);
        // Its own filters run, but connections are not handed on once more.
        exact.use_original_dst = Some(BoolValue { value: true });
        exact.listener_filters = vec![inspecting("restore 127.0.0.8:7777")];
        proxy.add(&exact);
        assert_eq!(answer(&proxy, "front").await, "exact:xy");
        assert_eq!(proxy.counter("front", S::DOWNSTREAM_CX_TOTAL), 1);
        assert_eq!(proxy.counter("any", S::DOWNSTREAM_CX_TOTAL), 1);
        assert_eq!(proxy.counter("exact", S::DOWNSTREAM_CX_TOTAL), 1);
    })
    .await;
}
