//! Access logs, their filters and their formats.

use super::{Entry, Support::*, message};

const FILE: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDOUT: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
const STDERR: &str = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";

const METADATA: &str = "envoy.extensions.formatter.metadata.v3.Metadata";
const REQ_WITHOUT_QUERY: &str = "envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery";
/// What `formatters` may hold.
pub(super) const FORMATTERS: [&str; 2] = [METADATA, REQ_WITHOUT_QUERY];

pub(super) const MESSAGES: &[Entry] = &[
    message(
        "envoy.config.accesslog.v3.AccessLog",
        &[
            ("name", Implemented),
            ("filter", Implemented),
            ("typed_config", Extension(&[FILE, STDOUT, STDERR])),
        ],
    ),
    message(
        FILE,
        &[
            ("path", Implemented),
            ("format", Implemented),
            ("json_format", Implemented),
            ("typed_json_format", Implemented),
            ("log_format", Implemented),
        ],
    ),
    message(STDOUT, &[("log_format", Implemented)]),
    message(STDERR, &[("log_format", Implemented)]),
    message(
        "envoy.config.core.v3.SubstitutionFormatString",
        &[
            ("text_format", Implemented),
            ("json_format", Implemented),
            ("text_format_source", Implemented),
            ("omit_empty_values", Implemented),
            ("content_type", Implemented),
            ("json_format_options", Implemented),
            ("formatters", Implemented),
        ],
    ),
    message(
        "envoy.config.core.v3.JsonFormatOptions",
        &[("sort_properties", Harmless("Envoy 1.40 always sorts"))],
    ),
    message(
        "envoy.config.accesslog.v3.AccessLogFilter",
        &[
            ("status_code_filter", Implemented),
            ("duration_filter", Implemented),
            ("not_health_check_filter", Implemented),
            ("traceable_filter", Implemented),
            ("runtime_filter", Implemented),
            ("and_filter", Implemented),
            ("or_filter", Implemented),
            ("header_filter", Implemented),
            ("response_flag_filter", Implemented),
            ("grpc_status_filter", Implemented),
            ("log_type_filter", Implemented),
            ("metadata_filter", Implemented),
        ],
    ),
    message(METADATA, &[]),
    message(REQ_WITHOUT_QUERY, &[]),
    message(
        "envoy.config.accesslog.v3.MetadataFilter",
        &[
            ("matcher", Implemented),
            ("match_if_key_not_found", Implemented),
        ],
    ),
    message(
        "envoy.config.accesslog.v3.StatusCodeFilter",
        &[("comparison", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.DurationFilter",
        &[("comparison", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.ComparisonFilter",
        &[("op", Implemented), ("value", Implemented)],
    ),
    message("envoy.config.accesslog.v3.NotHealthCheckFilter", &[]),
    message("envoy.config.accesslog.v3.TraceableFilter", &[]),
    message(
        "envoy.config.accesslog.v3.RuntimeFilter",
        &[
            ("runtime_key", Implemented),
            ("percent_sampled", Implemented),
            ("use_independent_randomness", Implemented),
        ],
    ),
    message(
        "envoy.config.accesslog.v3.AndFilter",
        &[("filters", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.OrFilter",
        &[("filters", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.HeaderFilter",
        &[("header", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.ResponseFlagFilter",
        &[("flags", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.GrpcStatusFilter",
        &[("statuses", Implemented), ("exclude", Implemented)],
    ),
    message(
        "envoy.config.accesslog.v3.LogTypeFilter",
        &[("types", Implemented), ("exclude", Implemented)],
    ),
];
