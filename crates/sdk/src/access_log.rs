//! Access loggers.

use std::sync::Arc;

use nuncio_config::ConfigError;
use nuncio_config::api::protobuf::Any;
use nuncio_http::HeaderMap;

use crate::context::FactoryContext;
use crate::stream_info::StreamInfo;

/// Why an entry is written (`%ACCESS_LOG_TYPE%`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogType {
    /// No particular point of a stream.
    NotSet,
    /// The request's headers arrived.
    DownstreamStart,
    /// A periodic entry of a long stream.
    DownstreamPeriodic,
    /// The stream ended.
    DownstreamEnd,
    /// The response turns the connection into a tunnel.
    DownstreamTunnelSuccessfullyEstablished,
}

/// What a logger or a formatter may look at.
#[derive(Clone, Copy)]
pub struct LogContext<'a> {
    /// Request headers, as the last filter left them.
    pub request_headers: &'a HeaderMap,
    /// Response headers; empty when no response was sent.
    pub response_headers: &'a HeaderMap,
    /// Response trailers; empty when there were none.
    pub response_trailers: &'a HeaderMap,
    /// The stream.
    pub info: &'a StreamInfo,
    /// Why the entry is written.
    pub log_type: AccessLogType,
}

/// Of what has none, or none yet.
static NO_HEADERS: HeaderMap = HeaderMap::new();

impl<'a> LogContext<'a> {
    /// What a formatter outside a log sees of a request to which there is no answer yet.
    pub fn of_request(request_headers: &'a HeaderMap, info: &'a StreamInfo) -> Self {
        Self::of_response(request_headers, &NO_HEADERS, info)
    }

    /// What a formatter outside a log sees of an answer before its trailers.
    pub fn of_response(
        request_headers: &'a HeaderMap,
        response_headers: &'a HeaderMap,
        info: &'a StreamInfo,
    ) -> Self {
        Self {
            request_headers,
            response_headers,
            response_trailers: &NO_HEADERS,
            info,
            log_type: AccessLogType::NotSet,
        }
    }

    /// What a logger sees of a connection: it has no headers.
    pub fn of_connection(info: &'a StreamInfo) -> Self {
        Self::of_request(&NO_HEADERS, info)
    }
}

/// Writes entries; one instance is shared by all workers and must not block.
pub trait AccessLogger: Send + Sync {
    /// Writes one entry, if its filter lets it through.
    fn log(&self, cx: &LogContext<'_>);
}

/// Makes access loggers of one kind.
pub trait AccessLogFactory: Sync {
    /// Canonical name (`envoy.access_loggers.file`).
    fn name(&self) -> &'static str;
    /// Full message names of the configurations it takes.
    fn config_types(&self) -> &'static [&'static str];
    /// Makes a logger; `filter` decides which entries it writes.
    ///
    /// # Errors
    /// When the configuration is not valid.
    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn AccessLogger>, ConfigError>;
}
