//! `envoy.filters.http.grpc_web`: lets browsers call gRPC services (gRPC's `PROTOCOL-WEB.md`).
//!
//! - this file: the filter;
//! - [`text`]: the base64 of `application/grpc-web-text`;
//! - [`answer`]: what becomes of a response: its trailers, or that it is not gRPC at all.

mod answer;
#[cfg(test)]
mod tests;
mod text;

use std::rc::Rc;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::api::grpc_web::GrpcWeb;
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, any};
use nuncio_http::{HeaderMap, Known, grpc};
use nuncio_sdk::{
    Action, DataAction, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig,
    HttpFilterFactory, LocalReply,
};

use self::answer::Foreign;
use self::text::{BadText, TextDecoder, TextEncoder};
use super::grpc_counts::{Calls, Family, GrpcCounts};

/// The filter's factory.
pub static GRPC_WEB: GrpcWebFactory = GrpcWebFactory;

/// Makes gRPC-Web filters.
pub struct GrpcWebFactory;

const WEB: &[u8] = b"application/grpc-web";
const WEB_PROTO: &[u8] = b"application/grpc-web+proto";
const TEXT: &[u8] = b"application/grpc-web-text";
const TEXT_PROTO: &[u8] = b"application/grpc-web-text+proto";

impl HttpFilterFactory for GrpcWebFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.grpc_web"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let GrpcWeb {} = any::unpack(config)?;
        Ok(Arc::new(Config(GrpcCounts::of(cx.server))))
    }
}

struct Config(Arc<GrpcCounts>);

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            counts: self.0.clone(),
            calls: None,
            is_web: false,
            request: None,
            wants_text: false,
            response: Response::Binary,
        })
    }
}

/// A filter; it does nothing to requests that are not gRPC-Web.
struct Filter {
    counts: Arc<GrpcCounts>,
    calls: Option<Rc<Calls>>,
    is_web: bool,
    /// The request's body is text.
    request: Option<TextDecoder>,
    /// The client asks for a text.
    wants_text: bool,
    response: Response,
}

/// What happens to the response's body.
enum Response {
    /// It passes as it is.
    Binary,
    /// It becomes text.
    Text(TextEncoder),
    /// It is not gRPC and becomes `grpc-message`.
    Foreign(Foreign),
}

fn is_text(content_type: Option<&[u8]>) -> bool {
    matches!(content_type, Some(TEXT | TEXT_PROTO))
}

fn is_web_request(headers: &HeaderMap) -> bool {
    let content_type = headers.get(Known::ContentType);
    let is_web = matches!(content_type, Some(WEB | WEB_PROTO)) || is_text(content_type);
    is_web && headers.contains(Known::Path)
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        if !is_web_request(cx.request_headers) {
            return Action::Continue;
        }
        self.is_web = true;
        let method = grpc::service_and_method(cx.request_headers.path().unwrap_or_default());
        if method.is_some() {
            self.calls = self.counts.calls(cx.info, Family::GrpcWeb, method);
        }
        let headers = &mut *cx.request_headers;
        // The length of a text is not that of what it stands for.
        headers.remove(Known::ContentLength);
        self.request = is_text(headers.get(Known::ContentType)).then(TextDecoder::default);
        headers.set(Known::ContentType, grpc::CONTENT_TYPE);
        self.wants_text = is_text(headers.get(Known::Accept));
        headers.set(Known::Te, b"trailers");
        if !headers.contains(Known::GrpcAcceptEncoding) {
            headers.set(Known::GrpcAcceptEncoding, b"identity");
        }
        Action::Continue
    }

    fn on_request_data(
        &mut self,
        _: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        let Some(decoder) = &mut self.request else {
            return DataAction::Continue;
        };
        match decoder.decode(data, end_stream) {
            Ok(()) if data.is_empty() && !end_stream => DataAction::StopAndWatermark,
            Ok(()) => DataAction::Continue,
            Err(error) => DataAction::Respond(LocalReply::new(
                400,
                "Bad gRPC-web request, invalid base64 data.",
                match error {
                    BadText::Length => "grpc_base_64_decode_failed_bad_size",
                    BadText::Data => "grpc_base_64_decode_failed",
                },
            )),
        }
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        if !self.is_web {
            return Action::Continue;
        }
        self.charge_status(cx.response_headers);
        let headers = &mut *cx.response_headers;
        let is_foreign = !end_stream
            && !grpc::is_grpc_response(headers, false)
            && !answer::is_web_already(headers);
        headers.remove(Known::ContentLength);
        headers.set(
            Known::ContentType,
            if self.wants_text {
                TEXT_PROTO
            } else {
                WEB_PROTO
            },
        );
        if is_foreign {
            self.response = Response::Foreign(Foreign::default());
            // Held until the message is known.
            return Action::StopAndWatermark;
        }
        if self.wants_text {
            self.response = Response::Text(TextEncoder::default());
        }
        Action::Continue
    }

    fn on_response_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        match &mut self.response {
            Response::Binary => DataAction::Continue,
            Response::Text(encoder) => {
                encoder.encode(data);
                if end_stream {
                    encoder.finish(data);
                }
                DataAction::Continue
            }
            Response::Foreign(foreign) => {
                foreign.take(data);
                if !end_stream {
                    return DataAction::StopAndWatermark;
                }
                foreign.finish(cx.response_headers);
                DataAction::Continue
            }
        }
    }

    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        if !self.is_web {
            return Action::Continue;
        }
        self.charge_status(cx.response_trailers);
        match &mut self.response {
            Response::Foreign(foreign) => foreign.finish(cx.response_headers),
            Response::Binary => answer::move_into_body(cx.response_trailers, cx.held),
            Response::Text(encoder) => {
                encoder.finish(cx.held);
                let mut frame = Buffer::new();
                answer::move_into_body(cx.response_trailers, &mut frame);
                text::encode_whole(&frame, cx.held);
            }
        }
        Action::Continue
    }
}

impl Filter {
    fn charge_status(&self, headers: &HeaderMap) {
        if let Some(calls) = &self.calls {
            self.counts.charge_status(calls, headers);
        }
    }
}
