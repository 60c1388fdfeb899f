//! gRPC status codes.

use crate::{HeaderMap, Known};

/// A gRPC status code. Those above 16 have no name, but a service may use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u64);

/// A `grpc-status` that is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCode;

/// Names by number, as Envoy's logs write them: camel, snake.
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

macro_rules! codes {
    ($($name:ident = $number:literal,)*) => {
        impl Code {
            $(#[doc = concat!("`", stringify!($name), "`")] pub const $name: Code = Code($number);)*
        }
    };
}

codes! {
    OK = 0,
    CANCELLED = 1,
    UNKNOWN = 2,
    INVALID_ARGUMENT = 3,
    DEADLINE_EXCEEDED = 4,
    NOT_FOUND = 5,
    ALREADY_EXISTS = 6,
    PERMISSION_DENIED = 7,
    RESOURCE_EXHAUSTED = 8,
    FAILED_PRECONDITION = 9,
    ABORTED = 10,
    OUT_OF_RANGE = 11,
    UNIMPLEMENTED = 12,
    INTERNAL = 13,
    UNAVAILABLE = 14,
    DATA_LOSS = 15,
    UNAUTHENTICATED = 16,
}

impl Code {
    /// What an HTTP status means (gRPC's `http-grpc-status-mapping.md`).
    #[must_use]
    pub const fn from_http(status: u16) -> Code {
        match status {
            400 => Code::INTERNAL,
            401 => Code::UNAUTHENTICATED,
            403 => Code::PERMISSION_DENIED,
            404 => Code::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Code::UNAVAILABLE,
            _ => Code::UNKNOWN,
        }
    }

    /// The HTTP status that says the same (`google.rpc.Code`).
    #[must_use]
    pub const fn to_http(self) -> u16 {
        match self {
            Code::OK => 200,
            Code::CANCELLED => 499,
            Code::INVALID_ARGUMENT | Code::FAILED_PRECONDITION | Code::OUT_OF_RANGE => 400,
            Code::DEADLINE_EXCEEDED => 504,
            Code::NOT_FOUND => 404,
            Code::ALREADY_EXISTS | Code::ABORTED => 409,
            Code::PERMISSION_DENIED => 403,
            Code::RESOURCE_EXHAUSTED => 429,
            Code::UNIMPLEMENTED => 501,
            Code::UNAVAILABLE => 503,
            Code::UNAUTHENTICATED => 401,
            _ => 500,
        }
    }

    /// `DeadlineExceeded` and so on; `None` for a code without a name.
    #[must_use]
    pub fn camel_name(self) -> Option<&'static str> {
        Some(NAMES.get(usize::try_from(self.0).ok()?)?.0)
    }

    /// `DEADLINE_EXCEEDED` and so on; `None` for a code without a name.
    #[must_use]
    pub fn snake_name(self) -> Option<&'static str> {
        Some(NAMES.get(usize::try_from(self.0).ok()?)?.1)
    }
}

/// The `grpc-status` of a response's headers or trailers; `None` when there is none, or an empty one (Envoy's
/// `Grpc::Common::getGrpcStatus`, user-defined codes allowed).
#[must_use]
pub fn status_in(headers: &HeaderMap) -> Option<Result<Code, InvalidCode>> {
    let text = headers
        .get(Known::GrpcStatus)
        .filter(|text| !text.is_empty())?;
    let number = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.trim_ascii().parse().ok());
    Some(number.map(Code).ok_or(InvalidCode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_names_up_to_sixteen() {
        assert_eq!(Code::CANCELLED.camel_name(), Some("Canceled"));
        assert_eq!(Code::UNAUTHENTICATED.snake_name(), Some("UNAUTHENTICATED"));
        assert_eq!(Code(17).camel_name(), None);
    }

    #[test]
    fn http_and_grpc_statuses_map_both_ways() {
        for (http, code) in [
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (429, 14),
            (504, 14),
            (500, 2),
        ] {
            assert_eq!(Code::from_http(http), Code(code));
        }
        for (code, http) in [
            (0, 200),
            (1, 499),
            (5, 404),
            (12, 501),
            (14, 503),
            (15, 500),
            (99, 500),
        ] {
            assert_eq!(Code(code).to_http(), http);
        }
    }

    #[test]
    fn a_status_is_a_number() {
        let status = |text: &str| {
            let headers: HeaderMap = [("grpc-status", text)].into_iter().collect();
            status_in(&headers)
        };
        assert_eq!(status("0"), Some(Ok(Code::OK)));
        assert_eq!(status("77"), Some(Ok(Code(77))));
        assert_eq!(status("x"), Some(Err(InvalidCode)));
        assert_eq!(status("-1"), Some(Err(InvalidCode)));
        assert_eq!(status(""), None);
        assert_eq!(status_in(&HeaderMap::new()), None);
    }
}
