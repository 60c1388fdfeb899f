//! Dynamic metadata, and those of configured things.

use nuncio_config::api::protobuf::ListValue;

use super::*;

fn with_metadata() -> Stream {
    let mut stream = Stream::new();
    let metadata = stream.info.metadata_mut();
    metadata.set("a", "b", string("B\"qé"));
    metadata.set(
        "a",
        "n",
        Value {
            kind: Some(Kind::NumberValue(2.5)),
        },
    );
    metadata.set(
        "a",
        "u",
        Value {
            kind: Some(Kind::NullValue(0)),
        },
    );
    let list = [1.0, 1e21, -0.1, 123_456_789_012_345.0, 1e-7].map(|n| Value {
        kind: Some(Kind::NumberValue(n)),
    });
    let list = Value {
        kind: Some(Kind::ListValue(ListValue {
            values: list.into(),
        })),
    };
    metadata.set("a", "s", structure([("z", string("1")), ("t", list)]));
    stream
}

/// Each owner of metadata; a host that was not connected to has no part in what was attempted.
#[test]
fn metadata_of_configured_things() {
    let mut stream = with_metadata();
    let of = |text: &str| {
        let mut metadata = nuncio_sdk::metadata::DynamicMetadata::default();
        metadata.set("n", "k", string(text));
        Some(std::sync::Arc::new(metadata))
    };
    stream.info.cluster_metadata = of("cluster");
    let mut connection = (*stream.info.connection).clone();
    connection.listener_metadata = of("listener");
    connection.filter_chain_metadata = of("chain");
    stream.info.connection = std::rc::Rc::new(connection);
    assert_eq!(
        text(
            "%METADATA(CLUSTER:n:k)%|%CLUSTER_METADATA(n:k)%|%METADATA(LISTENER:n:k)%|%METADATA(LISTENER_FILTER_CHAIN:n:k)%",
            &stream
        ),
        "cluster|cluster|listener|chain"
    );
    assert_eq!(
        text(
            "%METADATA(ROUTE:n:k)%|%METADATA(VIRTUAL_HOST:n:k)%|%METADATA(UPSTREAM_HOST:n:k)%|%UPSTREAM_METADATA(n:k)%|%METADATA(CLUSTER:n:x)%",
            &stream
        ),
        "-|-|-|-|-"
    );
}

#[test]
fn dynamic_metadata() {
    let stream = with_metadata();
    let nested = r#"{"t":[1,1e+21,-0.1,123456789012345,1e-07],"z":"1"}"#;
    assert_eq!(text("%DYNAMIC_METADATA(a:b)%", &stream), "B\"qé");
    assert_eq!(text("%DYNAMIC_METADATA(a:s)%", &stream), nested);
    assert_eq!(
        text(
            "%DYNAMIC_METADATA(a:s:z)%%METADATA(DYNAMIC:a:s:z)%",
            &stream
        ),
        "11"
    );
    assert_eq!(text("%DYNAMIC_METADATA(a:s):7%", &stream), &nested[..7]);
    assert_eq!(
        text(
            "%DYNAMIC_METADATA(a:u)%|%DYNAMIC_METADATA(z)%|%DYNAMIC_METADATA(a:s:t:x)%",
            &stream
        ),
        "-|-|-"
    );
    assert_eq!(
        text("%DYNAMIC_METADATA(a)%", &stream),
        format!(r#"{{"b":"B\"qé","n":2.5,"s":{nested},"u":null}}"#)
    );
    let older = Formatter::header_value(r#"%DYNAMIC_METADATA(["a", "s", "z"])%"#).unwrap();
    let mut out = Vec::new();
    older.format(&stream.cx(), &mut out);
    assert_eq!(out, b"1");
}

#[test]
fn typed_metadata_in_json() {
    let stream = with_metadata();
    let template = object([
        ("b", string("%DYNAMIC_METADATA(a:b)%")),
        ("b2", string("%DYNAMIC_METADATA(a:b):2%")),
        ("n", string("%DYNAMIC_METADATA(a:n)%")),
        ("u", string("%DYNAMIC_METADATA(a:u)%")),
        ("x", string("x%DYNAMIC_METADATA(a:s):7%")),
    ]);
    assert_eq!(
        json(&template, false, &stream),
        "{\"b\":\"B\\\"qé\",\"b2\":\"B\\\"\",\"n\":2.5,\"u\":null,\"x\":\"x{\\\"t\\\":[1\"}\n"
    );
    assert_eq!(
        json(&template, true, &stream),
        "{\"b\":\"B\\\"qé\",\"b2\":\"B\\\"\",\"n\":2.5,\"x\":\"x{\\\"t\\\":[1\"}\n"
    );
}
