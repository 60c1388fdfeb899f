//! `%GRPC_STATUS%`

use nuncio_config::ConfigError;
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::LogContext;

use super::operator::Written;

/// How a status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcStatus {
    Camel,
    Snake,
    Number,
}

/// Camel and snake names by number.
const NAMES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];

/// What Envoy calls `InvalidCode`.
const INVALID: i64 = -1;

impl GrpcStatus {
    pub(super) fn parse(argument: &str) -> Result<GrpcStatus, ConfigError> {
        match argument {
            "" | "CAMEL_STRING" => Ok(GrpcStatus::Camel),
            "SNAKE_STRING" => Ok(GrpcStatus::Snake),
            "NUMBER" => Ok(GrpcStatus::Number),
            _ => Err(ConfigError::new(
                "",
                format!(
                    "GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: {argument}"
                ),
            )),
        }
    }

    pub(super) fn write(self, cx: &LogContext<'_>, out: &mut Vec<u8>) -> Written {
        if !is_grpc_request(cx.request_headers) {
            return Written::Nothing;
        }
        let Some(status) = grpc_status(cx) else {
            return Written::Nothing;
        };
        let names = usize::try_from(status)
            .ok()
            .and_then(|status| NAMES.get(status));
        let (text, written) = match (self, names) {
            (GrpcStatus::Camel, Some((camel, _))) => (*camel, Written::Text),
            (GrpcStatus::Snake, Some((_, snake))) => (*snake, Written::Text),
            (GrpcStatus::Number, _) => ("", Written::Json),
            (_, None) => ("", Written::Text),
        };
        if text.is_empty() {
            out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        } else {
            out.extend_from_slice(text.as_bytes());
        }
        written
    }
}

/// `application/grpc`, also with a suffix (`+proto`) or parameters.
pub(crate) fn is_grpc_request(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(Known::ContentType)
        .and_then(|kind| kind.strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The status in the trailers, else in the headers, else the one that the HTTP status stands for
/// (gRPC's `http-grpc-status-mapping.md`).
pub(crate) fn grpc_status(cx: &LogContext<'_>) -> Option<i64> {
    let text = cx
        .response_trailers
        .get(Known::GrpcStatus)
        .or_else(|| cx.response_headers.get(Known::GrpcStatus));
    if let Some(text) = text {
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok());
        return Some(number.map_or(INVALID, i64::from));
    }
    Some(match cx.info.response_code? {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    })
}
