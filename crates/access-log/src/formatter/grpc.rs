//! `%GRPC_STATUS%`

use nuncio_config::ConfigError;
use nuncio_http::grpc::{self, Code, InvalidCode};
use nuncio_sdk::LogContext;

use super::operator::Written;

/// How a status is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcStatus {
    Camel,
    Snake,
    Number,
}

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
        if !grpc::is_grpc_request(cx.request_headers) {
            return Written::Nothing;
        }
        let Some(status) = grpc_status(cx) else {
            return Written::Nothing;
        };
        let name = match (self, status) {
            (GrpcStatus::Camel, Ok(code)) => code.camel_name(),
            (GrpcStatus::Snake, Ok(code)) => code.snake_name(),
            (GrpcStatus::Number, _) | (_, Err(InvalidCode)) => None,
        };
        match (name, status) {
            (Some(name), _) => out.extend_from_slice(name.as_bytes()),
            (None, Ok(Code(number))) => {
                out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
            }
            // What Envoy calls `InvalidCode`.
            (None, Err(InvalidCode)) => out.extend_from_slice(b"-1"),
        }
        match self {
            GrpcStatus::Number => Written::Json,
            GrpcStatus::Camel | GrpcStatus::Snake => Written::Text,
        }
    }
}

/// The status in the trailers, else in the headers, else the one that the HTTP status stands for.
pub(crate) fn grpc_status(cx: &LogContext<'_>) -> Option<Result<Code, InvalidCode>> {
    grpc::status_in(cx.response_trailers)
        .or_else(|| grpc::status_in(cx.response_headers))
        .or_else(|| Some(Ok(Code::from_http(cx.info.response_code?))))
}
