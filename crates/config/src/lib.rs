//! Envoy v3 configuration: YAML, JSON and protobuf to typed messages, with diagnostics.

pub mod any;
pub mod api;
mod check;
mod compatibility;
pub mod convert;
mod decode;
mod diagnostic;
mod document;
mod error;
mod front;
pub mod json;
mod load;
pub mod mask;
mod normalise;
mod path;
mod runtime;
pub mod schema;
mod suggest;
mod support;
mod wire;

pub use compatibility::render_compatibility;
pub use diagnostic::Diagnostic;
pub use document::Document;
pub use error::{ConfigError, Within};
pub use load::{LoadedBootstrap, Sources, fuzz_one, load_bootstrap};
