//! What Envoy 1.40 printed for the same stream.

use std::time::Duration;

use nuncio_config::api::protobuf::{ListValue, Struct, Value, value::Kind};
use nuncio_sdk::ResponseFlags;

use super::{DEFAULT_FORMAT, Formatter};
use crate::testing::{Host, Stream};

fn text(format: &str, stream: &Stream) -> String {
    let mut out = Vec::new();
    Formatter::text(format, false)
        .unwrap()
        .format(&stream.cx(), &mut out);
    String::from_utf8(out).unwrap()
}

fn error(format: &str) -> String {
    Formatter::text(format, false).unwrap_err().message
}

fn string(text: &str) -> Value {
    Value {
        kind: Some(Kind::StringValue(text.into())),
    }
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Struct {
    Struct {
        fields: fields
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    }
}

fn structure(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value {
        kind: Some(Kind::StructValue(object(fields))),
    }
}

fn json_bytes(template: &Struct, omit: bool, stream: &Stream) -> Vec<u8> {
    let mut out = Vec::new();
    Formatter::json(template, omit)
        .unwrap()
        .format(&stream.cx(), &mut out);
    out
}

fn json(template: &Struct, omit: bool, stream: &Stream) -> String {
    String::from_utf8(json_bytes(template, omit, stream)).unwrap()
}

#[test]
fn the_default_line() {
    assert_eq!(
        text(DEFAULT_FORMAT, &Stream::proxied()),
        "[2026-11-22T14:15:50.428Z] \"GET /rw/p%20q?a=1%202&b=&a=3&c=long&&=x HTTP/1.1\" 200 - 0 5 1 0 \"1.2.3.4\" \
         \"ua\" \"540a1728-848e-4cef-bc43-f6387943d5fd\" \"ex.org:80\" \"127.0.0.1:28102\"\n"
    );
    let mut bad = Stream::new();
    bad.info.protocol = Some(nuncio_sdk::Protocol::Http11);
    bad.info.response_code = Some(400);
    bad.info.flags = ResponseFlags::DOWNSTREAM_PROTOCOL_ERROR;
    bad.info.bytes_sent = 11;
    bad.info.end = Some(bad.info.start);
    assert_eq!(
        text(DEFAULT_FORMAT, &bad),
        "[2026-11-22T14:15:50.428Z] \"- - HTTP/1.1\" 400 DPE 0 11 0 - \"-\" \"-\" \"-\" \"-\" \"-\"\n"
    );
}

/// (operator, text for a proxied stream, text for a stream that has just begun)
const OPERATORS: &[(&str, &str, &str)] = &[
    ("ACCESS_LOG_TYPE", "DownstreamEnd", "DownstreamEnd"),
    ("BYTES_RECEIVED", "0", "0"),
    ("BYTES_RETRANSMITTED", "0", "0"),
    ("BYTES_SENT", "5", "0"),
    ("CONNECTION_ID", "1", "1"),
    ("CONNECTION_TERMINATION_DETAILS", "-", "-"),
    ("CUSTOM_FLAGS", "", ""),
    ("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "67", "0"),
    ("DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "182", "0"),
    (
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
        "127.0.0.1:28101",
        "127.0.0.1:28101",
    ),
    ("DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID", "", ""),
    (
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        "127.0.0.1:48470",
        "127.0.0.1:48470",
    ),
    (
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
        "127.0.0.1",
        "127.0.0.1",
    ),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", "48470", "48470"),
    ("DOWNSTREAM_HANDSHAKE_DURATION", "-", "-"),
    ("DOWNSTREAM_HEADER_BYTES_RECEIVED", "66", "0"),
    ("DOWNSTREAM_HEADER_BYTES_SENT", "181", "0"),
    (
        "DOWNSTREAM_LOCAL_ADDRESS",
        "127.0.0.1:28101",
        "127.0.0.1:28101",
    ),
    ("DOWNSTREAM_LOCAL_PORT", "28101", "28101"),
    ("DOWNSTREAM_PEER_CERT_V_START(%s)", "-", "-"),
    ("DOWNSTREAM_REMOTE_ADDRESS", "1.2.3.4:0", "127.0.0.1:48470"),
    (
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "1.2.3.4",
        "127.0.0.1",
    ),
    ("DOWNSTREAM_REMOTE_PORT", "0", "48470"),
    ("DOWNSTREAM_TLS_VERSION", "-", "-"),
    ("DOWNSTREAM_WIRE_BYTES_RECEIVED", "121", "0"),
    ("DOWNSTREAM_WIRE_BYTES_SENT", "205", "0"),
    ("FILTER_CHAIN_NAME", "fc", "fc"),
    ("FILTER_STATE(a)", "-", "-"),
    ("GRPC_STATUS", "-", "-"),
    ("LISTENER_NAME", "lis", "lis"),
    ("LOCAL_REPLY_BODY", "", ""),
    ("PATH", "/rw/p%20q?a=1%202&b=&a=3&c=long&&=x", "-"),
    ("PATH(NQ)", "/rw/p%20q", "-"),
    ("PATH(NQ):3", "/rw", "-"),
    ("PATH(:PATH)", "/z/p%20q?a=1%202&b=&a=3&c=long&&=x", "-"),
    ("PATH(WQ:ORIG)", "/rw/p%20q?a=1%202&b=&a=3&c=long&&=x", "-"),
    ("PROTOCOL", "HTTP/1.1", "-"),
    ("QUERY_PARAM(a)", "1 2", "-"),
    ("QUERY_PARAM(b)", "", "-"),
    ("QUERY_PARAM(c):2", "lo", "-"),
    ("QUERY_PARAM(nope)", "-", "-"),
    ("QUERY_PARAMS:4", "a=1%", "-"),
    ("QUERY_PARAMS(DECODED)", "a=1%202&b=&a=3&c=long&&=x", "-"),
    ("REQ(host)", "ex.org:80", "-"),
    ("REQ(:AUTHORITY):3", "ex.", "-"),
    ("REQ(x-empty?user-agent)", "", "-"),
    ("REQ(x-none?user-agent)", "ua", "-"),
    ("REQ(x-none)", "-", "-"),
    ("REQUEST_DURATION", "0", "-"),
    ("REQUEST_TX_DURATION", "0", "-"),
    ("RESPONSE_DURATION", "1", "-"),
    ("RESPONSE_TX_DURATION", "0", "-"),
    ("RESP(x-q)", "a\"b\\c\td", "-"),
    ("RESPONSE_CODE", "200", "0"),
    ("RESPONSE_CODE_DETAILS", "via_upstream", "-"),
    ("RESPONSE_FLAGS", "-", "-"),
    ("RESPONSE_FLAGS_LONG", "-", "-"),
    ("RESPONSE_TRAILERS_BYTES", "0", "0"),
    ("ROUTE_NAME", "rw", "-"),
    (
        "START_TIME",
        "2026-11-22T14:15:50.428Z",
        "2026-11-22T14:15:50.428Z",
    ),
    ("STREAM_ID", "540a1728-848e-4cef-bc43-f6387943d5fd", "-"),
    ("TRACE_ID", "-", "-"),
    ("UPSTREAM_CLUSTER", "c", "-"),
    ("UPSTREAM_CONNECTION_ID", "2", "0"),
    ("UPSTREAM_CONNECTION_IDS_ATTEMPTED", "2", "-"),
    ("UPSTREAM_HOSTS_ATTEMPTED", "127.0.0.1:28102", "-"),
    ("UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", "127.0.0.1", "-"),
    ("UPSTREAM_HOST_NAMES_ATTEMPTED", "127.0.0.1:28102", "-"),
    (
        "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT",
        "127.0.0.1",
        "-",
    ),
    ("UPSTREAM_DETECTED_CLOSE_TYPE", "Normal", "-"),
    ("UPSTREAM_LOCAL_CLOSE_REASON", "-", "-"),
    ("DOWNSTREAM_DETECTED_CLOSE_TYPE", "Normal", "Normal"),
    ("UPSTREAM_CONNECTION_POOL_READY_DURATION", "0", "-"),
    ("UPSTREAM_HEADER_BYTES_RECEIVED", "160", "0"),
    ("UPSTREAM_HEADER_BYTES_SENT", "246", "0"),
    ("UPSTREAM_HOST", "127.0.0.1:28102", "-"),
    ("UPSTREAM_HOST_NAME", "127.0.0.1:28102", "-"),
    ("UPSTREAM_HOST_NAME_WITHOUT_PORT", "127.0.0.1", "-"),
    ("UPSTREAM_LOCAL_ADDRESS", "127.0.0.1:59698", "-"),
    ("UPSTREAM_LOCAL_PORT", "59698", "-"),
    ("UPSTREAM_PROTOCOL", "HTTP/1.1", "-"),
    ("UPSTREAM_REMOTE_ADDRESS", "127.0.0.1:28102", "-"),
    ("UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID", "", "-"),
    ("UPSTREAM_REMOTE_PORT", "28102", "-"),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", "1", "0"),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", "-", "-"),
    ("UPSTREAM_WIRE_BYTES_RECEIVED", "192", "0"),
    ("UPSTREAM_WIRE_BYTES_SENT", "297", "0"),
    ("COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)", "1399", "-"),
    ("COMMON_DURATION(US_TX_BEG:US_RX_END:ns)", "950000", "-"),
    ("COMMON_DURATION(DS_TX_END:DS_RX_BEG)", "-", "-"),
    ("COMMON_DURATION(DS_RX_BEG:NOPE)", "-", "-"),
    ("DYNAMIC_METADATA(a:b)", "-", "-"),
    ("ENVIRONMENT(NUNCIO_NO_SUCH_VARIABLE)", "-", "-"),
    (
        r#"COALESCE({"operators":[{"command":"REQ","param":"x-none"},"PROTOCOL"]}):4"#,
        "HTTP",
        "-",
    ),
    (
        r#"COALESCE({"operators":[{"command":"REQ","param":"x-empty"},{"command":"REQ","param":"user-agent","max_length":1}]})"#,
        "u",
        "-",
    ),
];

#[test]
fn every_operator() {
    let (proxied, begun) = (Stream::proxied(), Stream::new());
    for (operator, for_proxied, for_begun) in OPERATORS {
        let format = format!("[%{operator}%]");
        assert_eq!(
            text(&format, &proxied),
            format!("[{for_proxied}]"),
            "{operator}"
        );
        assert_eq!(
            text(&format, &begun),
            format!("[{for_begun}]"),
            "{operator}"
        );
    }
}

#[test]
fn operators_of_failures() {
    let mut stream = Stream::new();
    stream.info.flags =
        ResponseFlags::UPSTREAM_CONNECTION_FAILURE | ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED;
    stream.info.upstream.transport_failure_reason =
        "delayed connect error: Connection refused".into();
    stream.info.response_code_details = Some("a b\tc".into());
    stream.info.upstream.host = Some(std::rc::Rc::new(Host {
        address: "[::1]:1".parse::<std::net::SocketAddr>().unwrap().into(),
        name: "h.org:8",
    }));
    assert_eq!(
        text("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", &stream),
        "URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure"
    );
    assert_eq!(
        text("%UPSTREAM_TRANSPORT_FAILURE_REASON%", &stream),
        "delayed_connect_error:_Connection_refused"
    );
    assert_eq!(
        text(
            "%RESPONSE_CODE_DETAILS% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%",
            &stream
        ),
        "a_b_c a b\tc"
    );
    assert_eq!(
        text(
            "%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT%",
            &stream
        ),
        "[::1]:1 h.org:8 h.org"
    );
    assert_eq!(
        text("%UPSTREAM_REMOTE_ADDRESS%", &stream),
        "-",
        "no connection was made"
    );
}

#[test]
fn durations_run_until_the_end() {
    let mut stream = Stream::new();
    stream.info.end = Some(stream.info.start + Duration::from_micros(12_999));
    assert_eq!(text("%DURATION%", &stream), "12");
}

#[test]
fn grpc_status_needs_a_grpc_request() {
    let mut stream = Stream::new();
    stream.info.response_code = Some(503);
    let all = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%";
    assert_eq!(text(all, &stream), "- - -");
    stream
        .request
        .append("content-type", b"application/grpc+proto");
    assert_eq!(text(all, &stream), "- - -", "a gRPC request has a path");
    stream.request.append(":path", b"/service/method");
    assert_eq!(text(all, &stream), "Unavailable UNAVAILABLE 14");
    stream.response.append("grpc-status", b"1");
    assert_eq!(text(all, &stream), "Canceled CANCELLED 1");
    stream.trailers.append("grpc-status", b"77");
    assert_eq!(text(all, &stream), "77 77 77");
    stream.trailers.set("grpc-status", b"x");
    assert_eq!(text(all, &stream), "-1 -1 -1");
}

#[test]
fn queries() {
    let case = |path: &str, format: &str| {
        let mut stream = Stream::new();
        stream.request.append(":path", path.as_bytes());
        text(format, &stream)
    };
    let all = "%QUERY_PARAM(x)%|%QUERY_PARAMS(DECODED)%|%QUERY_PARAMS(ORIG)%";
    assert_eq!(
        case("/?x=%4&y=%zz&z=%E4%41%4A", all),
        "%4|x=4&y=zz&z=%E4AJ|x=%4&y=%zz&z=%E4%41%4A"
    );
    assert_eq!(
        case("/p?b?x=3&x=%41%4a%4A", all),
        "AJJ|b?x=3&x=AJJ|b?x=3&x=%41%4a%4A"
    );
    assert_eq!(case("/p?=e&x==&x=2", all), "=|=e&x==&x=2|=e&x==&x=2");
    assert_eq!(
        case(
            "/q?%6b=%41+b%20c&a%20b=1",
            "%QUERY_PARAM(k)%|%QUERY_PARAM(a b)%"
        ),
        "A+b c|1"
    );
    assert_eq!(case("/p?", all), "-||");
    assert_eq!(case("/p", all), "-|-|-");
}

#[test]
fn text_and_percent_signs() {
    let stream = Stream::proxied();
    assert_eq!(
        text("a%%b%PROTOCOL%%%%PROTOCOL()%", &stream),
        "a%bHTTP/1.1%HTTP/1.1"
    );
    assert_eq!(
        text(
            "%START_TIME(a)b)%|%START_TIME(%Y%Y)%|%START_TIME(%%Y)%",
            &stream
        ),
        "a)b|20262026|%Y"
    );
    let constant = Formatter::text("100%%", false).unwrap();
    assert_eq!(constant.constant(), Some(&b"100%"[..]));
    assert_eq!(
        Formatter::text("", false).unwrap().constant(),
        Some(&b""[..])
    );
    assert_eq!(
        Formatter::text("%PROTOCOL%", false).unwrap().constant(),
        None
    );
}

#[test]
fn missing_values_are_empty_in_header_values() {
    let stream = Stream::new();
    let mut out = Vec::new();
    Formatter::header_value("[%REQ(nope)%%RESPONSE_FLAGS%%PER_REQUEST_STATE(x)%]")
        .unwrap()
        .format(&stream.cx(), &mut out);
    assert_eq!(out, b"[-]");
}

#[test]
fn unique_ids_are_random_uuids() {
    let stream = Stream::new();
    let (a, b) = (text("%UNIQUE_ID%", &stream), text("%UNIQUE_ID%", &stream));
    assert_ne!(a, b);
    assert_eq!(a.len(), 36);
    assert_eq!(a.as_bytes()[14], b'4');
}

#[test]
fn errors_are_envoys() {
    for (format, message) in [
        ("%FOO%", "Not supported field in StreamInfo: FOO"),
        (
            "%REQ_WITHOUT_QUERY(X)%",
            "Not supported field in StreamInfo: REQ_WITHOUT_QUERY",
        ),
        (
            "abc%BAR",
            "Incorrect configuration: abc%BAR. Couldn't find valid command at position 3",
        ),
        (
            "%foo%",
            "Incorrect configuration: %foo%. Couldn't find valid command at position 0",
        ),
        (
            "%REQ(a)%x%",
            "Incorrect configuration: %REQ(a)%x%. Couldn't find valid command at position 9",
        ),
        (
            "%REQ(a):x%",
            "Incorrect configuration: %REQ(a):x%. Couldn't find valid command at position 0",
        ),
        (
            "%REQ(a):99999999999999999999999%",
            "Incorrect configuration: %REQ(a):99999999999999999999999%. Couldn't find valid command at position 0",
        ),
        (
            "a%",
            "Incorrect configuration: a%. Couldn't find valid command at position 1",
        ),
        ("%REQ%", "REQ requires parameters"),
        ("%REQ()%", "REQ requires parameters"),
        (
            "%REQ(a?b?c)%",
            "More than 1 alternative header specified in token: a?b?c",
        ),
        (
            "%REQ(a b)%",
            "Invalid header configuration. Format string contains invalid characters.",
        ),
        (
            "%PROTOCOL():3%",
            "PROTOCOL does not take any parameters or length",
        ),
        (
            "%START_TIME:3%",
            "START_TIME does not allow length to be specified.",
        ),
        (
            "%START_TIME(%n)%",
            "Invalid header configuration. Format string contains newline.",
        ),
        (
            "%GRPC_STATUS(X)%",
            "GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: X",
        ),
        (
            "%QUERY_PARAMS(x)%",
            "Invalid QUERY_PARAMS option: 'x', only 'ORIG'/'DECODED' are allowed",
        ),
        (
            "%PATH(x)%",
            "Invalid PATH option: 'x', only 'WQ'/'NQ' are allowed",
        ),
        (
            "%PATH(WQ:x)%",
            "Invalid PATH option: 'x', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed",
        ),
        ("%METADATA(X:a)%", "X is not supported type of metadata"),
        (
            "%ROUTE_RESOLUTION_COUNT%",
            "unsupported: the operator %ROUTE_RESOLUTION_COUNT% is not implemented yet",
        ),
        (
            "%COMMON_DURATION(A)%",
            "Invalid common duration configuration: A.",
        ),
        (
            "%COMMON_DURATION(A:B:x)%",
            "Invalid common duration precision: x.",
        ),
        (
            "%FILTER_STATE(a:X)%",
            "Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.",
        ),
        (
            "%FILTER_STATE%",
            "Invalid filter state configuration, key cannot be empty.",
        ),
        (
            "%COALESCE({})%",
            "COALESCE: JSON configuration must contain 'operators' array",
        ),
        (
            r#"%COALESCE({"operators":["FOO"]})%"#,
            "COALESCE: failed to parse operator at index 0: unknown command: 'FOO'",
        ),
        (
            r#"%COALESCE({"operators":["REQ"]})%"#,
            "COALESCE: failed to parse operator at index 0: REQ requires parameters",
        ),
    ] {
        assert_eq!(error(format), message, "{format}");
    }
}

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

#[test]
fn json_templates() {
    let number = |n| Value {
        kind: Some(Kind::NumberValue(n)),
    };
    let null = || Value {
        kind: Some(Kind::NullValue(0)),
    };
    let values = vec![
        string("%REQ(x-none)%"),
        null(),
        number(3.0),
        number(1.5),
        Value {
            kind: Some(Kind::BoolValue(true)),
        },
        string("x%%y"),
        string("%PROTOCOL% %REQ(x-none)%"),
        number(1e20),
        number(1e-7),
    ];
    let list = Value {
        kind: Some(Kind::ListValue(ListValue { values })),
    };
    let template = object([
        ("z", string("")),
        ("n", null()),
        ("f", string("%RESPONSE_FLAGS%")),
        ("e", structure([])),
        ("l", list),
        ("b", structure([("c", string("%REQ(x-none)%"))])),
        ("a", string("%REQ(x-none)%")),
        ("c", string("%RESPONSE_CODE%")),
        ("q", string("%RESP(x-q)%")),
        ("é\"", string("é\u{1}\u{7f}\u{2028}</\\\"")),
    ]);
    let stream = Stream::proxied();
    assert_eq!(
        json(&template, false, &stream),
        concat!(
            r#"{"a":null,"b":{"c":null},"c":200,"e":{},"f":"-","l":[null,null,3,1.5,true,"x%y","HTTP/1.1 -",1e+20,1e-07],"#,
            r#""n":null,"q":"a\"b\\c\td","z":"","é\"":"é\u0001"#,
            "\u{7f}\u{2028}",
            r#"</\\\""}"#,
            "\n"
        )
    );
    assert_eq!(
        json(&template, true, &stream),
        concat!(
            r#"{"c":200,"f":"-","l":[3,1.5,true,"x%y","HTTP/1.1 ",1e+20,1e-07],"q":"a\"b\\c\td","z":"","é\"":"é\u0001"#,
            "\u{7f}\u{2028}",
            r#"</\\\""}"#,
            "\n"
        )
    );
    assert_eq!(json(&object([]), true, &stream), "{}\n");
    assert_eq!(json(&object([]), false, &stream), "{}\n");
}

#[test]
fn json_of_bytes_that_are_not_utf8() {
    let mut stream = Stream::new();
    stream.request.append("x-m", b"\xc3\xa9\xff");
    stream.request.append("x-v", "€😀".as_bytes());
    let template = object([
        ("m", string("%REQ(x-m)%")),
        ("mm", string("é%REQ(x-m)%%REQ(x-v)%")),
        ("v", string("%REQ(x-v)%")),
        ("v1", string("%REQ(x-v):1%")),
    ]);
    assert_eq!(
        json(&template, false, &stream),
        concat!(
            r#"{"m":"\u00c3\u00a9\u00ff","mm":"é\u00c3\u00a9\u00ff€😀","v":"€😀","v1":"\u00e2"}"#,
            "\n"
        )
    );
}

#[test]
fn an_error_in_json_has_its_path() {
    let template = object([("a", structure([("b", string("%FOO%"))]))]);
    assert_eq!(Formatter::json(&template, false).unwrap_err().path, "a.b");
}
