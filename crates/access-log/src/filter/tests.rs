//! Which streams Envoy 1.40 logged with these filters.

use nuncio_config::api::access_log::access_log_filter::FilterSpecifier as Specifier;
use nuncio_config::api::access_log::{
    AccessLogFilter, AndFilter, ComparisonFilter, DurationFilter, GrpcStatusFilter, HeaderFilter,
    LogTypeFilter, MetadataFilter as MetadataConfig, NotHealthCheckFilter, OrFilter,
    ResponseFlagFilter, RuntimeFilter, StatusCodeFilter, TraceableFilter,
};
use nuncio_config::api::core::RuntimeUInt32;
use nuncio_config::api::matcher::MetadataMatcher;
use nuncio_config::api::matcher::metadata_matcher::{PathSegment, path_segment::Segment};
use nuncio_config::api::protobuf::{BoolValue, Value, value::Kind};
use nuncio_config::api::route::HeaderMatcher;
use nuncio_config::api::types::FractionalPercent;
use nuncio_config::{ConfigError, api};
use std::sync::Arc;
use std::time::Duration;

use nuncio_sdk::{AccessLogType, FactoryContext, ResponseFlags};

use super::{Filter, FilterMatchers};
use crate::FlushOptions;
use crate::testing::{Stream, server};

fn compile(specifier: Specifier) -> Result<Filter, ConfigError> {
    let (server, _manager) = server(FlushOptions::default());
    // Stand-ins for the route crate's matchers: presence, and whether namespace `a` has `b`.
    server.services.insert(Arc::new(FilterMatchers {
        header: |config| {
            let name = config.name.clone();
            Ok(Box::new(move |headers| headers.contains(&name)))
        },
        metadata: |config| {
            assert!(!config.invert);
            Ok(Box::new(|metadata| {
                metadata
                    .and_then(|metadata| metadata.get("a", ["b"]))
                    .is_some_and(|value| value.kind.is_some())
            }))
        },
    }));
    let cx = FactoryContext {
        server: &server,
        stat_prefix: "",
        name: "",
    };
    Filter::new(
        &AccessLogFilter {
            filter_specifier: Some(specifier),
        },
        &cx,
    )
}

fn passes(specifier: Specifier, stream: &Stream) -> bool {
    compile(specifier).unwrap().passes(&stream.cx())
}

fn comparison(op: i32, value: u32) -> Option<ComparisonFilter> {
    let value = RuntimeUInt32 {
        default_value: value,
        runtime_key: "key".into(),
    };
    Some(ComparisonFilter {
        op,
        value: Some(value),
    })
}

/// 418 `/direct`, no flags, and 503 `/dead`, `UF`
fn streams() -> (Stream, Stream) {
    let (mut direct, mut dead) = (Stream::new(), Stream::new());
    direct.request = [(":path", "/direct"), ("x-request-id", "00000031-aaaa")]
        .into_iter()
        .collect();
    dead.request = [
        (":path", "/dead"),
        ("x-request-id", "00000032-aaaa"),
        ("x-dead", "1"),
    ]
    .into_iter()
    .collect();
    direct.info.response_code = Some(418);
    dead.info.response_code = Some(503);
    dead.info.flags = ResponseFlags::UPSTREAM_CONNECTION_FAILURE;
    (direct, dead)
}

/// Which of the two streams pass.
fn both(specifier: impl Fn() -> Specifier) -> (bool, bool) {
    let (direct, dead) = streams();
    (passes(specifier(), &direct), passes(specifier(), &dead))
}

#[test]
fn comparisons() {
    let code = |op, value| {
        both(|| {
            Specifier::StatusCodeFilter(StatusCodeFilter {
                comparison: comparison(op, value),
            })
        })
    };
    assert_eq!(code(0, 418), (true, false));
    assert_eq!(code(1, 418), (true, true));
    assert_eq!(code(2, 418), (true, false));
    assert_eq!(code(3, 418), (false, true));
    let mut slow = Stream::new();
    slow.info.end = Some(slow.info.start + Duration::from_millis(3_000));
    let duration = |op, value| {
        passes(
            Specifier::DurationFilter(DurationFilter {
                comparison: comparison(op, value),
            }),
            &slow,
        )
    };
    assert!(duration(1, 3_000) && !duration(1, 3_001));
}

#[test]
fn simple_filters() {
    let mut stream = Stream::new();
    assert!(passes(
        Specifier::NotHealthCheckFilter(NotHealthCheckFilter {}),
        &stream
    ));
    assert!(!passes(
        Specifier::TraceableFilter(TraceableFilter {}),
        &stream
    ));
    stream.info.health_check = true;
    stream.info.traced = true;
    assert!(!passes(
        Specifier::NotHealthCheckFilter(NotHealthCheckFilter {}),
        &stream
    ));
    assert!(passes(
        Specifier::TraceableFilter(TraceableFilter {}),
        &stream
    ));
}

#[test]
fn a_share_follows_the_request_id() {
    let share = |numerator| {
        both(|| {
            Specifier::RuntimeFilter(RuntimeFilter {
                runtime_key: "key".into(),
                percent_sampled: Some(FractionalPercent {
                    numerator,
                    denominator: 0,
                }),
                use_independent_randomness: false,
            })
        })
    };
    assert_eq!(share(50), (true, false), "0x31 is 49, 0x32 is 50");
    assert_eq!(share(0), (false, false));
    assert_eq!(share(100), (true, true));
}

#[test]
fn flags_and_statuses() {
    let flags = |names: &[&str]| {
        both(|| {
            let flags = names.iter().map(|name| (*name).to_owned()).collect();
            Specifier::ResponseFlagFilter(ResponseFlagFilter { flags })
        })
    };
    assert_eq!(flags(&[]), (false, true));
    assert_eq!(flags(&["UF", "NR"]), (false, true));
    assert_eq!(flags(&["NR"]), (false, false));
    let grpc = |statuses: &[i32], exclude| {
        both(|| {
            Specifier::GrpcStatusFilter(GrpcStatusFilter {
                statuses: statuses.into(),
                exclude,
            })
        })
    };
    assert_eq!(grpc(&[2], false), (true, false));
    assert_eq!(grpc(&[14], false), (false, true));
    assert_eq!(grpc(&[14], true), (true, false));
    assert_eq!(grpc(&[], false), (false, false));
    assert_eq!(grpc(&[], true), (true, true));
}

#[test]
fn log_types() {
    let case = |types: &[i32], exclude| {
        let mut stream = Stream::new();
        let mut passes_as = |log_type| {
            stream.log_type = log_type;
            passes(
                Specifier::LogTypeFilter(LogTypeFilter {
                    types: types.into(),
                    exclude,
                }),
                &stream,
            )
        };
        (
            passes_as(AccessLogType::DownstreamStart),
            passes_as(AccessLogType::DownstreamEnd),
        )
    };
    assert_eq!(case(&[], true), (true, true));
    assert_eq!(case(&[4], false), (true, false));
    assert_eq!(case(&[4], true), (false, true));
}

#[test]
fn combinations_and_headers() {
    let filter = |specifier| AccessLogFilter {
        filter_specifier: Some(specifier),
    };
    let header = |name: &str| {
        let header = HeaderMatcher {
            name: name.into(),
            ..HeaderMatcher::default()
        };
        Specifier::HeaderFilter(HeaderFilter {
            header: Some(header),
        })
    };
    assert_eq!(both(|| header("x-dead")), (false, true));
    let parts = || vec![filter(header("x-dead")), filter(header("x-request-id"))];
    assert_eq!(
        both(|| Specifier::AndFilter(AndFilter { filters: parts() })),
        (false, true)
    );
    assert_eq!(
        both(|| Specifier::OrFilter(OrFilter { filters: parts() })),
        (true, true)
    );
}

#[test]
fn metadata() {
    let specifier = |key: &str, missing: Option<bool>| {
        let matcher = MetadataMatcher {
            filter: "a".into(),
            path: vec![PathSegment {
                segment: Some(Segment::Key(key.into())),
            }],
            value: None,
            invert: true,
        };
        let match_if_key_not_found = missing.map(|value| BoolValue { value });
        Specifier::MetadataFilter(MetadataConfig {
            matcher: Some(matcher),
            match_if_key_not_found,
        })
    };
    let mut stream = Stream::new();
    assert!(passes(specifier("b", None), &stream));
    assert!(!passes(specifier("b", Some(false)), &stream));
    stream.info.metadata_mut().set(
        "a",
        "b",
        Value {
            kind: Some(Kind::NullValue(0)),
        },
    );
    assert!(
        passes(specifier("b", Some(false)), &stream),
        "null is a value"
    );
    assert!(!passes(specifier("c", Some(false)), &stream));
    let none = |missing: Option<bool>| {
        let match_if_key_not_found = missing.map(|value| BoolValue { value });
        Specifier::MetadataFilter(MetadataConfig {
            matcher: None,
            match_if_key_not_found,
        })
    };
    assert!(passes(none(None), &stream) && !passes(none(Some(false)), &stream));
}

#[test]
fn errors_have_paths() {
    let error = |specifier| {
        compile(specifier)
            .err()
            .map(|error| error.path)
            .unwrap_or_default()
    };
    let missing = Specifier::StatusCodeFilter(StatusCodeFilter { comparison: None });
    assert_eq!(error(missing), "status_code_filter.comparison");
    let flags = vec!["UF".into(), "XX".into()];
    assert_eq!(
        error(Specifier::ResponseFlagFilter(ResponseFlagFilter { flags })),
        "response_flag_filter.flags[1]"
    );
    let one = vec![AccessLogFilter {
        filter_specifier: None,
    }];
    assert_eq!(
        error(Specifier::OrFilter(OrFilter { filters: one })),
        "or_filter.filters"
    );
    let extension = api::access_log::ExtensionFilter {
        name: "x".into(),
        config_type: None,
    };
    assert_eq!(
        error(Specifier::ExtensionFilter(extension)),
        "extension_filter"
    );
}
