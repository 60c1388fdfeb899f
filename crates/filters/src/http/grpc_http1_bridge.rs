//! `envoy.filters.http.grpc_http1_bridge`: lets HTTP/1.1 clients call gRPC services, by putting what the trailers say into
//! the headers; and, if told to, frames protobuf messages.

use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::api::grpc_http1_bridge::Config as Proto;
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, any};
use nuncio_http::grpc::{self, Code, FrameHeader, PREFIX_LEN};
use nuncio_http::{HeaderMap, Known};
use nuncio_sdk::{
    Action, DataAction, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig,
    HttpFilterFactory, Protocol,
};

/// The filter's factory.
pub static GRPC_HTTP1_BRIDGE: GrpcHttp1BridgeFactory = GrpcHttp1BridgeFactory;

/// Makes gRPC HTTP/1.1 bridges.
pub struct GrpcHttp1BridgeFactory;

impl HttpFilterFactory for GrpcHttp1BridgeFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.grpc_http1_bridge"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"]
    }

    fn create(
        &self,
        config: &Any,
        _: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let Proto {
            upgrade_protobuf_to_grpc,
            ignore_query_parameters,
        } = any::unpack(config)?;
        Ok(Arc::new(Config {
            upgrade_protobuf: upgrade_protobuf_to_grpc,
            ignore_query: ignore_query_parameters,
        }))
    }
}

#[derive(Clone, Copy)]
struct Config {
    /// `upgrade_protobuf_to_grpc`
    upgrade_protobuf: bool,
    /// `ignore_query_parameters`
    ignore_query: bool,
}

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            config: *self,
            bridges: false,
            frames_request: false,
            prefix_left: 0,
        })
    }
}

struct Filter {
    config: Config,
    /// The request is gRPC and came by HTTP/1.
    bridges: bool,
    /// The request is a message without prefix.
    frames_request: bool,
    /// Bytes of the response that are still to be dropped, since the client knows no prefix.
    prefix_left: usize,
}

impl Filter {
    /// Takes what is left of the first message's prefix off a piece of the response.
    fn drop_prefix(&mut self, data: &mut Buffer) {
        let dropped = data.len().min(self.prefix_left);
        data.consume(dropped);
        self.prefix_left -= dropped;
    }
}

/// Puts a prefix in front of a message. One without bytes stays nothing, as in Envoy.
fn frame(message: &mut Buffer) {
    // Filters hold much less than 4 GiB.
    let Ok(len @ 1..) = u32::try_from(message.len()) else {
        return;
    };
    let mut framed = Buffer::from(&FrameHeader::plain(len).to_bytes());
    framed.append(message);
    *message = framed;
}

/// What trailers say of the call, said by headers.
fn tell_outcome(trailers: &HeaderMap, headers: &mut HeaderMap) {
    if let Some(status) = trailers.get(Known::GrpcStatus) {
        if grpc::status_in(trailers) != Some(Ok(Code::OK)) {
            headers.set_status(503);
        }
        headers.set(Known::GrpcStatus, status);
    }
    if let Some(message) = trailers.get(Known::GrpcMessage) {
        headers.set(Known::GrpcMessage, message);
    }
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let headers = &mut *cx.request_headers;
        let content_type = headers.get(Known::ContentType);
        if self.config.upgrade_protobuf && content_type == Some(b"application/x-protobuf") {
            self.frames_request = true;
            headers.set(Known::ContentType, grpc::CONTENT_TYPE);
            headers.remove(Known::ContentLength);
            cx.wishes.clear_route_cache = true;
        }
        let is_http1 = matches!(cx.info.protocol, Some(Protocol::Http10 | Protocol::Http11));
        self.bridges = is_http1 && grpc::is_grpc_request(headers);
        self.frames_request &= self.bridges;
        if self.bridges && self.config.ignore_query {
            let path = headers.path().unwrap_or_default();
            if let Some(end) = path.iter().position(|&b| b == b'?') {
                let path = path[..end].to_vec();
                headers.set(Known::Path, &path);
            }
        }
        Action::Continue
    }

    fn on_request_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        if !self.frames_request {
            return DataAction::Continue;
        }
        if !end_stream {
            return DataAction::StopAndBuffer;
        }
        cx.held.append(data);
        frame(cx.held);
        DataAction::Continue
    }

    fn on_request_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        if self.frames_request {
            frame(cx.held);
        }
        Action::Continue
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        if !self.bridges || end_stream {
            return Action::Continue;
        }
        if self.frames_request && grpc::is_grpc_response(cx.response_headers, false) {
            self.prefix_left = PREFIX_LEN;
        }
        Action::StopAndBuffer
    }

    fn on_response_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        if !self.bridges {
            return DataAction::Continue;
        }
        self.drop_prefix(data);
        if !end_stream {
            return DataAction::StopAndBuffer;
        }
        // A length that the upstream told is that of the message with its prefix.
        if self.frames_request && cx.response_headers.contains(Known::ContentLength) {
            let len = cx.held.len() + data.len();
            cx.response_headers
                .set_number(Known::ContentLength, len as u64);
        }
        DataAction::Continue
    }

    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        if self.bridges {
            tell_outcome(cx.response_trailers, cx.response_headers);
            cx.response_headers
                .set_number(Known::ContentLength, cx.held.len() as u64);
        }
        Action::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, Passed};

    fn request(content_type: &str, config: Proto) -> Fixture {
        let headers = [
            (":path", "/s/m?q"),
            ("content-type", content_type),
            ("content-length", "3"),
        ];
        let mut stream = Fixture::new(&GRPC_HTTP1_BRIDGE, &config, &headers);
        assert!(stream.request_headers(false));
        stream
    }

    fn framing() -> Proto {
        Proto {
            upgrade_protobuf_to_grpc: true,
            ignore_query_parameters: true,
        }
    }

    const GRPC: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

    fn bytes(bytes: &[u8]) -> Passed {
        Passed::Bytes(bytes.to_vec())
    }

    #[test]
    fn trailers_become_headers() {
        let mut stream = request("application/grpc", Proto::default());
        assert_eq!(stream.request.path(), Some(&b"/s/m?q"[..]));
        assert_eq!(stream.request_data(b"abc", true), bytes(b"abc"));
        assert!(!stream.response_headers(&GRPC, false));
        assert_eq!(stream.response_data(b"ab", false), Passed::Nothing);
        assert_eq!(stream.response_data(b"c", false), Passed::Nothing);
        let body = stream.response_trailers(&[("grpc-status", "3"), ("grpc-message", "m")]);
        assert_eq!(body, b"abc");
        let expected: HeaderMap = [
            (":status", "503"),
            GRPC[1],
            ("grpc-status", "3"),
            ("grpc-message", "m"),
            ("content-length", "3"),
        ]
        .into_iter()
        .collect();
        assert_eq!(stream.response, expected);
    }

    #[test]
    fn protobuf_is_framed_and_unframed() {
        let mut stream = request("application/x-protobuf", framing());
        assert_eq!(stream.request.path(), Some(&b"/s/m"[..]));
        assert!(stream.wishes.clear_route_cache);
        assert!(!stream.request.contains(Known::ContentLength));
        assert_eq!(stream.request_data(b"ab", false), Passed::Nothing);
        assert_eq!(stream.request_data(b"c", true), bytes(b"\0\0\0\0\x03abc"));
        assert!(!stream.response_headers(&GRPC, false));
        for piece in [&b"\0\0"[..], b"\0\0\x02x", b"y"] {
            assert_eq!(stream.response_data(piece, false), Passed::Nothing);
        }
        assert_eq!(stream.response_trailers(&[("grpc-status", "0")]), b"xy");
        assert_eq!(stream.response.status(), Some(200));
    }

    #[test]
    fn http2_needs_no_bridge() {
        let headers = [(":path", "/s/m?q"), ("content-type", "application/grpc")];
        let mut stream = Fixture::new(&GRPC_HTTP1_BRIDGE, &framing(), &headers);
        stream.info.protocol = Some(Protocol::Http2);
        assert!(stream.request_headers(false));
        assert_eq!(stream.request.path(), Some(&b"/s/m?q"[..]));
        assert!(stream.response_headers(&GRPC, false));
        assert_eq!(stream.response_data(b"abc", false), bytes(b"abc"));
        assert!(stream.response_trailers(&[("grpc-status", "3")]).is_empty());
        assert_eq!(stream.response.status(), Some(200));
    }
}
