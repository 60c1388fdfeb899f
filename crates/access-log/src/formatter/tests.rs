//! What Envoy 1.40 printed for the same stream.

mod errors;
mod json;
mod metadata;
mod operators;

use std::time::Duration;

use nuncio_config::api::protobuf::{Struct, Value, value::Kind};
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
