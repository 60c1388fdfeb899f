use std::time::Duration;

use nuncio_config::any;
use nuncio_config::api::cluster::{Cluster, LoadBalancingPolicy, load_balancing_policy::Policy};
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::lb_common::OrcaOobReportingConfig;
use nuncio_config::api::protobuf::{self, Any, BoolValue};
use nuncio_config::api::round_robin::RoundRobin;

use super::{ClientSideMessage, LoadAwareMessage, PeakEwmaMessage, SharedParts, WrrLocality};
use crate::convert::compile;
use crate::orca::OutOfBand;
use crate::testing::static_cluster;

fn errors(cluster: Cluster) -> Vec<String> {
    let errors = compile(cluster, &SharedParts::default()).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn with_policy(config: Any) -> Cluster {
    let policy = Policy {
        typed_extension_config: Some(TypedExtensionConfig {
            name: "p".into(),
            typed_config: Some(config),
        }),
    };
    Cluster {
        load_balancing_policy: Some(LoadBalancingPolicy {
            policies: vec![policy],
        }),
        ..static_cluster("a", &[([127, 0, 0, 1], 80).into()])
    }
}

#[test]
fn policies_that_learn_say_what_they_want() {
    let client_side = any::pack(&ClientSideMessage::default());
    let places = any::pack(&WrrLocality {
        endpoint_picking_policy: with_policy(client_side.clone()).load_balancing_policy,
    });
    let aware = any::pack(&LoadAwareMessage {
        endpoint_picking_policy: with_policy(any::pack(&PeakEwmaMessage::default()))
            .load_balancing_policy,
        ..Default::default()
    });
    for (config, name, reports, latency) in [
        (client_side, "client_side_weighted_round_robin", true, false),
        (places, "wrr_locality", true, false),
        (
            any::pack(&PeakEwmaMessage::default()),
            "peak_ewma",
            false,
            true,
        ),
        (aware, "load_aware_locality", true, true),
    ] {
        let spec = compile(with_policy(config), &SharedParts::default()).unwrap();
        assert_eq!(
            spec.lb.name(),
            format!("envoy.load_balancing_policies.{name}")
        );
        let wanted = spec.lb.learner().unwrap().wants();
        assert_eq!(
            (wanted.reports, wanted.latency),
            (reports, latency),
            "{name}"
        );
    }
}

#[test]
fn wrr_locality_holds_nothing_but_client_side_round_robin() {
    let config = any::pack(&WrrLocality {
        endpoint_picking_policy: with_policy(any::pack(&RoundRobin::default()))
            .load_balancing_policy,
    });
    let found = errors(with_policy(config));
    assert!(
        found[0].contains("Currently WrrLocalityLoadBalancer only supports"),
        "{found:?}"
    );
}

fn out_of_band(message: ClientSideMessage) -> Vec<OutOfBand> {
    let spec = compile(with_policy(any::pack(&message)), &SharedParts::default()).unwrap();
    spec.lb.learner().unwrap().out_of_band()
}

fn enabled() -> ClientSideMessage {
    ClientSideMessage {
        enable_oob_load_report: Some(BoolValue { value: true }),
        ..Default::default()
    }
}

#[test]
fn reports_out_of_band_are_asked_for_as_configured() {
    assert!(out_of_band(ClientSideMessage::default()).is_empty());
    let every = |millis| OutOfBand {
        period: Duration::from_millis(millis),
        port: None,
        authority: None,
    };
    assert_eq!(out_of_band(enabled()), [every(10_000)]);
    for (nanos, expected) in [(1_500_000, 1), (999_999, 10_000), (0, 10_000)] {
        let message = ClientSideMessage {
            oob_reporting_period: Some(protobuf::Duration { seconds: 0, nanos }),
            ..enabled()
        };
        assert_eq!(out_of_band(message), [every(expected)], "{nanos}");
    }
    let elsewhere = ClientSideMessage {
        oob_reporting_config: Some(OrcaOobReportingConfig {
            port_value: 9001,
            authority: "orca".into(),
            ..Default::default()
        }),
        ..enabled()
    };
    let expected = OutOfBand {
        port: Some(9001),
        authority: Some("orca".into()),
        ..every(10_000)
    };
    assert_eq!(out_of_band(elsewhere), [expected]);
}

#[test]
fn a_policy_within_a_policy_asks_for_itself() {
    let aware = any::pack(&LoadAwareMessage {
        endpoint_picking_policy: with_policy(any::pack(&enabled())).load_balancing_policy,
        enable_oob_load_report: Some(BoolValue { value: true }),
        oob_reporting_period: Some(protobuf::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..Default::default()
    });
    let spec = compile(with_policy(aware), &SharedParts::default()).unwrap();
    let periods: Vec<_> = (spec.lb.learner().unwrap().out_of_band().iter())
        .map(|each| each.period.as_secs())
        .collect();
    assert_eq!(periods, [1, 10]);
}

#[test]
fn load_aware_localities_do_not_hold_each_other() {
    let aware = |child| {
        any::pack(&LoadAwareMessage {
            endpoint_picking_policy: with_policy(child).load_balancing_policy,
            ..Default::default()
        })
    };
    let errors = errors(with_policy(aware(aware(any::pack(&RoundRobin::default())))));
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].contains("load_aware_locality cannot be its own endpoint_picking_policy"),
        "{errors:?}"
    );
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let config = OrcaOobReportingConfig {
        port_value: 65_536,
        transport_socket_match_criteria: Some(protobuf::Struct::default()),
        ..Default::default()
    };
    let found = errors(with_policy(any::pack(&ClientSideMessage {
        oob_reporting_config: Some(config),
        ..enabled()
    })));
    assert!(
        found[0].contains("oob_reporting_config.transport_socket_match_criteria"),
        "{found:?}"
    );
    assert!(
        found[1].contains("oob_reporting_config.port_value"),
        "{found:?}"
    );
}
