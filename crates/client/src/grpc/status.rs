//! [`GrpcStatus`].

use std::fmt;

use nuncio_http::grpc::{self, Code, InvalidCode};
use nuncio_http::{HeaderMap, Known};

use crate::CallError;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcStatus {
    /// `grpc-status`
    pub code: Code,
    /// `grpc-message`, decoded.
    pub message: String,
}

impl GrpcStatus {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// Whether the call succeeded.
    pub fn is_ok(&self) -> bool {
        self.code == Code::OK
    }

    /// The status in trailers, or in the headers of a trailers-only response. Without one the status is unknown.
    pub(super) fn of_trailers(trailers: &HeaderMap) -> Self {
        let code = match grpc::status_in(trailers) {
            Some(Ok(code)) => code,
            Some(Err(InvalidCode)) | None => Code::UNKNOWN,
        };
        let message = trailers.get(Known::GrpcMessage).unwrap_or_default();
        let message = grpc::decode_message(message);
        Self::new(code, String::from_utf8_lossy(&message))
    }

    /// What a failure of the exchange means; `started`: the response had begun.
    pub(super) fn of_failure(error: &CallError, started: bool) -> Self {
        match (started, error) {
            (true, CallError::Reset(_)) => Self::new(Code::INTERNAL, "the stream was reset"),
            (true, _) => Self::new(Code::INTERNAL, error.to_string()),
            (false, _) => Self::new(Code::from_http(error.status()), error.to_string()),
        }
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code.snake_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "{}", self.code.0)?,
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for GrpcStatus {}
