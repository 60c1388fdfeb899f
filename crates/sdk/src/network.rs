//! Network filters: what serves the bytes of a downstream connection.

use std::rc::Rc;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::ConfigError;
use nuncio_config::api::protobuf::Any;
use nuncio_net::Connection;

use crate::LocalFuture;
use crate::connection::{ConnectionHandle, ConnectionInfo};
use crate::context::FactoryContext;

/// A downstream connection as its filter chain gets it.
pub struct DownstreamConnection {
    /// Socket and transport socket.
    pub io: Connection,
    /// Facts.
    pub info: Rc<ConnectionInfo>,
    /// How the connection handler ends it.
    pub handle: Rc<ConnectionHandle>,
    /// Bytes that listener filters have already read.
    pub read: Buffer,
    /// `per_connection_buffer_limit_bytes`: soft limit of what is buffered per direction, in bytes.
    pub buffer_limit: u32,
}

/// A configured terminal network filter, shared by all workers.
pub trait NetworkFilterConfig: Send + Sync {
    /// The filter as one worker sees it; the connection handler asks once per filter chain and worker.
    fn on_worker(self: Arc<Self>) -> Rc<dyn NetworkFilter>;
}

/// A terminal network filter on one worker, shared by the connections of a filter chain.
pub trait NetworkFilter {
    /// Serves one connection until it is closed; dropping the future closes the connection.
    fn serve(self: Rc<Self>, connection: DownstreamConnection) -> LocalFuture<()>;
}

/// Makes network filters of one kind.
pub trait NetworkFilterFactory: Sync {
    /// Canonical name (`envoy.filters.network.http_connection_manager`).
    fn name(&self) -> &'static str;
    /// Full message names of the configurations it takes.
    fn config_types(&self) -> &'static [&'static str];
    /// Makes a filter.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration; paths are relative to the filter's `typed_config`.
    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn NetworkFilterConfig>, Vec<ConfigError>>;
}
