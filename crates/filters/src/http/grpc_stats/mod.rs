//! `envoy.filters.http.grpc_stats`: counts gRPC calls, and those of the Connect protocol, for their cluster.
//!
//! - this file: the filter;
//! - [`config`]: whose calls are counted by name;
//! - [`connect`]: what is different about the Connect protocol;
//! - [`state`]: what the access log is told.

mod config;
mod connect;
mod state;
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
use self::state::Seen;
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
            request: None,
            response_is_grpc: false,
            request_messages: grpc::FrameCounter::default(),
            response_messages: grpc::FrameCounter::default(),
            connect: ConnectResponse::default(),
            calls: None,
            seen: None,
        })
    }
}

struct Filter {
    shared: Arc<Shared>,
    /// How the request is made, if it is a call.
    request: Option<Protocol>,
    response_is_grpc: bool,
    request_messages: grpc::FrameCounter,
    response_messages: grpc::FrameCounter,
    connect: ConnectResponse,
    /// Where to count; absent: the call is not counted.
    calls: Option<Rc<Calls>>,
    /// What the log is told.
    seen: Option<Rc<Seen>>,
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
        self.request = Protocol::of(cx.request_headers);
        if self.request.is_some() {
            let Shared { settings, counts } = &*self.shared;
            let path = cx.request_headers.path().unwrap_or_default();
            // What does not look like a call is not counted, not even without its name.
            self.calls = grpc::service_and_method(path)
                .and_then(|method| settings.find_calls(counts, cx.info, method));
        }
        Action::Continue
    }

    fn on_request_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        let messages = match self.request {
            None => 0,
            Some(Protocol::Grpc | Protocol::ConnectStreaming) => {
                self.request_messages.inspect(data)
            }
            Some(Protocol::ConnectUnary) => u64::from(end_stream),
        };
        if messages > 0 {
            if let Some(calls) = &self.calls {
                calls.add_request_messages(messages);
            }
            self.tell_log(cx.info, messages, 0);
        }
        DataAction::Continue
    }

    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        let headers = &*cx.response_headers;
        self.response_is_grpc = grpc::is_grpc_response(headers, end_stream);
        let Some(calls) = &self.calls else {
            return Action::Continue;
        };
        if self.request == Some(Protocol::ConnectUnary) {
            calls.charge_outcome(headers.status() == Some(200));
        } else if !connect::is_streaming_response(headers) {
            self.shared.counts.charge_status(calls, headers);
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
        let messages = match self.request {
            // Of any response that is gRPC, whatever the request was.
            _ if self.response_is_grpc => self.response_messages.inspect(data),
            None | Some(Protocol::Grpc) => return DataAction::Continue,
            Some(Protocol::ConnectStreaming) => self.connect.inspect(data),
            Some(Protocol::ConnectUnary) => u64::from(end_stream),
        };
        if messages > 0 {
            if let Some(calls) = &self.calls {
                calls.add_response_messages(messages);
            }
            self.tell_log(cx.info, 0, messages);
        }
        if end_stream && !self.response_is_grpc {
            if let (Some(calls), Some(Protocol::ConnectStreaming)) = (&self.calls, self.request) {
                calls.charge_outcome(self.connect.succeeded());
            }
            self.record_time(cx.info);
        }
        DataAction::Continue
    }

    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        if let (Some(calls), Some(Protocol::Grpc)) = (&self.calls, self.request) {
            self.shared
                .counts
                .charge_status(calls, cx.response_trailers);
            self.record_time(cx.info);
        }
        Action::Continue
    }
}

impl Filter {
    /// `enable_upstream_stats`: how long the upstream took.
    fn record_time(&self, info: &StreamInfo) {
        let Some(calls) = self.calls.as_ref().filter(|_| self.shared.settings.times) else {
            return;
        };
        let timing = &info.timing;
        if let (Some(sent), Some(received)) = (timing.last_upstream_tx, timing.last_upstream_rx) {
            calls.record_upstream_time(received.saturating_duration_since(sent));
        }
    }

    /// `emit_filter_state`: how many messages there were so far.
    fn tell_log(&mut self, info: &mut StreamInfo, requests: u64, responses: u64) {
        if !self.shared.settings.emits_state {
            return;
        }
        let seen = self.seen.get_or_insert_with(|| {
            let seen = Rc::<Seen>::default();
            info.filter_state_mut()
                .set("envoy.filters.http.grpc_stats", seen.clone());
            seen
        });
        seen.requests.update(|count| count + requests);
        seen.responses.update(|count| count + responses);
    }
}
