//! Loading from the sources that the command line names.

use std::{fs, path::PathBuf};

use nuncio_config::{
    ConfigError, Diagnostic, LoadedBootstrap, Sources,
    api::{bootstrap::Bootstrap, listener::filter::ConfigType, protobuf::value::Kind},
    json, load_bootstrap,
};
use prost::Message;
use tempfile::TempDir;

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn load(name: &str, content: impl AsRef<[u8]>) -> Result<LoadedBootstrap, Vec<Diagnostic>> {
    let folder = tempfile::tempdir().unwrap();
    load_bootstrap(&Sources {
        config_path: Some(write(&folder, name, content)),
        ..Sources::default()
    })
}

fn messages(result: Result<LoadedBootstrap, Vec<Diagnostic>>) -> Vec<String> {
    result
        .expect_err("must be refused")
        .into_iter()
        .map(|d| d.message)
        .collect()
}

const YAML: &str = "node: {id: a, cluster: c}\nstatic_resources:\n  clusters:\n  - {name: one, type: STATIC, load_assignment: {cluster_name: one}}\n";

/// A type of a third party is known when the program says so, and only as `TypedStruct`; it survives merging.
#[test]
fn a_third_partys_type_stays_a_struct() {
    const FILTER: &str = "static_resources: {listeners: [{name: a, address: {pipe: {path: /a}}, filter_chains: [{filters: [{name: x, typed_config: \
        {'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/example.X, value: {word: hello}}}]}]}]}";
    let mut sources = Sources {
        config_yaml: Some(FILTER.into()),
        ..Sources::default()
    };
    let refused = messages(load_bootstrap(&sources));
    assert_eq!(
        refused,
        ["could not find @type 'type.googleapis.com/example.X'"]
    );
    sources.extension_types = vec!["example.X".into()];
    let folder = tempfile::tempdir().unwrap();
    sources.config_path = Some(write(&folder, "a.yaml", "node: {id: a}"));
    let loaded = load_bootstrap(&sources).unwrap();
    let (_, listener) = loaded.listeners().next().unwrap();
    let filter = &listener.filter_chains[0].filters[0];
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
        panic!("{filter:?}");
    };
    assert_eq!(any.type_url, "type.googleapis.com/example.X");
    let value = nuncio_config::any::unpack_struct(any).unwrap();
    let word = value.fields["word"].kind.clone();
    assert_eq!(word, Some(Kind::StringValue("hello".into())));
}

/// What cannot be decoded hides no other error, except those that may be its consequence.
#[test]
fn errors_of_all_kinds_come_at_once() {
    let text = "static_resources:
  clusters:
  - {name: one, type: STATICK, connect_timeout: 0s}
  - {name: two, lb_polici: MAGLEV, connect_timeout: 0s, health_checks: [{timeout: 0s}]}
  - {name: three, type: STATIC, lrs_server: {}, load_assignment: {endpoints: [{lb_endpoints: 1}]}}
  - {type: STATIC}
";
    let found: Vec<_> = load("a.yaml", text)
        .expect_err("must be refused")
        .into_iter()
        .map(|error| {
            (
                error.line,
                error.path.replace("static_resources.clusters", ""),
            )
        })
        .collect();
    let found: Vec<_> = found.iter().map(|(line, path)| (*line, &**path)).collect();
    let expected = [
        (3, "[0].type"),
        (3, "[0].connect_timeout"),
        (4, "[1]"),
        (4, "[1].health_checks[0].timeout"),
        (5, "[2].lrs_server"),
        (5, "[2].load_assignment.cluster_name"),
        (5, "[2].load_assignment.endpoints[0].lb_endpoints[0]"),
        (6, "[3].name"),
    ];
    for entry in expected {
        assert!(found.contains(&entry), "{entry:?} is not in {found:?}");
    }
    // Of a message with a key that is no field it is not known what is missing and what is misspelt.
    assert!(!found.contains(&(4, "[1].connect_timeout")), "{found:?}");
}

#[test]
fn the_extension_tells_the_syntax() {
    let yaml = load("x.yaml", YAML).unwrap();
    let style = json::Style {
        pretty: true,
        ..json::Style::default()
    };
    let json = json::print_message(&yaml.whole(), style);
    for (name, content) in [
        ("x.YML", YAML.as_bytes().to_vec()),
        ("x.json", json.clone().into_bytes()),
        ("x", json.into_bytes()),
        ("x.pb", yaml.raw.to_vec()),
        ("x.PB_text", TEXT.into()),
    ] {
        assert_eq!(load(name, content).unwrap().raw, yaml.raw, "{name}");
    }
    assert_eq!(
        messages(load("x.json", YAML)),
        ["unexpected character: 'n'; expected '{'"]
    );
}

/// [`YAML`] in protobuf's text format.
const TEXT: &str = "# the same\nnode < id: 'a' cluster: \"c\" >\nstatic_resources { clusters { name: 'on' 'e' type: STATIC\n load_assignment: { cluster_name: 'one' } } }\n";

/// Both forms of an `Any`, maps, elements that stand apart, and what a `TypedStruct` describes come out as from YAML.
#[test]
fn the_text_format_says_the_same_as_yaml() {
    let pairs = [
        (
            "node: {metadata: {a: 2, b: [x, true], c: null}}",
            "node { metadata { fields { key: 'a' value { number_value: 2.f } } fields { key: 'b' value { list_value { \
             values { string_value: 'x' } values: { bool_value: t } } } } fields: [{ key: 'c' value { null_value: NULL_VALUE } }] } }",
        ),
        (
            "static_resources: {clusters: [{name: a, type: STATIC, connect_timeout: 1.5s, lb_policy: RANDOM}, {name: b, type: STRICT_DNS}], \
             listeners: [{name: l, address: {pipe: {path: /p}}}]}",
            "static_resources { clusters { name: 'a' type: 0 connect_timeout { seconds: 0x1 nanos: 500000000 } lb_policy: RANDOM } \
             listeners { name: 'l' address { pipe { path: '/p' } } } clusters [{ name: 'b' type: STRICT_DNS }] }",
        ),
        (
            TYPED,
            "static_resources { clusters { name: 'a' type: STATIC typed_extension_protocol_options { key: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions' \
             value { [type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions] { explicit_http_config { http2_protocol_options {} } } } } } }",
        ),
        (
            TYPED,
            "static_resources { clusters { name: 'a' type: STATIC typed_extension_protocol_options { key: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions' \
             value { type_url: 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions' value: '\\x1a\\002\\022\\000' } } } }",
        ),
        (
            TYPED,
            "static_resources { clusters { name: 'a' type: STATIC typed_extension_protocol_options { key: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions' \
             value { [type.googleapis.com/xds.type.v3.TypedStruct] { type_url: 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions' \
             value { fields { key: 'explicit_http_config' value { struct_value { fields { key: 'http2_protocol_options' value { struct_value {} } } } } } } } } } } }",
        ),
    ];
    for (yaml, text) in pairs {
        let yaml = load("a.yaml", yaml).unwrap().whole();
        let text = load("a.pb_text", text).unwrap_or_else(|e| panic!("{text}: {e:#?}"));
        assert_eq!(text.whole(), yaml);
    }
}

const TYPED: &str = "static_resources: {clusters: [{name: a, type: STATIC, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: \
    {'@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}}]}";

#[test]
fn errors_in_the_text_format_say_where_and_what() {
    let text = "node {
  idd: 'a'
  id: a cluster: 'x' cluster: 'y'
}
static_resources {
  clusters { name: 'a' type: static lb_policy: \"RANDOM\" connect_timeout { seconds: 1.0 } }
  clusters {
    name: 'b' type: STATIC connectTimeout {}
    typed_extension_protocol_options { key: 'x' value { [t.com/envoy.config.cluster.v3.Clusterr] {} } }
    dns_lookup_family: 9999999999 respect_dns_ttl: TRUE [a.b] {}
  }
}
admin { address { pipe { path: '\\377' } socket_address {} } }
";
    let found: Vec<_> = load("a.pb_text", text)
        .expect_err("must be refused")
        .into_iter()
        .map(|e| {
            format!(
                "{}:{} {}: {} | {}",
                e.line,
                e.column,
                e.path,
                e.message,
                e.suggestion.unwrap_or_default()
            )
        })
        .collect();
    let expected = [
        "2:3 node: no such field: 'idd' in envoy.config.core.v3.Node | did you mean \"id\"?",
        "3:7 node.id: expected a string, found a word without quotes | put it in quotes: \"a\"",
        "3:22 node.cluster: non-repeated field \"cluster\" is specified multiple times | ",
        "6:30 static_resources.clusters[0].type: unknown enum value: 'static' | did you mean STATIC?",
        "6:48 static_resources.clusters[0].lb_policy: an enum value stands without quotes: RANDOM | did you mean RANDOM?",
        "6:84 static_resources.clusters[0].connect_timeout.seconds: expected integer, but the number has a fraction or an exponent | ",
        "8:28 static_resources.clusters[1]: no such field: 'connectTimeout' in envoy.config.cluster.v3.Cluster | did you mean \"connect_timeout\"?",
        "9:57 static_resources.clusters[1].typed_extension_protocol_options[\"x\"]: could not find @type 't.com/envoy.config.cluster.v3.Clusterr' | did you mean \"type.googleapis.com/envoy.config.cluster.v3.Cluster\"?",
        "10:24 static_resources.clusters[1].dns_lookup_family: integer out of range | ",
        "10:52 static_resources.clusters[1].respect_dns_ttl: expected true or false, found a word without quotes | ",
        "10:57 static_resources.clusters[1]: [a.b] stands in envoy.config.cluster.v3.Cluster, which is no google.protobuf.Any | ",
        "13:32 admin.address.pipe.path: a string that is not valid UTF-8 | ",
        "13:41 admin.address.socket_address: field \"socket_address\" is specified along with another member of its oneof | ",
    ];
    assert_eq!(found, expected);
    // What the rules of validation find has its place, too.
    let refused = load(
        "a.pb_text",
        "static_resources {\n clusters { name: 'a' type: STATIC\n connect_timeout { seconds: 0 } } }",
    );
    let refused = refused.expect_err("must be refused");
    assert_eq!(
        (refused[0].line, refused[0].path.as_str()),
        (3, "static_resources.clusters[0].connect_timeout")
    );
}

#[test]
fn config_yaml_is_merged_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let over = "node: {id: b}\nstatic_resources: {clusters: [{name: two, type: STATIC, load_assignment: {cluster_name: two}, connect_timeout: 0.5s}]}";
    let sources = |yaml: &str| Sources {
        config_path: Some(write(&folder, "x.yaml", YAML)),
        config_yaml: Some(yaml.into()),
        ..Sources::default()
    };
    let loaded = load_bootstrap(&sources(over)).unwrap();
    let node = loaded.bootstrap().node.unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("b", "c"));
    assert_eq!(
        loaded
            .clusters()
            .map(|it| (it.index, it.cluster.name))
            .collect::<Vec<_>>(),
        [(0, "one".into()), (1, "two".into())]
    );
    assert!(
        loaded
            .bootstrap()
            .static_resources
            .unwrap()
            .clusters
            .is_empty()
    );
    let later = loaded.diagnose(&ConfigError::new(
        "static_resources.clusters[1].connect_timeout",
        "too short",
    ));
    assert_eq!(
        (later.file.as_str(), later.line, later.column),
        ("--config-yaml", 2, 112)
    );
    assert_eq!(later.source_line.as_deref(), over.lines().nth(1));

    let wrong = load_bootstrap(&sources(
        "static_resources: {clusters: [{name: two, connect_timeout: 0s}]}",
    ))
    .unwrap_err();
    assert_eq!(
        (wrong[0].file.as_str(), wrong[0].line),
        ("--config-yaml", 1)
    );
}

#[test]
fn config_yaml_alone_is_enough_and_nothing_is_not() {
    let alone = Sources {
        config_yaml: Some("{}".into()),
        ..Sources::default()
    };
    assert_eq!(
        load_bootstrap(&alone).unwrap().whole(),
        Bootstrap::default()
    );
    assert!(
        load_bootstrap(&Sources::default()).unwrap_err()[0]
            .message
            .contains("should be non-empty")
    );
    let missing = Sources {
        config_path: Some("no/such/file.yaml".into()),
        ..Sources::default()
    };
    assert_eq!(
        load_bootstrap(&missing).unwrap_err()[0].message,
        "Invalid path: no/such/file.yaml"
    );
}

#[test]
fn unknown_fields_can_be_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let config_path = Some(write(
        &folder,
        "x.yaml",
        "node: {id: a, nope: 1}\nwhat: {}\n",
    ));
    let mut sources = Sources {
        config_path,
        ..Sources::default()
    };
    assert_eq!(load_bootstrap(&sources).unwrap_err().len(), 2);
    sources.allow_unknown = true;
    let loaded = load_bootstrap(&sources).unwrap();
    assert_eq!((loaded.unknown_fields, loaded.warnings.len()), (2, 2));
    assert_eq!(loaded.bootstrap().node.unwrap().id, "a");
}

#[test]
fn every_error_comes_with_its_place_in_file_order() {
    let text = "static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 0s\n    upstream_http_protocol_options: {}\n  - name: ''\n";
    let errors = load("x.yaml", text).unwrap_err();
    let places: Vec<_> = errors
        .iter()
        .map(|e| (e.line, e.column, e.path.as_str()))
        .collect();
    assert_eq!(
        places,
        [
            (4, 22, "static_resources.clusters[0].connect_timeout"),
            (
                5,
                5,
                "static_resources.clusters[0].upstream_http_protocol_options"
            ),
            (6, 11, "static_resources.clusters[1].name"),
        ]
    );
    assert!(
        errors[1].to_string().contains("  5 |")
            || errors[1]
                .to_string()
                .contains("5 |     upstream_http_protocol_options: {}\n  |     ^"),
        "{}",
        errors[1]
    );
}

#[test]
fn binary_files_are_checked_like_texts() {
    let unknown = [
        load("x.yaml", YAML).unwrap().raw.to_vec(),
        vec![0xf8, 0x7f, 1],
    ]
    .concat();
    assert!(messages(load("x.pb", unknown))[0].contains("has unknown fields"));
    assert!(messages(load("x.pb", [0x0a, 0xff]))[0].contains("malformed"));
    let bootstrap = Bootstrap {
        flags_path: "x".into(),
        ..Bootstrap::default()
    };
    assert!(
        messages(load("x.pb", bootstrap.encode_to_vec()))[0]
            .starts_with("unsupported: Bootstrap.flags_path")
    );
    assert!(messages(load("x.json", [b'{', b'\n', 0xff]))[0].contains("line 2 is not valid UTF-8"));
    // YAML may be in other encodings, mostly so in comments.
    assert!(load("x.yaml", b"node: {id: a} # \xe9t\xe9\n").is_ok());
    let utf16: Vec<u8> = "\u{feff}node: {id: \u{e9}}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(load("x.yaml", utf16).is_ok());
}

#[test]
fn deprecated_fields_are_warnings() {
    let text = YAML.replace(
        "type: STATIC",
        "type: STATIC, max_requests_per_connection: 5",
    );
    let loaded = load("x.yaml", text).unwrap();
    let shown = loaded.warnings[0].to_string();
    assert!(shown.starts_with("warning: Using deprecated option 'envoy.config.cluster.v3.Cluster.max_requests_per_connection'"), "{shown}");
    assert_eq!(loaded.warnings[0].line, 4);
}

#[test]
fn fields_newer_than_the_descriptor_set_are_unsupported() {
    let any = "{'@type': type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth, realm: x}";
    let text = format!("bootstrap_extensions: [{{name: a, typed_config: {any}}}]");
    assert_eq!(
        messages(load("x.yaml", text)),
        ["unsupported: BasicAuth.realm is not supported yet"]
    );
}
