//! HTTP filters.

mod buffer;
mod cors;
mod dynamic_forward_proxy;
mod fault;
mod grpc_counts;
mod grpc_http1_bridge;
mod grpc_stats;
mod grpc_web;
mod header_mutation;
mod health_check;
mod set_filter_state;
mod stateful_session;

pub use buffer::BUFFER;
pub use cors::CORS;
pub use dynamic_forward_proxy::DYNAMIC_FORWARD_PROXY;
pub use fault::FAULT;
pub use grpc_http1_bridge::GRPC_HTTP1_BRIDGE;
pub use grpc_stats::GRPC_STATS;
pub use grpc_web::GRPC_WEB;
pub use header_mutation::HEADER_MUTATION;
pub use health_check::HEALTH_CHECK;
pub use set_filter_state::SET_FILTER_STATE;
pub use stateful_session::STATEFUL_SESSION;
