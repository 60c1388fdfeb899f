//! The path and query of a request, changed and read as Envoy does.

mod normalize;
mod query;
mod slashes;

pub use normalize::normalize;
pub use query::{QueryParams, percent_decode, percent_encode, query_params};
pub use slashes::{escaped_slashes, merge_slashes};

use memchr::memchr;

/// Splits a path in front of its query: the second part is empty or begins with `?`.
#[must_use]
pub fn split_query(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(memchr(b'?', path).unwrap_or(path.len()))
}
