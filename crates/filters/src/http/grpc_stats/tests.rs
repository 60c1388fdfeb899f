use nuncio_config::api::core::{GrpcMethodList, grpc_method_list};
use nuncio_config::api::grpc_stats::filter_config::PerMethodStatSpecifier;

use super::*;
use crate::testing::{Fixture, Passed};

#[test]
fn requests_are_told_apart() {
    let of = |headers: &[(&str, &str)]| Protocol::of(&headers.iter().copied().collect());
    let path = (":path", "/s/m");
    let connect = ("connect-protocol-version", "1");
    assert_eq!(
        of(&[path, ("content-type", "application/grpc")]),
        Some(Protocol::Grpc)
    );
    assert_eq!(
        of(&[path, connect, ("content-type", "application/connect+json")]),
        Some(Protocol::ConnectStreaming)
    );
    assert_eq!(
        of(&[path, connect, ("content-type", "application/json")]),
        Some(Protocol::ConnectUnary)
    );
    assert_eq!(of(&[path, ("content-type", "application/json")]), None);
    assert_eq!(of(&[("content-type", "application/grpc")]), None);
}

#[test]
fn nothing_is_changed_or_held_back() {
    let config = FilterConfig {
        per_method_stat_specifier: Some(PerMethodStatSpecifier::IndividualMethodStatsAllowlist(
            GrpcMethodList {
                services: vec![grpc_method_list::Service {
                    name: "s".into(),
                    method_names: vec!["m".into()],
                }],
            },
        )),
        ..Default::default()
    };
    let headers = [(":path", "/s/m"), ("content-type", "application/grpc")];
    let mut stream = Fixture::new(&GRPC_STATS, &config, &headers);
    assert!(stream.request_headers(false));
    let message = b"\0\0\0\0\x01a";
    assert_eq!(
        stream.request_data(message, true),
        Passed::Bytes(message.to_vec())
    );
    assert!(stream.response_headers(&[(":status", "200")], false));
    assert_eq!(
        stream.response_data(message, false),
        Passed::Bytes(message.to_vec())
    );
    assert!(stream.response_trailers(&[("grpc-status", "0")]).is_empty());
    assert_eq!(stream.trailers.len(), 1);
    assert!(stream.info.filter_state.is_none());
}

#[test]
fn the_log_is_told_when_it_wants_to_know() {
    let config = FilterConfig {
        emit_filter_state: true,
        ..Default::default()
    };
    let headers = [(":path", "/s/m"), ("content-type", "application/grpc")];
    let mut stream = Fixture::new(&GRPC_STATS, &config, &headers);
    assert!(stream.request_headers(false));
    assert!(stream.info.filter_state.is_none());
    stream.request_data(b"\0\0\0\0\0\0\0\0\0\0", true);
    let object = stream
        .info
        .filter_state_mut()
        .get(GRPC_STATS.name())
        .unwrap();
    let object = object.clone();
    assert_eq!(object.text().as_deref(), Some("2,0"));
    let json = r#"{"requestMessageCount":"2"}"#;
    assert_eq!(object.json(false).as_deref(), Some(json));
    assert!(stream.response_headers(&[(":status", "200"), headers[1]], false));
    stream.response_data(b"\0\0\0\0\x01a", true);
    let json = r#"{"request_message_count":"2","response_message_count":"1"}"#;
    assert_eq!(object.json(true).as_deref(), Some(json));
}
