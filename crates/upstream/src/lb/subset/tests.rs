use nuncio_config::api::protobuf::{ListValue, Struct, Value, value::Kind};
use nuncio_net::Address;
use nuncio_sdk::metadata::DynamicMetadata;

use super::*;
use crate::host::{HealthFlags, Host, HostConfig};
use crate::lb::round_robin::RoundRobin;
use crate::lb::testing::{env, of_groups, one_priority};
use crate::lb::{LbContext, LbEnv};
use crate::stats::ClusterStats as S;
use crate::testing::port;

fn text(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

fn list(values: Vec<Value>) -> Value {
    Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    }
}

fn fields(fields: &[(&str, &str)]) -> Value {
    let fields = fields.iter().map(|(k, v)| ((*k).to_owned(), text(v)));
    Value {
        kind: Some(Kind::StructValue(Struct {
            fields: fields.collect(),
        })),
    }
}

fn host_with(port: u16, metadata: &[(&str, Value)], health: HealthFlags) -> Arc<Host> {
    let mut all = DynamicMetadata::default();
    for (key, value) in metadata {
        all.set("envoy.lb", key, value.clone());
    }
    Arc::new(Host::new(HostConfig {
        address: Address::parse_ip("127.0.0.1", port).unwrap(),
        additional: None,
        hostname: Arc::from(""),
        locality: Arc::default(),
        metadata: Some(Arc::new(all)),
        weight: 1,
        priority: 0,
        health,
        health_check: None,
    }))
}

fn host(port: u16, metadata: &[(&str, &str)]) -> Arc<Host> {
    let values: Vec<_> = metadata.iter().map(|(k, v)| (*k, text(v))).collect();
    host_with(port, &values, HealthFlags::NONE)
}

fn selector(keys: &[&str], fallback: Option<SelectorFallback>) -> Selector {
    Selector {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        single_host: false,
        fallback,
    }
}

fn policy(fallback: Fallback, selectors: &[Selector]) -> Subset {
    Subset {
        fallback,
        default_subset: Vec::new(),
        selectors: selectors.into(),
        locality_weight_aware: false,
        scale_locality_weight: false,
        panic_mode_any: false,
        list_as_any: false,
        fallback_list: false,
        allow_redundant_keys: false,
        child: Arc::<RoundRobin>::default(),
    }
}

/// Which ports requests with these criteria meet, sorted.
fn met(
    policy: &Arc<Subset>,
    hosts: &Arc<PrioritySet>,
    env: &LbEnv,
    criteria: &[(&str, Value)],
) -> Vec<u16> {
    let criteria = criteria.iter().map(|(k, v)| ((*k).into(), v.clone()));
    let criteria: MetadataMatch = criteria.collect();
    let cx = LbContext {
        metadata_match: Some(&criteria),
        ..LbContext::default()
    };
    let mut balancer = policy.clone().build(&env.random);
    let mut ports: Vec<u16> = (0..12)
        .filter_map(|_| balancer.choose(hosts, &cx, env).map(|host| port(&host)))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn versions() -> Arc<PrioritySet> {
    let hosts = [
        host(1, &[("version", "1"), ("stage", "prod")]),
        host(2, &[("version", "2"), ("stage", "prod")]),
        host(3, &[("version", "2"), ("stage", "dev")]),
        host(4, &[]),
    ];
    one_priority(hosts.into_iter())
}

#[test]
fn criteria_must_be_those_of_a_selector() {
    let env = env(1);
    let hosts = versions();
    let selectors = [
        selector(&["version"], None),
        selector(&["stage", "version"], None),
    ];
    let policy = Arc::new(policy(Fallback::None, &selectors));
    let two = ("version", text("2"));
    assert_eq!(
        met(&policy, &hosts, &env, std::slice::from_ref(&two)),
        [2, 3]
    );
    let dev = ("stage", text("dev"));
    assert_eq!(met(&policy, &hosts, &env, &[dev.clone(), two]), [3]);
    assert!(met(&policy, &hosts, &env, &[dev]).is_empty());
    assert!(met(&policy, &hosts, &env, &[]).is_empty());
    assert_eq!(env.group.counter(S::LB_SUBSETS_SELECTED), 24);
    assert_eq!(env.group.counter(S::LB_SUBSETS_CREATED), 5);
    assert_eq!(env.group.gauge(S::LB_SUBSETS_ACTIVE), 5);
}

#[test]
fn fallbacks_of_the_policy() {
    let env = env(1);
    let hosts = versions();
    let selectors = [selector(&["version"], None)];
    let missing = [("version", text("9"))];
    let any = Arc::new(policy(Fallback::Any, &selectors));
    assert_eq!(met(&any, &hosts, &env, &missing), [1, 2, 3, 4]);
    assert_eq!(env.group.counter(S::LB_SUBSETS_FALLBACK), 12);
    let mut default = policy(Fallback::Default, &selectors);
    default.default_subset = vec![("stage".into(), text("dev"))];
    assert_eq!(met(&Arc::new(default), &versions(), &env, &missing), [3]);
    let mut panic = policy(Fallback::Default, &selectors);
    panic.default_subset = vec![("stage".into(), text("none"))];
    panic.panic_mode_any = true;
    assert_eq!(
        met(&Arc::new(panic), &versions(), &env, &missing),
        [1, 2, 3, 4]
    );
    assert_eq!(env.group.counter(S::LB_SUBSETS_FALLBACK_PANIC), 12);
}

#[test]
fn fallbacks_of_a_selector() {
    let env = env(1);
    let to = |fallback| Some(SelectorFallback::To(fallback));
    let keys = Some(SelectorFallback::Keys(["version".into()].into()));
    let selectors = [
        selector(&["stage", "version"], keys),
        selector(&["version"], to(Fallback::None)),
        selector(&["stage"], to(Fallback::Any)),
    ];
    let policy = Arc::new(policy(Fallback::Default, &selectors));
    let hosts = versions();
    let criteria = [("stage", text("none")), ("version", text("1"))];
    assert_eq!(met(&policy, &hosts, &env, &criteria), [1]);
    let criteria = [("stage", text("none")), ("version", text("9"))];
    assert!(met(&policy, &hosts, &env, &criteria).is_empty());
    let criteria = [("stage", text("none"))];
    assert_eq!(met(&policy, &hosts, &env, &criteria), [1, 2, 3, 4]);
}

#[test]
fn lists_can_stand_for_any_of_their_elements() {
    let env = env(1);
    let both = list(vec![text("1"), text("2")]);
    let hosts = one_priority(
        [
            host_with(1, &[("version", both.clone())], HealthFlags::NONE),
            host(2, &[("version", "2")]),
        ]
        .into_iter(),
    );
    let mut any = policy(Fallback::None, &[selector(&["version"], None)]);
    any.list_as_any = true;
    let any = Arc::new(any);
    assert_eq!(met(&any, &hosts, &env, &[("version", text("1"))]), [1]);
    assert_eq!(met(&any, &hosts, &env, &[("version", text("2"))]), [1, 2]);
    let whole = Arc::new(policy(Fallback::None, &[selector(&["version"], None)]));
    let hosts = one_priority(hosts.hosts().cloned());
    assert_eq!(met(&whole, &hosts, &env, &[("version", both)]), [1]);
}

#[test]
fn a_host_has_what_is_in_its_lists() {
    let host = host_with(
        1,
        &[
            ("stage", text("old")),
            ("version", list(vec![text("1"), text("2")])),
        ],
        HealthFlags::NONE,
    );
    let has = |criteria: &[(&str, &str)]| {
        let criteria: MetadataMatch = (criteria.iter())
            .map(|(key, value)| ((*key).into(), text(value)))
            .collect();
        host.has_metadata(&criteria)
    };
    assert!(has(&[("stage", "old")]) && has(&[("stage", "old"), ("version", "2")]));
    assert!(!has(&[("version", "3")]) && !has(&[("stage", "old"), ("zone", "a")]));
}

#[test]
fn criteria_can_list_what_to_try() {
    let env = env(1);
    let mut policy = policy(Fallback::None, &[selector(&["stage", "version"], None)]);
    policy.fallback_list = true;
    let tries = list(vec![
        fields(&[("version", "9")]),
        fields(&[("version", "2")]),
    ]);
    let criteria = [("fallback_list", tries), ("stage", text("dev"))];
    assert_eq!(met(&Arc::new(policy), &versions(), &env, &criteria), [3]);
}

#[test]
fn redundant_keys_can_be_allowed() {
    let env = env(1);
    let criteria = [("color", text("red")), ("version", text("1"))];
    let make = || policy(Fallback::None, &[selector(&["version"], None)]);
    assert!(met(&Arc::new(make()), &versions(), &env, &criteria).is_empty());
    let mut lenient = make();
    lenient.allow_redundant_keys = true;
    assert_eq!(met(&Arc::new(lenient), &versions(), &env, &criteria), [1]);
}

#[test]
fn a_subset_can_be_one_host() {
    let env = env(1);
    let mut single = selector(&["id"], None);
    single.single_host = true;
    let policy = Arc::new(policy(Fallback::None, &[single]));
    let ill = host_with(2, &[("id", text("b"))], HealthFlags::FAILED_EDS_HEALTH);
    let hosts = [host(1, &[("id", "a")]), ill, host(3, &[("id", "a")])];
    let hosts = one_priority(hosts.into_iter());
    assert_eq!(met(&policy, &hosts, &env, &[("id", text("a"))]), [1]);
    assert_eq!(met(&policy, &hosts, &env, &[("id", text("b"))]), [2]);
}

#[test]
fn subsets_come_and_go_with_their_hosts() {
    let env = env(1);
    let policy = policy(Fallback::None, &[selector(&["version"], None)]);
    let before = policy.derive(&versions(), None, &env.group).unwrap();
    let fewer =
        one_priority([host(1, &[("version", "1")]), host(9, &[("version", "9")])].into_iter());
    policy.derive(&fewer, Some(&before), &env.group).unwrap();
    assert_eq!(env.group.counter(S::LB_SUBSETS_CREATED), 3);
    assert_eq!(env.group.counter(S::LB_SUBSETS_REMOVED), 1);
    assert_eq!(env.group.gauge(S::LB_SUBSETS_ACTIVE), 2);
}

#[test]
fn localities_keep_a_scaled_weight() {
    let mut policy = policy(Fallback::None, &[selector(&["version"], None)]);
    policy.locality_weight_aware = true;
    policy.scale_locality_weight = true;
    let hosts = [host(1, &[("version", "1")]), host(2, &[("version", "2")])];
    let set = of_groups(&[crate::lb::testing::group(
        "a",
        0,
        Some(10),
        hosts.into_iter(),
    )]);
    let locality = &set.sets()[0].localities[0];
    assert_eq!(policy.weight(locality, 1), Some(5));
    policy.scale_locality_weight = false;
    assert_eq!(policy.weight(locality, 1), Some(10));
    policy.locality_weight_aware = false;
    assert_eq!(policy.weight(locality, 1), None);
}
