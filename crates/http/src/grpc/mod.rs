//! gRPC over HTTP (gRPC's `PROTOCOL-HTTP2.md`): what marks a message as gRPC, statuses, timeouts, length-prefixed frames.
//!
//! The rules are those of Envoy's `Grpc::Common`, stricter or laxer than the specification where Envoy is.

mod frame;
mod message;
mod status;
mod timeout;

pub use frame::{
    FrameCounter, FrameDecoder, FrameError, FrameHeader, FrameStep, FrameWalker, PREFIX_LEN,
};
pub use message::{decode_message, encode_message};
pub use status::{Code, InvalidCode, status_in};
pub use timeout::{MAX_TIMEOUT_VALUE, format_timeout, parse_timeout};

use crate::{HeaderMap, Known};

/// `application/grpc`, the content type of every gRPC message.
pub const CONTENT_TYPE: &[u8] = b"application/grpc";

/// Whether a content type is gRPC's: `application/grpc`, alone or with a `+subtype`. Nothing else may follow, no
/// parameter either, and case counts (Envoy's `Grpc::Common::hasGrpcContentType`).
#[must_use]
pub fn is_grpc_content_type(value: &[u8]) -> bool {
    value
        .strip_prefix(CONTENT_TYPE)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

/// Whether the content type of a request or response is gRPC's.
#[must_use]
pub fn has_grpc_content_type(headers: &HeaderMap) -> bool {
    headers
        .get(Known::ContentType)
        .is_some_and(is_grpc_content_type)
}

/// Whether a request is gRPC: it has a path and gRPC's content type (Envoy's `isGrpcRequestHeaders`).
#[must_use]
pub fn is_grpc_request(headers: &HeaderMap) -> bool {
    has_grpc_content_type(headers) && headers.contains(Known::Path)
}

/// Whether a response is gRPC (Envoy's `isGrpcResponseHeaders`): one that ends with its headers (*trailers-only*) by its
/// `grpc-status`, another by status 200 and content type.
#[must_use]
pub fn is_grpc_response(headers: &HeaderMap, end_stream: bool) -> bool {
    match end_stream {
        true => headers.contains(Known::GrpcStatus),
        false => headers.status() == Some(200) && has_grpc_content_type(headers),
    }
}

/// Service and method of a gRPC request's path, `/service/method` with or without a query; slashes that repeat or end
/// the path do not count (Envoy's `resolveServiceAndMethod`).
#[must_use]
pub fn service_and_method(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.split(|&b| b == b'?').next()?;
    let mut parts = path.split(|&b| b == b'/').filter(|part| !part.is_empty());
    let found = (parts.next()?, parts.next()?);
    parts.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_grpc_alone_or_with_a_subtype() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc+",
        ] {
            assert!(is_grpc_content_type(yes.as_bytes()), "{yes}");
        }
        for no in [
            "application/grpc;charset=utf-8",
            "application/grpc-web",
            "application/grpc ",
            "Application/grpc",
            "application/json",
            "",
        ] {
            assert!(!is_grpc_content_type(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn requests_need_a_path() {
        let mut headers = HeaderMap::new();
        headers.append(Known::ContentType, b"application/grpc");
        assert!(!is_grpc_request(&headers));
        headers.append(Known::Path, b"/s/m");
        assert!(is_grpc_request(&headers));
    }

    #[test]
    fn responses_are_told_by_status_or_by_content_type() {
        let mut headers = HeaderMap::new();
        headers.set_status(200);
        headers.append(Known::ContentType, b"application/grpc");
        assert!(is_grpc_response(&headers, false));
        assert!(!is_grpc_response(&headers, true));
        headers.set_status(503);
        assert!(!is_grpc_response(&headers, false));
        headers.append(Known::GrpcStatus, b"14");
        assert!(is_grpc_response(&headers, true));
    }

    #[test]
    fn paths_have_two_parts() {
        let parts = |path: &'static str| service_and_method(path.as_bytes());
        let both = Some((&b"pkg.Service"[..], &b"Method"[..]));
        assert_eq!(parts("/pkg.Service/Method"), both);
        assert_eq!(parts("/pkg.Service/Method?a/b/c"), both);
        assert_eq!(parts("//pkg.Service//Method/"), both);
        for none in ["", "/", "/one", "/a/b/c", "?/a/b"] {
            assert_eq!(parts(none), None, "{none}");
        }
    }
}
