//! `envoy.filters.http.grpc_stats`: counts gRPC calls, and those of the Connect protocol, for their cluster.
//!
//! - this file: the filter;
//! - [`config`]: whose calls are counted by name;
//! - [`connect`]: what is different about the Connect protocol.

mod config;
mod connect;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::api::grpc_stats::FilterConfig;
use nuncio_config::api::protobuf::Any;
use nuncio_config::{ConfigError, any};
use nuncio_http::{HeaderMap, grpc};
use nuncio_sdk::{
    Action, DataAction, FactoryContext, FilterContext, HttpFilter, HttpFilterConfig,
    HttpFilterFactory, StreamInfo,
};

use self::config::Settings;
use self::connect::ConnectResponse;
use super::grpc_counts::{Calls, GrpcCounts};

/// The filter's factory.
pub static GRPC_STATS: GrpcStatsFactory = GrpcStatsFactory;

/// Makes gRPC stats filters.
pub struct GrpcStatsFactory;

impl HttpFilterFactory for GrpcStatsFactory {
    fn name(&self) -> &'static str {
        "envoy.filters.http.grpc_stats"
    }

    fn config_types(&self) -> &'static [&'static str] {
        &["envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"]
    }

    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError> {
        let config: FilterConfig = any::unpack(config)?;
        Ok(Arc::new(Config(Arc::new(Shared {
            settings: Settings::new(config),
            counts: GrpcCounts::of(cx.server),
        }))))
    }
}

struct Config(Arc<Shared>);

struct Shared {
    settings: Settings,
    counts: Arc<GrpcCounts>,
}

impl HttpFilterConfig for Config {
    fn create_filter(&self) -> Box<dyn HttpFilter> {
        Box::new(Filter {
            shared: self.0.clone(),
            call: None,
        })
    }
}

struct Filter {
    shared: Arc<Shared>,
    /// Absent: nothing to count.
    call: Option<Call>,
}

/// A call that is counted.
struct Call {
    calls: Rc<Calls>,
    request: Protocol,
    response_is_grpc: bool,
    request_messages: grpc::FrameCounter,
    response_messages: grpc::FrameCounter,
    connect: ConnectResponse,
}

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Grpc,
    /// Connect with length-prefixed messages both ways.
    ConnectStreaming,
    /// Connect with one message each way, without prefix.
    ConnectUnary,
}

impl Protocol {
    fn of(headers: &HeaderMap) -> Option<Protocol> {
        if grpc::is_grpc_request(headers) {
            Some(Protocol::Grpc)
        } else if connect::is_streaming_request(headers) {
            Some(Protocol::ConnectStreaming)
        } else if connect::is_unary_request(headers) {
            Some(Protocol::ConnectUnary)
        } else {
            None
        }
    }
}

impl HttpFilter for Filter {
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, _: bool) -> Action {
        let Some(request) = Protocol::of(cx.request_headers) else {
            return Action::Continue;
        };
        let Shared { settings, counts } = &*self.shared;
        let path = cx.request_headers.path().unwrap_or_default();
        // What does not look like a call is not counted, not even without its name.
        self.call = grpc::service_and_method(path)
            .and_then(|method| settings.find_calls(counts, cx.info, method))
            .map(|calls| Call {
                calls,
                request,
                response_is_grpc: false,
                request_messages: grpc::FrameCounter::default(),
                response_messages: grpc::FrameCounter::default(),
                connect: ConnectResponse::default(),
            });
        Action::Continue
    }

    fn on_request_data(
        &mut self,
        _: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        if let Some(call) = &mut self.call {
            let messages = match call.request {
                Protocol::Grpc | Protocol::ConnectStreaming => call.request_messages.inspect(data),
                Protocol::ConnectUnary => u64::from(end_stream),
            };
            if messages > 0 {
                call.calls.add_request_messages(messages);
            }
        }
        DataAction::Continue
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        let Some(call) = &mut self.call else {
            return Action::Continue;
        };
        let headers = &*cx.response_headers;
        call.response_is_grpc = grpc::is_grpc_response(headers, end_stream);
        match call.request {
            Protocol::ConnectUnary => call.calls.charge_outcome(headers.status() == Some(200)),
            _ if connect::is_streaming_response(headers) => {}
            _ => self.shared.counts.charge_status(&call.calls, headers),
        }
        if end_stream {
            self.record_time(cx.info);
        }
        Action::Continue
    }

    fn on_response_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        let Some(call) = &mut self.call else {
            return DataAction::Continue;
        };
        let messages = match call.request {
            _ if call.response_is_grpc => call.response_messages.inspect(data),
            Protocol::Grpc => 0,
            Protocol::ConnectStreaming => call.connect.inspect(data),
            Protocol::ConnectUnary => u64::from(end_stream),
        };
        if messages > 0 {
            call.calls.add_response_messages(messages);
        }
        if end_stream && !call.response_is_grpc && call.request != Protocol::Grpc {
            if call.request == Protocol::ConnectStreaming {
                call.calls.charge_outcome(call.connect.succeeded());
            }
            self.record_time(cx.info);
        }
        DataAction::Continue
    }

    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        if let Some(call) = &self.call
            && call.request == Protocol::Grpc
        {
            self.shared
                .counts
                .charge_status(&call.calls, cx.response_trailers);
            self.record_time(cx.info);
        }
        Action::Continue
    }
}

impl Filter {
    /// `enable_upstream_stats`: how long the upstream took.
    fn record_time(&self, info: &StreamInfo) {
        let Some(call) = self.call.as_ref().filter(|_| self.shared.settings.times) else {
            return;
        };
        let timing = &info.timing;
        if let (Some(sent), Some(received)) = (timing.last_upstream_tx, timing.last_upstream_rx) {
            let took = received.saturating_duration_since(sent);
            call.calls.record_upstream_time(took);
        }
    }
}
