//! Requests of the proxy's own, to external authorization, rate limit services, control planes, log sinks …: they go through
//! the cluster manager as any client's request does, with its hosts, balancers, pools, circuit breakers and stats.
//!
//! - [`HttpCall`]: one request and its response, streamed both ways;
//! - [`GrpcClient`]: a `GrpcService` of the configuration; [`GrpcStream`]: one gRPC call, unary or streaming.
//!
//! Everything runs on the thread that calls: a worker, or the main thread, which has a view of the clusters of its own
//! ([`ClusterManager::install_here`](nuncio_upstream::ClusterManager::install_here)). Nothing is spawned: a call moves
//! when it is polled, and ends when it is dropped. See `LIFECYCLE.md`.

mod grpc;
mod http;
#[cfg(test)]
mod testing;

pub use grpc::{GrpcCallOptions, GrpcClient, GrpcEvent, GrpcStatus, GrpcStream};
pub use http::{CallError, HttpCall, HttpCallOptions};
