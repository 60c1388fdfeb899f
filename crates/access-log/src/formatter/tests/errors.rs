//! Formats that are refused, in Envoy's words.

use super::*;

fn error(format: &str) -> String {
    Formatter::text(format, false).unwrap_err().message
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
