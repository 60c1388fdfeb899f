//! HTTP filters.

mod buffer;
mod fault;
mod header_mutation;

pub use buffer::BUFFER;
pub use fault::FAULT;
pub use header_mutation::HEADER_MUTATION;
