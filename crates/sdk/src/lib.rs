//! What an extension implements, and the registries that find it.
//!
//! Every extension is a `static` factory, picked by the `@type` URL of its configuration from one table per kind
//! ([`Extensions`]). The program hands the built-in tables to the server; a third party adds tables of its own
//! through the same door.
//!
//! The interfaces here are those of the data path of one worker: they are `!Send`, synchronous where they can be,
//! and allocate nothing unless an extension waits for something.

pub mod access_log;
pub mod cluster;
pub mod connection;
pub mod context;
pub mod filter;
pub mod filter_state;
pub mod flags;
pub mod http1;
pub mod http2;
pub mod listener;
pub mod metadata;
pub mod network;
pub mod registry;
pub mod reply;
pub mod route;
pub mod runtime;
pub mod stream_info;

pub use access_log::{AccessLogFactory, AccessLogType, AccessLogger, LogContext};
pub use cluster::{ClusterId, ClusterNames};
pub use connection::{ConnectionHandle, ConnectionInfo, DrainDecision, DrainStrategy};
pub use context::{FactoryContext, HealthState, LocalInfo, ServerContext, Services};
pub use filter::{
    Action, Await, DataAction, FilterContext, HttpFilter, HttpFilterConfig, HttpFilterFactory,
    Resume,
};
pub use filter_state::{FilterState, FilterStateObject, LifeSpan};
pub use flags::ResponseFlags;
pub use http2::{Http2Options, Http2Stats, Keepalive};
pub use network::{DownstreamConnection, NetworkFilter, NetworkFilterConfig, NetworkFilterFactory};
pub use registry::Extensions;
pub use reply::LocalReply;
pub use route::{PerFilterConfig, RouteConfig, RouteView};
pub use runtime::Runtime;
pub use stream_info::{
    Protocol, StreamInfo, Timing, UpstreamHost, UpstreamInfo, UpstreamOverrideHost,
};

/// A future that lives on one worker.
pub type LocalFuture<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;
