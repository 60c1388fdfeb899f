use nuncio_config::any;
use nuncio_config::api::cluster::{Cluster, LoadBalancingPolicy, load_balancing_policy::Policy};
use nuncio_config::api::core::TypedExtensionConfig;
use nuncio_config::api::protobuf::{Any, BoolValue};
use nuncio_config::api::round_robin::RoundRobin;

use super::{ClientSideMessage, LoadAwareMessage, PeakEwmaMessage, SharedParts, WrrLocality};
use crate::convert::compile;
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

#[test]
fn reports_out_of_band_are_refused() {
    let found = errors(with_policy(any::pack(&ClientSideMessage {
        enable_oob_load_report: Some(BoolValue { value: true }),
        ..Default::default()
    })));
    assert!(found[0].contains("enable_oob_load_report"), "{found:?}");
}
