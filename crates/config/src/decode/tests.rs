use super::*;
use crate::{
    api::{bootstrap::Bootstrap, cluster::Cluster, hcm::HttpConnectionManager},
    front::parse,
};
use prost::Message;

fn run(text: &str, allow_unknown: bool) -> (Bootstrap, Vec<String>) {
    let syntax = if text.starts_with('{') {
        Syntax::Json
    } else {
        Syntax::Yaml
    };
    let tree = parse(syntax, text).unwrap();
    let message = MessageType::find("envoy.config.bootstrap.v3.Bootstrap").unwrap();
    let decoded = decode(message, tree.root(), syntax, allow_unknown, &[]);
    let errors = decoded
        .errors
        .iter()
        .map(|p| {
            format!(
                "{}:{} {}: {}",
                p.place.line, p.place.column, p.path, p.message
            )
        })
        .collect();
    (Bootstrap::decode(decoded.wire.as_slice()).unwrap(), errors)
}

fn ok(text: &str) -> Bootstrap {
    let (bootstrap, errors) = run(text, false);
    assert_eq!(errors, [""; 0], "{text}");
    bootstrap
}

fn bad(text: &str) -> String {
    run(text, false).1.join("; ")
}

fn cluster(fields: &str) -> Cluster {
    ok(&format!("static_resources: {{clusters: [{{{fields}}}]}}"))
        .static_resources
        .unwrap()
        .clusters
        .remove(0)
}

#[test]
fn scalars_of_every_kind() {
    let c = cluster(
        "name: a, lbPolicy: ring_hash, per_connection_buffer_limit_bytes: '0x50', connect_timeout: 1.5s, close_connections_on_host_health_failure: 'Yes'",
    );
    assert_eq!((c.name.as_str(), c.lb_policy), ("a", 2));
    assert_eq!(c.per_connection_buffer_limit_bytes.unwrap().value, 80);
    assert_eq!(c.connect_timeout.unwrap().nanos, 500_000_000);
    assert!(c.close_connections_on_host_health_failure);
    assert_eq!(cluster("lb_policy: 2").lb_policy, 2);
    assert_eq!(cluster("lb_policy: '2'").lb_policy, 2);
    assert_eq!(
        cluster("per_connection_buffer_limit_bytes: {value: 5}")
            .per_connection_buffer_limit_bytes
            .unwrap()
            .value,
        5
    );
    assert_eq!(
        cluster("per_connection_buffer_limit_bytes: 3000000000")
            .per_connection_buffer_limit_bytes
            .unwrap()
            .value,
        3_000_000_000
    );
    assert_eq!(
        cluster("connect_timeout: {seconds: 5}")
            .connect_timeout
            .unwrap()
            .seconds,
        5
    );
    assert!(
        cluster("connect_timeout: null, name: ~")
            .connect_timeout
            .is_none()
    );
}

#[test]
fn lists_may_be_single_or_nested() {
    let names = |text: &str| {
        ok(text)
            .static_resources
            .unwrap()
            .clusters
            .into_iter()
            .map(|c| c.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("static_resources: {clusters: {name: a}}"), ["a"]);
    assert_eq!(
        names("static_resources: {clusters: [[{name: a}], null, [{name: b}]]}"),
        ["a", "", "b"]
    );
}

#[test]
fn the_last_of_equal_keys_counts() {
    let node = ok("node: {cluster: [1]}\nnode: {id: a}").node.unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("a", ""));
    let json = ok(r#"{"node":{"id":"a"},"node":{"cluster":"b"}}"#)
        .node
        .unwrap();
    assert_eq!((json.id.as_str(), json.cluster.as_str()), ("a", "b"));
}

#[test]
fn metadata_is_a_struct() {
    use crate::api::protobuf::value::Kind;
    let node = ok("node: {metadata: {a: 1.5, b: 7, c: yes, d: null, e: [x, {f: 3000000000}]}}")
        .node
        .unwrap();
    let fields = node.metadata.unwrap().fields;
    assert_eq!(fields["a"].kind, Some(Kind::StringValue("1.5".into())));
    assert_eq!(fields["b"].kind, Some(Kind::NumberValue(7.0)));
    assert_eq!(fields["c"].kind, Some(Kind::BoolValue(true)));
    assert_eq!(fields["d"].kind, Some(Kind::NullValue(0)));
    let Some(Kind::ListValue(list)) = &fields["e"].kind else {
        panic!()
    };
    let Some(Kind::StructValue(inner)) = &list.values[1].kind else {
        panic!()
    };
    assert_eq!(
        inner.fields["f"].kind,
        Some(Kind::StringValue("3000000000".into()))
    );
}

#[test]
fn errors_name_place_and_path_and_do_not_stop() {
    let errors = bad(
        "node:\n  id: 5\n  clustr: a\nstatic_resources:\n  clusters:\n  - name: a\n    connect_timeout: 100ms\n    lb_policy: FOO\n",
    );
    assert_eq!(
        errors,
        "2:7 node.id: expected a string, found a number; \
         3:3 node: no such field: 'clustr' in envoy.config.core.v3.Node; \
         7:22 static_resources.clusters[0].connect_timeout: duration must end with a single 's': '100ms'; \
         8:16 static_resources.clusters[0].lb_policy: unknown enum value: 'FOO'"
    );
}

#[test]
fn the_nearest_name_is_suggested() {
    let tree = parse(Syntax::Yaml, "nod: {}").unwrap();
    let message = MessageType::find("envoy.config.bootstrap.v3.Bootstrap").unwrap();
    let decoded = decode(message, tree.root(), Syntax::Yaml, false, &[]);
    assert_eq!(
        decoded.errors[0].suggestion.as_deref(),
        Some("did you mean \"node\"?")
    );
    let decoded = decode(message, tree.root(), Syntax::Yaml, true, &[]);
    assert_eq!((decoded.errors.len(), decoded.unknown.len()), (0, 1));
}

#[test]
fn only_one_of_a_oneof() {
    let address = |rest: &str| {
        format!("admin: {{address: {{socket_address: {{address: a, port_value: 1, {rest}}}}}}}")
    };
    assert!(bad(&address("named_port: x")).contains("'named_port' has already been set"));
    ok(&address("named_port: null"));
    assert!(bad(&address("portValue: 2")).is_empty());
}

#[test]
fn any_is_decoded_by_its_type() {
    const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let extension = |any: &str| format!("bootstrap_extensions: [{{name: a, typed_config: {any}}}]");
    let unpack = |text: &str| {
        let any = ok(&extension(text))
            .bootstrap_extensions
            .remove(0)
            .typed_config
            .unwrap();
        crate::any::unpack::<HttpConnectionManager>(&any)
            .unwrap()
            .stat_prefix
    };
    assert_eq!(unpack(&format!("{{stat_prefix: x, '@type': {HCM}}}")), "x");
    for wrapper in ["xds.type.v3", "udpa.type.v1"] {
        let any = format!(
            "{{'@type': type.googleapis.com/{wrapper}.TypedStruct, type_url: {HCM}, value: {{stat_prefix: x}}}}"
        );
        assert_eq!(unpack(&any), "x");
    }
    ok(&extension("{}"));
    ok(&extension(
        "{'@type': type.googleapis.com/google.protobuf.Duration, value: 1s}",
    ));
    ok(&extension(
        "{'@type': type.googleapis.com/google.protobuf.Struct, value: {a: 1}}",
    ));
    assert!(bad(&extension("{a: b}")).contains("missing @type"));
    assert!(bad(&extension("{'@type': foo}")).contains("at least one /"));
    assert!(bad(&extension("{'@type': x/foo.Bar}")).contains("could not find @type 'x/foo.Bar'"));
    assert!(
        bad(&extension(&format!("{{'@type': {HCM}, nope: 1}}"))).contains("no such field: 'nope'")
    );
    assert!(
        bad(&extension(
            "{'@type': x/google.protobuf.Duration, seconds: 1}"
        ))
        .contains("must be @type or value")
    );
}

#[test]
fn depth_is_bounded_even_through_aliases() {
    let mut text = String::from("!ignore a0: &a0 {x: 1}\n");
    for i in 1..30 {
        text.push_str(&format!(
            "!ignore a{i}: &a{i} {{x: {{x: {{x: {{x: *a{}}}}}}}}}\n",
            i - 1
        ));
    }
    text.push_str("node: {metadata: *a29}");
    assert!(bad(&text).contains("too deeply nested"));
}
