//! gRPC calls of our own (Envoy's `Grpc::AsyncClient`, `envoy_grpc`).
//!
//! - [`config`]: a `GrpcService` of the configuration;
//! - [`stream`]: one call;
//! - [`status`]: how a call ends.

mod config;
mod status;
mod stream;
#[cfg(test)]
mod tests;

pub use config::{GrpcCallOptions, GrpcClient};
pub use status::GrpcStatus;
pub use stream::{GrpcEvent, GrpcStream};
