//! Listener filters: what looks at a connection before its filter chain is chosen.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use nuncio_buffer::Buffer;
use nuncio_config::ConfigError;
use nuncio_config::api::protobuf::Any;
use nuncio_net::{Address, Stream};

use crate::context::FactoryContext;

/// A connection that has no filter chain yet. Filters may change everything but the socket.
pub struct AcceptedConnection {
    /// The socket.
    pub stream: Stream,
    /// The peer.
    pub remote_address: Address,
    /// Our end: where filter chains are looked for.
    pub local_address: Rc<Address>,
    /// `local_address` is where the peer meant to connect before it was redirected here.
    pub local_address_restored: bool,
    /// What filters have read and the filter chain is to see.
    pub read: Buffer,
}

/// What a listener filter says in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerVerdict {
    /// On to the next filter, then to the filter chain.
    Continue,
    /// The connection is closed.
    Close,
}

/// A filter that waits, or is done at once. Dropping it ends the wait: the connection took too long.
pub type Inspection<'a> = Pin<Box<dyn Future<Output = ListenerVerdict> + 'a>>;

/// A configured listener filter, shared by all workers and connections; what it knows of one lives in its [`Inspection`].
pub trait ListenerFilter: Send + Sync {
    /// Looks at a connection.
    fn inspect<'a>(&'a self, connection: &'a mut AcceptedConnection) -> Inspection<'a>;
}

/// Makes listener filters of one kind.
pub trait ListenerFilterFactory: Sync {
    /// Canonical name (`envoy.filters.listener.original_dst`).
    fn name(&self) -> &'static str;
    /// Full message names of the configurations it takes.
    fn config_types(&self) -> &'static [&'static str];
    /// Makes a filter.
    ///
    /// # Errors
    /// When the configuration is not valid; the path is relative to the filter's `typed_config`.
    fn create(
        &self,
        config: &Any,
        cx: &FactoryContext<'_>,
    ) -> Result<Arc<dyn ListenerFilter>, ConfigError>;
}
