//! Messages that arrive inside `Any` and that nothing in the descriptor set imports, or that are contrib extensions of
//! Envoy's, which the descriptor set leaves out; and a field that is newer than the descriptor set.

use crate::descriptors::{Field, Message, Model};

/// Also in `src/contrib.rs`, as a message.
const PEAK_EWMA: &str = "envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma";

/// `xds.type.matcher.v3` messages that are also in `src/xds_matchers.rs`.
const IP_MATCHER: &str = "xds.type.matcher.v3.IPMatcher";
const IP_RANGE_MATCHER: &str = "xds.type.matcher.v3.IPMatcher.IPRangeMatcher";
const NAME_MATCHER: &str = "xds.type.matcher.v3.ServerNameMatcher";
const DOMAIN_MATCHER: &str = "xds.type.matcher.v3.ServerNameMatcher.DomainMatcher";

const BOOL: u8 = 8;
const STRING: u8 = 9;
const MESSAGE: u8 = 11;

/// Adds them.
pub(crate) fn add(model: &mut Model) {
    add_health_check_name(model);
    add_matcher_trees(model);
    if !model.messages.iter().any(|m| m.name == PEAK_EWMA) {
        model.messages.push(peak_ewma());
    }
    for name in ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"] {
        if model.messages.iter().any(|m| m.name == name) {
            continue;
        }
        model.messages.push(Message {
            name: name.into(),
            fields: vec![
                field("type_url", "typeUrl", 1, STRING, ""),
                field("value", "value", 2, MESSAGE, "google.protobuf.Struct"),
            ],
            ..Message::default()
        });
    }
}

/// Envoy 1.40's; see `src/check_name.rs`.
fn add_health_check_name(model: &mut Model) {
    let checks = model.messages.iter_mut();
    for check in checks.filter(|m| m.name == "envoy.config.core.v3.HealthCheck") {
        if !check.fields.iter().any(|known| known.name == "name") {
            check.fields.push(field("name", "name", 27, STRING, ""));
        }
    }
}

/// `FieldRules { repeated: { min_items: 1 } }`
const MIN_ONE_ITEM: [u8; 5] = [0x92, 0x01, 0x02, 0x08, 0x01];

fn add_matcher_trees(model: &mut Model) {
    const ON_MATCH: &str = "xds.type.matcher.v3.Matcher.OnMatch";
    let list = |name, json_name, kind, type_name, rules: &[u8]| Field {
        repeated: true,
        rules: rules.to_vec(),
        ..field(name, json_name, 1, kind, type_name)
    };
    let on_match = || field("on_match", "onMatch", 2, MESSAGE, ON_MATCH);
    let messages = [
        (
            IP_MATCHER,
            vec![list(
                "range_matchers",
                "rangeMatchers",
                MESSAGE,
                IP_RANGE_MATCHER,
                &[],
            )],
        ),
        (
            IP_RANGE_MATCHER,
            vec![
                list(
                    "ranges",
                    "ranges",
                    MESSAGE,
                    "xds.core.v3.CidrRange",
                    &MIN_ONE_ITEM,
                ),
                on_match(),
                field("exclusive", "exclusive", 3, BOOL, ""),
            ],
        ),
        (
            NAME_MATCHER,
            vec![list(
                "domain_matchers",
                "domainMatchers",
                MESSAGE,
                DOMAIN_MATCHER,
                &[],
            )],
        ),
        (
            DOMAIN_MATCHER,
            vec![
                list("domains", "domains", STRING, "", &MIN_ONE_ITEM),
                on_match(),
            ],
        ),
    ];
    for (name, fields) in messages {
        if !model.messages.iter().any(|m| m.name == name) {
            model.messages.push(Message {
                name: name.into(),
                fields,
                ..Message::default()
            });
        }
    }
}

fn peak_ewma() -> Message {
    let message =
        |name, json_name, number, type_name| field(name, json_name, number, MESSAGE, type_name);
    const DURATION: &str = "google.protobuf.Duration";
    Message {
        name: PEAK_EWMA.into(),
        fields: vec![
            message("decay_time", "decayTime", 1, DURATION),
            message("aggregation_interval", "aggregationInterval", 2, DURATION),
            message(
                "max_samples_per_host",
                "maxSamplesPerHost",
                3,
                "google.protobuf.UInt32Value",
            ),
            message("default_rtt", "defaultRtt", 4, DURATION),
            message(
                "penalty_value",
                "penaltyValue",
                5,
                "google.protobuf.DoubleValue",
            ),
        ],
        ..Message::default()
    }
}

fn field(name: &str, json_name: &str, number: u32, kind: u8, type_name: &str) -> Field {
    Field {
        name: name.into(),
        json_name: json_name.into(),
        number,
        kind,
        type_name: type_name.into(),
        ..Field::default()
    }
}
