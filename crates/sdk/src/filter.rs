//! HTTP filters.
//!
//! A filter sees a request on its way in (`on_request_*`, in the order of the chain) and the response on its way out
//! (`on_response_*`, in reverse order). Every callback answers with what is to happen next; see [`Action`] and
//! [`DataAction`]. The synchronous answers allocate nothing.

use std::any::Any as StdAny;
use std::pin::Pin;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::ConfigError;
use nuncio_config::api::protobuf::Any;
use nuncio_http::HeaderMap;

use crate::access_log::LogContext;
use crate::context::FactoryContext;
use crate::reply::LocalReply;
use crate::route::{self, PerFilterConfig, RouteConfig};
use crate::stream_info::StreamInfo;

/// A wait: while it is pending, nothing of this direction passes the filter, and what arrives is held up to the
/// buffer limit, then reading stops.
pub type Await = Pin<Box<dyn Future<Output = Resume>>>;

/// How a wait ends.
pub enum Resume {
    /// The held headers, data and trailers go on to the next filter.
    Continue,
    /// Answer now.
    Respond(LocalReply),
    /// Run this with the stream at hand, and do what it says.
    Run(Box<dyn FnOnce(&mut FilterContext<'_>) -> Resume>),
}

/// What follows a headers or trailers callback.
pub enum Action {
    /// On to the next filter.
    Continue,
    /// Hold the headers, and the body as it comes, until a data or trailers callback of this filter says
    /// `Continue`. Over the buffer limit the request is answered with 413 (a response with 500).
    StopAndBuffer,
    /// As `StopAndBuffer`, but over the buffer limit reading stops until the filter continues.
    StopAndWatermark,
    /// Answer now. On the response side this replaces the response, if its headers were not sent yet.
    Respond(LocalReply),
    /// Wait, then resume.
    Await(Await),
}

/// What follows a data callback.
pub enum DataAction {
    /// The data (and headers or data held before) goes on to the next filter.
    Continue,
    /// Hold this data behind what is already held. Over the buffer limit: 413 (500 for a response).
    StopAndBuffer,
    /// Hold this data; over the buffer limit reading stops.
    StopAndWatermark,
    /// Answer now.
    Respond(LocalReply),
    /// Wait with this data, then resume.
    Await(Await),
    /// Let the first `bytes` of the data go on, wait, then call the filter again with the rest (rate limiting).
    Pace {
        /// How much goes on now.
        bytes: usize,
        /// When the filter wants to be called again with the rest.
        until: Pin<Box<dyn Future<Output = ()>>>,
    },
}

/// The stream, as a filter sees it during a callback.
pub struct FilterContext<'a> {
    /// Facts of the stream.
    pub info: &'a mut StreamInfo,
    /// Request headers.
    pub request_headers: &'a mut HeaderMap,
    /// Request trailers; empty until they arrive.
    pub request_trailers: &'a mut HeaderMap,
    /// Response headers; empty until they arrive.
    pub response_headers: &'a mut HeaderMap,
    /// Response trailers; empty until they arrive.
    pub response_trailers: &'a mut HeaderMap,
    /// Body of this direction that is held because filters said `Stop…`.
    pub held: &'a mut Buffer,
    /// This filter's name in the chain.
    pub filter_name: &'a str,
    /// What the filter wants of the stream beyond its answer.
    pub wishes: &'a mut Wishes,
}

/// Wishes of a filter that the connection manager grants after the callback.
#[derive(Default, Debug)]
pub struct Wishes {
    /// New limit, in bytes, of what is held for this direction; only ever raised or lowered by filters that buffer.
    pub buffer_limit: Option<u32>,
    /// The request changed in a way that can change its route: match again before the router runs.
    pub clear_route_cache: bool,
}

impl FilterContext<'_> {
    /// The most specific per-route configuration of this filter.
    pub fn route_config<T: StdAny>(&self) -> Option<&T> {
        route::most_specific(self.per_filter_configs(), self.filter_name)
    }

    /// This filter's per-route configurations of all levels, least specific first.
    pub fn route_configs<T: StdAny>(&self) -> impl Iterator<Item = &T> {
        route::all_levels(self.per_filter_configs(), self.filter_name)
    }

    fn per_filter_configs(&self) -> &[PerFilterConfig] {
        match &self.info.route {
            Some(route) => route.per_filter_configs(),
            None => &[],
        }
    }
}

/// One filter on one stream.
pub trait HttpFilter {
    /// The request's headers; `end_stream` when nothing follows.
    fn on_request_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        let _ = (cx, end_stream);
        Action::Continue
    }

    /// A piece of the request's body; the filter may change it in place.
    fn on_request_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        let _ = (cx, data, end_stream);
        DataAction::Continue
    }

    /// The request's trailers.
    fn on_request_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        let _ = cx;
        Action::Continue
    }

    /// The response's headers; `end_stream` when nothing follows.
    fn on_response_headers(&mut self, cx: &mut FilterContext<'_>, end_stream: bool) -> Action {
        let _ = (cx, end_stream);
        Action::Continue
    }

    /// A piece of the response's body.
    fn on_response_data(
        &mut self,
        cx: &mut FilterContext<'_>,
        data: &mut Buffer,
        end_stream: bool,
    ) -> DataAction {
        let _ = (cx, data, end_stream);
        DataAction::Continue
    }

    /// Whether [`Self::on_response_data`] has anything to do, asked when the response's headers have passed all
    /// filters. When no filter of the stream has, a large body may go from socket to socket without being shown to
    /// anybody, its end included.
    fn wants_response_data(&self) -> bool {
        true
    }

    /// The response's trailers.
    fn on_response_trailers(&mut self, cx: &mut FilterContext<'_>) -> Action {
        let _ = cx;
        Action::Continue
    }

    /// The stream is over, however it ended; called once, before the access log is written.
    fn on_stream_complete(&mut self, cx: &LogContext<'_>) {
        let _ = cx;
    }
}

/// A configured HTTP filter, shared by all workers.
pub trait HttpFilterConfig: Send + Sync {
    /// A filter for one stream.
    fn create_filter(&self) -> Box<dyn HttpFilter>;

    /// The terminal filter's own settings (the router); other filters have none.
    fn terminal(&self) -> Option<Arc<dyn StdAny + Send + Sync>> {
        None
    }
}

/// Makes HTTP filters of one kind.
pub trait HttpFilterFactory: Sync {
    /// Canonical name (`envoy.filters.http.fault`).
    fn name(&self) -> &'static str;

    /// Full message names of the configurations it takes.
    fn config_types(&self) -> &'static [&'static str];

    /// Full message names of the per-route configurations it takes.
    fn route_config_types(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it must be the last of the chain (the router), and nothing else may be.
    fn is_terminal(&self) -> bool {
        false
    }

    /// Makes a filter from its configuration.
    ///
    /// # Errors
    /// When the configuration is not valid; the path is relative to the filter's `typed_config`.
    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn HttpFilterConfig>, ConfigError>;

    /// Parses a per-route configuration.
    ///
    /// # Errors
    /// When the configuration is not valid.
    fn create_route_config(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<RouteConfig, ConfigError> {
        let _ = cx;
        Err(ConfigError::new(
            "",
            format!(
                "{} takes no per-route configuration of type {}",
                self.name(),
                config.type_url
            ),
        ))
    }
}
